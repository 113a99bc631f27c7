/**
 * The words of the window: `m.models.open` in a template is the text in the language at hand, and follows a change of it.
 *
 * A module of our own instead of a compiler's: the language changes without a reload, and TypeScript alone finds keys
 * that do not exist or that a language lacks. `i18n.test.ts` finds those that nothing uses.
 */
import { de } from "./de";
import { en } from "./en";

export type Messages = typeof en;
export type Language = keyof typeof languages;

/** Each in its own words. English comes first: it stands in for a language that Sotto does not speak. */
export const languages = { en: "English", de: "Deutsch" } as const;

export const messages: Record<Language, Messages> = { en, de };

const RIGHT_TO_LEFT = new Set(["ar", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"]);

export const directionOf = (language: string) => (RIGHT_TO_LEFT.has(bare(language)) ? "rtl" : "ltr");

/** The first of the user's languages that Sotto speaks. */
export function preferred(wanted: readonly string[]): Language {
  const spoken = wanted.map(bare).find((language): language is Language => language in languages);
  return spoken ?? "en";
}

function bare(language: string): string {
  return language.split("-")[0]?.toLowerCase() ?? "";
}

class I18n {
  #language = $state<Language>(preferred(navigator.languages));
  readonly messages = $derived(messages[this.#language]);

  get language(): Language {
    return this.#language;
  }

  /** `null` follows the system. */
  speak(language: Language | null) {
    this.#language = language ?? preferred(navigator.languages);
    document.documentElement.lang = this.#language;
    document.documentElement.dir = directionOf(this.#language);
  }
}

export const i18n = new I18n();

export const m: Messages = new Proxy(en, {
  get: (_, area) => i18n.messages[area as keyof Messages],
});

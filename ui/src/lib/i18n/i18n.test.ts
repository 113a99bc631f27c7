import { afterEach, describe, expect, test } from "vitest";

import { bytes, count } from "../format";
import { directionOf, i18n, languages, m, messages, preferred, type Language } from "./i18n.svelte";

const sources = import.meta.glob<string>(["../../**/*.{svelte,ts}", "!../../**/*.test.ts", "!./{en,de}/*"], {
  query: "?raw",
  import: "default",
  eager: true,
});

afterEach(() => i18n.speak("en"));

/** Every key as `area.key`. */
const keys = (language: Language) =>
  Object.entries(messages[language]).flatMap(([area, texts]) => Object.keys(texts).map((key) => `${area}.${key}`));

const unused = (wanted: string[], texts: string[]) =>
  wanted.filter((key) => !texts.some((text) => new RegExp(`\\bm\\.${key.replace(".", "\\.")}\\b`).test(text)));

test("every message is used somewhere", () => {
  expect(unused(["a.one", "a.two"], ["{m.a.one}", "m.a.twofold"])).toEqual(["a.two"]);
  expect(unused(keys("en"), Object.values(sources))).toEqual([]);
});

/** With what a message does not contain by itself. */
function written(text: unknown): string {
  if (typeof text !== "function") return String(text);
  return text(...Array.from({ length: text.length }, (_, i) => `<${i}>`));
}

describe.each(Object.keys(languages) as Language[])("%s", (language) => {
  test("has every key and no other", () => expect(keys(language)).toEqual(keys("en")));

  test("is written out, and keeps every inserted value", () => {
    for (const key of keys(language)) {
      const [area, name] = key.split(".") as [keyof typeof m, string];
      const read = (language: Language) => written((messages[language][area] as Record<string, unknown>)[name]);
      expect(read(language).trim(), key).not.toBe("");
      const inserted = (text: string) => [...text.matchAll(/<\d>/g)].map(String).sort();
      expect(inserted(read(language)), key).toEqual(inserted(read("en")));
    }
  });
});

test("German is friendly: du, never Sie", () => {
  const formal = /\b(Sie (können|haben|sind|möchten)|Ihr(e|en|em|er|es)?|Ihnen|(\w+en) Sie)\b/;
  const offenders = keys("de").filter((key) => {
    const [area, name] = key.split(".") as [keyof typeof m, string];
    return formal.test(written((messages.de[area] as Record<string, unknown>)[name]));
  });
  expect(offenders).toEqual([]);
});

test("the language changes while the window is open", () => {
  expect(m.models.cancel).toBe("Cancel");
  i18n.speak("de");
  expect(m.models.cancel).toBe("Abbrechen");
  expect([count(32_768), bytes(3_140_000_000)]).toEqual(["32.768", "3,14 GB"]);
  expect(document.documentElement.lang).toBe("de");
  expect(document.documentElement.dir).toBe("ltr");
});

test.each([
  [["de-AT", "en"], "de"],
  [["fr", "de"], "de"],
  [["ja"], "en"],
  [[], "en"],
] as const)("of %j, %s is spoken", (wanted, language) => expect(preferred(wanted)).toBe(language));

test.each([
  ["ar-EG", "rtl"],
  ["he", "rtl"],
  ["de", "ltr"],
])("%s is written %s", (language, direction) => expect(directionOf(language)).toBe(direction));

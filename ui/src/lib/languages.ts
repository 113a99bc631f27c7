/** The languages that captions are written in and translated into, by what people call them. */
import { i18n } from "./i18n/i18n.svelte";

/** The codes that the Rust side knows, in `src-tauri/captions/src/language.rs`. */
const codes = [
  ..."af ar bg bn ca cs da de el en es et fa fi fr gu he hi hr hu id it".split(" "),
  ..."ko lt lv mr nb nl pl pt ro ru sk sl sv ta te th tr uk ur vi zh".split(" "),
];

export function languageName(code: string): string {
  return new Intl.DisplayNames(i18n.language, { type: "language" }).of(code) ?? code;
}

/** In the order of their names in the language of the window. */
export function languageOptions(): { value: string; name: string }[] {
  const options = codes.map((value) => ({ value, name: languageName(value) }));
  return options.sort((a, b) => a.name.localeCompare(b.name, i18n.language));
}

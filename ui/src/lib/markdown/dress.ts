/** What the page adds to sanitised Markdown: drawn formulas, and a head with a copy button on code. */
import { m } from "../i18n/i18n.svelte";

/** How long the button says that it has copied. */
const COPIED_MS = 1500;

export function dress(fragment: DocumentFragment) {
  const formulas = [...fragment.querySelectorAll<HTMLElement>(".math")];
  // Until then they are to be read as they were written.
  if (formulas.length > 0) void import("./formulas").then(({ draw }) => draw(formulas));
  for (const code of fragment.querySelectorAll<HTMLElement>("pre > code")) {
    code.parentElement?.before(head(code));
  }
  // A table wider than its column scrolls by itself, for the keyboard too.
  for (const table of fragment.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table";
    frame.tabIndex = 0;
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const pre of fragment.querySelectorAll<HTMLElement>("pre")) pre.tabIndex = 0;
}

function head(code: HTMLElement): HTMLElement {
  const head = document.createElement("div");
  head.className = "code-head";
  const language = document.createElement("span");
  language.textContent = /language-(\S+)/.exec(code.className)?.[1] ?? "";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = m.chat.copy;
  button.dataset.slot = "copy-code";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = m.chat.copied;
    setTimeout(() => (button.textContent = m.chat.copy), COPIED_MS);
  });
  head.append(language, button);
  return head;
}

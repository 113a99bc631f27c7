/**
 * Markdown as HTML, block by block.
 *
 * The text comes from a model and may say anything. Three things keep it harmless, each by itself: markdown-it passes no
 * HTML through, DOMPurify keeps a short list of elements and attributes, and the content security policy of the window
 * loads nothing from outside. Pictures become links.
 */
import DOMPurify, { type Config } from "dompurify";
import MarkdownIt from "markdown-it";

import { highlight } from "./highlight";
import { math } from "./math";

const md = new MarkdownIt({ html: false, linkify: true, breaks: true, highlight });
md.use(math);
// Only what was written as an address: "main.rs" is no web site.
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });

md.renderer.rules.image = (tokens, i) => {
  const { escapeHtml } = md.utils;
  const token = tokens[i];
  const address = String(token?.attrGet("src") ?? "");
  return `<a href="${escapeHtml(address)}">${escapeHtml(token?.content || address)}</a>`;
};

// The alignment of a column comes as a style, which the content security policy forbids.
for (const rule of ["th_open", "td_open"]) {
  md.renderer.rules[rule] = (tokens, i, options, _, self) => {
    const token = tokens[i];
    const align = /text-align:(\w+)/.exec(String(token?.attrGet("style") ?? ""))?.[1];
    if (token && align) token.attrs = [["align", align]];
    return self.renderToken(tokens, i, options);
  };
}

const TAGS =
  "a blockquote br code del div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul";

const ALLOWED: Config & { RETURN_DOM_FRAGMENT: true } = {
  ALLOWED_TAGS: TAGS.split(" "),
  ALLOWED_ATTR: ["align", "class", "href", "start"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: true,
  RETURN_DOM_FRAGMENT: true,
};

/**
 * The HTML of every top-level block. Not yet sanitised: see `sanitise`.
 *
 * While a text grows at its end, all but the last blocks stay what they were.
 */
export function blocks(text: string): string[] {
  const env = {};
  const tokens = md.parse(text, env);
  const html: string[] = [];
  let start = 0;
  let depth = 0;
  tokens.forEach((token, i) => {
    depth += token.nesting;
    if (depth > 0) return;
    html.push(md.renderer.render(tokens.slice(start, i + 1), md.options, env));
    start = i + 1;
  });
  return html;
}

/** Elements of which none can load or run anything. */
export function sanitise(html: string): DocumentFragment {
  return DOMPurify.sanitize(html, ALLOWED);
}

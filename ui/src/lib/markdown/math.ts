/**
 * Formulas in Markdown: `$…$` and `\(…\)` in a line, `$$…$$` and `\[…\]` on their own.
 *
 * They come out as `<span class="math">` with the TeX inside; the page draws them, because KaTeX sets styles, which the
 * content security policy forbids in HTML and allows on elements.
 */
import type { MarkdownIt, StateBlock, StateInline } from "markdown-it";

const DOLLAR = 0x24;
const BACKSLASH = 0x5c;

export function math(md: MarkdownIt) {
  // Before `\(` is taken for an escaped bracket.
  md.inline.ruler.before("escape", "math", inline);
  md.block.ruler.before("fence", "math_block", block, { alt: ["paragraph", "reference", "blockquote", "list"] });
  const { escapeHtml } = md.utils;
  md.renderer.rules.math = (tokens, i) => `<span class="math">${escapeHtml(tokens[i]?.content ?? "")}</span>`;
  md.renderer.rules.math_block = (tokens, i) =>
    `<div class="math" data-display>${escapeHtml(tokens[i]?.content ?? "")}</div>`;
}

function inline(state: StateInline, silent: boolean): boolean {
  const { src, pos } = state;
  const found =
    src.charCodeAt(pos) === DOLLAR
      ? dollars(src, pos)
      : src.charCodeAt(pos) === BACKSLASH
        ? (enclosed(src, pos, "\\(", "\\)") ?? enclosed(src, pos, "\\[", "\\]"))
        : null;
  if (!found) return false;
  if (!silent) state.push("math", "math", 0).content = found.tex;
  state.pos = found.end;
  return true;
}

interface Found {
  tex: string;
  end: number;
}

function enclosed(src: string, pos: number, open: string, close: string): Found | null {
  if (!src.startsWith(open, pos)) return null;
  const start = pos + open.length;
  const end = src.indexOf(close, start);
  if (end === -1 || src.slice(start, end).trim() === "") return null;
  return { tex: src.slice(start, end).trim(), end: end + close.length };
}

/** As pandoc reads them, so that "$5 and $10" stays money: no space inside, no digit after. */
function dollars(src: string, pos: number): Found | null {
  if (src.startsWith("$$", pos)) return enclosed(src, pos, "$$", "$$");
  const start = pos + 1;
  if (/^\s|^$/.test(src.charAt(start))) return null;
  for (let end = src.indexOf("$", start); end !== -1; end = src.indexOf("$", end + 1)) {
    if (src[end - 1] === "\\") continue;
    if (/\s/.test(src.charAt(end - 1)) || /\d/.test(src.charAt(end + 1))) return null;
    return end === start ? null : { tex: src.slice(start, end), end: end + 1 };
  }
  return null;
}

function block(state: StateBlock, startLine: number, endLine: number, silent: boolean): boolean {
  const line = (n: number) => state.src.slice((state.bMarks[n] ?? 0) + (state.tShift[n] ?? 0), state.eMarks[n]);
  const first = line(startLine);
  const close = first.startsWith("$$") ? "$$" : first.startsWith("\\[") ? "\\]" : null;
  if (close === null) return false;
  const lines: string[] = [];
  for (let n = startLine; n < endLine; n++) {
    const text = n === startLine ? first.slice(2) : line(n);
    const end = text.indexOf(close);
    if (end === -1) {
      lines.push(text);
      continue;
    }
    // What follows a formula in its line makes it one of a paragraph.
    if (text.slice(end + 2).trim() !== "") return false;
    lines.push(text.slice(0, end));
    if (silent) return true;
    const token = state.push("math_block", "math", 0);
    token.content = lines.join("\n").trim();
    token.map = [startLine, n + 1];
    state.line = n + 1;
    return true;
  }
  return false;
}

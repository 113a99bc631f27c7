/** Draws formulas. A module by itself, since KaTeX is large and most conversations have none. */
import katex from "katex";
import "katex/dist/katex.min.css";

/** A formula that spells out a million squares ends as its own text, in red. */
const OPTIONS = { throwOnError: false, trust: false, maxExpand: 500, maxSize: 20 } as const;

export function draw(formulas: Iterable<HTMLElement>) {
  for (const formula of formulas) {
    katex.render(formula.textContent, formula, { ...OPTIONS, displayMode: "display" in formula.dataset });
  }
}

import type { CaptionStyle } from "../../lib/ipc/client";
import { defaults } from "../../lib/settings/defaults";

export const presets = ["white_on_black", "yellow_on_black", "black_on_white", "yellow_on_blue", "large"] as const;
export type PresetName = (typeof presets)[number];

/** What a preset says of a style; the rest stays as the user has it. */
const looks: Record<PresetName, Partial<CaptionStyle>> = {
  white_on_black: { colour: "#ffffff", background: "#000000", opacity: 80, edge: "none", size: 28, weight: "medium" },
  yellow_on_black: { colour: "#ffe600", background: "#000000", opacity: 85, edge: "none", size: 28, weight: "medium" },
  black_on_white: { colour: "#000000", background: "#ffffff", opacity: 90, edge: "none", size: 28, weight: "medium" },
  yellow_on_blue: { colour: "#ffee55", background: "#00236b", opacity: 90, edge: "none", size: 28, weight: "medium" },
  large: { colour: "#ffffff", background: "#000000", opacity: 90, edge: "none", size: 48, weight: "bold" },
};

export const dressed = (style: CaptionStyle, preset: PresetName): CaptionStyle => ({ ...style, ...looks[preset] });

/** The preset that a style follows; none if the user went another way. */
export function presetOf(style: CaptionStyle): PresetName | null {
  const wears = (preset: PresetName) =>
    Object.entries(looks[preset]).every(([key, value]) => style[key as keyof CaptionStyle] === value);
  return presets.find(wears) ?? null;
}

/** The preset after the one that a style follows. */
export function nextPreset(style: CaptionStyle): PresetName {
  const now = presetOf(style);
  return presets[(now === null ? 0 : presets.indexOf(now) + 1) % presets.length] ?? "white_on_black";
}

export const defaultStyle = defaults.overlay.style;

/** Above and below the lines, and between two languages, in pixels. */
export const PADDING = 10;
export const BLOCK_GAP = 6;

/** From line to line in whole pixels, so that lines fill their block exactly. */
export const lineHeight = ({ size, spacing }: CaptionStyle) => Math.ceil((size * spacing) / 100);

/** Which texts stand in blocks of their own. */
export type Block = "source" | "translation";

export function blocksOf(shown: "source" | "translation" | "both", isTranslated: boolean): Block[] {
  if (!isTranslated || shown === "source") return ["source"];
  return shown === "translation" ? ["translation"] : ["source", "translation"];
}

/** Of the whole overlay in pixels: the same with and without words. */
export function heightOf(style: CaptionStyle, blocks: number): number {
  return blocks * style.lines * lineHeight(style) + (blocks - 1) * BLOCK_GAP + 2 * PADDING;
}

/** Black or white, whichever stands out from a colour such as #ffcc00. */
export function opposite(colour: string): string {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000000" : "#ffffff";
}

/** Lifts letters off a picture behind them. */
export function shadowOf({ edge, colour, size }: CaptionStyle): string {
  const other = opposite(colour);
  const width = Math.max(1, Math.round(size / 24));
  if (edge === "none") return "none";
  if (edge === "shadow") return `${width}px ${width}px ${2 * width}px ${other}, 0 0 ${width}px ${other}`;
  const around = [-1, 0, 1].flatMap((x) => [-1, 0, 1].map((y) => [x, y] as const)).filter(([x, y]) => x !== 0 || y !== 0);
  return around.map(([x, y]) => `${x * width}px ${y * width}px 0 ${other}`).join(", ");
}

/** A colour such as #ffcc00 with an opacity in percent. */
export const withOpacity = (colour: string, percent: number) =>
  `${colour}${Math.round(percent * 2.55).toString(16).padStart(2, "0")}`;

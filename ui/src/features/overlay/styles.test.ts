import { describe, expect, test } from "vitest";

import { blocksOf, defaultStyle, dressed, heightOf, lineHeight, nextPreset, opposite, presetOf, presets, shadowOf, withOpacity } from "./styles";

/** WCAG's contrast of two colours such as #ffcc00. */
function contrast(one: string, other: string): number {
  const [a = 0, b = 0] = [one, other].map((colour) => {
    const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
    const [r = 0, g = 0, b = 0] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  });
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

/** A colour as it is seen over another one. */
function over(colour: string, percent: number, behind: string): string {
  const mixed = [1, 3, 5].map((at) => {
    const [front, back] = [parseInt(colour.slice(at, at + 2), 16), parseInt(behind.slice(at, at + 2), 16)];
    return Math.round((front * percent + back * (100 - percent)) / 100).toString(16).padStart(2, "0");
  });
  return `#${mixed.join("")}`;
}

describe("presets", () => {
  test.each(presets)("%s can be read over white and over black", (preset) => {
    const { colour, background, opacity } = dressed(defaultStyle, preset);
    expect(opacity).toBeGreaterThanOrEqual(75);
    for (const behind of ["#ffffff", "#000000"]) {
      expect(contrast(colour, over(background, opacity, behind)), behind).toBeGreaterThan(4.5);
    }
  });

  test("the first style is one of them, and each follows the one before", () => {
    expect(presetOf(defaultStyle)).toBe("white_on_black");
    let style = { ...defaultStyle, lines: 5 };
    const worn = presets.map(() => presetOf((style = dressed(style, nextPreset(style)))));
    expect(worn).toEqual([...presets.slice(1), presets[0]]);
    expect(style.lines).toBe(5);
  });

  test("a style of one's own is none of them", () => {
    expect(presetOf({ ...defaultStyle, size: 29 })).toBeNull();
    expect(nextPreset({ ...defaultStyle, size: 29 })).toBe("white_on_black");
  });
});

describe("the height", () => {
  test("is that of whole lines", () => {
    expect(lineHeight({ ...defaultStyle, size: 15, spacing: 135 })).toBe(21);
    expect(heightOf({ ...defaultStyle, size: 20, spacing: 150, lines: 3 }, 1)).toBe(3 * 30 + 20);
    expect(heightOf({ ...defaultStyle, size: 20, spacing: 150, lines: 3 }, 2)).toBe(6 * 30 + 6 + 20);
  });

  test("has a second block only for a translation", () => {
    expect(blocksOf("both", false)).toEqual(["source"]);
    expect(blocksOf("both", true)).toEqual(["source", "translation"]);
    expect(blocksOf("translation", true)).toEqual(["translation"]);
    expect(blocksOf("translation", false)).toEqual(["source"]);
  });
});

test("an edge stands out from the letters", () => {
  expect([opposite("#ffee55"), opposite("#00236b")]).toEqual(["#000000", "#ffffff"]);
  expect(shadowOf({ ...defaultStyle, edge: "none" })).toBe("none");
  expect(shadowOf({ ...defaultStyle, edge: "outline" }).split(",")).toHaveLength(8);
  expect(shadowOf({ ...defaultStyle, edge: "shadow" })).toContain("#000000");
});

test.each([
  [0, "#00000000"],
  [80, "#000000cc"],
  [100, "#000000ff"],
])("%d %% is %s", (percent, colour) => expect(withOpacity("#000000", percent)).toBe(colour));

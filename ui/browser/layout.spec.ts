import { expect, test } from "@playwright/test";

import { expectToFit, open, screenNames, show } from "./stage";

const sizes = [
  { width: 1200, height: 800 },
  { width: 700, height: 600 },
  { width: 560, height: 480 },
];

for (const viewport of sizes) {
  for (const [direction, textSize] of [
    ["ltr", "normal"],
    ["ltr", "largest"],
    ["rtl", "normal"],
  ] as const) {
    test(`everything fits: ${viewport.width} x ${viewport.height}, ${textSize} text, ${direction}`, async ({ page }) => {
      await page.setViewportSize(viewport);
      const stage = `(mock) => {
        Object.assign(mock.settings.settings, { text_size: "${textSize}", language: "de" });
        mock.start = "/models/a";
      }`;
      await open(page, { toString: () => stage } as never);
      await page.locator("html[lang=de]").waitFor();
      await page.evaluate((dir) => void (document.documentElement.dir = dir), direction);
      await page.locator("[data-state=ready]").waitFor();
      for (const name of screenNames) {
        await show(page, name);
        await page.waitForTimeout(200);
        await expectToFit(page);
      }
      await page.locator("[data-slot=popover] summary").click();
      const panel = await page.locator("[data-slot=popover] .panel").boundingBox();
      expect(panel && panel.x >= 0 && panel.x + panel.width <= viewport.width, JSON.stringify(panel)).toBe(true);
    });
  }
}

test("a voice note fits into the smallest window with the largest text", async ({ page }) => {
  await page.setViewportSize({ width: 560, height: 480 });
  await open(page, (mock) => {
    Object.assign(mock.settings.settings, { text_size: "largest", language: "de" });
    mock.start = "/models/a";
    mock.model = { ...mock.model, audio: true };
  });
  await page.locator("[data-state=ready]").waitFor();
  await page.keyboard.press("Control+m");
  await page.locator("[data-slot=note-level] rect").first().waitFor();
  await expectToFit(page);
  await expect(page.locator("[data-slot=note-end]")).toBeInViewport({ ratio: 1 });
});

test("in a language from right to left the rail stands on the right", async ({ page }) => {
  await open(page);
  await page.evaluate(() => void (document.documentElement.dir = "rtl"));
  const rail = await page.locator("[data-slot=rail]").boundingBox();
  expect(rail?.x).toBeGreaterThan(1000);
});

test("in forced colours the state of a choice still shows", async ({ page }) => {
  await page.emulateMedia({ forcedColors: "active" });
  await open(page);
  await show(page, "settings");
  const border = (css: string) => page.locator(css).first().evaluate((e) => getComputedStyle(e).borderTopWidth);
  expect(await border("input[type=radio]:checked")).not.toBe(await border("input[type=radio]:not(:checked)"));
  const pill = (css: string) => page.locator(css).evaluate((e) => getComputedStyle(e).borderTopColor);
  expect(await pill("[aria-current=page] .pill")).not.toBe(await pill("[data-slot=rail-chat] .pill"));
});

test("those who want less motion get none", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await open(page);
  await show(page, "settings");
  const moves = await page.evaluate(
    () =>
      [...document.querySelectorAll("*")].filter((element) => {
        const { transitionDuration, animationName } = getComputedStyle(element, "::before");
        return parseFloat(transitionDuration) > 0 || animationName !== "none";
      }).length,
  );
  expect(moves).toBe(0);
});

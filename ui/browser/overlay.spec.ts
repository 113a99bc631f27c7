import { expect, test, type Page } from "@playwright/test";

import type { MockClient } from "../src/lib/ipc/mock";
import { listen, open, show, violations } from "./stage";

/** The overlay's page on a mock that `set` has prepared; it runs in the page, so it sees nothing of the test. */
async function openOverlay(page: Page, set: (mock: MockClient) => void = () => {}) {
  await page.addInitScript(`window.setStage = (mock) => {
    mock.captions = { ...mock.captions, phase: "listening", channels: ["me", "others"], language: "en", translate: "de" };
    (${set})(mock);
  }`);
  await page.goto("/overlay.html");
  await page.locator("[data-slot=overlay]").waitFor();
}

const say = (page: Page, n: number) =>
  page.evaluate((n) => {
    for (let i = 0; i < n; i++) {
      const committed = `Line ${i} of a meeting that has been going on for quite a while now.`;
      window.mock.line(i % 2 ? "others" : "me", i, { committed, translation: `Zeile ${i}.`, id: `${i}` });
    }
    window.mock.line("me", n, { committed: "And now", tentative: "something else" });
  }, n);

const heightOf = (page: Page) => page.locator("[data-slot=overlay]").evaluate((box) => box.getBoundingClientRect().height);

for (const lines of [1, 2, 6]) {
  test(`with ${lines} lines its height is the one it asks for, before and after words, and no line is cut in two`, async ({ page }) => {
    await page.setViewportSize({ width: 700, height: 600 });
    await page.addInitScript(`window.nLines = ${lines}`);
    await openOverlay(page, (mock) => {
      mock.overlay.settings.style.lines = (window as unknown as { nLines: number }).nLines;
    });
    const asked = await page.evaluate(() => window.mock.overlayAsked.at(-1));
    const before = await heightOf(page);
    expect(`height ${before}`).toBe(asked);
    await say(page, 12);
    await page.getByText("something else").waitFor();
    expect(await heightOf(page)).toBe(before);
    const cut = await page.locator("[data-slot=overlay-source]").evaluate((block) => {
      const { top, bottom } = block.getBoundingClientRect();
      const line = parseFloat(getComputedStyle(block).lineHeight);
      return [...block.querySelectorAll("p")].some((p) => {
        const box = p.getBoundingClientRect();
        return Math.abs((bottom - box.bottom) % line) > 0.5 || (bottom - top) % line !== 0;
      });
    });
    expect(cut).toBe(false);
    await expect(page.getByText("something else")).toBeInViewport();
  });
}

for (const colours of ["none", "active"] as const) {
  test(`axe finds nothing on the overlay, forced colours ${colours}`, async ({ page }) => {
    await page.emulateMedia({ forcedColors: colours });
    await openOverlay(page);
    await say(page, 3);
    await page.keyboard.press("Tab");
    await page.locator(".corner.shown").waitFor();
    expect(await violations(page)).toEqual([]);
  });
}

test("its buttons are reached by keys and are large enough", async ({ page }) => {
  await openOverlay(page);
  const names: (string | null)[] = [];
  for (let i = 0; i < 9; i++) {
    await page.keyboard.press("Tab");
    names.push(await page.evaluate(() => document.activeElement?.getAttribute("data-slot") ?? null));
  }
  expect(names).toEqual(["overlay", ...["captions", "mode", "fewer", "more", "preset", "style", "through", "close"].map((name) => `overlay-${name}`)]);
  const sizes = await page.locator("button").evaluateAll((all) => all.map((button) => button.getBoundingClientRect().width));
  expect(Math.min(...sizes)).toBeGreaterThanOrEqual(24);
});

test("without motion it fades at once", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await openOverlay(page);
  const transition = await page.locator("[data-slot=overlay]").evaluate((box) => getComputedStyle(box).transitionDuration);
  expect(transition).toBe("0s");
});

test("the style panel shows every value where it stands", async ({ page }) => {
  await open(page, (mock) => {
    mock.overlay.settings.style.spacing = 150;
    mock.overlay.settings.style.size = 96;
  });
  await show(page, "settings");
  await expect(page.getByLabel("Line spacing")).toHaveValue("150");
  await expect(page.getByLabel("Size of the letters")).toHaveValue("96");
  await page.locator("[data-slot=reset-style]").click();
  await expect(page.getByLabel("Line spacing")).toHaveValue("135");
});

test("notices come and go without moving a line", async ({ page }) => {
  await listen(page);
  await page.evaluate(() => window.mock.line("me", 0, { committed: "Good morning.", id: "a", start_ms: 0 }));
  const place = () => page.locator("[data-slot=committed]").first().boundingBox();
  const before = await place();
  await page.evaluate(() => {
    window.mock.say("me", { notice: "silent" });
    window.mock.say(null, { notice: "not_saved", message: "full" });
    window.mock.clock(60_000, 30_000);
  });
  await page.locator("[data-notice=not_saved]").waitFor();
  expect(await place()).toEqual(before);
  await page.evaluate(() => {
    window.mock.say("me", { notice: "heard" });
    window.mock.say(null, { notice: "saved_again" });
    window.mock.clock(60_000, 0);
  });
  await expect(page.locator("[data-slot=caption-notice]")).toHaveCount(0);
  expect(await place()).toEqual(before);
});

test("a transcript of three hours can be read and worked with", async ({ page }) => {
  await open(page, (mock) => {
    mock.start = "/models/a";
    mock.model = { ...mock.model, audio: true };
    mock.keepTranscript("Long", Array.from({ length: 3000 }, (_, i) => `Line ${i} of a very long meeting about many things.`));
  });
  await show(page, "library");
  await page.locator("[data-slot=transcript]").click();
  await expect(page.locator("[data-slot=stored-line]")).toHaveCount(3000, { timeout: 20_000 });
  // Most of them are not laid out: that is what keeps a list of this length quick.
  const skipped = await page.locator("[data-slot=stored-line]").evaluateAll(
    (lines) => lines.filter((line) => !line.firstElementChild?.checkVisibility({ contentVisibilityAuto: true })).length,
  );
  expect(skipped).toBeGreaterThan(2500);
  const last = page.locator("[data-slot=stored-line]").last();
  await last.scrollIntoViewIfNeeded();
  await last.locator("[data-slot=pop-menu]").click();
  await last.locator("[data-slot=edit]").click();
  await expect(page.locator("[data-slot=edit-line]")).toBeInViewport();
});

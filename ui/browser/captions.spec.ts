import { expect, test, type Page } from "@playwright/test";

import { listen } from "./stage";

const isAtEnd = (page: Page) =>
  page.locator("[data-slot=lines]").evaluate((list) => list.scrollHeight - list.scrollTop - list.clientHeight < 24);

test("the newest line stays in sight, until one scrolls up to read", async ({ page }) => {
  await listen(page);
  const say = (from: number, to: number) =>
    page.evaluate(
      ([from, to]) => {
        for (let i = from; i < to; i++) window.mock.line("me", i, { start_ms: i * 3000, committed: `Line ${i}.`, id: `${i}` });
      },
      [from, to] as const,
    );
  await say(0, 40);
  await expect(page.getByText("Line 39.", { exact: true })).toBeInViewport();
  await page.locator("[data-slot=lines]").evaluate((list) => (list.scrollTop = 0));
  await page.locator("[data-slot=jump]").waitFor();
  await say(40, 50);
  await expect(page.locator("[data-slot=line]")).toHaveCount(50);
  await expect(page.getByText("Line 0.", { exact: true })).toBeInViewport();
  await page.locator("[data-slot=jump]").click();
  await expect.poll(() => isAtEnd(page)).toBe(true);
  await expect(page.locator("[data-slot=jump]")).toHaveCount(0);
});

test("certain words stay where they are while others come and change", async ({ page }) => {
  await listen(page);
  const place = () => page.locator("[data-slot=committed]").first().boundingBox();
  const write = (committed: string, tentative: string) =>
    page.evaluate(([c, t]) => window.mock.line("me", 0, { committed: c, tentative: t }), [committed, tentative] as const);
  await write("Good morning", "everybody in the");
  await expect(page.locator("[data-slot=tentative]")).toHaveText("everybody in the");
  const before = await place();
  await write("Good morning", "all");
  await expect(page.locator("[data-slot=tentative]")).toHaveText("all");
  expect(await place()).toEqual(before);
  await page.evaluate(() =>
    window.mock.line("me", 0, { start_ms: 500, committed: "Good morning all.", translation: "Guten Morgen alle.", id: "a" }),
  );
  await page.locator("[data-slot=translation]").waitFor();
  const after = await place();
  expect([after?.x, after?.y]).toEqual([before?.x, before?.y]);
});

import { expect, test, type Page } from "@playwright/test";

import { open, screenNames } from "./stage";

/** What has the focus, and whether the eye can see that. */
const focused = (page: Page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    if (!(element instanceof HTMLElement) || element === document.body) return null;
    let seen = false;
    // A radio button shows it on its label, the box for questions on its row.
    for (let at: Element | null = element, i = 0; at && i < 3; at = at.parentElement, i++) {
      const style = getComputedStyle(at);
      seen ||= style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
      seen ||= at.matches(":has(textarea:focus)") && style.boxShadow !== "none";
    }
    const name = element.ariaLabel ?? element.innerText ?? "";
    return { what: `${element.tagName} ${element.dataset["slot"] ?? ""} ${name.slice(0, 40)}`.trim(), seen };
  });

for (const [i, name] of screenNames.entries()) {
  test(`every stop of the Tab key can be seen: ${name}`, async ({ page }) => {
    await open(page, (mock) => {
      mock.start = "/models/a";
    });
    await page.locator("[data-state=ready]").waitFor();
    await page.keyboard.press(`Control+${i + 1}`);
    await page.waitForTimeout(200);
    const stops = new Map<string, boolean>();
    for (let n = 0; n < 60; n++) {
      await page.keyboard.press("Tab");
      const stop = await focused(page);
      if (stop) stops.set(stop.what, stop.seen);
    }
    expect(stops.size).toBeGreaterThan(8);
    expect([...stops].filter(([, seen]) => !seen).map(([what]) => what)).toEqual([]);
  });
}

test("a model is opened, made the default and closed without a mouse", async ({ page }) => {
  await open(page);
  await page.keyboard.press("Control+4");
  await page.locator("[data-slot=open-model]").first().waitFor();
  const tabTo = async (name: string) => {
    for (let n = 0; n < 20; n++) {
      await page.keyboard.press("Tab");
      if ((await focused(page))?.what.includes(name)) return;
    }
    throw new Error(`Tab does not lead to ${name}`);
  };
  await tabTo("Open Demo model");
  await page.keyboard.press("Enter");
  await page.locator("[data-slot=model][data-open=true]").waitFor();
  expect((await focused(page))?.what).toContain("Close Demo model");
  await tabTo("More for Demo model");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByText("Opens at the start")).toBeVisible();
  const changes = await page.evaluate(() => window.mock.changes);
  expect(changes).toEqual([{ setting: "default_model", value: "/resources/demo/sotto-demo.gguf" }]);
});

test("Escape leaves the question before erasing, and the focus goes back", async ({ page }) => {
  await open(page);
  await page.keyboard.press("Control+,");
  await page.locator("[data-slot=erase-all]").focus();
  await page.keyboard.press("Enter");
  expect((await focused(page))?.what).toContain("Keep them");
  await page.keyboard.press("Escape");
  await expect(page.locator("[data-slot=confirm]")).toHaveCount(0);
  expect((await focused(page))?.what).toContain("erase-all");
});

test("a voice note is begun, ended and thrown away by keys", async ({ page }) => {
  await open(page, (mock) => {
    mock.start = "/models/a";
    mock.model = { ...mock.model, audio: true };
  });
  await page.locator("[data-state=ready]").waitFor();
  await page.keyboard.press("Control+m");
  await page.locator("[data-slot=note-level] rect").first().waitFor();
  expect((await focused(page))?.what).toContain("note-end");
  await page.keyboard.press("Escape");
  await expect(page.locator("[data-slot=note-bar]")).toHaveCount(0);
  expect((await focused(page))?.what).toContain("question");
  expect(await page.evaluate(() => window.mock.noteEnds)).toEqual([false]);

  await page.keyboard.press("Control+m");
  await page.locator("[data-slot=note-level] rect").first().waitFor();
  await page.keyboard.press("Control+m");
  await page.locator("[data-slot=attached-sound]").waitFor();
  // The microphone is not left open where nobody sees it.
  await page.keyboard.press("Control+m");
  await page.locator("[data-slot=note-level] rect").first().waitFor();
  await page.keyboard.press("Control+4");
  await expect.poll(() => page.evaluate(() => window.mock.noteEnds)).toEqual([false, true, true]);
});

test("the text grows and shrinks by keys", async ({ page }) => {
  await open(page);
  const size = () => page.evaluate(() => getComputedStyle(document.documentElement).fontSize);
  expect(await size()).toBe("15px");
  await page.keyboard.press("Control+=");
  await expect.poll(size).toBe("18px");
  await page.keyboard.press("Control+-");
  await page.keyboard.press("Control+-");
  await expect.poll(size).toBe("13.5px");
  await page.keyboard.press("Control+0");
  await expect.poll(size).toBe("15px");
});

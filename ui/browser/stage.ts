import { expect, type Page } from "@playwright/test";

import type { MockClient } from "../src/lib/ipc/mock";

declare global {
  interface Window {
    setStage?: (mock: MockClient) => void;
    mock: MockClient;
  }
}

const AXE = "node_modules/axe-core/axe.min.js";

/** Opens the page on a mock that `set` has prepared; it runs in the page, so it sees nothing of the test. */
export async function open(page: Page, set: (mock: MockClient) => void = () => {}) {
  await page.addInitScript(`window.setStage = ${set}`);
  await page.goto("/");
  await page.locator("#app > *").first().waitFor();
}

/** What axe-core finds wrong on the page as it is, each as a rule and where. */
export async function violations(page: Page): Promise<string[]> {
  await page.addScriptTag({ path: AXE });
  return page.evaluate(async () => {
    const axe = (window as unknown as { axe: typeof import("axe-core") }).axe;
    const { violations } = await axe.run({ resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)}`));
  });
}

/** Nothing sticks out sideways: neither the page nor its screen scrolls that way. */
export async function expectToFit(page: Page) {
  const sticksOut = await page.evaluate(() =>
    [document.documentElement, ...document.querySelectorAll(".screen, .screen *, main, footer, nav")]
      .filter((element) => getComputedStyle(element).display !== "inline" && !element.matches("input, .hidden, .file, .name"))
      .filter((element) => element.scrollWidth > element.clientWidth + 1)
      .map((element) => `${element.tagName}.${element.className}: ${element.scrollWidth} > ${element.clientWidth}`),
  );
  expect(sticksOut).toEqual([]);
}

export const screenNames = ["captions", "library", "chat", "models", "settings"] as const;

export const show = (page: Page, name: (typeof screenNames)[number]) =>
  page.locator(`[data-slot=rail-${name}]`).click();

/** Has captions run. */
export async function listen(page: Page) {
  await open(page, (mock) => {
    mock.start = "/models/a";
    mock.model = { ...mock.model, audio: true };
  });
  await page.locator("[data-state=ready]").waitFor();
  await show(page, "captions");
  await page.locator("[data-slot=toggle-captions]").click();
  await page.locator("[data-phase=listening]").waitFor();
}

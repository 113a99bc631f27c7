import { expect, test, type Page } from "@playwright/test";

import type { MockClient } from "../src/lib/ipc/mock";
import { open, show, violations } from "./stage";

/** Every state that looks different: how the mock is set, and what is done on the page. */
const states: Record<string, { set?: (mock: MockClient) => void; act?: (page: Page) => Promise<unknown> }> = {
  "no model": { act: (page) => page.locator("[data-slot=first-model]").waitFor() },
  "an answer": {
    set: (mock) => {
      mock.start = "/models/a";
    },
    act: async (page) => {
      await page.locator("[data-state=ready]").waitFor();
      await page.locator("[data-slot=question]").fill("Why?");
      await page.keyboard.press("Enter");
      await page.locator("[data-slot=answer][data-state=done]").waitFor();
    },
  },
  opening: {
    set: (mock) => {
      mock.start = "/models/a";
      mock.delayMs = 100_000;
    },
    act: (page) => page.locator("[data-slot=cancel-open]").waitFor(),
  },
  failures: {
    set: (mock) => {
      const failure = (code: string, message: string) => Object.assign(new Error(message), { code }) as never;
      mock.start = "/models/a";
      mock.openFailures = [failure("model_broken", "It is broken.")];
      mock.libraryFailure = failure("storage", "Sotto may not write to /data; make it writable and try again.");
      mock.settings.salvage = { lost: ["theme"], kept_as: "/data/settings.broken.json" };
    },
    act: (page) => page.locator("[data-slot=choose-another]").waitFor(),
  },
  models: {
    set: (mock) => {
      mock.start = mock.demo;
      mock.settings.settings.default_model = "/models/gemma-3n-E4B-it";
      mock.list.folders.push({
        path: "/gone",
        is_own: false,
        models: [],
        failure: { code: "model_missing", message: "/gone is not there any more." },
        is_cut: true,
      });
    },
    act: async (page) => {
      await show(page, "models");
      await page.locator("[data-slot=folder-gone]").waitFor();
      await page.locator("[data-slot=model][data-open=true]").waitFor();
      await page.locator("[data-slot=menu] summary").first().click();
    },
  },
  "a voice note": {
    set: (mock) => {
      mock.start = "/models/a";
      mock.model = { ...mock.model, audio: true };
      mock.noteEvents.push({ event: "silent" });
    },
    act: async (page) => {
      await page.locator("[data-state=ready]").waitFor();
      await page.keyboard.press("Control+m");
      await page.locator("[data-slot=note-bar].silent").waitFor();
    },
  },
  "no microphone": {
    set: (mock) => {
      const failure = Object.assign(new Error("There is no microphone."), { code: "mic_missing", subject: null });
      mock.noteEvents = [];
      mock.noteFailures = [failure as never];
    },
    act: async (page) => {
      await page.locator("[data-slot=record]").click();
      await page.locator("[data-slot=note-failure]").waitFor();
    },
  },
  "captions without a model": {
    act: async (page) => {
      await show(page, "captions");
      await page.locator("[data-slot=no-hearing]").waitFor();
    },
  },
  captions: {
    set: (mock) => {
      mock.start = "/models/a";
      mock.model = { ...mock.model, audio: true };
    },
    act: async (page) => {
      await page.locator("[data-state=ready]").waitFor();
      await show(page, "captions");
      await page.locator("[data-slot=source]").selectOption("both");
      await page.locator("[data-slot=toggle-captions]").click();
      await page.locator("[data-phase=listening]").waitFor();
      await page.evaluate(() => {
        const { mock } = window;
        mock.say("me", { notice: "hearing", device: "Built-in microphone" });
        mock.say("others", { notice: "device_lost", device: "Loudspeakers" });
        mock.level("me", 0.4);
        mock.clock(83_000, 9_000);
        mock.pace("longer_steps");
        mock.line("me", 0, { start_ms: 0, committed: "Good morning.", translation: "Guten Morgen.", id: "a" });
        mock.line("me", 1, { start_ms: 4_000, unclear: "loop", id: "b" });
        mock.line("others", 0, { committed: "Hello", tentative: "every one" });
      });
      await page.locator("[data-slot=tentative]").waitFor();
      await page.locator("[data-slot=mark]").click();
    },
  },
  "captions that finish": {
    set: (mock) => {
      mock.captions = { ...mock.captions, phase: "finishing", behind_ms: 9_000, transcript: "t", channels: ["me"] };
    },
    act: async (page) => {
      await show(page, "captions");
      await page.locator("[data-slot=leave]").waitFor();
    },
  },
  "no transcripts": {
    act: async (page) => {
      await show(page, "library");
      await page.locator("[data-slot=no-transcripts]").waitFor();
    },
  },
  "a transcript": {
    set: (mock) => {
      mock.start = "/models/a";
      mock.model = { ...mock.model, audio: true };
      const id = mock.keepTranscript("Monday meeting", ["Good morning.", "Hello all."], { state: "recovered" });
      void mock.addMark(id, 1_000, "");
    },
    act: async (page) => {
      await page.locator("[data-state=ready]").waitFor();
      await show(page, "library");
      await page.locator("[data-slot=transcript]").click();
      const menus = page.locator("[data-slot=stored-line] [data-slot=pop-menu]");
      await menus.nth(1).click();
      await page.locator("[data-slot=play-from]:visible").click();
      await page.locator("[data-slot=player]").waitFor();
      await menus.first().click();
      await page.locator("[data-slot=edit]:visible").click();
      await page.locator("[data-slot=edit-line]").waitFor();
    },
  },
  memory: { act: (page) => page.locator("[data-slot=popover] summary").click() },
  settings: {
    set: (mock) => {
      mock.settings.settings.generation.preset = "custom";
    },
    act: async (page) => {
      await show(page, "settings");
      await page.locator("[data-slot=data-size]").waitFor();
      await page.locator("[data-slot=advanced] input").first().fill("7");
      await page.keyboard.press("Tab");
      await page.locator("[aria-invalid=true]").waitFor();
    },
  },
  "keys that are asked for": {
    act: async (page) => {
      await show(page, "settings");
      await page.locator("[data-action=toggle_captions] [data-slot=change-shortcut]").click();
      await page.keyboard.press("Control+Shift+F10");
      await page.locator("[data-slot=shortcut-problem]").waitFor();
    },
  },
  "a desktop that gives no keys": {
    set: (mock) => {
      mock.shortcuts.is_refused = true;
      mock.overlay.can_place = false;
      mock.overlay.settings.style.opacity = 40;
    },
    act: async (page) => {
      await show(page, "settings");
      await page.locator("[data-slot=shortcut-commands]").waitFor();
    },
  },
  "captions of a file": {
    set: (mock) => {
      mock.captions = { ...mock.captions, phase: "listening", elapsed_ms: 90_000, behind_ms: 60_000, channels: ["file"] };
      mock.overlay.is_open = true;
    },
    act: async (page) => {
      await show(page, "captions");
      await page.locator("[data-slot=file-progress]").waitFor();
    },
  },
  "the question before erasing": {
    act: async (page) => {
      await show(page, "settings");
      await page.locator("[data-slot=erase-all]").click();
      await page.locator("[data-slot=confirm]").waitFor();
    },
  },
};

for (const theme of ["light", "dark"] as const) {
  for (const language of ["en", "de"] as const) {
    for (const [name, { set, act }] of Object.entries(states)) {
      test(`axe finds nothing: ${name}, ${theme}, ${language}`, async ({ page }) => {
        const stage = `(mock) => {
          Object.assign(mock.settings.settings, { theme: "${theme}", language: "${language}" });
          (${set ?? "() => {}"})(mock);
        }`;
        await open(page, { toString: () => stage } as never);
        await act?.(page);
        await expect(page.locator("html")).toHaveAttribute("lang", language);
        await expect(page.locator("html")).toHaveAttribute("data-theme", theme);
        expect(await violations(page)).toEqual([]);
      });
    }
  }
}

test("axe is at work: it finds a button without a name", async ({ page }) => {
  await open(page);
  await page.evaluate(() => document.querySelector("main")?.append(document.createElement("button")));
  expect((await violations(page)).join()).toContain("button-name");
});

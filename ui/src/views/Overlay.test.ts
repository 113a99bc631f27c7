import { cleanup, fireEvent, render, waitFor } from "@testing-library/svelte";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { i18n } from "../lib/i18n/i18n.svelte";
import { MockClient } from "../lib/ipc/mock";
import Overlay from "./Overlay.svelte";

beforeEach(() => void vi.useFakeTimers());

afterEach(() => {
  cleanup();
  vi.useRealTimers();
  i18n.speak(null);
});

async function show(set: (client: MockClient) => void = () => {}) {
  const client = new MockClient();
  set(client);
  const { container } = render(Overlay, { client });
  await vi.advanceTimersByTimeAsync(0);
  const slot = (name: string) => container.querySelector<HTMLElement>(`[data-slot="${name}"]`);
  const texts = (name: string) => [...(slot(name)?.querySelectorAll("p") ?? [])].map((p) => p.textContent?.replace(/\s+/g, " ").trim());
  return { client, slot, texts };
}

const listen = (client: MockClient) => {
  client.captions = { ...client.captions, phase: "listening", channels: ["me", "others"], language: "en", translate: "de" };
};

test("it shows the last lines, with who says them, each language in its own block", async () => {
  const { client, slot, texts } = await show(listen);
  client.line("me", 0, { committed: "Good morning.", translation: "Guten Morgen.", id: "a" });
  client.line("others", 0, { committed: "Hello", tentative: " every one" });
  await vi.advanceTimersByTimeAsync(0);
  expect(texts("overlay-source")).toEqual(["Me: Good morning.", "Others: Hello every one"]);
  expect(texts("overlay-translation")).toEqual(["Me: Guten Morgen."]);
  expect(slot("overlay-source")?.querySelector("p")?.lang).toBe("en");
  expect(slot("overlay-translation")?.querySelector("p")?.lang).toBe("de");
  expect(slot("overlay-source")?.querySelector("p")?.dir).toBe("auto");
});

test("its height is told once, and words do not change it", async () => {
  const { client } = await show(listen);
  const before = [...client.overlayAsked];
  expect(before).toHaveLength(1);
  for (let i = 0; i < 9; i++) client.line("me", i, { committed: `Line ${i} `.repeat(30), id: `${i}` });
  await vi.advanceTimersByTimeAsync(0);
  expect(client.overlayAsked).toEqual(before);
  await client.changeOverlay({ setting: "style", value: { ...client.overlay.settings.style, lines: 4 } });
  await vi.advanceTimersByTimeAsync(0);
  expect(client.overlayAsked).toHaveLength(2);
});

test("lines stay through a pause, fade after the time that was set, and come back with the next word", async () => {
  const { client, slot } = await show(listen);
  client.line("me", 0, { committed: "Good morning." });
  await vi.advanceTimersByTimeAsync(19_000);
  expect(slot("overlay")?.dataset.faded).toBe("false");
  await vi.advanceTimersByTimeAsync(2_000);
  expect(slot("overlay")?.dataset.faded).toBe("true");
  client.line("me", 0, { committed: "Good morning.", tentative: "Now" });
  await vi.advanceTimersByTimeAsync(0);
  expect(slot("overlay")?.dataset.faded).toBe("false");
  await fireEvent.pointerMove(slot("overlay") as HTMLElement);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(slot("overlay")?.dataset.faded).toBe("false");
});

test("arrow keys move it, the mouse drags it, and its buttons do what they say", async () => {
  const { client, slot } = await show();
  client.overlayAsked.length = 0;
  await fireEvent.keyDown(window, { key: "ArrowLeft" });
  await fireEvent.keyDown(window, { key: "ArrowDown", shiftKey: true });
  await fireEvent.pointerDown(slot("overlay") as HTMLElement, { button: 0 });
  for (const name of ["captions", "style"]) await fireEvent.click(slot(`overlay-${name}`) as HTMLElement);
  expect(client.overlayAsked).toEqual(["shift -10 0", "shift 0 80", "drag", "captions", "style"]);

  await fireEvent.click(slot("overlay-mode") as HTMLElement);
  await fireEvent.click(slot("overlay-more") as HTMLElement);
  await fireEvent.click(slot("overlay-preset") as HTMLElement);
  const { mode, style } = client.overlay.settings;
  expect([mode, style.lines, style.colour]).toEqual(["top", 3, "#ffe600"]);
  await fireEvent.click(slot("overlay-through") as HTMLElement);
  await vi.advanceTimersByTimeAsync(0);
  expect(client.overlay.click_through).toBe(true);
  expect(slot("overlay-close")).toBeNull();
});

test("it says what there is to say without lines, in the language of the windows", async () => {
  const { client, texts } = await show((client) => (client.overlay.language = "de"));
  expect(texts("overlay-source")).toEqual(["Die Untertitel sind aus."]);
  client.phase("listening");
  await vi.advanceTimersByTimeAsync(0);
  expect(texts("overlay-source")[0]).toContain("sobald jemand spricht");
  await waitFor(() => expect(document.documentElement.lang).toBe("de"));
});

import { expect, test } from "vitest";

import { MockClient } from "../../lib/ipc/mock";
import { combinationOf, keysOf } from "./keys";
import { ShortcutsController } from "./shortcuts.svelte";

const press = (key: string, code: string, held: string[] = []) =>
  new KeyboardEvent("keydown", {
    key,
    code,
    ctrlKey: held.includes("Ctrl"),
    altKey: held.includes("Alt"),
    shiftKey: held.includes("Shift"),
    metaKey: held.includes("Super"),
  });

test("keys are written as the Rust side reads them, and shown as they are on a keyboard", () => {
  expect(combinationOf(press("K", "KeyK", ["Ctrl", "Shift"]))).toBe("Ctrl+Shift+KeyK");
  expect(combinationOf(press("F9", "F9", ["Super"]))).toBe("Super+F9");
  expect(combinationOf(press("Control", "ControlLeft", ["Ctrl"]))).toBeNull();
  expect(keysOf("Ctrl+Shift+KeyK")).toEqual(["Ctrl", "Shift", "K"]);
  expect(keysOf("Alt+Digit1")).toEqual(["Alt", "1"]);
});

test("the next keys become the shortcut; Escape keeps the old ones, Tab goes on", async () => {
  const client = new MockClient();
  const shortcuts = new ShortcutsController(client);
  await shortcuts.read();
  const keys = () => shortcuts.state?.bindings[0]?.keys;
  expect(shortcuts.press(press("K", "KeyK", ["Ctrl"]))).toBe(false);
  shortcuts.ask("toggle_captions");
  expect(shortcuts.press(press("Tab", "Tab"))).toBe(false);
  expect(shortcuts.press(press("Escape", "Escape"))).toBe(true);
  expect([shortcuts.asked, keys()]).toEqual([null, "Ctrl+Shift+F9"]);
  shortcuts.ask("toggle_captions");
  shortcuts.press(press("Control", "ControlLeft", ["Ctrl"]));
  shortcuts.press(press("K", "KeyK", ["Ctrl", "Alt"]));
  await expect.poll(keys).toBe("Ctrl+Alt+KeyK");
});

test("keys of another action are refused and the old ones stay", async () => {
  const shortcuts = new ShortcutsController(new MockClient());
  await shortcuts.bind("toggle_captions", "Ctrl+Shift+F10");
  expect(shortcuts.state?.bindings[0]).toMatchObject({
    keys: "Ctrl+Shift+F9",
    problem: { problem: "used_for", action: "toggle_overlay" },
  });
});

import { afterEach, expect, test } from "vitest";

import { i18n } from "../i18n/i18n.svelte";
import { ApiFailure } from "../ipc/client";
import { MockClient } from "../ipc/mock";
import { SettingsController } from "./settings.svelte";

afterEach(() => i18n.speak(null));

async function started(set: (client: MockClient) => void = () => {}) {
  const client = new MockClient();
  set(client);
  const settings = new SettingsController(client);
  await settings.start();
  return { client, settings };
}

test("what the file says is in force", async () => {
  const { settings } = await started((client) => (client.settings.settings.theme = "dark"));
  expect(settings.values.theme).toBe("dark");
  expect(settings.salvage).toBeNull();
});

test("a change shows at once and reaches the Rust side", async () => {
  const { client, settings } = await started();
  const written = settings.change({ setting: "send_key", value: "ctrl_enter" });
  expect(settings.values.send_key).toBe("ctrl_enter");
  await written;
  expect(client.changes).toEqual([{ setting: "send_key", value: "ctrl_enter" }]);
});

test("changes are written in order, one after the other", async () => {
  const { client, settings } = await started();
  let atOnce = 0;
  let most = 0;
  const write = client.changeSettings.bind(client);
  client.changeSettings = async (changes) => {
    most = Math.max(most, ++atOnce);
    await Promise.resolve();
    await write(changes);
    atOnce -= 1;
  };
  await Promise.all((["small", "large", "normal"] as const).map((value) => settings.change({ setting: "text_size", value })));
  expect(client.changes.map(({ value }) => value)).toEqual(["small", "large", "normal"]);
  expect(most).toBe(1);
});

test("what cannot be written holds, is said, and is forgotten when the next change can be", async () => {
  const { client, settings } = await started();
  client.settingsFailure = new ApiFailure("storage", "The disk is full.");
  await settings.change({ setting: "theme", value: "light" });
  expect(settings.values.theme).toBe("light");
  expect(settings.failure?.message).toBe("The disk is full.");
  client.settingsFailure = null;
  await settings.change({ setting: "theme", value: "dark" });
  expect(settings.failure).toBeNull();
});

test("the language reaches the page and the tray", async () => {
  const { client, settings } = await started((client) => (client.settings.settings.language = "de"));
  expect(i18n.language).toBe("de");
  expect(client.trayLanguage).toBe("de");
  await settings.change({ setting: "language", value: "system" });
  expect(i18n.language).toBe("en");
  expect(document.documentElement.lang).toBe("en");
  expect(settings.hasTray).toBe(true);
});

test("the text size stops at its ends", async () => {
  const { client, settings } = await started((client) => (client.settings.settings.text_size = "larger"));
  await settings.resizeText(1);
  await settings.resizeText(1);
  expect(settings.values.text_size).toBe("largest");
  expect(client.changes).toHaveLength(1);
});

test("what a damaged file has cost is said until it was read", async () => {
  const { settings } = await started((client) => (client.settings.salvage = { lost: ["theme"], kept_as: null }));
  expect(settings.salvage?.lost).toEqual(["theme"]);
  settings.dismiss();
  expect(settings.salvage).toBeNull();
});

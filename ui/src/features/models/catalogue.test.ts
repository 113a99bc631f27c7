import { expect, test } from "vitest";

import { ApiFailure } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { SettingsController } from "../../lib/settings/settings.svelte";
import { CatalogueController } from "./catalogue.svelte";

function setUp() {
  const client = new MockClient();
  const settings = new SettingsController(client);
  return { client, settings, catalogue: new CatalogueController(client, settings) };
}

test("there is no list before the first look", async () => {
  const { client, catalogue } = setUp();
  expect(catalogue.list).toBeNull();
  await catalogue.look();
  expect(catalogue.list).toBe(client.list);
  expect(catalogue.isLooking).toBe(false);
});

test("a folder is added once, and looked into", async () => {
  const { client, settings, catalogue } = setUp();
  client.picked = ["/models"];
  await catalogue.addFolder();
  await catalogue.addFolder();
  expect(settings.values.model_folders).toEqual(["/models"]);
  expect(client.changes).toEqual([{ setting: "model_folders", value: ["/models"] }]);
  expect(catalogue.list).not.toBeNull();
  await catalogue.removeFolder("/models");
  expect(settings.values.model_folders).toEqual([]);
});

test("a dialog that is left adds nothing", async () => {
  const { client, catalogue } = setUp();
  await catalogue.addFolder();
  expect(client.changes).toEqual([]);
});

test("the default can be set and taken back", async () => {
  const { client, catalogue } = setUp();
  await catalogue.setDefault("/models/a");
  expect(catalogue.default).toBe("/models/a");
  await catalogue.setDefault(null);
  expect(catalogue.default).toBeNull();
  expect(client.changes).toHaveLength(2);
});

test("what cannot be shown is said", async () => {
  const { client, catalogue } = setUp();
  client.revealFailure = new ApiFailure("unsupported", "No file manager could be opened.");
  await catalogue.reveal("/models/a");
  expect(catalogue.failure?.message).toContain("No file manager");
  client.revealFailure = null;
  await catalogue.reveal("/models/a");
  expect(client.revealed).toEqual(["/models/a"]);
  expect(catalogue.failure).toBeNull();
});

test("an import shows how far it is, and its model is on the list at once", async () => {
  const { client, catalogue } = setUp();
  client.picked = ["/models/gemma-3n-E4B-it"];
  const importing = catalogue.chooseImport();
  await Promise.resolve();
  await Promise.resolve();
  expect(catalogue.importing).toMatchObject({ name: "gemma-3n-E4B-it", isCancelling: false });
  await catalogue.import("/models/other"); // one at a time
  await importing;
  expect(client.importedFrom).toEqual(["/models/gemma-3n-E4B-it"]);
  expect(catalogue.importing).toBeNull();
  expect(catalogue.imported).toBe("made");
  expect(catalogue.list?.folders[0]?.models.map(({ name }) => name)).toEqual(["made"]);
});

test("a cancelled import is no failure, and nothing was made", async () => {
  const { client, catalogue } = setUp();
  const importing = catalogue.import("/models/a");
  await catalogue.cancelImport();
  expect(catalogue.importing?.isCancelling).toBe(true);
  await importing;
  expect(catalogue.failure).toBeNull();
  expect(catalogue.imported).toBeNull();
  expect(client.importedFrom).toEqual([]);
});

test("an import that fails says why", async () => {
  const { client, catalogue } = setUp();
  client.importFailure = new ApiFailure("storage", "The disk is full.");
  await catalogue.import("/models/a");
  expect(catalogue.failure?.message).toBe("The disk is full.");
  expect(catalogue.importing).toBeNull();
});

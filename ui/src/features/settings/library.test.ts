import { expect, test, vi } from "vitest";

import { ApiFailure } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { LibraryController } from "./library.svelte";

function setUp() {
  const client = new MockClient();
  const onchange = vi.fn();
  return { client, onchange, library: new LibraryController(client, onchange) };
}

const readOnly = () => new ApiFailure("storage", "Sotto may not write to /data; make it writable and try again.");

test("a library that cannot be opened is blocked until it can", async () => {
  const { client, onchange, library } = setUp();
  client.libraryFailure = readOnly();
  await library.check();
  expect(library.blocked?.message).toContain("may not write");
  await library.retry();
  expect(onchange).not.toHaveBeenCalled();
  client.libraryFailure = null;
  await library.retry();
  expect(library.blocked).toBeNull();
  expect(library.state?.threads).toBe(12);
  expect(onchange).toHaveBeenCalledOnce();
});

test("an export says how much went where", async () => {
  const { client, library } = setUp();
  await library.exportAll(); // the dialog is left
  expect(client.exports).toEqual([]);
  client.picked = ["/backup"];
  await library.exportAll();
  expect(library.outcome).toEqual({ text: "12 conversations were written to /backup.", folder: "/backup" });
});

test("an import says what came in, and what was here", async () => {
  const { client, onchange, library } = setUp();
  client.picked = ["/backup"];
  await library.importFolder();
  await library.importFile();
  expect(client.imports).toEqual(["/backup", "/backup"]);
  expect(library.outcome?.text).toBe("2 conversations were added; 1 was here already.");
  expect(onchange).toHaveBeenCalledTimes(2);
});

test("what fails is said, and the next success takes it back", async () => {
  const { client, library } = setUp();
  client.picked = ["/backup"];
  client.exportAll = () => Promise.reject(new ApiFailure("storage", "The disk is full."));
  await library.exportAll();
  expect(library.failure?.message).toBe("The disk is full.");
  expect(library.outcome).toBeNull();
  expect(library.isWorking).toBe(false);
  await library.importFolder();
  expect(library.failure).toBeNull();
});

test("erasing is told, and the numbers follow", async () => {
  const { onchange, library } = setUp();
  await library.check();
  await library.erase();
  expect(onchange).toHaveBeenCalledOnce();
  expect(library.state?.threads).toBe(0);
  expect(library.outcome?.text).toBe("All conversations and transcripts are erased.");
});

import { expect, test } from "vitest";

import { ApiFailure } from "./ipc/client";
import { MockClient } from "./ipc/mock";
import { LibraryController } from "./library.svelte";

function setUp() {
  const client = new MockClient();
  client.keep("The sky", "Why?", "Because.");
  const changes: string[] = [];
  return { client, changes, library: new LibraryController(client, () => void changes.push("changed")) };
}

test("says where the conversations are and how many", async () => {
  const { library } = setUp();
  await library.refresh();
  expect(library.state).toMatchObject({ threads: 1, bytes: 81_920 });
});

test("exports everything into a folder, unless the user thinks better of it", async () => {
  const { client, library } = setUp();
  await library.exportAll("Where to?");
  expect(library.exported).toBeNull();
  client.picked = ["/home/ada/Sotto"];
  await library.exportAll("Where to?");
  expect(library.exported).toEqual({ threads: 1, folder: "/home/ada/Sotto" });
});

test("imports a folder or a file, and tells of it", async () => {
  const { client, changes, library } = setUp();
  client.picked = ["/home/ada/Sotto"];
  await library.importAll("From where?");
  await library.importFile("Which?", "Conversations");
  expect(library.imported).toEqual({ added: 2, known: 1 });
  expect(changes).toHaveLength(2);
});

test("erases everything", async () => {
  const { changes, library } = setUp();
  await library.erase();
  expect(library.state?.threads).toBe(0);
  expect(changes).toHaveLength(1);
});

test("a failure stays until the next attempt", async () => {
  const { client, library } = setUp();
  client.libraryFailures = [new ApiFailure("storage", "The disk is full.")];
  await library.refresh();
  expect(library.failure?.message).toBe("The disk is full.");
  await library.refresh();
  expect(library.failure).toBeNull();
});

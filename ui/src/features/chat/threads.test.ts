import { afterEach, expect, test } from "vitest";

import { i18n } from "../../lib/i18n/i18n.svelte";
import { ApiFailure, type ThreadEntry } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { groupsOf, whenOf } from "./dates";
import { ThreadsController } from "./threads.svelte";

afterEach(() => i18n.speak("en"));

async function setUp() {
  const client = new MockClient();
  client.keep("The sky", "Why is the sky blue?", "Air scatters blue light.");
  client.keep("Dinner", "What shall we eat?", "Soup.");
  const threads = new ThreadsController(client);
  await threads.open();
  return { client, threads };
}

const titles = (threads: ThreadsController) => threads.list.map((thread) => thread.title);

function first(threads: ThreadsController): ThreadEntry {
  const [thread] = threads.list;
  if (!thread) throw new Error("the list is empty");
  return thread;
}

const rest = () => new Promise((resolve) => setTimeout(resolve, 160));

test("the latest comes first, a pinned one before it", async () => {
  const { threads } = await setUp();
  expect(titles(threads)).toEqual(["Dinner", "The sky"]);
  const sky = threads.list[1];
  if (sky) await threads.pin(sky, true);
  expect(titles(threads)).toEqual(["The sky", "Dinner"]);
});

test("the search finds words in titles and messages, and ends with its words", async () => {
  const { threads } = await setUp();
  threads.search.query = "scatters";
  await rest();
  expect(threads.search.hits?.map((hit) => [hit.thread.title, hit.excerpt[0]?.text])).toEqual([["The sky", "scatters"]]);
  threads.search.query = "nowhere";
  await rest();
  expect(threads.search.hits).toEqual([]);
  threads.search.query = " ";
  expect(threads.search.hits).toBeNull();
});

test("a new name is kept, an empty one is not", async () => {
  const { threads } = await setUp();
  await threads.rename(first(threads), "  Supper ");
  await threads.rename(first(threads), "  ");
  expect(titles(threads)).toEqual(["Supper", "The sky"]);
});

test("deleting is told, and what is gone is said", async () => {
  const { threads } = await setUp();
  const gone: string[] = [];
  threads.ondelete = (thread) => void gone.push(thread);
  const thread = first(threads);
  await threads.delete(thread);
  expect([titles(threads), gone]).toEqual([["The sky"], [thread.id]]);
  await threads.delete(thread);
  expect(threads.failure?.code).toBe("gone");
});

test("an export goes where the user says", async () => {
  const { client, threads } = await setUp();
  const thread = first(threads);
  await threads.export(thread, "markdown");
  expect(client.exported).toEqual([[thread.id, "markdown", "/home/ada/export"]]);
  expect(threads.exportedTo).toBe("/home/ada/export");
  client.savePath = null;
  await threads.export(thread, "json");
  expect(client.exported).toHaveLength(1);
  expect(threads.exportedTo).toBeNull();
  client.savePath = "/full/disk";
  client.exportFailures = [new ApiFailure("storage", "The disk is full.")];
  await threads.export(thread, "json");
  expect([threads.failure?.message, threads.exportedTo]).toEqual(["The disk is full.", null]);
});

const NOW = new Date(2026, 4, 20, 15).getTime();
const before = (days: number) => new Date(2026, 4, 20 - days, 23, 30).getTime();

function entry(id: string, updated_ms: number, pinned = false): ThreadEntry {
  return { id, title: id, pinned, created_ms: 0, updated_ms };
}

test("groups by the calendar, not by hours", () => {
  const list = [entry("p", before(40), true), entry("a", before(1)), entry("b", before(6)), entry("c", before(7))];
  expect(groupsOf(list, NOW).map((group) => [group.name, group.threads.map((thread) => thread.id)])).toEqual([
    ["pinned", ["p"]],
    ["yesterday", ["a"]],
    ["week", ["b"]],
    ["earlier", ["c"]],
  ]);
});

test("times in the language of the window", () => {
  expect(whenOf(before(1), NOW)).toMatch(/11:30\sPM/);
  expect(whenOf(before(3), NOW)).toBe("Sunday");
  expect(whenOf(before(30), NOW)).toBe("Apr 20, 2026");
  i18n.speak("de");
  expect([whenOf(before(1), NOW), whenOf(before(3), NOW)]).toEqual(["23:30", "Sonntag"]);
});

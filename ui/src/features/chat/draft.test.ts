import { describe, expect, test } from "vitest";

import { ApiFailure, type Notice } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { Draft } from "./draft.svelte";
import { isModel } from "./files";

function setUp() {
  const client = new MockClient();
  return { client, draft: new Draft(client) };
}

const names = (draft: Draft) => draft.attachments.map((attachment) => attachment.name);

test("files come before the text, in their order", async () => {
  const { draft } = setUp();
  await draft.attach(["/a/cat.png", "/a/said.wav", "/a/note.txt"]);
  draft.text = " What is it? ";
  expect(draft.parts.map((part) => part.type)).toEqual(["picture", "sound", "quote", "text"]);
  expect(draft.parts.at(-1)).toEqual({ type: "text", text: "What is it?" });
});

test("a file is on its way until it is read", async () => {
  const { client, draft } = setUp();
  client.delayMs = 5;
  const attaching = draft.attach(["/a/cat.png"]);
  expect([draft.isReading, names(draft)]).toEqual([true, ["cat.png"]]);
  await attaching;
  expect(draft.isReading).toBe(false);
});

test("the same file once", async () => {
  const { draft } = setUp();
  await draft.attach(["/a/cat.png"]);
  await draft.attach(["/a/cat.png"]);
  expect(names(draft)).toEqual(["cat.png"]);
});

test("one that cannot be read is named, and the others stay", async () => {
  const { client, draft } = setUp();
  client.attachFailures = [new ApiFailure("input_unreadable", "cat.png: no picture.")];
  await draft.attach(["/a/cat.png", "/a/dog.png"]);
  expect(names(draft)).toEqual(["dog.png"]);
  expect(draft.refusal).toMatchObject({ message: "cat.png: no picture." });
  await draft.attach(["/a/bird.png"]);
  expect(draft.refusal).toBeNull();
});

test("one that is taken away leaves the library", async () => {
  const { client, draft } = setUp();
  await draft.attach(["/a/cat.png", "/a/note.txt"]);
  for (const attachment of [...draft.attachments]) draft.detach(attachment);
  expect(draft.isEmpty).toBe(true);
  expect(client.discarded).toEqual(["cat.png"]);
});

test("what can be used in part is said", async () => {
  const { client, draft } = setUp();
  const notice: Notice = { text: "said.wav is cut short.", about: { kind: "sound_damaged", file: "said.wav", seconds: 2 } };
  client.notice = notice;
  await draft.attach(["/a/said.wav"]);
  expect(draft.notices).toEqual([notice]);
  draft.clear();
  expect([draft.notices, draft.isEmpty]).toEqual([[], true]);
});

describe("pasting", () => {
  const file = (name: string, type: string) => new File(["x"], name, { type });

  test("a picture", async () => {
    const { draft } = setUp();
    await draft.attachPasted([file("image.png", "image/png")]);
    expect(draft.parts).toEqual([{ type: "picture", file: "image.png", name: "image.png", bytes: 1024 }]);
  });

  test("anything else is refused", async () => {
    const { draft } = setUp();
    await draft.attachPasted([file("said.wav", "audio/wav")]);
    expect([draft.refusal, draft.isEmpty]).toEqual(["not_a_picture", true]);
  });
});

test.each([
  ["/m/gemma.gguf", true, true],
  ["/m/gemma-3n-E2B-it", false, true],
  ["/m/gemma-3n-E2B-it", true, false],
  ["/a/cat.PNG", false, false],
])("%s with a model open: %s", (path, isOpen, expected) => expect(isModel(path, isOpen)).toBe(expected));

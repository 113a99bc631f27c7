import { describe, expect, test } from "vitest";

import { ApiFailure } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { attachmentOf, partsOf } from "./attachments";
import { ChatController, remedyFor, type Answer } from "./chat.svelte";

function setUp() {
  const client = new MockClient();
  return { client, chat: new ChatController(client) };
}

const lastAnswer = (chat: ChatController) => chat.turns.findLast((turn): turn is Answer => turn.kind === "answer");

async function send(chat: ChatController, text: string) {
  chat.draft = text;
  await chat.send();
}

describe("sending", () => {
  test("shows the question, reads the answer and announces its end", async () => {
    const { chat } = setUp();
    await send(chat, "  Why?\n");
    expect(chat.turns).toMatchObject([
      { kind: "question", text: "Why?" },
      { kind: "answer", text: "This answer is scripted.", done: { reason: "stop" } },
    ]);
    expect(chat.announcement).toBe("Sotto: This answer is scripted.");
    expect(chat.draft).toBe("");
  });

  test("puts files before the text, and forgets them", async () => {
    const { client, chat } = setUp();
    chat.attach(["/a/cat.png", "/a/said.wav", "/a/cat.png"]);
    await send(chat, "What is it?");
    expect(client.asked[0]?.parts).toEqual([
      { type: "image", path: "/a/cat.png" },
      { type: "audio", path: "/a/said.wav" },
      { type: "text", text: "What is it?" },
    ]);
    expect(chat.attachments).toEqual([]);
  });

  test("does nothing without a question, or while an answer is written", async () => {
    const { client, chat } = setUp();
    await send(chat, "   ");
    const first = send(chat, "One");
    await send(chat, "Two");
    await first;
    expect(client.asked).toHaveLength(1);
    expect(chat.draft).toBe("Two");
  });

  test("stays in one conversation", async () => {
    const { client, chat } = setUp();
    await send(chat, "One");
    await send(chat, "Two");
    expect(client.asked[0]?.conversation).toBe(client.asked[1]?.conversation);
  });
});

describe("ending early", () => {
  test("stop keeps what has come", async () => {
    const { chat } = setUp();
    const answer = send(chat, "Why?");
    expect(chat.isAnswering).toBe(true);
    await chat.stop();
    await answer;
    expect(lastAnswer(chat)?.done?.reason).toBe("cancelled");
    expect(chat.announcement).toBe("Stopped.");
    expect(chat.isAnswering).toBe(false);
  });

  test("a new conversation leaves the old answer behind, and asks after it has ended", async () => {
    const { client, chat } = setUp();
    const old = send(chat, "Why?");
    await chat.newConversation();
    expect(chat.isEmpty).toBe(true);
    await send(chat, "Who?");
    await old;
    expect(chat.turns).toMatchObject([{ text: "Who?" }, { text: "This answer is scripted." }]);
    expect(new Set(client.asked.map((ask) => ask.conversation)).size).toBe(client.asked.length);
  });

  test("another model begins a new conversation below a note", async () => {
    const { client, chat } = setUp();
    await chat.modelChanged();
    expect(chat.isEmpty).toBe(true);
    await send(chat, "One");
    await chat.modelChanged();
    await chat.modelChanged();
    await send(chat, "Two");
    expect(chat.turns.map((turn) => turn.kind)).toEqual(["question", "answer", "note", "question", "answer"]);
    expect(client.asked[0]?.conversation).not.toBe(client.asked[1]?.conversation);
  });
});

describe("failures", () => {
  test("retry asks the same again", async () => {
    const { client, chat } = setUp();
    client.askFailures = [new ApiFailure("busy", "Busy.")];
    chat.attach(["/a/cat.png"]);
    await send(chat, "Why?");
    expect(lastAnswer(chat)?.failure?.code).toBe("busy");
    expect(chat.isAnswering).toBe(false);
    await chat.retry();
    expect(client.asked[1]).toEqual(client.asked[0]);
    expect(chat.turns).toHaveLength(2);
    expect(lastAnswer(chat)?.failure).toBeNull();
  });

  test("edit puts the question back", async () => {
    const { client, chat } = setUp();
    client.askFailures = [new ApiFailure("input_unreadable", "No picture.")];
    chat.attach(["/a/cat.png"]);
    await send(chat, "Why?");
    chat.edit();
    expect(chat.isEmpty).toBe(true);
    expect(chat.draft).toBe("Why?");
    expect(chat.attachments.map((attachment) => attachment.name)).toEqual(["cat.png"]);
  });

  test("each code has its remedy", () => {
    expect(remedyFor("model_missing")).toBe("choose_model");
    expect(remedyFor("too_long")).toBe("new_conversation");
    expect(remedyFor("unsupported")).toBe("edit");
    expect(remedyFor("internal")).toBe("retry");
  });
});

describe("attachments", () => {
  test.each([
    ["/a/Cat.JPEG", "image"],
    ["C:\\sounds\\said.mp3", "audio"],
    ["/a/notes.txt", undefined],
    ["/a/png", undefined],
    ["/a.png/folder", undefined],
  ])("%s", (path, kind) => expect(attachmentOf(path)?.kind).toBe(kind));

  test("what cannot be attached is named", () => {
    const { chat } = setUp();
    chat.attach(["/a/cat.png", "/a/notes.txt"]);
    expect(chat.attachments).toHaveLength(1);
    expect(chat.refusal).toContain("/a/notes.txt");
    chat.attach(["/a/dog.png"]);
    expect(chat.refusal).toBe("");
  });

  test("no text, no text part", () => expect(partsOf("", [])).toEqual([]));
});

import { describe, expect, test } from "vitest";

import { ApiFailure } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { ChatController } from "./chat.svelte";
import { ThreadsController } from "./threads.svelte";
import { remedyFor, type Answer, type Question } from "./turns.svelte";

/** A controller with an open library; titles come at once. */
async function setUp(prepare: (client: MockClient) => void = () => {}) {
  const client = new MockClient();
  prepare(client);
  const threads = new ThreadsController(client);
  const chat = new ChatController(client, threads, 0);
  await chat.start();
  return { client, threads, chat };
}

const lastAnswer = (chat: ChatController) => chat.turns.at(-1) as Answer;
const question = (chat: ChatController, i: number) => chat.turns[i] as Question;
const texts = (chat: ChatController) => chat.turns.map((turn) => turn.text);
const rest = (ms = 5) => new Promise((resolve) => setTimeout(resolve, ms));

async function send(chat: ChatController, text: string) {
  chat.draft.text = text;
  await chat.send();
}

describe("at the start", () => {
  test("an empty library is an empty page", async () => {
    const { chat, threads } = await setUp();
    expect(chat.isEmpty).toBe(true);
    expect(threads.isOpen).toBe(true);
  });

  test("what was talked about last is shown, even if another is pinned", async () => {
    const { chat } = await setUp((client) => {
      void client.pinThread(client.keep("Old", "One?", "Yes."), true);
      client.keep("Late", "Two?", "No.");
    });
    expect(chat.thread?.title).toBe("Late");
    expect(texts(chat)).toEqual(["Two?", "No."]);
  });

  test("a library that cannot be opened says so until it can", async () => {
    const { client, chat, threads } = await setUp((client) => {
      client.keep("Late", "Two?", "No.");
      client.libraryFailure = new ApiFailure("storage", "Another Sotto has it open.");
    });
    expect(threads.failure?.message).toBe("Another Sotto has it open.");
    expect(threads.isOpen).toBe(false);
    client.libraryFailure = null;
    await chat.start();
    expect(threads.failure).toBeNull();
    expect(texts(chat)).toEqual(["Two?", "No."]);
  });
});

describe("sending", () => {
  test("stores the question, reads the answer, announces its end and lists the thread", async () => {
    const { chat, threads } = await setUp();
    await send(chat, "  Why?\n");
    expect(texts(chat)).toEqual(["Why?", "This answer is scripted."]);
    expect(lastAnswer(chat)).toMatchObject({ state: "complete", figures: { completion_tokens: 4 } });
    expect(chat.announcement).toBe("Sotto: This answer is scripted.");
    expect(chat.draft.isEmpty).toBe(true);
    expect(threads.list.map((thread) => thread.title)).toEqual(["Why?"]);
    expect(threads.writing.size).toBe(0);
  });

  test("goes on in its thread, after the last message", async () => {
    const { client, chat } = await setUp();
    await send(chat, "One");
    const { id } = lastAnswer(chat);
    await send(chat, "Two");
    expect(client.asked[1]).toMatchObject({ thread: chat.thread?.id, parent: id });
    expect(chat.turns).toHaveLength(4);
  });

  test("does nothing without a question, or while an answer is written", async () => {
    const { client, chat } = await setUp();
    await send(chat, "   ");
    const first = send(chat, "One");
    await send(chat, "Two");
    await first;
    expect(client.asked).toHaveLength(1);
  });

  test("a question that could not be stored stays in the box", async () => {
    const { client, chat } = await setUp();
    client.sendFailures = [new ApiFailure("storage", "The disk is full.")];
    await chat.draft.attach(["/a/cat.png"]);
    await send(chat, "Why?");
    expect(chat.failure?.message).toBe("The disk is full.");
    expect(chat.isEmpty).toBe(true);
    expect(chat.draft.text).toBe("Why?");
    expect(chat.draft.attachments).toHaveLength(1);
    await chat.send();
    expect(chat.failure).toBeNull();
    expect(chat.turns).toHaveLength(2);
  });
});

describe("ending early", () => {
  test("stop keeps what has come", async () => {
    const { client, chat } = await setUp();
    client.delayMs = 5;
    const answer = send(chat, "Why?");
    await rest();
    expect(chat.isAnswering).toBe(true);
    await chat.stop();
    await answer;
    expect(lastAnswer(chat).state).toBe("stopped");
    expect(chat.announcement).toBe("Stopped");
    expect(chat.isAnswering).toBe(false);
  });

  test("an answer goes on in its thread while another is shown", async () => {
    const { client, chat, threads } = await setUp();
    client.delayMs = 5;
    const answer = send(chat, "Why?");
    await rest();
    const thread = chat.thread?.id ?? "";
    chat.newConversation();
    expect(chat.isEmpty).toBe(true);
    expect(threads.writing.has(thread)).toBe(true);
    await chat.open(thread);
    expect(chat.isAnswering).toBe(true);
    await answer;
    expect(texts(chat)).toEqual(["Why?", "This answer is scripted."]);
    expect(chat.isAnswering).toBe(false);
  });

  test("each thread keeps its own draft", async () => {
    const { chat } = await setUp();
    await send(chat, "One");
    chat.draft.text = "half a question";
    const thread = chat.thread?.id ?? "";
    chat.newConversation();
    expect(chat.draft.text).toBe("");
    chat.draft.text = "another";
    await chat.open(thread);
    expect(chat.draft.text).toBe("half a question");
    chat.newConversation();
    expect(chat.draft.text).toBe("another");
  });
});

describe("branches", () => {
  test("an edited question stands beside the old one, with its files", async () => {
    const { client, chat } = await setUp();
    await chat.draft.attach(["/a/cat.png"]);
    await send(chat, "What is it?");
    await send(chat, "And then?");
    const old = question(chat, 0);
    await chat.edit(old, "What colour is it?");
    expect(texts(chat)).toEqual(["What colour is it?", "This answer is scripted."]);
    expect(client.asked.at(-1)).toMatchObject({ parent: null, thread: chat.thread?.id });
    expect(question(chat, 0).files).toEqual(old.files);
    expect(question(chat, 0).siblings).toEqual([old.id, question(chat, 0).id]);
    await chat.choose(old.id);
    expect(texts(chat).filter((_, i) => i % 2 === 0)).toEqual(["What is it?", "And then?"]);
  });

  test("a further answer stands beside the first", async () => {
    const { client, chat } = await setUp();
    await send(chat, "Why?");
    const first = lastAnswer(chat);
    client.answer = ["Otherwise."];
    await chat.retry(first);
    expect(texts(chat)).toEqual(["Why?", "Otherwise."]);
    expect(lastAnswer(chat).siblings).toEqual([first.id, lastAnswer(chat).id]);
    await chat.choose(first.id);
    expect(texts(chat)).toEqual(["Why?", "This answer is scripted."]);
  });
});

describe("failures", () => {
  test("a failed answer stays with its question, and can be tried again", async () => {
    const { client, chat } = await setUp();
    client.askFailures = [new ApiFailure("busy", "Busy.")];
    await send(chat, "Why?");
    expect(lastAnswer(chat)).toMatchObject({ state: "failed", failure: { code: "busy" } });
    expect(chat.draft.isEmpty).toBe(true);
    await chat.retry(lastAnswer(chat));
    expect(lastAnswer(chat)).toMatchObject({ state: "complete", failure: null });
    expect(chat.turns).toHaveLength(2);
  });

  test("a thread that is gone leaves an empty page and a sentence", async () => {
    const { chat } = await setUp();
    await chat.open("nowhere");
    expect(chat.isEmpty).toBe(true);
    expect(chat.failure?.code).toBe("gone");
  });

  test("deleting the thread on the page leaves an empty one", async () => {
    const { chat, threads } = await setUp((client) => void client.keep("Late", "Two?", "No."));
    const [thread] = threads.list;
    if (thread) await threads.delete(thread);
    expect(chat.isEmpty).toBe(true);
    expect(chat.thread).toBeNull();
    expect(threads.list).toEqual([]);
  });

  test("each code has its remedy", () => {
    expect(remedyFor("model_missing")).toBe("choose_model");
    expect(remedyFor("too_long")).toBe("new_conversation");
    expect(remedyFor("unsupported")).toBe("edit");
    expect(remedyFor("internal")).toBe("retry");
  });
});

describe("titles", () => {
  test("the model titles a new thread once it is idle", async () => {
    const { client, chat, threads } = await setUp();
    client.title = "About why";
    await send(chat, "Why?");
    await rest();
    expect(threads.list[0]?.title).toBe("About why");
    expect(chat.thread?.title).toBe("About why");
    await send(chat, "Why not?");
    await rest();
    expect(client.titled).toHaveLength(1);
  });

  test("a further question comes first", async () => {
    const client = new MockClient();
    const chat = new ChatController(client, new ThreadsController(client), 20);
    await chat.start();
    await send(chat, "Why?");
    await send(chat, "Why not?");
    await rest(40);
    expect(client.titled).toEqual([]);
  });
});

describe("the limit of the context", () => {
  test("is told before it is reached, and when", async () => {
    const { client, chat } = await setUp();
    chat.context = 100;
    await send(chat, "One");
    expect([chat.contextTokens, chat.isNearlyFull]).toEqual([16, false]);
    client.contextTokens = 85;
    await send(chat, "Two");
    expect([chat.isNearlyFull, chat.isFull]).toEqual([true, false]);
    client.askFailures = [new ApiFailure("too_long", "Too long.")];
    await send(chat, "Three");
    expect(chat.isFull).toBe(true);
  });

  test("the new conversation brings a summary of the old one", async () => {
    const { chat } = await setUp();
    await send(chat, "One");
    await chat.continueWithSummary();
    expect(chat.isEmpty).toBe(true);
    expect(chat.draft.parts).toEqual([
      { type: "quote", name: "Summary: One", text: "What we talked about so far: We spoke of scripts." },
    ]);
  });

  test("without a summary, the old one stays", async () => {
    const { client, chat } = await setUp();
    await send(chat, "One");
    client.summaryFailures = [new ApiFailure("unsupported", "The model wrote no summary.")];
    await chat.continueWithSummary();
    expect(chat.failure?.code).toBe("unsupported");
    expect(chat.turns).toHaveLength(2);
    client.delayMs = 5;
    const summary = chat.continueWithSummary();
    await chat.stop();
    await summary;
    expect(chat.turns).toHaveLength(2);
    expect(chat.isSummarising).toBe(false);
  });
});

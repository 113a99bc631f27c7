import { mockIPC, mockWindows } from "@tauri-apps/api/mocks";
import { expect, test } from "vitest";

import { ApiFailure, tauriClient, type ChatEvent } from "./client";

type Reply = (command: string, args: Record<string, unknown>) => unknown;

/** Records the calls of commands, and answers them. */
function rust(reply: Reply) {
  const calls: [string, Record<string, unknown>][] = [];
  mockWindows("main");
  mockIPC(
    (command, args) => {
      calls.push([command, args as Record<string, unknown>]);
      return reply(command, args as Record<string, unknown>);
    },
    { shouldMockEvents: true },
  );
  return calls;
}

/** What Rust does to send on a channel. */
function send(channel: unknown, index: number, message: ChatEvent) {
  const { id } = channel as { id: number };
  const internals = (window as unknown as { __TAURI_INTERNALS__: { runCallback(id: number, data: unknown): void } })
    .__TAURI_INTERNALS__;
  internals.runCallback(id, { index, message });
}

const done: ChatEvent = {
  event: "done",
  reason: "stop",
  context_full: false,
  prompt_tokens: 1,
  completion_tokens: 1,
  context_tokens: 2,
  time_to_first_token_ms: 1,
  prefill_tokens_per_second: 1,
  decode_tokens_per_second: 1,
};

const question = { run: "r", thread: null, parent: null, parts: [], options: {} };

const stored: ChatEvent = {
  event: "stored",
  thread: { id: "t", title: "", pinned: false, created_ms: 0, updated_ms: 0 },
  question: "q",
  answer: "a",
};

test("a failure comes after the news that the question is stored, even if it is faster", async () => {
  rust((_, { events }) => {
    setTimeout(() => send(events, 0, stored), 20);
    throw { code: "busy", message: "Busy." };
  });
  const heard: string[] = [];
  const failed = tauriClient.send(question, (event) => heard.push(event.event));
  await expect(failed).rejects.toMatchObject({ code: "busy" });
  expect(heard).toEqual(["stored"]);
});

test("an answer resolves after its last event, even if the reply is faster", async () => {
  const calls = rust((_, { events }) => {
    send(events, 0, { event: "token", id: 7, text: "Hi" });
    setTimeout(() => send(events, 1, done), 20);
    return null;
  });
  const heard: string[] = [];
  await tauriClient.send(question, (event) => heard.push(event.event));
  expect(heard).toEqual(["token", "done"]);
  expect(calls).toMatchObject([["send", { send: question }]]);
});

test("an error of Rust keeps its code and sentence", async () => {
  rust(() => {
    throw { code: "model_broken", message: "It is broken." };
  });
  const failure = await tauriClient.openModel("/m", () => {}).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ApiFailure);
  expect(failure).toMatchObject({ code: "model_broken", message: "It is broken." });
});

test("anything else that is thrown becomes an internal error", async () => {
  rust(() => {
    throw "command close_model not allowed";
  });
  await expect(tauriClient.closeModel()).rejects.toMatchObject({
    code: "internal",
    message: "command close_model not allowed",
  });
});

test("the dialog's three answers", async () => {
  const answers: unknown[] = [null, "/one.gguf", ["/a.png", "/b.png"]];
  rust(() => answers.shift());
  const pick = () => tauriClient.pickFiles("Choose", [{ name: "Some", extensions: ["x"] }], true);
  expect(await pick()).toEqual([]);
  expect(await pick()).toEqual(["/one.gguf"]);
  expect(await pick()).toEqual(["/a.png", "/b.png"]);
});

import { expect, test, vi } from "vitest";

import { ApiFailure, type Attached } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { loudness, NoteRecorder } from "./note.svelte";

function setUp(prepare: (client: MockClient) => void = () => {}) {
  const client = new MockClient();
  prepare(client);
  const notes: Attached[] = [];
  const note = new NoteRecorder(client, (attached) => void notes.push(attached));
  return { client, note, notes };
}

test("waits for the microphone, then shows how loud and how long", async () => {
  const { note, notes } = setUp();
  const recorded = note.record();
  expect([note.isOn, note.isListening, note.levels]).toEqual([true, false, []]);
  await vi.waitFor(() => expect(note.elapsedMs).toBe(4000));
  expect([note.isListening, note.device]).toEqual([true, "Built-in microphone"]);
  expect(note.levels).toEqual([0.02, 0.3, 0.7, 0.15].map(loudness));
  await note.end();
  await recorded;
  expect(note.isOn).toBe(false);
  expect(notes.map(({ part }) => part.type)).toEqual(["sound"]);
});

test("is cancelled at once, and asks for another only then", async () => {
  const { client, note, notes } = setUp();
  const recorded = note.record();
  await note.record();
  await vi.waitFor(() => expect(note.elapsedMs).toBe(4000));
  const cancelled = note.cancel();
  expect(note.isOn).toBe(false);
  await cancelled;
  await recorded;
  expect([client.noteEnds, notes, note.failure]).toEqual([[false], [], null]);
});

test("a note that had ended by itself when it was cancelled is thrown away", async () => {
  const { client, note, notes } = setUp();
  let end: (note: Attached) => void = () => {};
  client.recordNote = () => new Promise((resolve) => (end = resolve));
  const recorded = note.record();
  await note.cancel();
  end({ part: { type: "sound", file: "said.wav", name: "said.wav", bytes: 1 }, notice: null });
  await recorded;
  expect([notes, client.discarded]).toEqual([[], ["said.wav"]]);
});

test("a failure stays until the next attempt", async () => {
  const failure = new ApiFailure("mic_missing", "There is no microphone.");
  const { note } = setUp((client) => {
    client.noteEvents = [];
    client.noteFailures = [failure];
  });
  await note.record();
  expect([note.isOn, note.failure]).toEqual([false, failure]);
  const again = note.record();
  expect([note.isOn, note.failure]).toEqual([true, null]);
  await note.end();
  await again;
});

test("silence is said, and that it is over", async () => {
  const { note } = setUp((client) => (client.noteEvents = [{ event: "silent" }]));
  void note.record();
  await vi.waitFor(() => expect(note.isSilent).toBe(true));
});

test.each([
  [1, 1],
  [0.1, 0.6],
  [0.001, 0],
  [0, 0],
])("a peak of %d is as loud as %d", (peak, expected) => expect(loudness(peak)).toBeCloseTo(expected));

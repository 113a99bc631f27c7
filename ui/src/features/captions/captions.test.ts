import { describe, expect, test } from "vitest";

import { ApiFailure } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { CaptionsController } from "./captions.svelte";

async function setUp(set: (client: MockClient) => void = () => {}) {
  const client = new MockClient();
  set(client);
  const captions = new CaptionsController(client);
  await captions.watch();
  return { client, captions };
}

async function running() {
  const shown = await setUp();
  await shown.captions.start("A meeting");
  return shown;
}

const texts = (captions: CaptionsController) => captions.lines.map((line) => `${line.committed}|${line.tentative}`);

describe("lines", () => {
  test("stand in the order in which they began, each in its place as it grows", async () => {
    const { client, captions } = await running();
    client.line("me", 0, { committed: "Good", tentative: "mourning" });
    client.line("others", 0, { tentative: "Hello" });
    client.line("me", 0, { committed: "Good morning", tentative: "all" });
    expect(texts(captions)).toEqual(["Good morning|all", "|Hello"]);
    client.line("me", 0, { committed: "Good morning all.", id: "l", start_ms: 10 });
    expect(captions.finished.map((line) => line.committed)).toEqual(["Good morning all."]);
  });

  test("that a view does not have any more stay while the transcript goes on", async () => {
    const { client, captions } = await running();
    client.line("me", 0, { committed: "First.", id: "a" });
    await captions.speak("de", "en");
    expect(texts(captions)).toEqual(["First.|"]);
  });

  test("go when another transcript begins", async () => {
    const { client, captions } = await running();
    client.line("me", 0, { committed: "First.", id: "a" });
    await captions.stop();
    expect(texts(captions)).toEqual(["First.|"]);
    await captions.start("Another");
    expect(captions.lines).toEqual([]);
  });

  test("of captions that run already are there at once", async () => {
    const { captions } = await setUp((client) => {
      const line = { start_ms: 0, committed: "Said.", tentative: "", translation: null, unclear: null, id: "l" };
      const lines = [{ channel: "others" as const, segment: 4, ...line }];
      client.captions = { ...client.captions, phase: "listening", language: "fr", transcript: "t", lines };
    });
    expect(texts(captions)).toEqual(["Said.|"]);
    expect([captions.isRunning, captions.language]).toEqual([true, "fr"]);
  });
});

describe("starting and stopping", () => {
  test("what was chosen is what begins", async () => {
    const { client, captions } = await setUp();
    captions.source = "both";
    captions.keepSound = false;
    await captions.speak("en", "de");
    expect(client.languages).toEqual([]);
    await captions.start("A meeting");
    expect(client.started).toEqual([
      { source: { type: "both" }, title: "A meeting", language: "en", translate: "de", keep_sound: false },
    ]);
    expect([captions.phase, captions.channels]).toEqual(["listening", ["me", "others"]]);
  });

  test("a device that does not open is a failure, and captions can be started again", async () => {
    const { captions } = await setUp((client) => (client.startFailures = [new ApiFailure("busy", "Busy.")]));
    const starting = captions.start("A meeting");
    expect(captions.phase).toBe("starting");
    await starting;
    expect([captions.phase, captions.failure?.message]).toEqual(["idle", "Busy."]);
    await captions.start("A meeting");
    expect([captions.phase, captions.failure]).toEqual(["listening", null]);
  });

  test("the rest is written down after Stop, or left for later", async () => {
    const { client, captions } = await running();
    client.clock(60_000, 12_000);
    await captions.stop();
    expect([captions.phase, captions.behindMs]).toEqual(["finishing", 12_000]);
    await captions.leave();
    expect(captions.phase).toBe("idle");
  });

  test("the languages change while it runs", async () => {
    const { client, captions } = await running();
    await captions.speak("en", "fr");
    expect(client.languages).toEqual([["en", "fr"]]);
    expect(captions.translate).toBe("fr");
  });

  test("what ended the captions is told until it was read", async () => {
    const { client, captions } = await running();
    client.fail(new ApiFailure("out_of_memory", "There is not enough memory."));
    expect([captions.phase, captions.ended?.code]).toEqual(["idle", "out_of_memory"]);
    captions.dismiss();
    expect(captions.ended).toBeNull();
  });
});

describe("notices", () => {
  test("of a lost device go when there is one again", async () => {
    const { client, captions } = await running();
    client.say("me", { notice: "hearing", device: "Headset" });
    expect([captions.notices, captions.deviceOf("me")]).toEqual([[], "Headset"]);
    client.say("me", { notice: "device_lost", device: "Headset" });
    client.say("others", { notice: "silent" });
    expect(captions.notices.map(({ notice }) => notice)).toEqual(["device_lost", "silent"]);
    client.say("me", { notice: "hearing", device: "Laptop" });
    client.say("me", { notice: "heard" });
    expect(captions.notices.map(({ notice }) => notice)).toEqual(["silent"]);
  });

  test("of lost sound stay until they were read", async () => {
    const { client, captions } = await running();
    client.say("me", { notice: "sound_lost", ms: 300 });
    client.say("me", { notice: "heard" });
    const [lost] = captions.notices;
    expect(lost?.notice).toBe("sound_lost");
    captions.dismiss(lost);
    expect(captions.notices).toEqual([]);
  });

  test("behind, and caught up", async () => {
    const { client, captions } = await running();
    client.clock(20_000, 9_000);
    client.pace("longer_steps");
    expect([captions.isBehind, captions.hasCaughtUp]).toEqual([true, false]);
    client.clock(40_000, 1_000);
    client.pace("full");
    expect([captions.isBehind, captions.hasCaughtUp]).toEqual([false, true]);
  });
});

test("a moment is marked where the sound is", async () => {
  const { client, captions } = await running();
  client.clock(83_000, 1_000);
  await captions.mark();
  expect(captions.markedMs).toBe(83_000);
  const view = await client.openTranscript(captions.transcript ?? "");
  expect(view.marks).toMatchObject([{ at_ms: 83_000, note: "" }]);
});

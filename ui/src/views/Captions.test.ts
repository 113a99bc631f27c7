import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { afterEach, describe, expect, test } from "vitest";

import { i18n } from "../lib/i18n/i18n.svelte";
import { ApiFailure } from "../lib/ipc/client";
import { MockClient } from "../lib/ipc/mock";
import Main from "./Main.svelte";

// The page of these tests has no popovers; their buttons are there all the same.
HTMLElement.prototype.hidePopover ??= () => {};

afterEach(() => {
  cleanup();
  i18n.speak(null);
});

/** The window with a model that can hear, unless the test takes that away. */
async function show(digit: string, set: (client: MockClient) => void = () => {}) {
  const client = new MockClient();
  client.start = "/models/a";
  client.model = { ...client.model, audio: true };
  set(client);
  const { container } = render(Main, { client });
  const slot = (name: string) => container.querySelector<HTMLElement>(`[data-slot="${name}"]`);
  const slots = (name: string) => [...container.querySelectorAll<HTMLElement>(`[data-slot="${name}"]`)];
  const click = (name: string) => fireEvent.click(slot(name) as HTMLElement);
  await waitFor(() => expect(slot("model-state")?.dataset["state"]).toBe("ready"));
  await fireEvent.keyDown(window, { key: digit, ctrlKey: true });
  return { client, slot, slots, click };
}

describe("captions", () => {
  async function running(set?: (client: MockClient) => void) {
    const shown = await show("1", set);
    await waitFor(() => expect(shown.slot("toggle-captions")).toHaveProperty("disabled", false));
    await shown.click("toggle-captions");
    await waitFor(() => expect(shown.slot("captions")?.dataset["phase"]).toBe("listening"));
    return shown;
  }

  test("without a model that can hear: one sentence, and the way to one", async () => {
    const { slot, click } = await show("1", (client) => (client.model = { ...client.model, audio: false }));
    await waitFor(() => expect(slot("no-hearing")?.textContent).toContain("cannot hear"));
    expect(slot("toggle-captions")).toHaveProperty("disabled", true);
    await click("choose-model");
    await screen.findByRole("heading", { name: "Models", level: 1 });
  });

  test("both channels, what is certain apart from what may change, and the translation", async () => {
    const { client, slots, slot } = await running();
    client.line("me", 0, { committed: "Good morning", tentative: "all" });
    client.line("others", 0, { start_ms: 61_000, committed: "Hello.", translation: "Hallo.", id: "l" });
    await waitFor(() => expect(slots("line")).toHaveLength(2));
    const [mine, theirs] = slots("line");
    expect(mine?.textContent).toContain("Me");
    expect(mine?.querySelector("[data-slot=tentative]")?.tagName).toBe("EM");
    expect(mine?.querySelector("[data-slot=committed]")?.textContent).toBe("Good morning");
    expect(theirs?.textContent).toMatch(/Others.*1:01/s);
    expect(theirs?.querySelector("[data-slot=translation]")?.textContent).toBe("Hallo.");
    // What may yet change is never read out.
    expect(slot("spoken")?.textContent?.trim()).toBe("Others: Hallo.");
  });

  test("the languages may change while it runs, the source may not", async () => {
    const { client, slot } = await running();
    expect(slot("source")).toHaveProperty("disabled", true);
    await fireEvent.change(screen.getByLabelText("Translate into"), { target: { value: "de" } });
    await waitFor(() => expect(client.languages).toEqual([[null, "de"]]));
  });

  test("what was chosen is there again, and every choice is remembered", async () => {
    const { client, slot } = await show("1", (client) => {
      client.settings.settings.captions = { source: "both", language: "en", translate: null, keep_sound: false };
    });
    await waitFor(() => expect(slot("source")).toHaveProperty("value", "both"));
    expect(slot("spoken-language")).toHaveProperty("value", "en");
    await fireEvent.change(screen.getByLabelText("Translate into"), { target: { value: "de" } });
    const value = { source: "both", language: "en", translate: "de", keep_sound: false };
    await waitFor(() => expect(client.changes).toEqual([{ setting: "captions", value }]));
  });

  test("a file that is chosen or dropped is written down, says how far it is, and can be stopped", async () => {
    const { client, slot, click } = await show("1", (client) => (client.picked = ["/home/ada/talk.mp4"]));
    await waitFor(() => expect(slot("caption-file")).toHaveProperty("disabled", false));
    await click("caption-file");
    await waitFor(() => expect(slot("file-progress")).toBeTruthy());
    expect(client.started[0]).toMatchObject({ title: "talk.mp4", source: { type: "file", path: "/home/ada/talk.mp4" } });
    client.clock(120_000, 90_000);
    await waitFor(() => expect(slot("file-progress")?.textContent).toContain("0:30 of 2:00"));
    await click("toggle-captions");
    await waitFor(() => expect(slot("captions")?.dataset["phase"]).toBe("idle"));
    client.files({ type: "drop", paths: ["/home/ada/note.ogg"] });
    await waitFor(() => expect(client.started).toHaveLength(2));
  });

  test("a shortcut begins and ends captions; what stands in the way is shown", async () => {
    const { client, slot } = await show("3");
    client.wishCaptions();
    await waitFor(() => expect(client.started).toHaveLength(1));
    client.wishCaptions();
    await waitFor(() => expect(client.captions.phase).toBe("idle"));
    expect(client.overlayAsked).toEqual([]);
    client.startFailures.push(new ApiFailure("unsupported", "There is no microphone."));
    client.wishCaptions();
    await waitFor(() => expect(slot("captions-failure")).toBeTruthy());
    expect(client.overlayAsked).toEqual(["window"]);
  });

  test("the overlay is opened and closed, and lets clicks through", async () => {
    const { client, slot, click } = await show("1");
    await waitFor(() => expect(slot("toggle-overlay")).toBeTruthy());
    await click("toggle-overlay");
    await waitFor(() => expect(slot("click-through")).toBeTruthy());
    await click("click-through");
    await screen.findByText("Clicks go through the overlay.");
    expect(client.overlay.click_through).toBe(true);
    await click("toggle-overlay");
    await waitFor(() => expect(client.overlay.is_open).toBe(false));
    await click("to-style");
    await screen.findByRole("heading", { name: "Captions overlay" });
    await fireEvent.click(screen.getByLabelText("Yellow on blue"));
    await waitFor(() => expect(client.overlay.settings.style.background).toBe("#00236b"));
  });

  test("time, loudness and marks", async () => {
    const { client, slot, click } = await running();
    client.clock(83_000, 0);
    client.level("me", 0.5);
    await waitFor(() => expect(slot("elapsed")?.textContent).toBe("1:23"));
    expect(slot("level")?.getAttribute("aria-valuenow")).toBe("50");
    await click("mark");
    await screen.findByText("Marked at 1:23");
  });

  test("after Stop it says what is left, and leaves it if asked to", async () => {
    const { client, slot, click } = await running();
    client.clock(60_000, 12_000);
    await click("toggle-captions");
    await waitFor(() => expect(slot("finishing")?.textContent).toContain("12 s of it"));
    await click("leave");
    await waitFor(() => expect(slot("show-transcript")).toBeTruthy());
    await click("show-transcript");
    await waitFor(() => expect(slot("open-transcript")?.textContent).toContain("Captions, "));
  });

  test("a lost device is said until there is one again", async () => {
    const { client, slot } = await running();
    client.say("me", { notice: "device_lost", device: "Headset" });
    await waitFor(() => expect(slot("caption-notice")?.textContent).toContain("Me: Headset is gone."));
    client.say("me", { notice: "hearing", device: "Laptop" });
    await waitFor(() => expect(slot("caption-notice")).toBeNull());
  });

  test("being behind is said with what is done about it", async () => {
    const { client, slot } = await running();
    client.clock(60_000, 9_000);
    client.pace("finals_only");
    await waitFor(() => expect(slot("behind")?.textContent).toMatch(/9 s behind.*end of each sentence/s));
    // Caught up, while the pace is still lower.
    client.clock(60_000, 300);
    await waitFor(() => expect(slot("behind")?.textContent).not.toContain("behind"));
    expect(slot("behind")?.textContent).toContain("end of each sentence");
    client.pace("full");
    await waitFor(() => expect(slot("caught-up")).toBeTruthy());
  });

  test("a device that does not open is an alert", async () => {
    const { slot, click } = await show("1", (client) => {
      client.startFailures = [new ApiFailure("mic_missing", "There is no microphone.")];
    });
    await waitFor(() => expect(slot("toggle-captions")).toHaveProperty("disabled", false));
    await click("toggle-captions");
    expect((await screen.findByRole("alert")).textContent).toContain("There is no microphone.");
    expect(screen.getAllByText(/There is no microphone/)).toHaveLength(1);
    expect(slot("toggle-captions")).toHaveProperty("disabled", false);
  });
});

describe("the library", () => {
  async function opened(set: (client: MockClient) => void = () => {}) {
    const shown = await show("2", (client) => {
      client.keepTranscript("Monday meeting", ["Good morning.", "Hello all."]);
      set(client);
    });
    await fireEvent.click(await screen.findByRole("button", { name: /Monday meeting/ }));
    await waitFor(() => expect(shown.slots("stored-line")).toHaveLength(2));
    return shown;
  }

  test("empty: one sentence, and the way to the captions", async () => {
    await show("2");
    await fireEvent.click(await screen.findByRole("button", { name: "Go to the captions" }));
    await screen.findByRole("heading", { name: "Captions", level: 1 });
  });

  test("lines have times and channels, and one can be edited", async () => {
    const { client, slots, slot, click } = await opened();
    expect(slots("stored-line")[1]?.textContent).toMatch(/Others.*0:03.*Hello all\./s);
    await click("edit");
    const box = slot("edit-line") as HTMLTextAreaElement;
    await fireEvent.input(box, { target: { value: "Good evening." } });
    await fireEvent.keyDown(box, { key: "Enter" });
    await waitFor(() => expect(slots("stored-line")[0]?.textContent).toContain("Good evening."));
    const [info] = await client.transcripts();
    expect((await client.openTranscript(info?.id ?? "")).lines[0]?.text).toBe("Good evening.");
  });

  test("words that could not be stored stay in the box", async () => {
    const { client, slot, click } = await opened();
    await click("edit");
    client.transcriptFailures = [new ApiFailure("storage", "The disk is full.")];
    await fireEvent.input(slot("edit-line") as HTMLElement, { target: { value: "Good evening." } });
    await click("save-line");
    await waitFor(() => expect(slot("transcripts-failure")?.textContent).toContain("The disk is full."));
    expect(slot("edit-line")).toHaveProperty("value", "Good evening.");
  });

  test("the model hears a line once more, and its sound is played", async () => {
    const { client, slots, slot, click } = await opened();
    await click("hear-again");
    await waitFor(() => expect(slots("stored-line")[0]?.textContent).toContain("What was really said."));
    await click("play-from");
    await waitFor(() => expect(slot("player")?.querySelector("audio")?.src).toContain("data:audio/wav"));
    expect(client.played).toMatchObject([["transcript-0", "me", 0, 6000]]);
  });

  test("a search leads to the line", async () => {
    const { slot } = await show("2", (client) => {
      client.keepTranscript("Monday", ["Good morning.", "The budget."]);
      client.keepTranscript("Tuesday", ["Nothing."]);
    });
    await screen.findByRole("button", { name: /Tuesday/ });
    await fireEvent.input(slot("search-transcripts") as HTMLElement, { target: { value: "budget" } });
    await waitFor(() => expect(screen.queryByRole("button", { name: /Tuesday/ })).toBeNull());
    await fireEvent.click(screen.getByRole("button", { name: /Monday/ }));
    await waitFor(() => expect(document.querySelector(".found")?.textContent).toContain("The budget."));
  });

  test("it is renamed, exported, and deleted after a question", async () => {
    const { client, slot, click } = await opened();
    await click("rename");
    await fireEvent.input(slot("transcript-title") as HTMLElement, { target: { value: "Planning" } });
    await click("dialog-confirm");
    await screen.findByRole("heading", { name: "Planning" });
    client.savePath = "/home/ada/Planning.srt";
    await click("export-srt");
    await waitFor(() => expect(slot("transcript-exported")?.textContent).toContain("/home/ada/Planning.srt"));
    expect(client.exportedTranscripts).toEqual([["transcript-0", "srt", "/home/ada/Planning.srt"]]);
    await click("delete");
    expect(await client.transcripts()).toHaveLength(1);
    await click("confirm-yes");
    await waitFor(() => expect(slot("no-transcripts")).toBeTruthy());
    expect(await client.transcripts()).toEqual([]);
  });

  test("notes and marks are kept", async () => {
    const { client, slot } = await opened();
    // By typing alone: whoever closes the window has not left the field.
    await fireEvent.input(slot("notes") as HTMLElement, { target: { value: "Call Ada." } });
    await screen.findByText("Saved", undefined, { timeout: 5000 });
    expect((await client.openTranscript("transcript-0")).notes).toBe("Call Ada.");
  });

  test("a summary is asked for at once, with as much of it as the model has room for", async () => {
    const { client, click } = await opened((client) => (client.roomForLines = 1));
    await click("summarise");
    await waitFor(() => expect(client.asked).toHaveLength(1));
    const parts = (client.asked[0] as { parts: { type: string; name?: string; text: string }[] }).parts;
    expect(parts.map(({ type }) => type)).toEqual(["quote", "text"]);
    expect(parts[0]?.name).toMatch(/\(1 of \d+ lines/);
    expect(parts[1]?.text).toContain("Summarise");
  });

  test("one that was left is finished or kept as it is", async () => {
    const { client, slot, slots, click } = await opened((client) => {
      client.keepTranscript("Left", ["Some words."], { state: "recovered" });
    });
    expect(slots("badge").map((badge) => badge.textContent)).toEqual(["Recovered"]);
    await fireEvent.click(screen.getByRole("button", { name: /^Left/ }));
    await waitFor(() => expect(slot("left")).toBeTruthy());
    await click("finish");
    await waitFor(() => expect(client.resumed).toEqual(["transcript-1"]));
  });

  test("a question about it begins with the transcript attached", async () => {
    const { client, slot, click } = await opened();
    await click("ask-about");
    await waitFor(() => expect(document.activeElement).toBe(slot("question")));
    await fireEvent.input(slot("question") as HTMLElement, { target: { value: "What was decided?" } });
    await click("send");
    await waitFor(() => expect(client.asked).toHaveLength(1));
    expect(client.asked[0]).toMatchObject({
      thread: null,
      parts: [
        { type: "quote", name: "Transcript: Monday meeting", text: "me: Good morning.\nothers: Hello all." },
        { type: "text", text: "What was decided?" },
      ],
    });
  });
});

import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/svelte";
import { createRawSnippet } from "svelte";
import { afterEach, describe, expect, test } from "vitest";

import { i18n } from "../../lib/i18n/i18n.svelte";
import { ApiFailure } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { ChatController } from "./chat.svelte";
import ChatPage from "./ChatPage.svelte";
import { ThreadsController } from "./threads.svelte";

// happy-dom has no popovers yet: what is in one is always there.
HTMLElement.prototype.hidePopover ??= () => {};

afterEach(() => {
  cleanup();
  i18n.speak("en");
});

async function show(prepare: (client: MockClient) => void = () => {}, audio = false) {
  const client = new MockClient();
  prepare(client);
  const threads = new ThreadsController(client);
  const chat = new ChatController(client, threads, 0);
  chat.context = 100;
  const calls: string[] = [];
  const { container } = render(ChatPage, {
    client,
    chat,
    threads,
    accepts: { image: true, audio },
    sendKey: "enter",
    onattach: () => void calls.push("attach"),
    onmodels: () => void calls.push("models"),
    empty: createRawSnippet(() => ({ render: () => "<p>Nothing yet</p>" })),
  });
  await chat.start();
  const slot = (name: string) => container.querySelector<HTMLElement>(`[data-slot="${name}"]`);
  const slots = (name: string) => [...container.querySelectorAll<HTMLElement>(`[data-slot="${name}"]`)];
  const click = (name: string, i = 0) => fireEvent.click(slots(name)[i] as HTMLElement);
  return { client, chat, threads, calls, slot, slots, click };
}

const kept = (client: MockClient) => client.keep("The sky", "Why is it blue?", "Air scatters blue light.");

describe("the list", () => {
  test("empty: a sentence", async () => {
    await show();
    expect(await screen.findByText("Your conversations will be listed here.")).toBeTruthy();
    expect(screen.getByText("Nothing yet")).toBeTruthy();
  });

  test("marks the conversation on the page, and opens another", async () => {
    const { slots, click } = await show((client) => {
      client.keep("Dinner", "What shall we eat?", "Soup.");
      kept(client);
    });
    await waitFor(() => expect(slots("thread").map((row) => row.getAttribute("aria-current"))).toEqual(["true", null]));
    await click("thread", 1);
    expect(await screen.findByText("What shall we eat?")).toBeTruthy();
  });

  test("says when nothing is found", async () => {
    const { slot } = await show((client) => void kept(client));
    await fireEvent.input(slot("search") as HTMLElement, { target: { value: "soup" } });
    expect(await screen.findByText("Nothing was found.")).toBeTruthy();
  });

  test("deletes after a question, and not without", async () => {
    const { threads, slot, slots, click } = await show((client) => void kept(client));
    await waitFor(() => expect(slot("thread")).toBeTruthy());
    await click("delete");
    expect(screen.getByText(/“The sky” and the files that only it has/)).toBeTruthy();
    await fireEvent.click(screen.getByRole("button", { name: "Cancel" }));
    expect(threads.list).toHaveLength(1);
    slots("thread")[0]?.focus();
    await fireEvent.keyDown(slots("thread")[0] as HTMLElement, { key: "Delete" });
    await click("confirm-yes");
    await waitFor(() => expect(threads.list).toEqual([]));
    await waitFor(() => expect(document.activeElement).toBe(slot("question")));
    expect(slot("thread")).toBeNull();
  });

  test("renames with F2", async () => {
    const { threads, slots, slot, click } = await show((client) => void kept(client));
    await waitFor(() => expect(slot("thread")).toBeTruthy());
    await fireEvent.keyDown(slots("thread")[0] as HTMLElement, { key: "F2" });
    await fireEvent.input(slot("title") as HTMLElement, { target: { value: "Blue" } });
    await click("dialog-confirm");
    await waitFor(() => expect(threads.list[0]?.title).toBe("Blue"));
  });

  test("a failed export is said where the list is", async () => {
    const { slot, click } = await show((client) => {
      kept(client);
      client.exportFailures = [new ApiFailure("storage", "The disk is full.")];
    });
    await waitFor(() => expect(slot("thread")).toBeTruthy());
    await click("export-json");
    await waitFor(() => expect(slot("threads-failure")?.textContent).toContain("The disk is full."));
    await click("export-json");
    await waitFor(() => expect(slot("exported")?.textContent).toContain("/home/ada/export"));
    expect(slot("threads-failure")).toBeNull();
  });
});

describe("an answer", () => {
  async function showWith(change: (client: MockClient, thread: string) => void) {
    return show((client) => change(client, kept(client)));
  }

  test("that was interrupted says so and can be tried again", async () => {
    const { slot, click } = await showWith((client, thread) => {
      client.lastMessage(thread).state = "interrupted";
    });
    expect(await screen.findByText("Sotto ended while this was written")).toBeTruthy();
    await click("retry");
    expect(await screen.findByText("This answer is scripted.")).toBeTruthy();
    expect(slot("versions")?.textContent).toContain("2 of 2");
  });

  test("that failed yesterday still says why, with what helps", async () => {
    const { calls, click } = await showWith((client, thread) => {
      const answer = client.lastMessage(thread);
      answer.state = "failed";
      answer.failure = { code: "model_broken", message: "The file is cut short." };
    });
    expect((await screen.findByRole("alert")).textContent).toContain("The file is cut short.");
    await click("remedy");
    expect(calls).toEqual(["models"]);
  });

  test("has its numbers on demand, with the context", async () => {
    const { chat, slot } = await show();
    chat.draft.text = "Why?";
    await chat.send();
    await waitFor(() => expect(slot("details")).toBeTruthy());
    const details = within(slot("details") as HTMLElement);
    expect(details.getByText("4 tokens, 9.25 per second")).toBeTruthy();
    expect(details.getByText("16 of 100 tokens")).toBeTruthy();
    expect(details.getByText("180 ms")).toBeTruthy();
  });
});

describe("the limit of the context", () => {
  test("offers to go on with a summary, which can be read before it is sent", async () => {
    const { chat, slot, click } = await show((client) => (client.contextTokens = 90));
    chat.draft.text = "Why?";
    await chat.send();
    await waitFor(() => expect(slot("nearly-full")?.textContent).toContain("nearly as long"));
    await click("go-on");
    await waitFor(() => expect(slot("attached-quote")).toBeTruthy());
    expect(chat.isEmpty).toBe(true);
    await click("attached-quote");
    expect(screen.getByText("What we talked about so far: We spoke of scripts.")).toBeTruthy();
  });
});

describe("attachments", () => {
  test("are chips with their looks, and a part that the model lacks is said", async () => {
    const { chat, slot, slots } = await show();
    await chat.draft.attach(["/a/cat.png", "/a/note.txt", "/a/said.wav"]);
    await waitFor(() => expect(slots("attachment")).toHaveLength(3));
    await waitFor(() => expect(slot("attached-picture")?.querySelector("img")).toBeTruthy());
    expect(slot("attached-sound")?.querySelectorAll("rect")).toHaveLength(4);
    expect(slot("part-missing")?.textContent).toContain("no audio part");
    expect(slot("send")).toHaveProperty("disabled", true);
  });

  test("open again from the question, and a sound plays elsewhere", async () => {
    const { client, chat, slot, click } = await show();
    await chat.draft.attach(["/a/said.wav"]);
    await chat.send();
    await waitFor(() => expect(slot("question-turn")).toBeTruthy());
    await click("attached-sound");
    await click("play");
    expect(client.openedOutside).toEqual(["said.wav"]);
  });

  test("one that is refused names what is wrong, and another can be chosen", async () => {
    const { chat, calls, slot, click } = await show(
      (client) => (client.attachFailures = [new ApiFailure("input_unreadable", "cat.png: no picture.")]),
    );
    chat.draft.text = "What is it?";
    await chat.draft.attach(["/a/cat.png"]);
    await waitFor(() => expect(slot("refusal")?.textContent).toContain("cat.png: no picture."));
    await click("choose-other");
    expect(calls).toEqual(["attach"]);
    expect(chat.draft.text).toBe("What is it?");
  });
});

describe("a voice note", () => {
  test("is recorded, shown as a chip, and sent", async () => {
    const { client, chat, slot, click } = await show(undefined, true);
    await click("record");
    await waitFor(() => expect(slot("note-time")?.textContent).toMatch(/0:04 ?\/ 0:30/));
    expect(document.activeElement).toBe(slot("note-end"));
    expect(slot("note-level")?.querySelectorAll("rect")).toHaveLength(4);
    expect(slot("record")).toHaveProperty("disabled", true);
    chat.draft.text = "What did I say?";
    expect(slot("send")).toHaveProperty("disabled", true);
    await click("note-end");
    await waitFor(() => expect(slot("attached-sound")).toBeTruthy());
    expect(slot("note-bar")).toBeNull();
    expect(document.activeElement).toBe(slot("question"));
    expect(slot("attachment")?.dataset["name"]).toMatch(/^Voice note \d\d\.\d\d\.wav$/);
    await click("send");
    expect(client.asked[0]).toMatchObject({ parts: [{ type: "sound" }, { type: "text", text: "What did I say?" }] });
  });

  test("is cancelled", async () => {
    const { chat, slot, click } = await show(undefined, true);
    await click("record");
    await waitFor(() => expect(slot("note-level")?.querySelector("rect")).toBeTruthy());
    await click("note-cancel");
    await waitFor(() => expect(slot("note-bar")).toBeNull());
    expect(chat.draft.isEmpty).toBe(true);
    expect(document.activeElement).toBe(slot("question"));
  });

  test("that cannot be recorded says why, in the language of the window, and can be tried again", async () => {
    i18n.speak("de");
    const { slot, click } = await show((client) => {
      client.noteEvents = [];
      client.noteFailures = [new ApiFailure("mic_missing", "There is no microphone.")];
    }, true);
    await click("record");
    await waitFor(() => expect(slot("note-failure")?.textContent).toContain("Es ist kein Mikrofon da."));
    await click("note-again");
    await waitFor(() => expect(slot("note-bar")).toBeTruthy());
    expect(slot("note-failure")).toBeNull();
  });

  test("that failed is forgotten with the next question", async () => {
    const { chat, slot, click } = await show((client) => {
      client.noteFailures = [new ApiFailure("mic_missing", "There is no microphone.")];
    }, true);
    await click("record");
    await waitFor(() => expect(slot("note-failure")).toBeTruthy());
    chat.draft.text = "Why?";
    await waitFor(() => expect(slot("send")).toHaveProperty("disabled", false));
    await click("send");
    await waitFor(() => expect(slot("note-failure")).toBeNull());
  });

  test("that lost its microphone comes with a sentence about it", async () => {
    const { slot, click } = await show((client) => {
      client.notice = { text: "USB is gone: kept.", about: { kind: "microphone_lost", device: "USB" } };
    }, true);
    await click("record");
    await waitFor(() => expect(slot("note-end")).toBeTruthy());
    await click("note-end");
    await waitFor(() => expect(slot("draft-notice")?.textContent).toContain("USB is gone: kept."));
    i18n.speak("de");
    await waitFor(() => expect(slot("draft-notice")?.textContent).toContain("USB ist nicht mehr da"));
  });

  test("needs a model that can hear, and the button says so", async () => {
    const { slot } = await show();
    expect(slot("record")).toHaveProperty("disabled", true);
    expect(slot("record")?.title).toContain("no audio part");
  });
});

test("what is wrong with a file is said in German, with its name", async () => {
  i18n.speak("de");
  const { chat, slot } = await show((client) => {
    client.attachFailures = [new ApiFailure("input_empty", "cat.png: the file is empty.", "cat.png")];
  });
  await chat.draft.attach(["/a/cat.png"]);
  await waitFor(() => expect(slot("refusal")?.textContent).toContain("cat.png: Die Datei ist leer."));
});

test("everything is said in German too", async () => {
  i18n.speak("de");
  const { slot } = await show();
  expect(await screen.findByText("Hier erscheinen deine Unterhaltungen.")).toBeTruthy();
  expect(slot("question")?.getAttribute("placeholder")).toBe("Frag Sotto");
});

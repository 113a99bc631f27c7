import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { afterEach, describe, expect, test } from "vitest";

import { ApiFailure } from "../lib/ipc/client";
import { MockClient } from "../lib/ipc/mock";
import Main from "./Main.svelte";

afterEach(cleanup);

function show(set: (client: MockClient) => void = () => {}) {
  const client = new MockClient();
  set(client);
  const { container } = render(Main, { client });
  const slot = (name: string) => container.querySelector<HTMLElement>(`[data-slot="${name}"]`);
  const question = screen.getByLabelText<HTMLTextAreaElement>("Your question");
  const write = (value: string) => fireEvent.input(question, { target: { value } });
  const press = (key: string, more = {}) => fireEvent.keyDown(question, { key, ...more });
  return { client, slot, question, write, press };
}

const withModel = (client: MockClient) => void (client.start = "/models/a");

async function showReady(set: (client: MockClient) => void = () => {}) {
  const shown = show((client) => {
    withModel(client);
    set(client);
  });
  await waitFor(() => expect(shown.slot("model-state")?.dataset.state).toBe("ready"));
  return shown;
}

describe("the model", () => {
  test("none: one sentence, and the ways to choose one", async () => {
    const { client, slot } = show((client) => (client.picked = ["/models/b"]));
    await fireEvent.click(await screen.findByRole("button", { name: "Choose a folder…" }));
    await waitFor(() => expect(slot("model-state")?.dataset.state).toBe("ready"));
    expect(client.opened).toEqual(["/models/b"]);
  });

  test("opening: stage, percent and a way out", async () => {
    const { slot } = show((client) => {
      withModel(client);
      client.delayMs = 30;
    });
    await screen.findByText(/reading weights · 35 %/);
    expect(screen.getByRole("progressbar", { name: "Opening the model" })).toBeTruthy();
    await fireEvent.click(screen.getByRole("button", { name: "Cancel" }));
    await waitFor(() => expect(slot("model-state")?.dataset.state).toBe("none"));
  });

  test("ready: its name and its parts", async () => {
    const { slot, client } = await showReady();
    expect(slot("model-state")?.textContent).toContain(client.model.name);
    expect(screen.getByText("pictures").dataset.present).toBe("true");
    expect(screen.getByText("sound").dataset.present).toBe("false");
    expect(document.activeElement?.getAttribute("data-slot")).toBe("question");
  });

  test("failed: the sentence as an alert, and another to choose", async () => {
    show((client) => {
      withModel(client);
      client.openFailures = [new ApiFailure("model_broken", "config.json is broken.")];
    });
    expect((await screen.findByRole("alert")).textContent).toContain("config.json is broken.");
    expect(screen.getByRole("button", { name: "Choose another model" })).toBeTruthy();
  });

  test("a second start of Sotto opens its model here", async () => {
    const { client, slot } = show();
    client.requestOpen("/models/c");
    await waitFor(() => expect(slot("model-state")?.dataset.state).toBe("ready"));
    expect(client.opened).toEqual(["/models/c"]);
  });
});

describe("asking", () => {
  test("Enter sends, Shift+Enter and a composed character do not", async () => {
    const { client, write, press, slot } = await showReady();
    await write("Why?");
    await press("Enter", { shiftKey: true });
    await press("Enter", { isComposing: true });
    expect(client.asked).toEqual([]);
    await press("Enter");
    await screen.findByText("This answer is scripted.");
    await waitFor(() => expect(slot("announcement")?.textContent).toBe("Sotto: This answer is scripted."));
    expect(screen.getByText("4 tokens, 9.25 per second")).toBeTruthy();
  });

  test("a question waits for its model", async () => {
    const { client, question, write, press, slot } = show();
    await write("Why?");
    await press("Enter");
    expect(client.asked).toEqual([]);
    expect(question.value).toBe("Why?");
    expect(slot("send")).toHaveProperty("disabled", true);
  });

  test("Escape stops the answer", async () => {
    const { write, press, slot } = await showReady();
    await write("Why?");
    await press("Enter");
    await waitFor(() => expect(slot("stop")).toBeTruthy());
    await press("Escape");
    await screen.findByText("Stopped", { selector: "span" });
  });

  test("a failed answer offers what helps, and the focus goes to the box", async () => {
    const { client, question, write, press } = await showReady(
      (client) => (client.askFailures = [new ApiFailure("input_unreadable", "It is no picture.")]),
    );
    await write("Why?");
    await press("Enter");
    await fireEvent.click(await screen.findByRole("button", { name: "Edit the question" }));
    const box = screen.getByLabelText<HTMLTextAreaElement>("Your question in other words");
    expect(box.value).toBe("Why?");
    expect(document.activeElement).toBe(box);
    await fireEvent.input(box, { target: { value: "Why then?" } });
    await fireEvent.keyDown(box, { key: "Enter" });
    await screen.findByText("This answer is scripted.");
    expect(client.asked).toHaveLength(2);
    expect(document.activeElement).toBe(question);
  });

  test("Ctrl+N begins anew", async () => {
    const { write, press, slot } = await showReady();
    await write("Why?");
    await press("Enter");
    await screen.findByText("This answer is scripted.");
    await press("n", { ctrlKey: true });
    await waitFor(() => expect(slot("answer")).toBeNull());
    expect(slot("first-question")).toBeTruthy();
  });
});

describe("files", () => {
  test("chips can be taken away by name", async () => {
    const { client } = await showReady();
    client.files({ type: "drop", paths: ["/a/cat.png", "/a/dog.png"] });
    await fireEvent.click(await screen.findByRole("button", { name: "Remove cat.png" }));
    expect(screen.queryByRole("button", { name: "Open cat.png" })).toBeNull();
    expect(await screen.findByRole("button", { name: "Open dog.png" })).toBeTruthy();
  });

  test("a part that the model lacks is said before sending", async () => {
    const { client, slot } = await showReady();
    client.files({ type: "drop", paths: ["/a/said.wav"] });
    expect((await screen.findByText(/This model has no audio part/)).textContent).toContain("remove the sound");
    expect(slot("send")).toHaveProperty("disabled", true);
  });

  test("a dropped model is opened", async () => {
    const { client } = await showReady();
    client.files({ type: "drop", paths: ["/models/b.gguf"] });
    await waitFor(() => expect(client.opened).toEqual(["/models/a", "/models/b.gguf"]));
  });

  test("files that hover are invited", async () => {
    const { client, slot } = await showReady();
    client.files({ type: "over" });
    await waitFor(() => expect(slot("drop-target")).toBeTruthy());
    client.files({ type: "leave" });
    await waitFor(() => expect(slot("drop-target")).toBeNull());
  });
});

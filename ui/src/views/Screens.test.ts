import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { afterEach, describe, expect, test } from "vitest";

import { i18n } from "../lib/i18n/i18n.svelte";
import { ApiFailure } from "../lib/ipc/client";
import { MockClient } from "../lib/ipc/mock";
import Main from "./Main.svelte";

afterEach(() => {
  cleanup();
  i18n.speak(null);
});

function show(set: (client: MockClient) => void = () => {}) {
  const client = new MockClient();
  set(client);
  const { container } = render(Main, { client });
  const slot = (name: string) => container.querySelector<HTMLElement>(`[data-slot="${name}"]`);
  const press = (key: string, more = {}) => fireEvent.keyDown(window, { key, ctrlKey: true, ...more });
  return { client, slot, press };
}

const heading = (name: string) => screen.findByRole("heading", { name, level: 1 });

describe("the rail", () => {
  test("leads to every screen by mouse and by key, and says where one is", async () => {
    const { press } = show();
    await fireEvent.click(screen.getByRole("button", { name: "Models" }));
    await heading("Models");
    expect(screen.getByRole("button", { name: "Models" }).getAttribute("aria-current")).toBe("page");
    await press("5");
    await heading("Settings");
    await press("3");
    await heading("New conversation");
    await waitFor(() => expect(document.activeElement?.getAttribute("data-slot")).toBe("question"));
    await press(",");
    await heading("Settings");
    expect(document.activeElement?.tagName).toBe("MAIN");
  });

  test("what was written stays while another screen is looked at", async () => {
    const { press, slot } = show();
    await fireEvent.input(slot("question") as HTMLElement, { target: { value: "Why?" } });
    await press("4");
    await heading("Models");
    await press("3");
    await waitFor(() => expect(slot("question")).toHaveProperty("value", "Why?"));
  });
});

describe("the strip below", () => {
  test("tells what Sotto takes, apart by kind", async () => {
    const { slot } = show();
    await waitFor(() => expect(slot("memory")?.textContent).toBe("Sotto 1.32 GB · 4.1 GB free"));
    expect(slot("popover")?.textContent).toContain("270 MB");
    expect(slot("popover")?.textContent).toContain("1.05 GB");
    expect(screen.getByText("Offline")).toBeTruthy();
  });

  test("shows no memory where the system does not tell", async () => {
    const { client, slot } = show((client) => (client.memory = null));
    await waitFor(() => expect(client.memoryReads).toBe(1));
    expect(slot("memory")).toBeNull();
  });

  test("calls the demo by its name, and leads to the models", async () => {
    const { slot } = show((client) => (client.start = client.demo));
    await waitFor(() => expect(slot("model-name")?.textContent).toContain("Demo model"));
    await fireEvent.click(slot("model-name") as HTMLElement);
    await heading("Models");
  });
});

describe("what keeps Sotto from storing", () => {
  const readOnly = new ApiFailure("storage", "Sotto may not write to /data; make it writable and try again.");

  test("is said on every screen with a way to try again", async () => {
    const { client, slot, press } = show((client) => (client.libraryFailure = readOnly));
    await waitFor(() => expect(slot("library-blocked")?.textContent).toContain("may not write to /data"));
    await press("4");
    await heading("Models");
    client.libraryFailure = null;
    await fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    await waitFor(() => expect(slot("library-blocked")).toBeNull());
  });

  test("is said in German with the details below", async () => {
    const { slot } = show((client) => {
      client.libraryFailure = readOnly;
      client.settings.settings.language = "de";
    });
    await waitFor(() => expect(slot("library-blocked")?.textContent).toContain("kann seine Daten nicht lesen"));
    expect(slot("library-blocked")?.querySelector("details [lang=en]")?.textContent).toContain("may not write");
  });

  test("a damaged file of settings is reported once", async () => {
    const { slot } = show((client) => (client.settings.salvage = { lost: ["a", "b"], kept_as: "/s.broken.json" }));
    await waitFor(() => expect(slot("salvage")?.textContent).toContain("2 settings"));
    expect(slot("salvage")?.textContent).toContain("/s.broken.json");
    await fireEvent.click(screen.getByRole("button", { name: "All right" }));
    expect(slot("salvage")).toBeNull();
  });
});

describe("models", () => {
  async function showModels(set: (client: MockClient) => void = () => {}) {
    const shown = show(set);
    await shown.press("4");
    await screen.findByRole("heading", { name: "Demo model" });
    const card = (name: string) => screen.getByRole("heading", { name }).closest("article") as HTMLElement;
    return { ...shown, card };
  }

  test("are described by what was read from them", async () => {
    const { card } = await showModels();
    const text = card("gemma-3n-E4B-it").textContent;
    expect(text).toContain("7.85 billion parameters, 3.98 billion of them at work");
    expect(text).toContain("32,768 tokens, about 25,000 words");
    expect(text).toContain("15.7 GB on disk, safetensors, bf16");
    expect(text).toContain("Gemma Terms of Use");
    expect(card("Demo model").textContent).toContain("it makes mistakes");
  });

  test("a broken one says why and cannot be opened", async () => {
    const { card } = await showModels();
    expect(card("half").textContent).toContain("download it again");
    expect(card("half").querySelector("[data-slot=open-model]")).toBeNull();
  });

  test("opening shows how far it is and can be cancelled on the spot", async () => {
    const { client } = await showModels((client) => (client.delayMs = 20));
    const open = screen.getByRole("button", { name: "Open gemma-3n-E4B-it" });
    await fireEvent.click(open);
    await waitFor(() => expect(open.textContent).toContain("Cancel"));
    await fireEvent.click(open);
    await waitFor(() => expect(open.textContent).toContain("Open"));
    expect(client.state.state).toBe("none");
  });

  test("an open one leads to the chat and can be closed", async () => {
    await showModels();
    await fireEvent.click(screen.getByRole("button", { name: "Open Demo model" }));
    await screen.findByRole("button", { name: "Close Demo model" });
    await fireEvent.click(screen.getByRole("button", { name: "Ask something" }));
    await heading("New conversation");
  });

  test("a folder that has gone can be taken off the list", async () => {
    const failure = { code: "model_missing", message: "/gone is not there any more." } as const;
    const { client, slot } = await showModels((client) => {
      client.settings.settings.model_folders = ["/gone"];
      client.list.folders.push({ path: "/gone", is_own: false, models: [], failure, is_cut: false });
    });
    await waitFor(() => expect(slot("folder-gone")?.textContent).toContain("Put it back"));
    await fireEvent.click(screen.getByRole("button", { name: "Take off the list" }));
    await waitFor(() => expect(client.changes).toEqual([{ setting: "model_folders", value: [] }]));
  });
});

describe("settings", () => {
  async function showSettings(set: (client: MockClient) => void = () => {}) {
    const shown = show(set);
    await shown.press("5");
    await heading("Settings");
    return shown;
  }

  test("the theme and the text size dress the page", async () => {
    const { client } = await showSettings();
    await fireEvent.click(screen.getByRole("radio", { name: "Dark" }));
    await fireEvent.click(screen.getByRole("radio", { name: "Largest" }));
    expect(document.documentElement.dataset["theme"]).toBe("dark");
    expect(document.documentElement.dataset["textSize"]).toBe("largest");
    await waitFor(() => expect(client.changes.map(({ setting }) => setting)).toEqual(["theme", "text_size"]));
  });

  test("German is spoken as soon as it is chosen", async () => {
    await showSettings();
    await fireEvent.click(screen.getByRole("radio", { name: "Deutsch" }));
    await heading("Einstellungen");
  });

  test("a number makes the values the user's own; one out of range is refused in words", async () => {
    const { client } = await showSettings();
    const field = screen.getByLabelText<HTMLInputElement>("Temperature");
    await fireEvent.change(field, { target: { value: "7" } });
    expect((await screen.findByRole("alert")).textContent).toContain("from 0 to 2");
    expect(client.changes).toEqual([]);
    await fireEvent.change(field, { target: { value: "0.4" } });
    await waitFor(() => expect(client.changes).toHaveLength(1));
    expect(client.changes[0]?.value).toMatchObject({ preset: "custom", custom: { temperature: 0.4, top_k: null } });
  });

  test("without a tray there is nothing to keep running in", async () => {
    const { slot } = await showSettings((client) => (client.hasTray = false));
    await waitFor(() => expect(slot("close-to-tray")).toHaveProperty("disabled", true));
    expect(screen.getByText("This desktop has no tray that Sotto can use.")).toBeTruthy();
  });

  test("Ctrl+Enter sends where it is chosen, and Enter does not", async () => {
    const { client, press, slot } = await showSettings((client) => (client.start = "/models/a"));
    await fireEvent.click(screen.getByRole("radio", { name: /^Ctrl\+Enter/ }));
    await press("3");
    await waitFor(() => expect(slot("model-state")?.dataset["state"]).toBe("ready"));
    const question = slot("question") as HTMLElement;
    await fireEvent.input(question, { target: { value: "Why?" } });
    await fireEvent.keyDown(question, { key: "Enter" });
    expect(client.asked).toEqual([]);
    await fireEvent.keyDown(question, { key: "Enter", ctrlKey: true });
    await waitFor(() => expect(client.asked).toHaveLength(1));
  });

  test("nothing is erased without a question before", async () => {
    const { client, slot } = await showSettings();
    await waitFor(() => expect(slot("erase-all")).toBeTruthy());
    await fireEvent.click(slot("erase-all") as HTMLElement);
    expect(slot("confirm")?.textContent).toContain("Erase 12 conversations and 2 transcripts?");
    expect(client.library.threads).toBe(12);
    await fireEvent.click(slot("confirm-yes") as HTMLElement);
    await screen.findByText("All conversations and transcripts are erased.");
    expect(client.library.threads).toBe(0);
  });
});

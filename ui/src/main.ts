import { mount } from "svelte";

import "./app.css";
import { tauriClient, type Client } from "./lib/ipc/client";
import App from "./views/App.svelte";

async function client(): Promise<Client> {
  // `npm run dev` in a plain browser. The import falls out of the built UI.
  if (import.meta.env.DEV && !("__TAURI_INTERNALS__" in window)) {
    const { MockClient } = await import("./lib/ipc/mock");
    const mock = new MockClient();
    mock.delayMs = 150;
    mock.picked = ["/models/gemma-3n-example"];
    // The browser tests set the stage before the page comes up, and play on it later.
    const stage = window as { setStage?: (mock: unknown) => void; mock?: unknown };
    stage.setStage?.(mock);
    stage.mock = mock;
    return mock;
  }
  return tauriClient;
}

const target = document.getElementById("app");
if (target) mount(App, { target, props: { client: await client() } });

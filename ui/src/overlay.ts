import { mount } from "svelte";

import "./app.css";
import { tauriClient, type Client } from "./lib/ipc/client";
import Overlay from "./views/Overlay.svelte";

async function client(): Promise<Client> {
  // As in `main.ts`: `npm run dev` in a plain browser.
  if (import.meta.env.DEV && !("__TAURI_INTERNALS__" in window)) {
    const { MockClient } = await import("./lib/ipc/mock");
    const mock = new MockClient();
    const stage = window as { setStage?: (mock: unknown) => void; mock?: unknown };
    stage.setStage?.(mock);
    stage.mock = mock;
    return mock;
  }
  return tauriClient;
}

const target = document.getElementById("app");
if (target) mount(Overlay, { target, props: { client: await client() } });

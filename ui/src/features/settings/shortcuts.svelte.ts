import { ApiFailure, type Toggle, type Client, type ShortcutsState } from "../../lib/ipc/client";
import { combinationOf } from "./keys";

/** The keys that reach Sotto from every window. */
export class ShortcutsController {
  #client: Client;
  #state = $state.raw<ShortcutsState | null>(null);
  #failure = $state.raw<ApiFailure | null>(null);
  #asked = $state<Toggle | null>(null);

  constructor(client: Client) {
    this.#client = client;
  }

  /** Null until it was read. */
  get state(): ShortcutsState | null {
    return this.#state;
  }

  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** The action whose new keys are to be pressed now. */
  get asked(): Toggle | null {
    return this.#asked;
  }

  async read() {
    await this.#attempt(() => this.#client.shortcutsState());
  }

  ask(action: Toggle | null) {
    this.#asked = action;
  }

  /** A key while new ones are asked for; true if it was taken. */
  press(event: KeyboardEvent): boolean {
    const action = this.#asked;
    // Tab goes on, so that nobody is caught here.
    if (action === null || event.key === "Tab") return false;
    if (event.key === "Escape") this.#asked = null;
    else {
      const keys = combinationOf(event);
      if (keys !== null) void this.bind(action, keys);
    }
    return true;
  }

  /** Null takes the shortcut away. */
  async bind(action: Toggle, keys: string | null) {
    this.#asked = null;
    await this.#attempt(() => this.#client.bindShortcut(action, keys));
  }

  async #attempt(work: () => Promise<ShortcutsState>) {
    this.#failure = null;
    try {
      this.#state = await work();
    } catch (error) {
      this.#failure = ApiFailure.from(error);
    }
  }
}

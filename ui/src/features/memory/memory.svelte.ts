import type { Client, MemoryFigures } from "../../lib/ipc/client";

/** How often to look while the window is seen. */
const INTERVAL_MS = 2_000;

/** The memory that Sotto takes, as long as somebody can see it. */
export class MemoryController {
  #client: Client;
  #figures = $state.raw<MemoryFigures | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isWatching = false;

  constructor(client: Client) {
    this.#client = client;
  }

  get figures(): MemoryFigures | null {
    return this.#figures;
  }

  /** The returned function ends it. */
  watch(page: Document): () => void {
    const follow = () => (page.hidden ? this.#pause() : void this.#look());
    page.addEventListener("visibilitychange", follow);
    follow();
    return () => {
      page.removeEventListener("visibilitychange", follow);
      this.#pause();
    };
  }

  #pause() {
    this.#isWatching = false;
    clearTimeout(this.#timer);
  }

  async #look() {
    this.#isWatching = true;
    clearTimeout(this.#timer);
    // A figure that is missing is no reason to bother anyone.
    this.#figures = await this.#client.memoryFigures().catch(() => null);
    if (this.#isWatching) this.#timer = setTimeout(() => void this.#look(), INTERVAL_MS);
  }
}

import { ApiFailure, type Client, type LibraryState, type ThreadsImported } from "./ipc/client";

/** The conversations as a whole: where they are, taking them elsewhere, taking others in, erasing them. */
export class LibraryController {
  #client: Client;
  #onchange: () => void;
  #state = $state.raw<LibraryState | null>(null);
  #failure = $state.raw<ApiFailure | null>(null);
  #exported = $state.raw<{ threads: number; folder: string } | null>(null);
  #imported = $state.raw<ThreadsImported | null>(null);
  #isBusy = $state(false);

  /** `onchange` is told when the conversations are not those that they were. */
  constructor(client: Client, onchange: () => void) {
    this.#client = client;
    this.#onchange = onchange;
  }

  /** Null until `refresh` has been called, or if the library cannot be opened. */
  get state(): LibraryState | null {
    return this.#state;
  }

  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** What the last export wrote, and where. */
  get exported(): { threads: number; folder: string } | null {
    return this.#exported;
  }

  get imported(): ThreadsImported | null {
    return this.#imported;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  async refresh() {
    await this.#attempt(async () => {
      this.#state = await this.#client.libraryState();
    });
  }

  /** Writes every conversation into a folder that the user chooses. */
  async exportAll(title: string) {
    await this.#attempt(async () => {
      const folder = await this.#client.pickFolder(title);
      if (folder !== null) this.#exported = { threads: await this.#client.exportAll(folder), folder };
    });
  }

  /** Takes in the folder of an earlier `exportAll`. */
  async importAll(title: string) {
    await this.#import(() => this.#client.pickFolder(title));
  }

  /** Takes in the JSON file of one conversation. */
  async importFile(title: string, kind: string) {
    await this.#import(async () => {
      const [file] = await this.#client.pickFiles(title, [{ name: kind, extensions: ["json"] }], false);
      return file ?? null;
    });
  }

  /** Deletes every conversation and every file for good: the user was asked. */
  async erase() {
    await this.#attempt(async () => {
      await this.#client.eraseLibrary();
      this.#state = await this.#client.libraryState();
      this.#onchange();
    });
  }

  async #import(pick: () => Promise<string | null>) {
    await this.#attempt(async () => {
      const from = await pick();
      if (from === null) return;
      this.#imported = await this.#client.importThreads(from);
      this.#state = await this.#client.libraryState();
      this.#onchange();
    });
  }

  async #attempt(work: () => Promise<void>) {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#failure = null;
    this.#exported = null;
    this.#imported = null;
    try {
      await work();
    } catch (error) {
      this.#failure = ApiFailure.from(error);
    } finally {
      this.#isBusy = false;
    }
  }
}

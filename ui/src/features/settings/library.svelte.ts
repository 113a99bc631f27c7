import { m } from "../../lib/i18n/i18n.svelte";
import { ApiFailure, type Client, type LibraryState } from "../../lib/ipc/client";

/** All conversations together: where they are, and what can be done with the whole of them. */
export class LibraryController {
  #client: Client;
  #onchange: () => void;
  #state = $state.raw<LibraryState | null>(null);
  #blocked = $state.raw<ApiFailure | null>(null);
  #failure = $state.raw<ApiFailure | null>(null);
  #outcome = $state.raw<{ text: string; folder: string | null } | null>(null);
  #isWorking = $state(false);

  /** `onchange` is told when conversations came or went. */
  constructor(client: Client, onchange: () => void = () => {}) {
    this.#client = client;
    this.#onchange = onchange;
  }

  get state(): LibraryState | null {
    return this.#state;
  }

  /** Why nothing can be stored at all. */
  get blocked(): ApiFailure | null {
    return this.#blocked;
  }

  /** Why the last action came to nothing. */
  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** What the last action did, and where it can be looked at. */
  get outcome(): { text: string; folder: string | null } | null {
    return this.#outcome;
  }

  get isWorking(): boolean {
    return this.#isWorking;
  }

  /** Opens the library, or finds out why that cannot be done. True if it was closed before. */
  async check(): Promise<boolean> {
    const wasBlocked = this.#blocked !== null;
    try {
      this.#state = await this.#client.libraryState();
      this.#blocked = null;
    } catch (error) {
      this.#blocked = ApiFailure.from(error);
    }
    return wasBlocked && this.#blocked === null;
  }

  async retry() {
    if (await this.check()) this.#onchange();
  }

  async exportAll() {
    const folder = await this.#client.pickFolder(m.settings.exportTitle);
    if (folder === null) return;
    await this.#work(async () => {
      const n = await this.#client.exportAll(folder);
      return { text: m.settings.exported(n, folder), folder };
    });
  }

  async importFolder() {
    await this.#import(await this.#client.pickFolder(m.settings.importFolderTitle));
  }

  async importFile() {
    const kinds = [{ name: m.settings.exportedFiles, extensions: ["json"] }];
    const [file] = await this.#client.pickFiles(m.settings.importFileTitle, kinds, false);
    await this.#import(file ?? null);
  }

  async erase() {
    await this.#work(async () => {
      await this.#client.eraseLibrary();
      this.#onchange();
      return { text: m.settings.erased, folder: null };
    });
  }

  reveal(folder: string) {
    return this.#work(async () => {
      await this.#client.reveal(folder);
      return null;
    });
  }

  async #import(from: string | null) {
    if (from === null) return;
    await this.#work(async () => {
      const { added, known } = await this.#client.importThreads(from);
      if (added > 0) this.#onchange();
      return { text: m.settings.imported(added, known), folder: null };
    });
  }

  async #work(work: () => Promise<{ text: string; folder: string | null } | null>) {
    if (this.#isWorking) return;
    this.#isWorking = true;
    this.#failure = null;
    this.#outcome = null;
    try {
      this.#outcome = await work();
    } catch (error) {
      this.#failure = ApiFailure.from(error);
    }
    this.#isWorking = false;
    await this.check();
  }
}

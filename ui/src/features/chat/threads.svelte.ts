import { SvelteSet } from "svelte/reactivity";

import { exportName } from "../../lib/format";
import { ApiFailure, type Client, type ExportFormat, type SearchHit, type ThreadEntry } from "../../lib/ipc/client";
import { m } from "../../lib/i18n/i18n.svelte";
import { Search } from "../../lib/search.svelte";
import { jsonKind, markdownKind } from "./files";

/** The list of conversations, and what can be done with one of them. */
export class ThreadsController {
  #client: Client;
  #list = $state.raw<readonly ThreadEntry[]>([]);
  #failure = $state.raw<ApiFailure | null>(null);
  #isOpen = $state(false);
  readonly search = new Search<SearchHit>((query) => this.#attempt(() => this.#client.search(query)));
  /** Threads in which an answer is being written. */
  readonly writing = new SvelteSet<string>();
  /** Where the last export went. */
  exportedTo = $state.raw<string | null>(null);
  /** Told of a thread that was deleted. */
  ondelete: (thread: string) => void = () => {};

  constructor(client: Client) {
    this.#client = client;
  }

  /** Pinned ones first, then the latest. */
  get list(): readonly ThreadEntry[] {
    return this.#list;
  }

  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** Whether the library could be opened. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Opens the library. Resolves with its threads, or with null if it cannot be opened. */
  async open(): Promise<readonly ThreadEntry[] | null> {
    return (await this.#attempt(async () => {
      await this.#client.libraryState();
      this.#isOpen = true;
      await this.#load();
      return this.#list;
    })) ?? null;
  }

  /** Reads the list anew, after something has changed in the library. */
  async refresh() {
    await this.#attempt(() => this.#load());
    await this.search.refresh();
  }

  async rename(thread: ThreadEntry, title: string) {
    const words = title.trim();
    if (words === "" || words === thread.title) return;
    await this.#change(() => this.#client.renameThread(thread.id, words));
  }

  async pin(thread: ThreadEntry, pinned: boolean) {
    await this.#change(() => this.#client.pinThread(thread.id, pinned));
  }

  /** For good: the user was asked. */
  async delete(thread: ThreadEntry) {
    const done = await this.#change(() => this.#client.deleteThread(thread.id));
    if (done) this.ondelete(thread.id);
  }

  async export(thread: ThreadEntry, format: ExportFormat) {
    const kind = format === "markdown" ? markdownKind() : jsonKind();
    const name = exportName(thread.title, kind.extensions[0]);
    this.exportedTo = null;
    await this.#attempt(async () => {
      const to = await this.#client.pickSave(m.chat.exportTitle, name, kind);
      if (to === null) return;
      await this.#client.exportThread(thread.id, format, to);
      this.exportedTo = to;
    });
  }

  /** The user has read it. */
  dismiss() {
    this.#failure = null;
    this.exportedTo = null;
  }

  async #load() {
    this.#list = await this.#client.threads();
  }

  async #change(change: () => Promise<void>): Promise<boolean> {
    const done = await this.#attempt(async () => {
      await change();
      return true;
    });
    const { failure } = this;
    await this.refresh();
    this.#failure = failure;
    return done === true;
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    this.#failure = null;
    try {
      return await work();
    } catch (error) {
      this.#failure = ApiFailure.from(error);
      return undefined;
    }
  }
}

/** How long the typing has to rest before anything is searched. */
const REST_MS = 120;

/** What is typed into a search box, and what it finds. */
export class Search<Hit> {
  #find: (query: string) => Promise<readonly Hit[] | undefined>;
  #query = $state("");
  #hits = $state.raw<readonly Hit[] | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** The search resolves with undefined if it failed: the last hits stay then. */
  constructor(find: (query: string) => Promise<readonly Hit[] | undefined>) {
    this.#find = find;
  }

  get query(): string {
    return this.#query;
  }

  set query(query: string) {
    this.#query = query;
    clearTimeout(this.#timer);
    if (query.trim() === "") this.#hits = null;
    else this.#timer = setTimeout(() => void this.#run(query), REST_MS);
  }

  /** What was found; null while nothing is searched for. */
  get hits(): readonly Hit[] | null {
    return this.#hits;
  }

  /** Searches anew, after something has changed. */
  async refresh() {
    if (this.#hits !== null) await this.#run(this.#query);
  }

  async #run(query: string) {
    const hits = await this.#find(query);
    // The user may have typed on meanwhile.
    if (hits && query === this.#query) this.#hits = hits;
  }
}

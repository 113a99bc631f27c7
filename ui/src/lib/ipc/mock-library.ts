/** A scripted stand-in for the conversations on the Rust side, kept in memory. */
import type { MessagePart, NoteEvent, Notice, StoredMessage, ThreadEntry, ThreadView, Waveform } from "./library";
import type { Attached, ChatEvent, DoneReason, ExportFormat, LibraryClient, LibraryState, Retry, SearchHit, Send } from "./library";
import { ApiFailure } from "./reply";

interface MockThread {
  entry: ThreadEntry;
  messages: StoredMessage[];
  leaf: string | null;
}

const textOf = (parts: readonly MessagePart[]) =>
  parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");

/** A grey square of one pixel. */
const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";

export class MockLibrary implements LibraryClient {
  library: LibraryState = { folder: "/home/ada/.local/share/sotto", bytes: 3.4e6, threads: 12, transcripts: 2 };
  /** Why the library cannot be used. */
  libraryFailure: ApiFailure | null = null;
  /** Rejections to come, one for each next call. */
  attachFailures: ApiFailure[] = [];
  /** Before the question is stored, and after. */
  sendFailures: ApiFailure[] = [];
  askFailures: ApiFailure[] = [];
  summaryFailures: ApiFailure[] = [];
  exportFailures: ApiFailure[] = [];

  answer = ["This ", "answer ", "is ", "scripted."];
  reason: DoneReason = "stop";
  /** Positions of the context that the next answer fills up to. */
  contextTokens = 16;
  notice: Notice | null = null;
  /** What a voice note hears before it waits for its end. */
  noteEvents: NoteEvent[] = [
    { event: "listening", device: "Built-in microphone" },
    ...[0.02, 0.3, 0.7, 0.15].map((peak, i): NoteEvent => ({ event: "level", peak, elapsed_ms: 1000 * (i + 1) })),
  ];
  noteFailures: ApiFailure[] = [];
  title: string | null = null;
  summary = "We spoke of scripts.";
  /** Pause before each step of opening and each token. */
  delayMs = 0;
  /** What the dialog for saving returns. */
  savePath: string | null = "/home/ada/export";

  readonly asked: (Send | Retry)[] = [];
  readonly titled: string[] = [];
  readonly exports: string[] = [];
  readonly imports: string[] = [];
  readonly exported: [string, ExportFormat, string][] = [];
  readonly discarded: string[] = [];
  /** Whether the voice notes that were ended were to be kept. */
  readonly noteEnds: boolean[] = [];
  #endNote: (keep: boolean) => void = () => {};
  readonly openedOutside: string[] = [];
  #threads: MockThread[] = [];
  #stopped = new Set<string>();
  #ids = 0;
  #clock = Date.UTC(2026, 0, 5, 12);

  async libraryState() {
    if (this.libraryFailure) throw this.libraryFailure;
    return this.library;
  }

  async threads() {
    const order = (a: ThreadEntry, b: ThreadEntry) =>
      Number(b.pinned) - Number(a.pinned) || b.updated_ms - a.updated_ms;
    return this.#threads.map((thread) => ({ ...thread.entry })).sort(order);
  }

  async openThread(id: string, message: string | null): Promise<ThreadView> {
    const thread = this.#find(id);
    if (message !== null) {
      let leaf = message;
      for (;;) {
        const next = thread.messages.findLast((other) => other.parent === leaf);
        if (!next) break;
        leaf = next.id;
      }
      thread.leaf = leaf;
    }
    return { thread: { ...thread.entry }, messages: structuredClone(this.#branch(thread)) };
  }

  async renameThread(id: string, title: string) {
    this.#find(id).entry.title = title;
  }

  async pinThread(id: string, pinned: boolean) {
    this.#find(id).entry.pinned = pinned;
  }

  async deleteThread(id: string) {
    this.#find(id);
    this.#threads = this.#threads.filter((thread) => thread.entry.id !== id);
  }

  async search(query: string): Promise<SearchHit[]> {
    const wanted = query.toLowerCase();
    return this.#threads.flatMap((thread): SearchHit[] => {
      if (thread.entry.title.toLowerCase().includes(wanted)) return [{ thread: thread.entry, message: null, excerpt: [] }];
      const message = thread.messages.find((message) => textOf(message.parts).toLowerCase().includes(wanted));
      if (!message) return [];
      return [{ thread: thread.entry, message: message.id, excerpt: [{ text: query, found: true }] }];
    });
  }

  async exportThread(thread: string, format: ExportFormat, to: string) {
    const failure = this.exportFailures.shift();
    if (failure) throw failure;
    this.exported.push([thread, format, to]);
  }

  async exportAll(folder: string) {
    this.exports.push(folder);
    return this.library.threads;
  }

  async importThreads(from: string) {
    this.imports.push(from);
    return { added: 2, known: 1 };
  }

  async eraseLibrary() {
    this.#threads = [];
    this.library = { ...this.library, threads: 0, transcripts: 0, bytes: 98_304 };
  }

  async send(send: Send, on: (event: ChatEvent) => void) {
    const failure = this.sendFailures.shift();
    if (failure) throw failure;
    this.asked.push(send);
    let thread = this.#threads.find((thread) => thread.entry.id === send.thread);
    if (!thread) {
      const entry = { id: this.#id("thread"), title: textOf(send.parts), pinned: false, created_ms: 0, updated_ms: 0 };
      thread = { entry, messages: [], leaf: null };
      this.#threads.push(thread);
    }
    const question = this.#add(thread, "user", send.parent, send.parts);
    await this.#write(thread, question, send.run, on);
  }

  async retry(retry: Retry, on: (event: ChatEvent) => void) {
    this.asked.push(retry);
    const has = (thread: MockThread) => thread.messages.find((message) => message.id === retry.question);
    const thread = this.#threads.find(has);
    const question = thread && has(thread);
    if (!thread || !question) throw new ApiFailure("gone", "This question is not there any more.");
    await this.#write(thread, question, retry.run, on);
  }

  async titleThread(id: string) {
    this.titled.push(id);
    if (this.title === null) return null;
    const { entry } = this.#find(id);
    entry.title = this.title;
    return { ...entry };
  }

  async summariseThread(_: string, run: string) {
    await this.pause();
    const failure = this.summaryFailures.shift();
    if (failure) throw failure;
    if (this.#stopped.has(run)) throw new ApiFailure("cancelled", "It was cancelled.");
    return this.summary;
  }

  async stop(run: string) {
    this.#stopped.add(run);
  }

  async attach(path: string): Promise<Attached> {
    await this.pause();
    const failure = this.attachFailures.shift();
    if (failure) throw failure;
    const name = path.split("/").at(-1) ?? path;
    const extension = name.split(".").at(-1)?.toLowerCase() ?? "";
    const { notice } = this;
    if (["png", "jpg"].includes(extension)) return { part: { type: "picture", file: name, name, bytes: 1024 }, notice };
    if (["wav", "mp3"].includes(extension)) return { part: { type: "sound", file: name, name, bytes: 4096 }, notice };
    return { part: { type: "quote", name, text: `The text of ${name}.` }, notice };
  }

  attachPasted = async (name: string): Promise<Attached> => this.attach(`/pasted/${name}`);

  async recordNote(_: string, name: string, on: (event: NoteEvent) => void): Promise<Attached> {
    const ended = new Promise<boolean>((resolve) => (this.#endNote = resolve));
    for (const event of this.noteEvents) {
      await this.pause();
      on(event);
    }
    const failure = this.noteFailures.shift();
    if (failure) throw failure;
    if (!(await ended)) throw new ApiFailure("cancelled", "The recording was cancelled.");
    return this.attach(`/recorded/${name}.wav`);
  }

  async endNote(_: string, keep: boolean) {
    this.noteEnds.push(keep);
    this.#endNote(keep);
  }

  async discardFile(file: string) {
    this.discarded.push(file);
  }

  preview = async () => PIXEL;
  waveform = async (): Promise<Waveform> => ({ seconds: 2.5, peaks: [0.1, 0.8, 0.4, 0.2] });

  async openFile(file: string) {
    this.openedOutside.push(file);
  }

  async openLink(address: string) {
    this.openedOutside.push(address);
  }

  pickSave = async () => this.savePath;

  /** Puts a conversation into the library, as if it had been there before. */
  keep(title: string, ...texts: string[]): string {
    const id = this.#id("thread");
    const entry = { id, title, pinned: false, created_ms: this.#clock, updated_ms: this.#clock };
    const thread: MockThread = { entry, messages: [], leaf: null };
    this.#threads.push(thread);
    texts.forEach((text, i) =>
      this.#add(thread, i % 2 === 0 ? "user" : "assistant", thread.leaf, [{ type: "text", text }]),
    );
    return id;
  }

  /** The last message of the branch that is shown, to be changed as a test needs it. */
  lastMessage(thread: string): StoredMessage {
    const last = this.#branch(this.#find(thread)).at(-1);
    if (!last) throw new Error(`${thread} is empty`);
    return last;
  }

  protected pause() {
    return new Promise<void>((resolve) => setTimeout(resolve, this.delayMs));
  }

  async #write(thread: MockThread, question: StoredMessage, run: string, on: (event: ChatEvent) => void) {
    const answer = this.#add(thread, "assistant", question.id, [{ type: "text", text: "" }]);
    answer.state = "streaming";
    on({ event: "stored", thread: { ...thread.entry }, question: question.id, answer: answer.id });
    const failure = this.askFailures.shift();
    if (failure) {
      answer.state = "failed";
      answer.failure = { code: failure.code, message: failure.message };
      throw failure;
    }
    let completion_tokens = 0;
    let reason = this.reason;
    let written = "";
    for (const text of this.answer) {
      await this.pause();
      if (this.#stopped.has(run)) {
        reason = "cancelled";
        break;
      }
      written += text;
      answer.parts = [{ type: "text", text: written }];
      on({ event: "token", id: completion_tokens++, text });
    }
    const figures = {
      context_full: false,
      prompt_tokens: 12,
      completion_tokens,
      context_tokens: this.contextTokens,
      time_to_first_token_ms: 180,
      prefill_tokens_per_second: 66.7,
      decode_tokens_per_second: 9.25,
    };
    answer.state = reason === "cancelled" ? "stopped" : reason === "length" ? "cut" : "complete";
    answer.figures = figures;
    on({ event: "done", reason, ...figures });
  }

  #add(thread: MockThread, role: StoredMessage["role"], parent: string | null, parts: MessagePart[]): StoredMessage {
    const created_ms = (this.#clock += 60_000);
    const id = this.#id(role);
    const nothing = { model: null, failure: null, figures: null, siblings: [] };
    const message: StoredMessage = { id, parent, role, state: "complete", parts, created_ms, ...nothing };
    thread.messages.push(message);
    thread.leaf = id;
    thread.entry.updated_ms = created_ms;
    const siblings = thread.messages.filter((other) => other.parent === parent);
    for (const sibling of siblings) sibling.siblings = siblings.map((other) => other.id);
    return message;
  }

  #branch(thread: MockThread): StoredMessage[] {
    const branch: StoredMessage[] = [];
    let id = thread.leaf;
    while (id !== null) {
      const message = thread.messages.find((message) => message.id === id);
      if (!message) break;
      branch.unshift(message);
      id = message.parent;
    }
    return branch;
  }

  #find(id: string): MockThread {
    const thread = this.#threads.find((thread) => thread.entry.id === id);
    if (!thread) throw new ApiFailure("gone", "This conversation is not there any more.");
    return thread;
  }

  #id(kind: string) {
    return `${kind}-${this.#ids++}`;
  }
}

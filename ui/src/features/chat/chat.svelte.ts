import { ApiFailure, type ChatEvent, type Client, type ThreadEntry } from "../../lib/ipc/client";
import { m } from "../../lib/i18n/i18n.svelte";
import { Draft } from "./draft.svelte";
import { NoteRecorder } from "./note.svelte";
import type { ThreadsController } from "./threads.svelte";
import { Answer, Question, turnOf, type Turn } from "./turns.svelte";

/** How long nothing must happen before the model may think of a title. */
const IDLE_MS = 1_500;

/** From this share of the context on, the user is told that the conversation will not go on for long. */
const NEARLY_FULL = 0.8;

/** The draft of the thread that is not begun. */
const NEW = "";

/** One conversation on the page, the question that is being written, and the answers on their way. */
export class ChatController {
  #client: Client;
  #threads: ThreadsController;
  #idleMs: number;
  #thread = $state.raw<ThreadEntry | null>(null);
  #turns = $state.raw<readonly Turn[]>([]);
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- the page reads the draft at hand alone
  #drafts = new Map<string, Draft>();
  #draft = $state.raw() as Draft;
  #failure = $state.raw<ApiFailure | null>(null);
  #target = $state.raw<string | null>(null);
  #announcement = $state("");
  /** The answers that are written now, also in threads that are not on the page. */
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- the page reads `writing` of the threads
  #live = new Map<string, Answer>();
  /** Changes whenever another place is shown: what was asked for one must not appear in another. */
  #place = {};
  #isSending = $state(false);
  #summaryRun = $state.raw<string | null>(null);
  #titleRun: string | null = null;
  #titleTimer: ReturnType<typeof setTimeout> | undefined;

  /** What the microphone hears goes to the question that is on the page when it ends. */
  readonly note: NoteRecorder;
  /** Tokens that the open model can keep in mind; null while none is open. */
  context = $state.raw<number | null>(null);

  readonly isEmpty = $derived(this.#turns.length === 0);
  readonly #writing = $derived.by(() => {
    const last = this.#turns.at(-1);
    return last?.kind === "answer" && last.run !== null ? last : null;
  });
  readonly isAnswering = $derived(this.#writing !== null);
  readonly isStopping = $derived(this.#writing?.isStopping ?? false);
  readonly hasDraft = $derived(!this.#draft.isEmpty && !this.#draft.isReading);

  /** Tokens of the context that the conversation takes, as far as it was measured. */
  readonly contextTokens = $derived.by(() => {
    const measured = this.#turns.findLast((turn): turn is Answer => turn.kind === "answer" && turn.figures !== null);
    return measured?.figures?.context_tokens ?? 0;
  });
  readonly isFull = $derived.by(() => {
    const last = this.#turns.at(-1);
    return last?.kind === "answer" && (last.figures?.context_full === true || last.failure?.code === "too_long");
  });
  readonly isNearlyFull = $derived(
    this.isFull || (this.context !== null && this.contextTokens >= this.context * NEARLY_FULL),
  );

  constructor(client: Client, threads: ThreadsController, idleMs = IDLE_MS) {
    this.#client = client;
    this.#threads = threads;
    this.#idleMs = idleMs;
    this.#draft = this.#draftOf(NEW);
    this.note = new NoteRecorder(client, (note) => this.#draft.take(note));
    threads.ondelete = (thread) => this.#deleted(thread);
  }

  /** The thread on the page; null before its first question is stored. */
  get thread(): ThreadEntry | null {
    const id = this.#thread?.id;
    return this.#threads.list.find((entry) => entry.id === id) ?? this.#thread;
  }

  get turns(): readonly Turn[] {
    return this.#turns;
  }

  get draft(): Draft {
    return this.#draft;
  }

  /** Why a question could not be stored, or a thread not be shown. */
  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** For screen readers: what has just ended. */
  get announcement(): string {
    return this.#announcement;
  }

  /** The message that was looked for, to be brought into view. */
  get target(): string | null {
    return this.#target;
  }

  get isSummarising(): boolean {
    return this.#summaryRun !== null;
  }

  /** Shows what was talked about last, or an empty page. */
  async start() {
    const threads = await this.#threads.open();
    const last = threads?.reduce<ThreadEntry | null>((a, b) => (a && a.updated_ms >= b.updated_ms ? a : b), null);
    if (last && this.isEmpty && this.#draft.isEmpty) await this.open(last.id);
  }

  /** Shows a thread; with a message, the branch that goes through it. */
  async open(thread: string, message: string | null = null) {
    const place = this.#leave(thread);
    try {
      const view = await this.#client.openThread(thread, message);
      if (place !== this.#place) return;
      this.#thread = view.thread;
      this.#turns = view.messages.map((stored) => this.#live.get(stored.id) ?? turnOf(stored));
      this.#target = message;
    } catch (error) {
      if (place !== this.#place) return;
      this.#thread = null;
      this.#turns = [];
      this.#failure = ApiFailure.from(error);
    }
  }

  /** An empty page; an answer on its way goes on in its own thread. */
  newConversation() {
    this.#leave(NEW);
    this.#thread = null;
    this.#turns = [];
  }

  /** Resolves when the answer has ended. */
  async send() {
    if (this.isAnswering || this.#isSending || !this.hasDraft) return;
    const draft = this.#draft;
    const parent = this.#turns.at(-1)?.id ?? null;
    await this.#ask(draft.parts, parent, null, () => draft.clear());
  }

  /** Asks a question of this conversation in other words; the old one stays as another branch. */
  async edit(question: Question, text: string) {
    if (this.isAnswering || this.#isSending || (text.trim() === "" && question.files.length === 0)) return;
    const words = text.trim();
    const parts = [...question.files, ...(words === "" ? [] : [{ type: "text" as const, text: words }])];
    await this.#ask(parts, question.parent, question, () => {});
  }

  /** Has a question answered once more. */
  async retry(answer: Answer) {
    if (this.isAnswering || this.#isSending) return;
    const thread = this.#thread;
    const question = this.#turns.find((turn) => turn.id === answer.question);
    if (!thread || question?.kind !== "question") return;
    const run = crypto.randomUUID();
    const place = this.#place;
    await this.#run((on) => this.#client.retry({ run, question: question.id, options: {} }, on), {
      run,
      stored: ({ answer: id }) => {
        const again = new Answer(id, question.id, [...answer.siblings, id]);
        if (place === this.#place) this.#turns = [...this.#upTo(question.id), again];
        return again;
      },
    });
  }

  /** Ends the answer that is being written here. */
  async stop() {
    if (this.#summaryRun !== null) return this.#client.stop(this.#summaryRun);
    const answer = this.#writing;
    if (!answer || answer.run === null) return;
    answer.isStopping = true;
    await this.#client.stop(answer.run);
  }

  /** Shows another version of a question or an answer. */
  async choose(message: string) {
    if (this.#thread) await this.open(this.#thread.id, message);
  }

  /** Begins a new conversation that knows what was said in this one. */
  async continueWithSummary() {
    const thread = this.thread;
    if (!thread || this.isAnswering || this.#summaryRun !== null) return;
    this.#cancelTitle();
    this.#failure = null;
    this.#summaryRun = crypto.randomUUID();
    const place = this.#place;
    try {
      const summary = await this.#client.summariseThread(thread.id, this.#summaryRun);
      if (place !== this.#place) return;
      this.newConversation();
      this.#draft.put([{ type: "quote", name: m.chat.summaryName(thread.title), text: m.chat.summaryText(summary) }]);
    } catch (error) {
      const failure = ApiFailure.from(error);
      if (place === this.#place && failure.code !== "cancelled") this.#failure = failure;
    } finally {
      this.#summaryRun = null;
    }
  }

  /** The user has read it. */
  dismiss() {
    this.#failure = null;
  }

  async #ask(parts: Question["parts"], parent: string | null, old: Question | null, onstored: () => void) {
    const run = crypto.randomUUID();
    const place = this.#place;
    const send = { run, thread: this.#thread?.id ?? null, parent, parts: [...parts], options: {} };
    await this.#run((on) => this.#client.send(send, on), {
      run,
      stored: ({ thread, question: id, answer: answerId }) => {
        onstored();
        const question = new Question(id, parent, parts, [...(old?.siblings ?? []), id]);
        const answer = new Answer(answerId, id, [answerId]);
        if (place === this.#place) {
          if (!this.#thread) this.#rekey(thread.id);
          this.#thread = thread;
          this.#turns = [...this.#upTo(parent), question, answer];
        }
        return answer;
      },
    });
  }

  /** Reads the events of an answer. Until its question is stored, a failure belongs to the page. */
  async #run(
    ask: (on: (event: ChatEvent) => void) => Promise<void>,
    { run, stored }: { run: string; stored: (event: Extract<ChatEvent, { event: "stored" }>) => Answer },
  ) {
    this.#cancelTitle();
    this.#failure = null;
    this.#announcement = "";
    this.#isSending = true;
    const place = this.#place;
    let answer: Answer | null = null;
    let thread = "";
    let failure: ApiFailure | null = null;
    try {
      await ask((event) => {
        if (event.event !== "stored") return answer?.hear(event);
        thread = event.thread.id;
        answer = stored(event);
        answer.run = run;
        this.#isSending = false;
        this.#live.set(answer.id, answer);
        this.#threads.writing.add(thread);
        void this.#threads.refresh();
      });
    } catch (error) {
      failure = ApiFailure.from(error);
    }
    this.#isSending = false;
    const ended = answer as Answer | null; // set in the closure, which TypeScript does not follow
    if (!ended) {
      if (place === this.#place) this.#failure = failure;
      return;
    }
    ended.end(failure);
    this.#live.delete(ended.id);
    this.#threads.writing.delete(thread);
    if (this.#turns.includes(ended)) {
      if (ended.state === "stopped") this.#announcement = m.chat.stopped;
      else if (!ended.failure) this.#announcement = m.chat.announced(ended.text);
    }
    await this.#threads.refresh();
    if (ended.state === "complete" || ended.state === "cut") this.#titleWhenIdle(thread);
  }

  /** The library says whether the thread needs a title at all. */
  #titleWhenIdle(thread: string) {
    if (this.#thread?.id !== thread || this.#turns.length > 2) return;
    this.#cancelTitle();
    this.#titleTimer = setTimeout(async () => {
      if (this.#live.size > 0) return;
      const run = crypto.randomUUID();
      this.#titleRun = run;
      // A title is a nicety: without one, the thread goes by its first question.
      const titled = await this.#client.titleThread(thread, run).catch(() => null);
      if (this.#titleRun === run) this.#titleRun = null;
      if (titled) await this.#threads.refresh();
    }, this.#idleMs);
  }

  #cancelTitle() {
    clearTimeout(this.#titleTimer);
    if (this.#titleRun !== null) void this.#client.stop(this.#titleRun);
    this.#titleRun = null;
  }

  /** Everything up to a message; nothing for null. */
  #upTo(message: string | null): readonly Turn[] {
    return this.#turns.slice(0, this.#turns.findIndex((turn) => turn.id === message) + 1);
  }

  #leave(next: string): object {
    this.#place = {};
    this.#failure = null;
    this.#target = null;
    this.#announcement = "";
    this.#draft = this.#draftOf(next);
    return this.#place;
  }

  #draftOf(thread: string): Draft {
    let draft = this.#drafts.get(thread);
    if (!draft) this.#drafts.set(thread, (draft = new Draft(this.#client)));
    return draft;
  }

  /** The draft of the new thread is now the draft of this one. */
  #rekey(thread: string) {
    this.#drafts.set(thread, this.#draft);
    this.#drafts.delete(NEW);
  }

  /** The library as a whole was changed: what is on the page may be gone. */
  async libraryChanged() {
    await this.#threads.open();
    if (this.#thread && !this.#threads.list.some((entry) => entry.id === this.#thread?.id)) this.newConversation();
    else if (this.isEmpty) await this.start();
  }

  /** An answer on its way there ends by itself: it has no place to be written to. */
  #deleted(thread: string) {
    this.#drafts.delete(thread);
    if (this.#thread?.id === thread) this.newConversation();
  }
}

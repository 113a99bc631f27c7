import { ApiFailure, type Client, type Done, type ErrorCode } from "../../lib/ipc/client";
import { attachmentOf, partsOf, type Attachment } from "./attachments";

export interface Question {
  kind: "question";
  id: number;
  text: string;
  attachments: Attachment[];
}

export interface Answer {
  kind: "answer";
  id: number;
  text: string;
  /** What Sotto had to say about the question's files. */
  notices: string[];
  /** The share of the question that the model has read, 0 to 1. */
  read: number;
  /** Set at its end, unless it failed. */
  done: Done | null;
  failure: ApiFailure | null;
}

export interface Note {
  kind: "note";
  id: number;
  text: string;
}

export type Turn = Question | Answer | Note;

/** What can be done about a failed answer. */
export type Remedy = "retry" | "edit" | "new_conversation" | "choose_model";

export function remedyFor(code: ErrorCode): Remedy {
  switch (code) {
    case "model_missing":
    case "model_broken":
      return "choose_model";
    case "too_long":
      return "new_conversation";
    case "input_unreadable":
    case "unsupported":
    case "gone":
      return "edit";
    case "busy":
    case "storage":
    case "out_of_memory":
    case "cancelled":
    case "internal":
      return "retry";
  }
}

/** One conversation, the question that is being written, and the answer that is being read. */
export class ChatController {
  #client: Client;
  #turns = $state<Turn[]>([]);
  #conversation: string = crypto.randomUUID();
  #answer = $state.raw<Answer | null>(null);
  #isStopping = $state(false);
  #announcement = $state("");
  #nextId = 0;
  /** The ask on its way, even if its conversation has been left. */
  #run: Promise<void> = Promise.resolve();

  /** The question in the box. */
  draft = $state("");
  attachments = $state<Attachment[]>([]);
  /** Why the last file was not attached. */
  refusal = $state("");

  readonly isEmpty = $derived(this.#turns.length === 0);
  readonly isAnswering = $derived(this.#answer !== null);
  readonly hasDraft = $derived(this.draft.trim() !== "" || this.attachments.length > 0);

  constructor(client: Client) {
    this.#client = client;
  }

  get turns(): readonly Turn[] {
    return this.#turns;
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** For screen readers: what has just ended. */
  get announcement(): string {
    return this.#announcement;
  }

  attach(paths: readonly string[]) {
    this.refusal = "";
    for (const path of paths) {
      const attachment = attachmentOf(path);
      if (!attachment) this.refusal = `${path} is neither a picture nor a sound that Sotto can read.`;
      else if (!this.attachments.some((other) => other.path === path)) this.attachments.push(attachment);
    }
  }

  detach(attachment: Attachment) {
    this.attachments = this.attachments.filter((other) => other.path !== attachment.path);
  }

  /** Resolves when the answer has ended. */
  async send() {
    if (this.isAnswering || !this.hasDraft) return;
    const text = this.draft.trim();
    const attachments = [...this.attachments];
    this.draft = "";
    this.attachments = [];
    this.refusal = "";
    this.#turns.push({ kind: "question", id: this.#nextId++, text, attachments });
    await this.#ask(text, attachments);
  }

  async stop() {
    if (!this.isAnswering) return;
    this.#isStopping = true;
    await this.#client.stop(this.#conversation);
  }

  /** Leaves this conversation for an empty one. */
  async newConversation() {
    const left = this.isAnswering ? this.#conversation : null;
    this.#turns = [];
    this.#begin();
    if (left !== null) await this.#client.stop(left);
  }

  /** A model that was just opened remembers nothing: what is on the page stays, and a new conversation begins below. */
  async modelChanged() {
    if (this.isEmpty) return;
    const left = this.isAnswering ? this.#conversation : null;
    const text = "The model was opened anew. It does not know what is written above.";
    if (this.#turns.at(-1)?.kind !== "note") this.#turns.push({ kind: "note", id: this.#nextId++, text });
    this.#begin();
    if (left !== null) await this.#client.stop(left);
  }

  /** Asks the question of a failed answer again. */
  async retry() {
    const question = this.#takeBackFailed();
    if (!question) return;
    this.#turns.push(question);
    await this.#ask(question.text, question.attachments);
  }

  /** Puts the question of a failed answer back into the box. */
  edit() {
    const question = this.#takeBackFailed();
    if (!question) return;
    this.draft = question.text;
    this.attachments = [...question.attachments];
  }

  #begin() {
    this.#conversation = crypto.randomUUID();
    this.#answer = null;
    this.#isStopping = false;
    this.#announcement = "";
  }

  /** Removes the last question with its failed answer from the page. */
  #takeBackFailed(): Question | null {
    const [question, answer] = this.#turns.slice(-2);
    if (question?.kind !== "question" || answer?.kind !== "answer" || !answer.failure) return null;
    this.#turns.splice(-2);
    return $state.snapshot(question);
  }

  async #ask(text: string, attachments: readonly Attachment[]) {
    this.#turns.push({ kind: "answer", id: this.#nextId++, text: "", notices: [], read: 0, done: null, failure: null });
    const answer = this.#turns.at(-1) as Answer; // through the array, so that the page sees its changes
    this.#answer = answer;
    this.#announcement = "";
    const before = this.#run;
    const run = before.then(() => this.#read(answer, text, attachments));
    this.#run = run;
    await run;
  }

  async #read(answer: Answer, text: string, attachments: readonly Attachment[]) {
    if (this.#answer !== answer) return; // left before it began
    const conversation = this.#conversation;
    const ask = { conversation, parts: partsOf(text, attachments), options: {} };
    let isStopHeard = false;
    try {
      await this.#client.ask(ask, (event) => {
        if (event.event === "notice") answer.notices.push(event.text);
        else if (event.event === "prefill") answer.read = event.done / event.total;
        else if (event.event === "token") answer.text += event.text;
        else if (event.event === "done") {
          answer.text += event.text ?? "";
          answer.done = event;
        }
        // A stop that came before the ask had begun found nothing to stop.
        if (event.event !== "done" && this.#answer === answer && this.#isStopping && !isStopHeard) {
          isStopHeard = true;
          void this.#client.stop(conversation);
        }
      });
    } catch (error) {
      answer.failure = ApiFailure.from(error);
    }
    if (this.#answer !== answer) return;
    this.#answer = null;
    this.#isStopping = false;
    if (!answer.failure) {
      this.#announcement = answer.done?.reason === "cancelled" ? "Stopped." : `Sotto: ${answer.text}`;
    }
  }
}

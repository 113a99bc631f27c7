/** What a conversation is made of on the page: questions and answers, each a message of the library. */
import { ApiFailure } from "../../lib/ipc/client";
import type { ChatEvent, ErrorCode, Figures, MessagePart, MessageState, Notice, StoredMessage } from "../../lib/ipc/client";

export class Question {
  readonly kind = "question";
  readonly id: string;
  /** The answer that it follows; null at the start. */
  readonly parent: string | null;
  readonly parts: readonly MessagePart[];
  /** Its versions, itself among them. */
  siblings = $state.raw<readonly string[]>([]);

  constructor(id: string, parent: string | null, parts: readonly MessagePart[], siblings: readonly string[]) {
    this.id = id;
    this.parent = parent;
    this.parts = parts;
    this.siblings = siblings;
  }

  get text(): string {
    return textOf(this.parts);
  }

  get files(): readonly MessagePart[] {
    return this.parts.filter((part) => part.type !== "text");
  }
}

export class Answer {
  readonly kind = "answer";
  readonly id: string;
  readonly question: string;
  siblings = $state.raw<readonly string[]>([]);
  text = $state("");
  state = $state<MessageState>("streaming");
  figures = $state.raw<Figures | null>(null);
  failure = $state.raw<ApiFailure | null>(null);
  /** What Sotto had to say about the question's files. */
  notices = $state<Notice[]>([]);
  /** The share of the question that the model has read, 0 to 1. */
  read = $state(0);
  /** While it is written: what to stop it by. */
  run = $state.raw<string | null>(null);
  isStopping = $state(false);

  constructor(id: string, question: string, siblings: readonly string[]) {
    this.id = id;
    this.question = question;
    this.siblings = siblings;
  }

  get isCutShort(): boolean {
    return this.state === "stopped" || this.state === "interrupted" || this.state === "cut";
  }

  hear(event: ChatEvent) {
    if (event.event === "notice") this.notices.push({ text: event.text, about: event.about });
    else if (event.event === "prefill") this.read = event.done / event.total;
    else if (event.event === "token") this.text += event.text;
    else if (event.event === "done") {
      const { reason } = event;
      this.text += event.text ?? "";
      this.state = reason === "cancelled" ? "stopped" : reason === "length" ? "cut" : "complete";
      this.figures = event;
    }
  }

  /** Nothing more comes. */
  end(failure: ApiFailure | null) {
    this.run = null;
    this.isStopping = false;
    if (failure?.code === "cancelled") this.state = "stopped";
    else if (failure && this.state === "streaming") {
      this.state = "failed";
      this.failure = failure;
    } else if (failure) this.notices.push({ text: failure.message, about: { kind: "not_saved" } });
    else if (this.state === "streaming") this.state = "interrupted";
  }
}

export type Turn = Question | Answer;

export function turnOf(message: StoredMessage): Turn {
  const { id, parent, parts, siblings } = message;
  if (message.role === "user") return new Question(id, parent, parts, siblings);
  const answer = new Answer(id, parent ?? "", siblings);
  answer.text = textOf(parts);
  answer.state = message.state;
  answer.figures = message.figures;
  if (message.failure) answer.failure = ApiFailure.from(message.failure);
  return answer;
}

const textOf = (parts: readonly MessagePart[]) =>
  parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");

/** What can be done about a failure. */
export type Remedy = "retry" | "edit" | "new_conversation" | "choose_model";

export function remedyFor(code: ErrorCode): Remedy {
  switch (code) {
    case "model_missing":
    case "model_broken":
      return "choose_model";
    case "too_long":
      return "new_conversation";
    case "input_unreadable":
    case "input_empty":
    case "input_too_large":
    case "input_too_long":
    case "input_unknown":
    case "input_is_folder":
    case "unsupported":
    case "gone":
      return "edit";
    case "busy":
    case "storage":
    case "storage_newer":
    case "storage_in_use":
    case "storage_read_only":
    case "storage_damaged":
    case "disk_full":
    case "export_too_large":
    case "mic_missing":
    case "mic_denied":
    case "mic_busy":
    case "mic_silent":
    case "mic_failed":
    case "out_of_memory":
    case "cancelled":
    case "internal":
      return "retry";
  }
}

import { ApiFailure, type Attached, type Client, type NoteEvent } from "../../lib/ipc/client";
import { m } from "../../lib/i18n/i18n.svelte";
import { timeOfDay } from "./dates";

/** Loudness is drawn from here, in dB below the loudest there is; a quiet room is about there. */
const FLOOR_DB = -50;

/** How many of the last levels are drawn. */
const LEVELS = 32;

/** The longest note, as the Rust side ends it. */
export const MAX_NOTE_MS = 30_000;

/** A voice note that is being recorded. */
export class NoteRecorder {
  #client: Client;
  #onnote: (note: Attached) => void;
  #run = $state.raw<string | null>(null);
  #isListening = $state(false);
  #isEnding = $state(false);
  #isSilent = $state(false);
  #elapsedMs = $state(0);
  #levels = $state.raw<readonly number[]>([]);
  #device = $state("");
  #failure = $state.raw<ApiFailure | null>(null);

  constructor(client: Client, onnote: (note: Attached) => void) {
    this.#client = client;
    this.#onnote = onnote;
  }

  get isOn(): boolean {
    return this.#run !== null;
  }

  /** False until the device has delivered its first sound. */
  get isListening(): boolean {
    return this.#isListening;
  }

  /** What was said is being stored. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** The device delivers nothing but zeros. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** How loud it was, 0 to 1, the latest last. */
  get levels(): readonly number[] {
    return this.#levels;
  }

  get device(): string {
    return this.#device;
  }

  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** Resolves when the note has ended. */
  async record() {
    if (this.isOn) return;
    const run = crypto.randomUUID();
    this.#run = run;
    this.#isListening = this.#isEnding = this.#isSilent = false;
    this.#elapsedMs = 0;
    this.#levels = [];
    this.#failure = null;
    try {
      const name = m.chat.noteName(timeOfDay());
      const note = await this.#client.recordNote(run, name, (event) => {
        if (this.#run === run) this.#hear(event);
      });
      // A note that was cancelled while it ended by itself is not wanted any more.
      if (this.#run !== run) this.#forget(note);
      else this.#onnote(note);
    } catch (error) {
      const failure = ApiFailure.from(error);
      if (this.#run === run && failure.code !== "cancelled") this.#failure = failure;
    } finally {
      if (this.#run === run) this.#run = null;
    }
  }

  /** Ends the note and keeps what was said. */
  async end() {
    if (this.#run === null || this.#isEnding) return;
    this.#isEnding = true;
    await this.#client.endNote(this.#run, true);
  }

  /** Ends the note and forgets what was said. */
  async cancel() {
    const run = this.#run;
    if (run === null) return;
    this.#run = null;
    await this.#client.endNote(run, false);
  }

  dismiss() {
    this.#failure = null;
  }

  #hear(event: NoteEvent) {
    if (event.event === "listening") {
      this.#isListening = true;
      this.#device = event.device;
    } else if (event.event === "level") {
      this.#elapsedMs = event.elapsed_ms;
      this.#levels = [...this.#levels, loudness(event.peak)].slice(-LEVELS);
    } else this.#isSilent = event.event === "silent";
  }

  #forget({ part }: Attached) {
    // A leftover is swept at the next start.
    if ("file" in part) this.#client.discardFile(part.file).catch(() => {});
  }
}

/** A peak of 0 to 1 as the ear takes it, 0 to 1. */
export function loudness(peak: number): number {
  const db = 20 * Math.log10(Math.max(peak, 1e-6));
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}

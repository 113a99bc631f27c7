/** The part of the client that is about conversations: asking, finding them again, and the files of a question. */
import { save } from "@tauri-apps/plugin-dialog";

import { commands, type ChatEvent, type Retry, type Send } from "./bindings";
import type { Attached, ExportFormat, LibraryState, SearchHit, ThreadEntry, ThreadView } from "./bindings";
import type { NoteEvent, ThreadsImported, Waveform } from "./bindings";
import { channel, take, type Reply } from "./reply";

export type { AskOptions, Attached, ChatEvent, DoneReason, ExcerptPiece, ExportFormat, Figures } from "./bindings";
export type { LibraryState, MessagePart, MessageState, NoteEvent, Notice, Retry, SearchHit, Send } from "./bindings";
export type { StoredMessage, ThreadEntry, ThreadView, ThreadsImported, Waveform } from "./bindings";

/** The end of an answer with its numbers. */
export type Done = Extract<ChatEvent, { event: "done" }>;

export interface LibraryClient {
  /** Opens the library if it is not open yet; every other call needs that. */
  libraryState(): Promise<LibraryState>;
  /** Pinned ones first, then the latest. */
  threads(): Promise<ThreadEntry[]>;
  /** With a message, the branch that goes through it is shown from now on. */
  openThread(thread: string, message: string | null): Promise<ThreadView>;
  renameThread(thread: string, title: string): Promise<void>;
  pinThread(thread: string, pinned: boolean): Promise<void>;
  deleteThread(thread: string): Promise<void>;
  search(query: string): Promise<SearchHit[]>;
  exportThread(thread: string, format: ExportFormat, to: string): Promise<void>;
  /** Writes every conversation into a folder and returns their number. */
  exportAll(folder: string): Promise<number>;
  importThreads(from: string): Promise<ThreadsImported>;
  eraseLibrary(): Promise<void>;

  /**
   * Stores a question and answers it. Resolves when the answer has ended and every event was delivered.
   *
   * If it rejects after the event `stored`, the question and what there is of its answer are kept.
   */
  send(send: Send, on: (event: ChatEvent) => void): Promise<void>;
  /** Answers a stored question once more. */
  retry(retry: Retry, on: (event: ChatEvent) => void): Promise<void>;
  /** Has the model title a thread that still goes by its first question; null if it keeps its title. */
  titleThread(thread: string, run: string): Promise<ThreadEntry | null>;
  summariseThread(thread: string, run: string): Promise<string>;
  /** Ends what was begun as `run`. */
  stop(run: string): Promise<void>;

  attach(path: string): Promise<Attached>;
  /** A picture from the clipboard, its bytes in base64. */
  attachPasted(name: string, base64: string): Promise<Attached>;
  /**
   * Records a voice note, to be called `name`. Resolves when it has ended: by `endNote`, or as long as the model hears.
   *
   * Rejects with the code `cancelled` if there is nothing to keep.
   */
  recordNote(run: string, name: string, on: (event: NoteEvent) => void): Promise<Attached>;
  /** Ends the voice note `run`, and keeps what was said or not. */
  endNote(run: string, keep: boolean): Promise<void>;
  /** Lets go of an attached file that was not sent. */
  discardFile(file: string): Promise<void>;
  /** A picture as a data: address, at most `side` pixels wide and high. */
  preview(file: string, side: number): Promise<string>;
  waveform(file: string): Promise<Waveform>;
  /** In the program that the system has for it. */
  openFile(file: string): Promise<void>;
  /** In the user's browser or mail program. The user has been asked. */
  openLink(address: string): Promise<void>;
  /** Where to write a file; null if the user thinks better of it. */
  pickSave(title: string, name: string, kind: { name: string; extensions: string[] }): Promise<string | null>;
}

/** How long the last event may trail the reply. */
const TRAIL_MS = 5_000;

/** How long the event that a question is stored may trail the news that its answer failed. */
const STORED_TRAIL_MS = 300;

/** The reply and the events travel on different ways, and the reply may overtake the last of them. */
async function answer(
  on: (event: ChatEvent) => void,
  ask: (events: ReturnType<typeof channel<ChatEvent>>) => Promise<Reply<null>>,
) {
  const heard = { stored: false, done: false };
  let notify = () => {};
  const events = channel<ChatEvent>((event) => {
    on(event);
    if (event.event === "stored" || event.event === "done") heard[event.event] = true;
    notify();
  });
  const until = (event: "stored" | "done", ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      notify = () => {
        if (!heard[event]) return;
        clearTimeout(timer);
        resolve();
      };
      notify();
    });
  try {
    await take(ask(events));
  } catch (failure) {
    await until("stored", STORED_TRAIL_MS);
    throw failure;
  }
  await until("done", TRAIL_MS);
}

const empty = async (reply: Promise<Reply<null>>) => void (await take(reply));

export const tauriLibrary: LibraryClient = {
  libraryState: () => take(commands.libraryState()),
  threads: () => take(commands.threads()),
  openThread: (thread, message) => take(commands.openThread(thread, message)),
  renameThread: (thread, title) => empty(commands.renameThread(thread, title)),
  pinThread: (thread, pinned) => empty(commands.pinThread(thread, pinned)),
  deleteThread: (thread) => empty(commands.deleteThread(thread)),
  search: (query) => take(commands.search(query)),
  exportThread: (thread, format, to) => empty(commands.exportThread(thread, format, to)),
  exportAll: (folder) => take(commands.exportAll(folder)),
  importThreads: (from) => take(commands.importThreads(from)),
  eraseLibrary: () => empty(commands.eraseLibrary()),

  send: (send, on) => answer(on, (events) => commands.send(send, events)),
  retry: (retry, on) => answer(on, (events) => commands.retry(retry, events)),
  titleThread: (thread, run) => take(commands.titleThread(thread, run)),
  summariseThread: (thread, run) => take(commands.summariseThread(thread, run)),
  stop: async (run) => void (await commands.stop(run)),

  attach: (path) => take(commands.attach(path)),
  attachPasted: (name, base64) => take(commands.attachPasted(name, base64)),
  recordNote: (run, name, on) => take(commands.recordNote(run, name, channel(on))),
  endNote: async (run, keep) => void (await commands.endNote(run, keep)),
  discardFile: (file) => empty(commands.discardFile(file)),
  preview: (file, side) => take(commands.preview(file, side)),
  waveform: (file) => take(commands.waveform(file)),
  openFile: (file) => empty(commands.openFile(file)),
  openLink: (address) => empty(commands.openLink(address)),
  pickSave: (title, name, kind) => save({ title, defaultPath: name, filters: [kind] }),
};

/**
 * What the rest of the UI may ask of the Rust side, as one interface.
 *
 * The window uses `tauriClient`, a plain browser and the tests use the mock beside it.
 */
import { Channel } from "@tauri-apps/api/core";
import { getCurrentWebview } from "@tauri-apps/api/webview";
import { open } from "@tauri-apps/plugin-dialog";

import {
  commands,
  events,
  type Ask,
  type ApiError,
  type ChatEvent,
  type ErrorCode,
  type Language,
  type LibraryState,
  type MemoryFigures,
  type ModelList,
  type ModelState,
  type ModelSummary,
  type OpenProgress,
  type SettingChange,
  type SettingsState,
  type ThreadsImported,
} from "./bindings";

export type { Ask, AskPart, ChatEvent, DoneReason, ErrorCode, ModelState, ModelSummary, OpenProgress } from "./bindings";

export type {
  CustomGeneration,
  GenerationSettings,
  Language,
  LibraryState,
  MemoryFigures,
  ModelEntry,
  ModelFacts,
  ModelFolder,
  ModelList,
  Preset,
  Salvage,
  SendKey,
  SettingChange,
  Settings,
  SettingsState,
  TextSize,
  Theme,
  ThreadsImported,
} from "./bindings";

/** The end of an answer with its numbers. */
export type Done = Extract<ChatEvent, { event: "done" }>;

/** Files that hover over the window, leave it again, or were dropped on it. */
export type DropEvent = { type: "over" } | { type: "leave" } | { type: "drop"; paths: string[] };

/** A named group of file endings, without dots. */
export interface FileKind {
  name: string;
  extensions: string[];
}

export interface Client {
  modelState(): Promise<ModelState>;
  /** The model to open at start, if there is one. */
  startModel(): Promise<string | null>;
  /** The demo model that comes with Sotto, if it is there. */
  demoModel(): Promise<string | null>;
  openModel(path: string, on: (progress: OpenProgress) => void): Promise<ModelSummary>;
  cancelOpen(): Promise<void>;
  closeModel(): Promise<void>;
  /** Resolves when the answer has ended and every event was delivered. */
  ask(ask: Ask, on: (event: ChatEvent) => void): Promise<void>;
  stop(conversation: string): Promise<void>;
  pickFolder(title: string): Promise<string | null>;
  pickFiles(title: string, kinds: FileKind[], multiple: boolean): Promise<string[]>;
  /** The returned function ends it. */
  onFiles(on: (event: DropEvent) => void): () => void;
  /** Another start of Sotto asked this window to open a model. */
  onOpenRequested(on: (path: string) => void): () => void;

  listModels(): Promise<ModelList>;
  /** Makes a package of a Hugging Face folder in Sotto's own; resolves to its path. */
  importModel(source: string, on: (percent: number) => void): Promise<string>;
  cancelImport(): Promise<void>;
  /** `null` where the system does not tell. */
  memoryFigures(): Promise<MemoryFigures | null>;
  /** Shows a file or folder in the file manager. */
  reveal(path: string): Promise<void>;

  settingsState(): Promise<SettingsState>;
  /** The changes hold even if this rejects, which means that they could not be written. */
  changeSettings(changes: SettingChange[]): Promise<void>;
  /** False if this desktop has no tray. */
  speakTray(language: Language): Promise<boolean>;

  /** Opens the library if it is not open yet. */
  libraryState(): Promise<LibraryState>;
  /** Resolves to the number of conversations. */
  exportAll(folder: string): Promise<number>;
  importThreads(from: string): Promise<ThreadsImported>;
  eraseLibrary(): Promise<void>;
}

/** Every promise of a `Client` rejects with this. */
export class ApiFailure extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = "ApiFailure";
    this.code = code;
  }

  static from(error: unknown): ApiFailure {
    if (error instanceof ApiFailure) return error;
    if (isApiError(error)) return new ApiFailure(error.code, error.message);
    return new ApiFailure("internal", error instanceof Error ? error.message : String(error));
  }
}

function isApiError(error: unknown): error is ApiError {
  return typeof error === "object" && error !== null && "code" in error && "message" in error;
}

type Reply<T> = { status: "ok"; data: T } | { status: "error"; error: ApiError };

async function take<T>(reply: Promise<Reply<T>>): Promise<T> {
  const result = await reply.catch((error: unknown) => {
    throw ApiFailure.from(error);
  });
  if (result.status === "error") throw ApiFailure.from(result.error);
  return result.data;
}

function channel<T>(on: (message: T) => void): Channel<T> {
  const made = new Channel<T>();
  made.onmessage = on;
  return made;
}

/** How long the last event may trail the reply. */
const TRAIL_MS = 5_000;

export const tauriClient: Client = {
  modelState: () => take(commands.modelState()),
  startModel: () => commands.startModel(),
  demoModel: () => commands.demoModel(),
  openModel: (path, on) => take(commands.openModel(path, channel(on))),
  cancelOpen: async () => void (await commands.cancelOpen()),
  closeModel: async () => void (await take(commands.closeModel())),

  async ask(ask, on) {
    // The reply and the events travel on different ways, and the reply may overtake the last of them.
    let ended = false;
    let end = () => void (ended = true);
    const events = channel<ChatEvent>((event) => {
      on(event);
      if (event.event === "done") end();
    });
    await take(commands.ask(ask, events));
    if (ended) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, TRAIL_MS);
      end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  },

  stop: async (conversation) => void (await commands.stop(conversation)),
  pickFolder: (title) => open({ title, directory: true }),

  async pickFiles(title, kinds, multiple) {
    const filters = kinds.map(({ name, extensions }) => ({ name, extensions }));
    const picked: string | string[] | null = await open({ title, filters, multiple });
    return picked === null ? [] : [picked].flat();
  },

  onFiles(on) {
    const stop = getCurrentWebview().onDragDropEvent(({ payload }) => {
      if (payload.type === "drop") on({ type: "drop", paths: payload.paths });
      else if (payload.type === "leave") on({ type: "leave" });
      else if (payload.type === "enter") on({ type: "over" });
    });
    return () => void stop.then((end) => end());
  },

  onOpenRequested(on) {
    const stop = events.openRequested.listen((event) => on(event.payload.path));
    return () => void stop.then((end) => end());
  },

  listModels: () => take(commands.listModels()),
  importModel: (source, on) => take(commands.importModel(source, channel(on))),
  cancelImport: async () => void (await commands.cancelImport()),
  memoryFigures: () => take(commands.memoryFigures()),
  reveal: async (path) => void (await take(commands.reveal(path))),

  settingsState: () => commands.settingsState(),
  changeSettings: async (changes) => void (await take(commands.changeSettings(changes))),
  speakTray: (language) => commands.speakTray(language),

  libraryState: () => take(commands.libraryState()),
  exportAll: (folder) => take(commands.exportAll(folder)),
  importThreads: (from) => take(commands.importThreads(from)),
  eraseLibrary: async () => void (await take(commands.eraseLibrary())),
};

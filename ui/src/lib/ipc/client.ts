/**
 * What the rest of the UI may ask of the Rust side, as one interface.
 *
 * The window uses `tauriClient`, a plain browser and the tests use the mock beside it.
 */
import { getCurrentWebview } from "@tauri-apps/api/webview";
import { open } from "@tauri-apps/plugin-dialog";

import {
  commands,
  events,
  type Language,
  type MemoryFigures,
  type ModelList,
  type ModelState,
  type ModelSummary,
  type OpenProgress,
  type SettingChange,
  type SettingsState,
} from "./bindings";
import { tauriCaptions, type CaptionsClient } from "./captions";
import { tauriLibrary, type LibraryClient } from "./library";
import { tauriOverlay, type OverlayClient } from "./overlay";
import { channel, take } from "./reply";

export type { ApiError, ErrorCode, ModelState, ModelSummary, OpenProgress, OpenStage } from "./bindings";
export * from "./captions";
export * from "./library";
export * from "./overlay";
export { ApiFailure } from "./reply";

export type {
  CaptionChoices,
  CustomGeneration,
  GenerationSettings,
  Language,
  LiveSource,
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
} from "./bindings";

/** Files that hover over the window, leave it again, or were dropped on it. */
export type DropEvent = { type: "over" } | { type: "leave" } | { type: "drop"; paths: string[] };

/** A named group of file endings, without dots. */
export interface FileKind {
  name: string;
  extensions: string[];
}

export interface Client extends LibraryClient, CaptionsClient, OverlayClient {
  modelState(): Promise<ModelState>;
  /** The model to open at start, if there is one. */
  startModel(): Promise<string | null>;
  /** The demo model that comes with Sotto, if it is there. */
  demoModel(): Promise<string | null>;
  openModel(path: string, on: (progress: OpenProgress) => void): Promise<ModelSummary>;
  cancelOpen(): Promise<void>;
  closeModel(): Promise<void>;
  pickFolder(title: string): Promise<string | null>;
  pickFiles(title: string, kinds: FileKind[], multiple: boolean): Promise<string[]>;
  /** The returned function ends it. */
  onFiles(on: (event: DropEvent) => void): () => void;
  /** Another start of Sotto asked this window to open a model. */
  onOpenRequested(on: (path: string) => void): () => void;
  /** There is less memory or more, and the open model goes on with another size or other parts. */
  onModelFitted(on: (model: ModelSummary) => void): () => void;

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
}

export const tauriClient: Client = {
  ...tauriLibrary,
  ...tauriCaptions,
  ...tauriOverlay,

  modelState: () => take(commands.modelState()),
  startModel: () => commands.startModel(),
  demoModel: () => commands.demoModel(),
  openModel: (path, on) => take(commands.openModel(path, channel(on))),
  cancelOpen: async () => void (await commands.cancelOpen()),
  closeModel: async () => void (await take(commands.closeModel())),

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

  onModelFitted(on) {
    const stop = events.modelFitted.listen((event) => on(event.payload.model));
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
};

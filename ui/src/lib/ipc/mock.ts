/**
 * A scripted stand-in for the Rust side: the tests set its fields, and a plain browser runs on its defaults.
 */
import { defaults } from "../settings/defaults";
import { ApiFailure, type Client, type DropEvent, type ModelState, type ModelSummary, type OpenProgress } from "./client";
import type { Language, MemoryFigures, ModelEntry, ModelList, SettingChange, SettingsState } from "./client";
import { MockOverlay } from "./mock-overlay";

export const exampleModel: ModelSummary = {
  name: "Gemma 3n example",
  path: "/models/gemma-3n-example",
  format: "scripted",
  submodel: "E2B",
  layers: 30,
  parameters: 5.44e9,
  effective_parameters: 1.91e9,
  context: 32_768,
  vision: true,
  audio: false,
  bytes: 3.1e9,
  notice: "This is the browser preview: answers are scripted.",
};

export const demoEntry: ModelEntry = {
  path: "/resources/demo/sotto-demo.gguf",
  name: "sotto-demo",
  failure: null,
  facts: {
    format: "GGUF, Q8_0",
    submodel: "whole",
    parameters: 6.51e6,
    effective_parameters: 2.7e6,
    context: 2048,
    vision: true,
    audio: true,
    bytes: 8.05e6,
    license: "apache-2.0",
    can_be_imported: false,
  },
};

export const exampleEntry: ModelEntry = {
  path: "/models/gemma-3n-E4B-it",
  name: "gemma-3n-E4B-it",
  failure: null,
  facts: {
    format: "safetensors, bf16",
    submodel: "E4B",
    parameters: 7.85e9,
    effective_parameters: 3.98e9,
    context: 32_768,
    vision: true,
    audio: true,
    bytes: 15.7e9,
    license: "gemma",
    can_be_imported: true,
  },
};

export const brokenEntry: ModelEntry = {
  path: "/models/half.gguf",
  name: "half",
  facts: null,
  failure: {
    code: "model_broken",
    message: "/models/half.gguf is cut short at byte 1048576 of 2980000000; download it again.",
  },
};

export class MockClient extends MockOverlay implements Client {
  state: ModelState = { state: "none" };
  start: string | null = null;
  demo: string | null = "/resources/demo/sotto-demo.gguf";
  model = exampleModel;
  /** Rejections to come, one for each next call. */
  openFailures: ApiFailure[] = [];
  /** What the dialogs return. */
  picked: string[] = [];

  list: ModelList = {
    demo: demoEntry,
    folders: [
      { path: "/home/ada/.local/share/sotto/models", is_own: true, models: [], failure: null, is_cut: false },
      { path: "/models", is_own: false, models: [exampleEntry, brokenEntry], failure: null, is_cut: false },
    ],
  };
  memory: MemoryFigures | null = {
    resident: 1.32e9,
    kinds: { file_backed: 1.05e9, anonymous: 0.27e9 },
    available: 4.1e9,
    total: 8.2e9,
  };
  settings: SettingsState = { settings: structuredClone(defaults), salvage: null };
  hasTray = true;
  /** Why the settings' file cannot be written. */
  settingsFailure: ApiFailure | null = null;
  revealFailure: ApiFailure | null = null;

  importFailure: ApiFailure | null = null;

  readonly importedFrom: string[] = [];
  readonly changes: SettingChange[] = [];
  readonly revealed: string[] = [];
  trayLanguage: Language | null = null;
  memoryReads = 0;

  readonly opened: string[] = [];
  #cancelled = false;
  #files = new Set<(event: DropEvent) => void>();
  #requests = new Set<(path: string) => void>();
  #fitted = new Set<(model: ModelSummary) => void>();

  modelState = async () => this.state;
  startModel = async () => this.start;
  demoModel = async () => this.demo;

  async openModel(path: string, on: (progress: OpenProgress) => void): Promise<ModelSummary> {
    this.opened.push(path);
    this.#cancelled = false;
    for (const percent of [0, 35, 70, 100]) {
      on({ stage: "reading_weights", percent });
      this.state = { state: "opening", path, stage: "reading_weights", percent };
      await this.pause();
      if (this.#cancelled) {
        this.state = { state: "none" };
        throw new ApiFailure("cancelled", "Opening was cancelled.");
      }
    }
    const failure = this.openFailures.shift();
    if (failure) {
      const { code, message } = failure;
      this.state = { state: "failed", code, message };
      throw failure;
    }
    this.state = { state: "ready", ...this.model, path };
    return { ...this.model, path };
  }

  async cancelOpen() {
    this.#cancelled = true;
  }

  async closeModel() {
    this.state = { state: "none" };
  }

  pickFolder = async () => this.picked[0] ?? null;
  pickFiles = async () => this.picked;

  onFiles(on: (event: DropEvent) => void) {
    this.#files.add(on);
    return () => void this.#files.delete(on);
  }

  onOpenRequested(on: (path: string) => void) {
    this.#requests.add(on);
    return () => void this.#requests.delete(on);
  }

  onModelFitted(on: (model: ModelSummary) => void) {
    this.#fitted.add(on);
    return () => void this.#fitted.delete(on);
  }

  /** As if there were less memory or more. */
  fit(changed: Partial<ModelSummary>) {
    if (this.state.state !== "ready") return;
    this.state = { ...this.state, ...changed };
    for (const on of this.#fitted) on(this.state);
  }

  listModels = async () => this.list;

  async importModel(source: string, on: (percent: number) => void) {
    this.#cancelled = false;
    for (const percent of [0, 40, 80]) {
      on(percent);
      await this.pause();
      if (this.#cancelled) throw new ApiFailure("cancelled", "It was cancelled.");
    }
    if (this.importFailure) throw this.importFailure;
    const [own, ...others] = this.list.folders;
    const made = { ...exampleEntry, path: `${own?.path}/made.gguf`, name: "made" };
    if (own) this.list = { ...this.list, folders: [{ ...own, models: [...own.models, made] }, ...others] };
    this.importedFrom.push(source);
    return made.path;
  }

  async cancelImport() {
    this.#cancelled = true;
  }

  async memoryFigures() {
    this.memoryReads += 1;
    return this.memory;
  }

  async reveal(path: string) {
    if (this.revealFailure) throw this.revealFailure;
    this.revealed.push(path);
  }

  settingsState = async () => this.settings;

  async changeSettings(changes: SettingChange[]) {
    this.changes.push(...changes);
    if (this.settingsFailure) throw this.settingsFailure;
  }

  async speakTray(language: Language) {
    this.trayLanguage = language;
    return this.hasTray;
  }

  /** Plays a drag over the window. */
  files(event: DropEvent) {
    for (const on of this.#files) on(event);
  }

  /** Plays a second start of Sotto. */
  requestOpen(path: string) {
    for (const on of this.#requests) on(path);
  }
}

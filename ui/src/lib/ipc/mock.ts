/**
 * A scripted stand-in for the Rust side: the tests set its fields, and a plain browser runs on its defaults.
 */
import { ApiFailure, type Client, type DropEvent, type ModelState, type ModelSummary, type OpenProgress } from "./client";
import { MockLibrary } from "./mock-library";

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

export class MockClient extends MockLibrary implements Client {
  state: ModelState = { state: "none" };
  start: string | null = null;
  demo: string | null = "/resources/demo/sotto-demo.gguf";
  model = exampleModel;
  /** Rejections to come, one for each next call. */
  openFailures: ApiFailure[] = [];
  /** What the dialogs return. */
  picked: string[] = [];

  readonly opened: string[] = [];
  #cancelled = false;
  #files = new Set<(event: DropEvent) => void>();
  #requests = new Set<(path: string) => void>();

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
      this.state = { state: "failed", code: failure.code, message: failure.message };
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

  /** Plays a drag over the window. */
  files(event: DropEvent) {
    for (const on of this.#files) on(event);
  }

  /** Plays a second start of Sotto. */
  requestOpen(path: string) {
    for (const on of this.#requests) on(path);
  }
}

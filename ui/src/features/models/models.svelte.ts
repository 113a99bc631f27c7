import { m } from "../../lib/i18n/i18n.svelte";
import { ApiFailure, type Client, type ModelState, type ModelSummary } from "../../lib/ipc/client";

/** How often to look again while someone else opens the model, as after a reload of the page. */
const WATCH_MS = 300;

/** What the one model is doing, and the ways to change it. */
export class ModelController {
  #client: Client;
  #onready: () => void;
  #state = $state.raw<ModelState>({ state: "none" });
  #failure = $state.raw<ApiFailure | null>(null);
  #isCancelling = $state(false);
  #fitted = $state<"smaller" | "larger" | null>(null);
  #demo = $state<string | null>(null);
  #opening: Promise<void> | null = null;

  readonly ready = $derived(this.#state.state === "ready" ? this.#state : null);

  /** `onready` is told of every model that has been opened. */
  constructor(client: Client, onready: () => void = () => {}) {
    this.#client = client;
    this.#onready = onready;
  }

  get state(): ModelState {
    return this.#state;
  }

  /** Why the last attempt came to nothing; the model that was open before may still be. */
  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** How the model has changed by itself since the user last looked. */
  get fitted(): "smaller" | "larger" | null {
    return this.#fitted;
  }

  get isCancelling(): boolean {
    return this.#isCancelling;
  }

  /** Where the demo model lies that comes with Sotto. */
  get demo(): string | null {
    return this.#demo;
  }

  /** Shows what is going on already, or opens the model to start with. */
  async start() {
    try {
      this.#demo = await this.#client.demoModel();
      await this.#watch();
      if (this.ready) this.#onready();
      if (this.#state.state !== "none") return;
      const path = await this.#client.startModel();
      if (path === null) return;
      await painted();
      await this.open(path);
    } catch (error) {
      this.#fail(error);
    }
  }

  async chooseFolder() {
    const path = await this.#client.pickFolder(m.models.pickFolderTitle);
    if (path !== null) await this.open(path);
  }

  async chooseFile() {
    const kinds = [{ name: m.models.ggufFiles, extensions: ["gguf"] }];
    const [path] = await this.#client.pickFiles(m.models.pickFileTitle, kinds, false);
    if (path !== undefined) await this.open(path);
  }

  /** Resolves when the model is open or has failed. A later call cancels an earlier one. */
  async open(path: string) {
    while (this.#opening) {
      await this.cancel();
      await this.#opening;
    }
    this.#opening = this.#open(path);
    await this.#opening;
    this.#opening = null;
  }

  async cancel() {
    this.#isCancelling = true;
    await this.#client.cancelOpen();
  }

  async close() {
    await this.#client.closeModel();
    this.#failure = null;
    this.#fitted = null;
    this.#state = await this.#client.modelState();
  }

  /** The model goes on with another size, or with other parts. */
  fit(model: ModelSummary) {
    const before = this.ready;
    if (before?.path !== model.path) return;
    this.#state = { state: "ready", ...model };
    const gained = model.effective_parameters - before.effective_parameters || model.context - before.context;
    this.#fitted = gained < 0 ? "smaller" : "larger";
  }

  /** The user has read how it changed. */
  acceptFit() {
    this.#fitted = null;
  }

  /** The user has read it. */
  dismiss() {
    this.#failure = null;
    if (this.#state.state === "failed") this.#state = { state: "none" };
  }

  async #open(path: string) {
    this.#failure = null;
    this.#fitted = null;
    this.#isCancelling = false;
    this.#state = { state: "opening", path, stage: "looking_at_files", percent: 0 };
    try {
      const summary = await this.#client.openModel(path, (progress) => {
        if (this.#state.state === "opening") this.#state = { state: "opening", path, ...progress };
      });
      this.#state = { state: "ready", ...summary };
      this.#onready();
    } catch (error) {
      await this.#settle(ApiFailure.from(error));
    } finally {
      this.#isCancelling = false;
    }
  }

  /** After a failure, asks what is left: the model that was open before may have stayed. */
  async #settle(failure: ApiFailure) {
    const left = await this.#client.modelState().catch(() => null);
    if (left?.state === "ready") this.#state = left;
    else this.#state = { state: "none" };
    if (failure.code !== "cancelled") this.#fail(failure);
  }

  #fail(error: unknown) {
    const failure = ApiFailure.from(error);
    this.#failure = failure;
    const { code, message, subject } = failure;
    if (!this.ready) this.#state = { state: "failed", code, message, ...(subject !== null && { subject }) };
  }

  async #watch() {
    for (;;) {
      this.#state = await this.#client.modelState();
      if (this.#state.state === "failed") this.#fail(ApiFailure.from(this.#state));
      if (this.#state.state !== "opening") return;
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    }
  }
}

/** Resolves when the page has been drawn once, or soon after where nothing draws it because the window is hidden. */
function painted(): Promise<void> {
  const frame = new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  const hidden = new Promise((waited) => setTimeout(waited, 300));
  return Promise.race([frame, hidden]).then(() => undefined);
}

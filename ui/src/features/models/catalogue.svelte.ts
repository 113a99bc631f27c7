import { fileName } from "../../lib/format";
import { m } from "../../lib/i18n/i18n.svelte";
import { ApiFailure, type Client, type ModelList } from "../../lib/ipc/client";
import type { SettingsController } from "../../lib/settings/settings.svelte";

/** The models that lie on this computer, and the folders to look for them in. */
export class CatalogueController {
  #client: Client;
  #settings: SettingsController;
  #list = $state.raw<ModelList | null>(null);
  #failure = $state.raw<ApiFailure | null>(null);
  #isLooking = $state(false);
  #importing = $state.raw<{ name: string; percent: number; isCancelling: boolean } | null>(null);
  #imported = $state<string | null>(null);

  constructor(client: Client, settings: SettingsController) {
    this.#client = client;
    this.#settings = settings;
  }

  /** Null until the first look has ended. */
  get list(): ModelList | null {
    return this.#list;
  }

  get failure(): ApiFailure | null {
    return this.#failure;
  }

  get isLooking(): boolean {
    return this.#isLooking;
  }

  /** The import on its way. */
  get importing(): { name: string; percent: number; isCancelling: boolean } | null {
    return this.#importing;
  }

  /** What was imported last. */
  get imported(): string | null {
    return this.#imported;
  }

  get default(): string | null {
    return this.#settings.values.default_model;
  }

  async look() {
    this.#isLooking = true;
    await this.#try(async () => void (this.#list = await this.#client.listModels()));
    this.#isLooking = false;
  }

  async addFolder() {
    const folder = await this.#client.pickFolder(m.models.addFolderTitle);
    const folders = this.#settings.values.model_folders;
    if (folder === null || folders.includes(folder)) return;
    await this.#settings.change({ setting: "model_folders", value: [...folders, folder] });
    await this.look();
  }

  async removeFolder(folder: string) {
    const value = this.#settings.values.model_folders.filter((other) => other !== folder);
    await this.#settings.change({ setting: "model_folders", value });
    await this.look();
  }

  /** `null`: the model that was open last opens at the start. */
  async setDefault(path: string | null) {
    await this.#settings.change({ setting: "default_model", value: path });
  }

  async chooseImport() {
    const source = await this.#client.pickFolder(m.models.importTitle);
    if (source !== null) await this.import(source);
  }

  /** One at a time: it reads and writes whole models. */
  async import(source: string) {
    if (this.#importing) return;
    this.#imported = null;
    this.#importing = { name: fileName(source), percent: 0, isCancelling: false };
    await this.#try(async () => {
      const made = await this.#client.importModel(source, (percent) => {
        if (this.#importing) this.#importing = { ...this.#importing, percent };
      });
      this.#imported = fileName(made).replace(/\.gguf$/, "");
    });
    this.#importing = null;
    if (this.#imported !== null) await this.look();
  }

  async cancelImport() {
    if (this.#importing) this.#importing = { ...this.#importing, isCancelling: true };
    await this.#client.cancelImport();
  }

  reveal(path: string) {
    return this.#try(() => this.#client.reveal(path));
  }

  async #try(work: () => Promise<void>) {
    this.#failure = null;
    try {
      await work();
    } catch (error) {
      const failure = ApiFailure.from(error);
      if (failure.code !== "cancelled") this.#failure = failure;
    }
  }
}

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

  reveal(path: string) {
    return this.#try(() => this.#client.reveal(path));
  }

  async #try(work: () => Promise<void>) {
    try {
      await work();
      this.#failure = null;
    } catch (error) {
      this.#failure = ApiFailure.from(error);
    }
  }
}

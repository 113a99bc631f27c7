import { i18n } from "../i18n/i18n.svelte";
import { ApiFailure, type Client, type Salvage, type SettingChange, type Settings, type TextSize } from "../ipc/client";
import { defaults } from "./defaults";

export const textSizes: readonly TextSize[] = ["small", "normal", "large", "larger", "largest"];

/** What the user has chosen. Changes show at once and are written one after the other. */
export class SettingsController {
  #client: Client;
  #values = $state.raw<Settings>(defaults);
  #salvage = $state.raw<Salvage | null>(null);
  #failure = $state.raw<ApiFailure | null>(null);
  #hasTray = $state(true);
  #writing: Promise<void> = Promise.resolve();

  constructor(client: Client) {
    this.#client = client;
  }

  get values(): Settings {
    return this.#values;
  }

  /** What a damaged file has cost, until the user has read it. */
  get salvage(): Salvage | null {
    return this.#salvage;
  }

  /** Why the last change could not be written; it holds until Sotto ends. */
  get failure(): ApiFailure | null {
    return this.#failure;
  }

  get hasTray(): boolean {
    return this.#hasTray;
  }

  async start() {
    try {
      const state = await this.#client.settingsState();
      this.#values = state.settings;
      this.#salvage = state.salvage;
    } catch (error) {
      this.#failure = ApiFailure.from(error);
    }
    await this.#speak();
  }

  async change(change: SettingChange) {
    this.#values = { ...this.#values, [change.setting]: change.value };
    this.#writing = this.#writing.then(() => this.#write(change));
    if (change.setting === "language") void this.#speak();
    await this.#writing;
  }

  /** To the next larger or smaller size. */
  async resizeText(step: 1 | -1) {
    const value = textSizes[textSizes.indexOf(this.#values.text_size) + step];
    if (value) await this.change({ setting: "text_size", value });
  }

  dismiss() {
    this.#salvage = null;
  }

  async #write(change: SettingChange) {
    try {
      await this.#client.changeSettings([change]);
      this.#failure = null;
    } catch (error) {
      this.#failure = ApiFailure.from(error);
    }
  }

  async #speak() {
    const { language } = this.#values;
    i18n.speak(language === "system" ? null : language);
    this.#hasTray = await this.#client.speakTray(i18n.language).catch(() => false);
  }
}

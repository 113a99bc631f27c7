import { ApiFailure, type OverlayChange, type OverlayMode, type OverlayPageClient, type OverlayView } from "../../lib/ipc/client";
import { defaults } from "../../lib/settings/defaults";
import { dressed, nextPreset } from "./styles";

export const modes: readonly OverlayMode[] = ["floating", "top", "bottom"];

export const MAX_LINES = 6;

/** The overlay of captions, as every window sees it. */
export class OverlayController {
  #client: OverlayPageClient;
  #view = $state.raw<OverlayView>({
    is_open: false,
    click_through: false,
    settings: defaults.overlay,
    language: "system",
    translate: null,
    can_place: true,
  });
  #failure = $state.raw<ApiFailure | null>(null);

  constructor(client: OverlayPageClient) {
    this.#client = client;
  }

  get view(): OverlayView {
    return this.#view;
  }

  /** Why something that the user asked for was not done. */
  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** Follows the overlay for as long as the window is there. */
  async watch(on: (view: OverlayView) => void = () => {}) {
    await this.attempt(() =>
      this.#client.watchOverlay((view) => {
        this.#view = view;
        on(view);
      }),
    );
  }

  async change(change: OverlayChange) {
    // It shows at once; the Rust side tells every window, this one too.
    const settings = { ...this.#view.settings, [change.setting]: change.value };
    this.#view = { ...this.#view, settings };
    await this.attempt(() => this.#client.changeOverlay(change));
  }

  async changeStyle(more: Partial<OverlayView["settings"]["style"]>) {
    await this.change({ setting: "style", value: { ...this.#view.settings.style, ...more } });
  }

  /** To the next place. */
  async nextMode() {
    const next = modes[(modes.indexOf(this.#view.settings.mode) + 1) % modes.length] ?? "floating";
    await this.change({ setting: "mode", value: next });
  }

  async nextPreset() {
    const { style } = this.#view.settings;
    await this.change({ setting: "style", value: dressed(style, nextPreset(style)) });
  }

  async addLines(step: 1 | -1) {
    const lines = this.#view.settings.style.lines + step;
    if (lines >= 1 && lines <= MAX_LINES) await this.changeStyle({ lines });
  }

  async letClicksThrough(on: boolean) {
    await this.attempt(() => this.#client.setClickThrough(on));
  }

  async close() {
    await this.attempt(() => this.#client.closeOverlay());
  }

  /** The user has read it. */
  dismiss() {
    this.#failure = null;
  }

  async attempt(work: () => Promise<unknown>) {
    this.#failure = null;
    try {
      await work();
    } catch (error) {
      this.#failure = ApiFailure.from(error);
    }
  }
}

/** A scripted stand-in for the overlay and the shortcuts on the Rust side. */
import { defaults } from "../settings/defaults";
import { MockCaptions } from "./mock-captions";
import type { Toggle, OverlayChange, OverlayClient, OverlayView, ShortcutsState } from "./overlay";
import type { ApiFailure } from "./reply";

export class MockOverlay extends MockCaptions implements OverlayClient {
  overlay: OverlayView = {
    is_open: false,
    click_through: false,
    settings: structuredClone(defaults.overlay),
    language: "system",
    translate: null,
    can_place: true,
  };
  shortcuts: ShortcutsState = {
    bindings: [
      { action: "toggle_captions", keys: "Ctrl+Shift+F9", problem: null, command: "sotto --toggle-captions" },
      { action: "toggle_overlay", keys: "Ctrl+Shift+F10", problem: null, command: "sotto --toggle-overlay" },
      { action: "toggle_click_through", keys: "Ctrl+Shift+F11", problem: null, command: "sotto --toggle-click-through" },
    ],
    is_refused: false,
  };
  overlayFailure: ApiFailure | null = null;
  captionsWish = false;
  /** What the overlay was asked for, in order. */
  readonly overlayAsked: string[] = [];
  #overlayWatchers = new Set<(view: OverlayView) => void>();
  #wishers = new Set<() => void>();
  #stylers = new Set<() => void>();

  async watchOverlay(on: (view: OverlayView) => void) {
    this.#overlayWatchers.add(on);
    on(structuredClone(this.overlay));
  }

  /** As if the overlay had changed. */
  seeOverlay(more: Partial<OverlayView>) {
    this.overlay = { ...this.overlay, ...more };
    for (const on of this.#overlayWatchers) on(structuredClone(this.overlay));
  }

  async changeOverlay({ setting, value }: OverlayChange) {
    this.seeOverlay({ settings: { ...this.overlay.settings, [setting]: value } });
    if (this.overlayFailure) throw this.overlayFailure;
  }

  async openOverlay() {
    if (this.overlayFailure) throw this.overlayFailure;
    this.seeOverlay({ is_open: true });
  }

  async closeOverlay() {
    this.seeOverlay({ is_open: false, click_through: false });
  }

  async setClickThrough(on: boolean) {
    this.seeOverlay({ click_through: on });
  }

  shiftOverlay = async (right: number, down: number) => void this.overlayAsked.push(`shift ${right} ${down}`);
  dragOverlay = async () => void this.overlayAsked.push("drag");
  resizeOverlay = async (height: number) => void this.overlayAsked.push(`height ${height}`);
  showOverlayStyle = async () => void this.overlayAsked.push("style");
  toggleCaptions = async () => void this.overlayAsked.push("captions");
  focusOverlay = async () => void this.overlayAsked.push("focus");
  showMainWindow = async () => void this.overlayAsked.push("window");

  onCaptionsWished(on: () => void) {
    this.#wishers.add(on);
    return () => void this.#wishers.delete(on);
  }

  async takeCaptionsWish() {
    const wish = this.captionsWish;
    this.captionsWish = false;
    return wish;
  }

  onStyleWished(on: () => void) {
    this.#stylers.add(on);
    return () => void this.#stylers.delete(on);
  }

  /** As if a global shortcut had asked for captions. */
  wishCaptions() {
    this.captionsWish = true;
    for (const on of this.#wishers) on();
  }

  /** As if the overlay's button for its style had been pressed. */
  wishStyle() {
    for (const on of this.#stylers) on();
  }

  shortcutsState = async () => this.shortcuts;

  async bindShortcut(action: Toggle, keys: string | null): Promise<ShortcutsState> {
    const other = this.shortcuts.bindings.find((binding) => binding.keys === keys && binding.action !== action);
    const problem = other && keys !== null ? ({ problem: "used_for", action: other.action } as const) : null;
    const bindings = this.shortcuts.bindings.map((binding) =>
      binding.action === action ? { ...binding, keys: problem ? binding.keys : keys, problem } : binding,
    );
    this.shortcuts = { ...this.shortcuts, bindings };
    return this.shortcuts;
  }
}

/** The part of the client that is about the overlay of captions and the keys for it. */
import { commands, events, type Toggle, type OverlayChange, type OverlayView, type ShortcutsState } from "./bindings";
import { channel, take } from "./reply";

export type { Toggle, CaptionStyle, OverlayChange, OverlayMode, OverlaySettings, OverlayText } from "./bindings";
export type { OverlayView, ShortcutBinding, ShortcutProblem, ShortcutsState, TextAlignment } from "./bindings";
export type { TextEdge, TextWeight } from "./bindings";

/** What the overlay's own page may ask for, beside watching the captions. */
export interface OverlayPageClient {
  /** First the overlay as it is, then what changes of it. */
  watchOverlay(on: (view: OverlayView) => void): Promise<void>;
  changeOverlay(change: OverlayChange): Promise<void>;
  closeOverlay(): Promise<void>;
  setClickThrough(on: boolean): Promise<void>;
  /** By so many pixels. */
  shiftOverlay(right: number, down: number): Promise<void>;
  /** Follows the mouse whose button is down. */
  dragOverlay(): Promise<void>;
  /** Gives the window the height of its lines, and shows it. */
  resizeOverlay(height: number): Promise<void>;
  /** Shows the main window with the overlay's style. */
  showOverlayStyle(): Promise<void>;
  /** Asks the main window to begin captions, or to end them. */
  toggleCaptions(): Promise<void>;
}

export interface OverlayClient extends OverlayPageClient {
  openOverlay(): Promise<void>;
  /** Gives the overlay the keyboard. */
  focusOverlay(): Promise<void>;
  /** Someone wants captions to begin, or to end; the returned function ends it. */
  onCaptionsWished(on: () => void): () => void;
  /** Whether someone does, once. */
  takeCaptionsWish(): Promise<boolean>;
  /** The overlay's style is to be seen; the returned function ends it. */
  onStyleWished(on: () => void): () => void;
  /** Brings the main window to the front. */
  showMainWindow(): Promise<void>;
  shortcutsState(): Promise<ShortcutsState>;
  /** Keys that cannot be had leave the action as it is; the state says why. */
  bindShortcut(action: Toggle, keys: string | null): Promise<ShortcutsState>;
}

export const tauriOverlay: OverlayClient = {
  watchOverlay: (on) => commands.watchOverlay(channel(on)),
  changeOverlay: async (change) => void (await take(commands.changeOverlay(change))),
  closeOverlay: async () => void (await take(commands.closeOverlay())),
  setClickThrough: async (on) => void (await take(commands.setClickThrough(on))),
  shiftOverlay: async (right, down) => void (await take(commands.shiftOverlay(right, down))),
  dragOverlay: async () => void (await take(commands.dragOverlay())),
  resizeOverlay: async (height) => void (await take(commands.resizeOverlay(height))),
  showOverlayStyle: () => commands.showOverlayStyle(),
  toggleCaptions: () => commands.toggleCaptions(),

  openOverlay: async () => void (await take(commands.openOverlay())),
  focusOverlay: async () => void (await take(commands.focusOverlay())),
  onCaptionsWished(on) {
    const stop = events.captionsWished.listen(() => on());
    return () => void stop.then((end) => end());
  },
  takeCaptionsWish: () => commands.takeCaptionsWish(),
  onStyleWished(on) {
    const stop = events.styleWished.listen(() => on());
    return () => void stop.then((end) => end());
  },
  showMainWindow: () => commands.showMainWindow(),
  shortcutsState: () => commands.shortcutsState(),
  bindShortcut: (action, keys) => take(commands.bindShortcut(action, keys)),
};

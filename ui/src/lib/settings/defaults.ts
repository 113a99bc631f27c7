import type { Settings } from "../ipc/client";

/** Until the Rust side has said what is in the settings' file. */
export const defaults: Settings = {
  theme: "system",
  text_size: "normal",
  language: "system",
  send_key: "enter",
  close_to_tray: false,
  generation: {
    preset: "balanced",
    custom: { temperature: null, top_k: null, top_p: null, min_p: null, repetition_penalty: null },
    max_tokens: null,
  },
  model_folders: [],
  default_model: null,
  last_model: null,
  memory_limit: null,
  captions: { source: "microphone", language: null, translate: null, keep_sound: true },
  overlay: {
    mode: "floating",
    shown: "both",
    style: {
      size: 28,
      weight: "medium",
      colour: "#ffffff",
      edge: "none",
      background: "#000000",
      opacity: 80,
      lines: 2,
      line_width: 60,
      spacing: 135,
      alignment: "start",
      fade_s: 20,
      speaker: true,
    },
    place: null,
  },
  shortcuts: {
    toggle_captions: "Ctrl+Shift+F9",
    toggle_overlay: "Ctrl+Shift+F10",
    toggle_click_through: "Ctrl+Shift+F11",
  },
};

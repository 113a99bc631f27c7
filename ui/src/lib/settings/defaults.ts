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
};

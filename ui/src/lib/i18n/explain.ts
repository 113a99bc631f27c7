import type { ErrorCode } from "../ipc/client";
import { m } from "./i18n.svelte";

/** What a code means and what to do, in the language of the window; messages of the Rust side are English. */
export function explain(code: ErrorCode): string {
  switch (code) {
    case "model_missing":
      return m.failures.modelMissing;
    case "model_broken":
      return m.failures.modelBroken;
    case "unsupported":
      return m.failures.unsupported;
    case "input_unreadable":
      return m.failures.inputUnreadable;
    case "too_long":
      return m.failures.tooLong;
    case "storage":
      return m.failures.storage;
    case "gone":
      return m.failures.gone;
    case "busy":
      return m.failures.busy;
    case "out_of_memory":
      return m.failures.outOfMemory;
    case "cancelled":
      return m.failures.cancelled;
    case "internal":
      return m.failures.internal;
  }
}

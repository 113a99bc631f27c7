import { seconds } from "../format";
import type { ApiError, ErrorCode, Notice } from "../ipc/client";
import { i18n, m } from "./i18n.svelte";

/** What went wrong and what to do, in the language of the window; messages of the Rust side are English. */
export function explain({ code, message, subject }: ApiError): string {
  if (i18n.language === "en") return message;
  const text = meaning(code);
  return subject ? `${subject}: ${text}` : text;
}

/** A notice in the language of the window. */
export function tell({ text, about }: Notice): string {
  if (i18n.language === "en") return text;
  switch (about.kind) {
    case "sound_damaged":
      return m.failures.soundDamaged(about.file, seconds(about.seconds * 1000));
    case "not_saved":
      return m.failures.notSaved;
    case "microphone_lost":
      return m.failures.microphoneLost(about.device);
  }
}

function meaning(code: ErrorCode): string {
  switch (code) {
    case "model_missing":
      return m.failures.modelMissing;
    case "model_broken":
      return m.failures.modelBroken;
    case "unsupported":
      return m.failures.unsupported;
    case "input_unreadable":
      return m.failures.inputUnreadable;
    case "input_empty":
      return m.failures.inputEmpty;
    case "input_too_large":
      return m.failures.inputTooLarge;
    case "input_too_long":
      return m.failures.inputTooLong;
    case "input_unknown":
      return m.failures.inputUnknown;
    case "input_is_folder":
      return m.failures.inputIsFolder;
    case "too_long":
      return m.failures.tooLong;
    case "storage":
      return m.failures.storage;
    case "storage_newer":
      return m.failures.storageNewer;
    case "storage_in_use":
      return m.failures.storageInUse;
    case "storage_read_only":
      return m.failures.storageReadOnly;
    case "storage_damaged":
      return m.failures.storageDamaged;
    case "disk_full":
      return m.failures.diskFull;
    case "export_too_large":
      return m.failures.exportTooLarge;
    case "mic_missing":
      return m.failures.micMissing;
    case "mic_denied":
      return m.failures.micDenied;
    case "mic_busy":
      return m.failures.micBusy;
    case "mic_silent":
      return m.failures.micSilent;
    case "mic_failed":
      return m.failures.micFailed;
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

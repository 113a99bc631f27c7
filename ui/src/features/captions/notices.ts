import { m } from "../../lib/i18n/i18n.svelte";
import type { LiveNotice } from "../../lib/ipc/client";
import { channelName } from "../../lib/channels";
import { seconds } from "../../lib/format";

/** What is wrong and what to do; null for news that is good. */
export function troubleOf(notice: LiveNotice): string | null {
  const channel = channelName(notice.channel ?? "file");
  switch (notice.notice) {
    case "device_lost":
      return m.captions.deviceLost(channel, notice.device);
    case "silent":
      return m.captions.silent(channel);
    case "sound_lost":
      return m.captions.soundLost(channel, seconds(notice.ms));
    case "not_saved":
      return m.captions.notSaved;
    case "file_damaged":
      return m.captions.fileDamaged;
    case "model_failed":
      return m.captions.modelFailed;
    case "hearing":
    case "heard":
    case "saved_again":
      return null;
  }
}

import { m } from "./i18n/i18n.svelte";
import type { ChannelName } from "./ipc/client";

/** Who is heard on a channel. */
export function channelName(channel: ChannelName): string {
  switch (channel) {
    case "me":
      return m.captions.me;
    case "others":
      return m.captions.others;
    case "file":
      return m.captions.file;
  }
}

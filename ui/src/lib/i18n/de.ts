import { app } from "./de/app";
import { captions } from "./de/captions";
import { chat } from "./de/chat";
import { failures } from "./de/failures";
import { library } from "./de/library";
import { machine } from "./de/machine";
import { models } from "./de/models";
import { numbers } from "./de/numbers";
import { overlay } from "./de/overlay";
import { settings } from "./de/settings";
import type { Messages } from "./i18n.svelte";

/** Du-Form, as apps for people at home use it. */
export const de: Messages = { app, captions, chat, failures, library, machine, models, numbers, overlay, settings };

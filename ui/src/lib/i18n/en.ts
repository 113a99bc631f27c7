import { app } from "./en/app";
import { captions } from "./en/captions";
import { chat } from "./en/chat";
import { failures } from "./en/failures";
import { library } from "./en/library";
import { machine } from "./en/machine";
import { models } from "./en/models";
import { numbers } from "./en/numbers";
import { overlay } from "./en/overlay";
import { settings } from "./en/settings";

/** A key is written out where it is used, as in `m.models.open`: so unused ones can be found. */
export const en = { app, captions, chat, failures, library, machine, models, numbers, overlay, settings };

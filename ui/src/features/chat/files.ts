import type { Client, FileKind, Waveform } from "../../lib/ipc/client";
import { fileName } from "../../lib/format";
import { m } from "../../lib/i18n/i18n.svelte";

const pictures = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"];
const sounds = ["wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "mp4", "aac", "aif", "aiff", "caf", "webm"];
const texts = ["txt", "md", "csv", "json", "log", "py", "rs", "js", "ts", "html", "css", "toml", "yaml", "yml"];

/** For the dialog. Any file may be dropped: whether it can be read is found out by reading it. */
export const fileKinds = (): FileKind[] => [
  { name: m.chat.allKinds, extensions: [...pictures, ...sounds, ...texts] },
  { name: m.chat.pictures, extensions: pictures },
  { name: m.chat.sounds, extensions: sounds },
  { name: m.chat.texts, extensions: texts },
  { name: m.chat.anyFile, extensions: ["*"] },
];

/** Of what captions can be made, for the dialog. */
export const soundKinds = (): FileKind[] => [
  { name: m.chat.sounds, extensions: [...sounds, "mkv", "mov"] },
  { name: m.chat.anyFile, extensions: ["*"] },
];

export const markdownKind = (): FileKind => ({ name: "Markdown", extensions: ["md"] });
export const jsonKind = (): FileKind => ({ name: "JSON", extensions: ["json"] });

const extensionOf = (path: string) => fileName(path).split(".").slice(1).at(-1)?.toLowerCase() ?? "";

/** Whether a dropped path looks like a model to open rather than a file to ask about. */
export function isModel(path: string, isOpen: boolean): boolean {
  const extension = extensionOf(path);
  // Before a model is open, a folder or a file of no known kind may be one.
  return extension === "gguf" || (!isOpen && ![...pictures, ...sounds, ...texts].includes(extension));
}

/** What the files of the library look like, read once. */
export class FileLooks {
  #client: Client;
  #previews = new Map<string, Promise<string>>();
  #waveforms = new Map<string, Promise<Waveform>>();

  constructor(client: Client) {
    this.#client = client;
  }

  preview(file: string, side: number): Promise<string> {
    return remember(this.#previews, `${side} ${file}`, () => this.#client.preview(file, side));
  }

  waveform(file: string): Promise<Waveform> {
    return remember(this.#waveforms, file, () => this.#client.waveform(file));
  }
}

function remember<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let made = known.get(key);
  if (!made) {
    made = make();
    known.set(key, made);
    // What failed may work later.
    made.catch(() => known.delete(key));
  }
  return made;
}

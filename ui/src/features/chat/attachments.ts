import type { AskPart, FileKind } from "../../lib/ipc/client";
import { fileName } from "../../lib/format";

export type AttachmentKind = "image" | "audio";

export interface Attachment {
  kind: AttachmentKind;
  path: string;
  name: string;
}

const extensions: Record<AttachmentKind, string[]> = {
  image: ["png", "jpg", "jpeg", "webp", "gif", "bmp"],
  audio: ["wav", "mp3", "flac", "ogg", "m4a", "aac"],
};

export const fileKinds: FileKind[] = [
  { name: "Pictures and sound", extensions: [...extensions.image, ...extensions.audio] },
  { name: "Pictures", extensions: extensions.image },
  { name: "Sound", extensions: extensions.audio },
];

/** Judged by the name; whether the file can be read is found out when it is sent. */
export function attachmentOf(path: string): Attachment | null {
  const name = fileName(path);
  const extension = name.includes(".") ? name.split(".").at(-1)?.toLowerCase() : undefined;
  for (const kind of ["image", "audio"] as const) {
    if (extension !== undefined && extensions[kind].includes(extension)) return { kind, path, name };
  }
  return null;
}

/** Pictures and sound first, then the question about them. */
export function partsOf(text: string, attachments: readonly Attachment[]): AskPart[] {
  const parts: AskPart[] = attachments.map(({ kind, path }) => ({ type: kind, path }));
  if (text !== "") parts.push({ type: "text", text });
  return parts;
}

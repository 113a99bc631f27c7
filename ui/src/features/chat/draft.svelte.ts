import { ApiFailure, type Attached, type Client, type MessagePart, type Notice } from "../../lib/ipc/client";
import { fileName } from "../../lib/format";

/** A file beside the question: first on its way into the library, then in it. */
export interface Attachment {
  id: number;
  name: string;
  /** Null while it is read. */
  part: MessagePart | null;
}

/** Larger pictures do not pass through the clipboard in bearable time. */
const MAX_PASTED_BYTES = 32 << 20;

/** The question that is being written. */
export class Draft {
  #client: Client;
  #nextId = 0;
  text = $state("");
  attachments = $state<Attachment[]>([]);
  /** Why the last file was not attached. */
  refusal = $state.raw<ApiFailure | "not_a_picture" | "too_large" | null>(null);
  /** What is wrong with attached files that can be used all the same. */
  notices = $state<Notice[]>([]);

  readonly isReading = $derived(this.attachments.some((attachment) => attachment.part === null));
  readonly isEmpty = $derived(this.text.trim() === "" && this.attachments.length === 0);

  constructor(client: Client) {
    this.#client = client;
  }

  /** Pictures, sounds and notes first, then the question about them. */
  get parts(): MessagePart[] {
    const parts = this.attachments.flatMap(({ part }) => (part ? [$state.snapshot(part)] : []));
    const text = this.text.trim();
    return text === "" ? parts : [...parts, { type: "text", text }];
  }

  async attach(paths: readonly string[]) {
    this.refusal = null;
    const added = paths.map((path) => this.#add(fileName(path), null));
    for (const [i, path] of paths.entries()) {
      const attachment = added[i];
      if (attachment) await this.#read(attachment, () => this.#client.attach(path));
    }
  }

  async attachPasted(files: readonly File[]) {
    this.refusal = null;
    for (const file of files) {
      if (!file.type.startsWith("image/")) this.refusal = "not_a_picture";
      else if (file.size > MAX_PASTED_BYTES) this.refusal = "too_large";
      else {
        const attachment = this.#add(file.name, null);
        await this.#read(attachment, async () => this.#client.attachPasted(file.name, await base64(file)));
      }
    }
  }

  /** Takes in what is in the library already, such as a voice note. */
  take({ part, notice }: Attached) {
    if (part.type !== "text") this.#add(part.name, part);
    if (notice !== null) this.notices.push(notice);
  }

  /** Puts parts in that are in the library already. */
  put(parts: readonly MessagePart[]) {
    for (const part of parts) {
      if (part.type === "text") this.text = part.text;
      else this.#add(part.name, part);
    }
  }

  detach(attachment: Attachment) {
    this.attachments = this.attachments.filter((other) => other.id !== attachment.id);
    const { part } = attachment;
    // The library keeps it if a message has it. A leftover is swept at the next start.
    if (part && "file" in part) this.#client.discardFile(part.file).catch(() => {});
  }

  /** After it was sent. */
  clear() {
    this.text = "";
    this.attachments = [];
    this.refusal = null;
    this.notices = [];
  }

  #add(name: string, part: MessagePart | null): Attachment {
    this.attachments.push({ id: this.#nextId++, name, part });
    return this.attachments.at(-1) as Attachment; // through the array, so that the page sees its changes
  }

  async #read(attachment: Attachment, read: () => Promise<Attached>) {
    try {
      const { part, notice } = await read();
      const isHere = (other: Attachment) => JSON.stringify(other.part) === JSON.stringify(part);
      if (this.attachments.some(isHere)) this.#drop(attachment);
      else attachment.part = part;
      if (notice !== null) this.notices.push(notice);
    } catch (error) {
      this.#drop(attachment);
      this.refusal = ApiFailure.from(error);
    }
  }

  #drop(attachment: Attachment) {
    this.attachments = this.attachments.filter((other) => other.id !== attachment.id);
  }
}

async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  // In stretches: a call takes only so many arguments.
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary);
}

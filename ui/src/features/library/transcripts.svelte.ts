import { exportName } from "../../lib/format";
import { ApiFailure, type ChannelName, type Client, type StoredLine, type TranscriptFile } from "../../lib/ipc/client";
import type { FileKind, MarkInfo, TranscriptHit, TranscriptInfo, TranscriptText, TranscriptView } from "../../lib/ipc/client";
import { m } from "../../lib/i18n/i18n.svelte";
import { Search } from "../../lib/search.svelte";

/** As much sound as is played at a time; the next stretch follows by itself. */
const STRETCH_MS = 30_000;

/** A stretch of sound to be played. */
export interface Stretch {
  channel: ChannelName;
  endMs: number;
  /** As a data: address. */
  sound: string;
}

export const fileKinds = (): Record<TranscriptFile, FileKind> => ({
  srt: { name: m.library.subtitlesSrt, extensions: ["srt"] },
  vtt: { name: m.library.subtitlesVtt, extensions: ["vtt"] },
  txt: { name: m.library.plainText, extensions: ["txt"] },
  markdown: { name: m.library.markdown, extensions: ["md"] },
  json: { name: m.library.json, extensions: ["json"] },
});

/** The transcripts of the library, and the one that is open. */
export class TranscriptsController {
  #client: Client;
  #list = $state.raw<readonly TranscriptInfo[] | null>(null);
  #view = $state.raw<TranscriptView | null>(null);
  #failure = $state.raw<ApiFailure | null>(null);
  #hearing = $state<string | null>(null);
  #stretch = $state.raw<Stretch | null>(null);
  #line = $state<string | null>(null);
  readonly search = new Search<TranscriptHit>((query) => this.#attempt(() => this.#client.searchTranscripts(query)));
  /** Where the last export went. */
  exportedTo = $state.raw<string | null>(null);

  constructor(client: Client) {
    this.#client = client;
  }

  /** The latest first; null until they were read. */
  get list(): readonly TranscriptInfo[] | null {
    return this.#list;
  }

  /** The open transcript. */
  get view(): TranscriptView | null {
    return this.#view;
  }

  /** The line that was searched for. */
  get line(): string | null {
    return this.#line;
  }

  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** The line that the model is writing down once more. */
  get hearing(): string | null {
    return this.#hearing;
  }

  get stretch(): Stretch | null {
    return this.#stretch;
  }

  /** Reads the list and the open transcript anew. */
  async refresh() {
    await this.#attempt(() => this.#load());
  }

  /** With a line, that is where to begin reading. */
  async open(transcript: string, line: string | null = null) {
    if (transcript !== this.#view?.info.id) this.stopPlaying();
    await this.#attempt(async () => {
      this.#view = await this.#client.openTranscript(transcript);
      this.#line = line;
    });
  }

  close() {
    this.stopPlaying();
    this.#view = null;
    this.#line = null;
  }

  async rename(transcript: TranscriptInfo, title: string) {
    const words = title.trim();
    if (words === "" || words === transcript.title) return;
    await this.#change(() => this.#client.renameTranscript(transcript.id, words));
  }

  /** For good: the user was asked. */
  async delete(transcript: TranscriptInfo) {
    await this.#change(async () => {
      await this.#client.deleteTranscript(transcript.id);
      if (this.#view?.info.id === transcript.id) this.close();
    });
  }

  async deleteSound(transcript: TranscriptInfo) {
    this.stopPlaying();
    await this.#change(() => this.#client.deleteSound(transcript.id));
  }

  /** Takes a recovered or unfinished transcript as it is. */
  async accept(transcript: TranscriptInfo) {
    await this.#change(() => this.#client.acceptTranscript(transcript.id));
  }

  async export(transcript: TranscriptInfo, format: TranscriptFile) {
    const kind = fileKinds()[format];
    const name = exportName(transcript.title, kind.extensions[0]);
    this.exportedTo = null;
    await this.#attempt(async () => {
      const to = await this.#client.pickSave(m.library.exportTitle, name, kind);
      if (to === null) return;
      await this.#client.exportTranscript(transcript.id, format, to);
      this.exportedTo = to;
    });
  }

  /** What was said, as much of it as the model has room for; null if it cannot be read. */
  async text(transcript: TranscriptInfo): Promise<TranscriptText | null> {
    return (await this.#attempt(() => this.#client.transcriptText(transcript.id))) ?? null;
  }

  /** True if the line has these words now. */
  async edit(line: StoredLine, text: string): Promise<boolean> {
    const words = text.trim();
    if (words === "" || words === line.text) return true;
    const changed = await this.#attempt(() => this.#client.editLine(line.id, words));
    if (changed) this.#replace(changed);
    return changed !== undefined;
  }

  /** Has the model write the line down once more. */
  async hearAgain(line: StoredLine) {
    if (this.#hearing !== null) return;
    this.#hearing = line.id;
    const heard = await this.#attempt(() => this.#client.hearLineAgain(line.id));
    if (heard) this.#replace(heard);
    this.#hearing = null;
  }

  /** Plays what is heard on a channel from a moment on. */
  async play(channel: ChannelName, startMs: number) {
    const view = this.#view;
    if (!view) return;
    const endMs = Math.min(startMs + STRETCH_MS, view.info.length_ms);
    if (endMs <= startMs) return this.stopPlaying();
    const { id } = view.info;
    const sound = await this.#attempt(() => this.#client.playTranscript(id, channel, startMs, endMs));
    // The user may have opened another one meanwhile.
    if (this.#view?.info.id === id) this.#stretch = sound === undefined ? null : { channel, endMs, sound };
  }

  /** Goes on where the stretch has ended. */
  async playOn() {
    const { stretch } = this;
    if (stretch) await this.play(stretch.channel, stretch.endMs);
  }

  stopPlaying() {
    this.#stretch = null;
  }

  /** True if they are on the disk. */
  async writeNotes(transcript: string, notes: string): Promise<boolean> {
    const done = await this.#attempt(async () => {
      await this.#client.writeNotes(transcript, notes);
      return true;
    });
    if (done && this.#view?.info.id === transcript) this.#view = { ...this.#view, notes };
    return done === true;
  }

  async writeMark(mark: MarkInfo, note: string) {
    if (note === mark.note) return;
    await this.#change(() => this.#client.writeMark(mark.id, note));
  }

  async deleteMark(mark: MarkInfo) {
    await this.#change(() => this.#client.deleteMark(mark.id));
  }

  /** The user has read it. */
  dismiss() {
    this.#failure = null;
    this.exportedTo = null;
  }

  #replace(line: StoredLine) {
    if (!this.#view) return;
    const lines = this.#view.lines.map((other) => (other.id === line.id ? line : other));
    this.#view = { ...this.#view, lines };
  }

  async #load() {
    this.#list = await this.#client.transcripts();
    const open = this.#view?.info.id;
    if (open === undefined) return;
    if (!this.#list.some(({ id }) => id === open)) return this.close();
    const view = await this.#client.openTranscript(open);
    if (this.#view?.info.id === open) this.#view = view;
  }

  async #change(change: () => Promise<void>) {
    await this.#attempt(change);
    const { failure } = this;
    await this.refresh();
    await this.search.refresh();
    // What the user asked for says more than that the list could not be read either.
    this.#failure = failure ?? this.#failure;
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    this.#failure = null;
    try {
      return await work();
    } catch (error) {
      this.#failure = ApiFailure.from(error);
      return undefined;
    }
  }
}

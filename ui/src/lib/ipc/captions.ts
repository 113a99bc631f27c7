/** The part of the client that is about live captions and their transcripts. */
import {
  commands,
  type ChannelName,
  type LiveEvent,
  type MarkInfo,
  type StartCaptions,
  type StoredLine,
  type TranscriptFile,
  type TranscriptHit,
  type TranscriptInfo,
  type TranscriptText,
  type TranscriptView,
} from "./bindings";
import { channel, take, type Reply } from "./reply";

export type { CaptionPace, CaptionSource, ChannelInfo, ChannelName, LiveEvent, LiveLine, LiveNotice } from "./bindings";
export type { LiveView, MarkInfo, NoticeKind, Phase, StartCaptions, StoredLine, StoredState } from "./bindings";
export type { TranscriptFile, TranscriptHit, TranscriptInfo, TranscriptText, TranscriptView } from "./bindings";

export interface CaptionsClient {
  /** First the captions as they are, then what happens. */
  watchCaptions(on: (event: LiveEvent) => void): Promise<void>;
  /** Resolves to the id of the transcript when the devices are open. */
  startCaptions(start: StartCaptions): Promise<string>;
  /** Ends the sound; the rest of it is written down. */
  stopCaptions(): Promise<void>;
  /** Leaves what is not written down yet for later. */
  leaveCaptions(): Promise<void>;
  setCaptionLanguages(language: string | null, translate: string | null): Promise<void>;
  /** Writes down the rest of a transcript's sound. */
  resumeTranscript(transcript: string): Promise<void>;

  /** The latest first. */
  transcripts(): Promise<TranscriptInfo[]>;
  openTranscript(transcript: string): Promise<TranscriptView>;
  searchTranscripts(query: string): Promise<TranscriptHit[]>;
  renameTranscript(transcript: string, title: string): Promise<void>;
  /** With its sound. */
  deleteTranscript(transcript: string): Promise<void>;
  /** Keeps the words. */
  deleteSound(transcript: string): Promise<void>;
  /** Takes a recovered or unfinished transcript as it is. */
  acceptTranscript(transcript: string): Promise<void>;
  writeNotes(transcript: string, notes: string): Promise<void>;
  addMark(transcript: string, atMs: number, note: string): Promise<MarkInfo>;
  writeMark(mark: string, note: string): Promise<void>;
  deleteMark(mark: string): Promise<void>;
  editLine(line: string, text: string): Promise<StoredLine>;
  /** Has the model write the line down once more. */
  hearLineAgain(line: string): Promise<StoredLine>;
  /** At most 30 s of sound, as a data: address. */
  playTranscript(transcript: string, channel: ChannelName, startMs: number, endMs: number): Promise<string>;
  /** What was said as plain text with speakers. */
  transcriptText(transcript: string): Promise<TranscriptText>;
  exportTranscript(transcript: string, format: TranscriptFile, to: string): Promise<void>;
}

const empty = async (reply: Promise<Reply<null>>) => void (await take(reply));

export const tauriCaptions: CaptionsClient = {
  watchCaptions: async (on) => void (await commands.watchCaptions(channel(on))),
  startCaptions: (start) => take(commands.startCaptions(start)),
  stopCaptions: async () => void (await commands.stopCaptions()),
  leaveCaptions: async () => void (await commands.leaveCaptions()),
  setCaptionLanguages: (language, translate) => empty(commands.setCaptionLanguages(language, translate)),
  resumeTranscript: (transcript) => empty(commands.resumeTranscript(transcript)),

  transcripts: () => take(commands.transcripts()),
  openTranscript: (transcript) => take(commands.openTranscript(transcript)),
  searchTranscripts: (query) => take(commands.searchTranscripts(query)),
  renameTranscript: (transcript, title) => empty(commands.renameTranscript(transcript, title)),
  deleteTranscript: (transcript) => empty(commands.deleteTranscript(transcript)),
  deleteSound: (transcript) => empty(commands.deleteSound(transcript)),
  acceptTranscript: (transcript) => empty(commands.acceptTranscript(transcript)),
  writeNotes: (transcript, notes) => empty(commands.writeNotes(transcript, notes)),
  addMark: (transcript, atMs, note) => take(commands.addMark(transcript, atMs, note)),
  writeMark: (mark, note) => empty(commands.writeMark(mark, note)),
  deleteMark: (mark) => empty(commands.deleteMark(mark)),
  editLine: (line, text) => take(commands.editLine(line, text)),
  hearLineAgain: (line) => take(commands.hearLineAgain(line)),
  playTranscript: (transcript, channel, startMs, endMs) =>
    take(commands.playTranscript(transcript, channel, startMs, endMs)),
  transcriptText: (transcript) => take(commands.transcriptText(transcript)),
  exportTranscript: (transcript, format, to) => empty(commands.exportTranscript(transcript, format, to)),
};

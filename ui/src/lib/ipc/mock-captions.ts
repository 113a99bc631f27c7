/** A scripted stand-in for the live captions and transcripts on the Rust side, kept in memory. */
import type { CaptionsClient, ChannelName, LiveEvent, LiveLine, LiveView, MarkInfo, NoticeKind } from "./captions";
import type { StartCaptions, StoredLine, TranscriptFile, TranscriptHit, TranscriptInfo, TranscriptView } from "./captions";
import { MockLibrary } from "./mock-library";
import { ApiFailure } from "./reply";

/** A sound that no player gets to the end of: a test decides when it is over. */
const ENDLESS = "data:audio/wav;base64,";

export class MockCaptions extends MockLibrary implements CaptionsClient {
  captions: LiveView = {
    phase: "idle",
    transcript: null,
    channels: [],
    language: null,
    translate: null,
    elapsed_ms: 0,
    behind_ms: 0,
    pace: "full",
    lines: [],
    notice: null,
    failure: null,
  };
  /** Rejections to come, one for each next call. */
  startFailures: ApiFailure[] = [];
  transcriptFailures: ApiFailure[] = [];
  /** How many lines of a transcript the model has room for. */
  roomForLines = 1000;
  /** What the model hears when it listens to a line once more. */
  heardAgain = "What was really said.";

  readonly started: StartCaptions[] = [];
  readonly languages: [string | null, string | null][] = [];
  readonly resumed: string[] = [];
  readonly exportedTranscripts: [string, TranscriptFile, string][] = [];
  readonly played: [string, ChannelName, number, number][] = [];
  #watchers = new Set<(event: LiveEvent) => void>();
  #transcripts: TranscriptView[] = [];
  #made = 0;

  async watchCaptions(on: (event: LiveEvent) => void) {
    this.#watchers.add(on);
    on({ event: "view", ...structuredClone(this.captions) });
  }

  async startCaptions(start: StartCaptions) {
    const failure = this.startFailures.shift();
    if (failure) {
      // Those who watch are told as well as the one who asked.
      this.fail(failure);
      throw failure;
    }
    this.started.push(start);
    const channels = this.#channelsOf(start);
    const { language, translate } = start;
    const id = this.keepTranscript(start.title, [], { state: "recording", language, translate });
    this.captions = { ...this.captions, transcript: id, channels, language, translate, lines: [], notice: null };
    this.captions = { ...this.captions, phase: "listening", elapsed_ms: 0, behind_ms: 0, pace: "full", failure: null };
    this.#show({ event: "view", ...structuredClone(this.captions) });
    return id;
  }

  async stopCaptions() {
    this.phase(this.captions.behind_ms > 0 ? "finishing" : "idle");
  }

  async leaveCaptions() {
    this.phase("idle");
  }

  async setCaptionLanguages(language: string | null, translate: string | null) {
    this.languages.push([language, translate]);
    this.captions = { ...this.captions, language, translate };
    this.#show({ event: "view", ...structuredClone(this.captions) });
  }

  async resumeTranscript(transcript: string) {
    this.#refuse();
    this.resumed.push(transcript);
    this.#find(transcript).info.state = "complete";
  }

  async transcripts() {
    this.#refuse();
    return this.#transcripts.map(({ info }) => ({ ...info })).sort((a, b) => b.started_ms - a.started_ms);
  }

  async openTranscript(transcript: string) {
    this.#refuse();
    return structuredClone(this.#find(transcript));
  }

  async searchTranscripts(query: string): Promise<TranscriptHit[]> {
    const wanted = query.toLowerCase();
    return this.#transcripts.flatMap(({ info, lines }): TranscriptHit[] => {
      if (info.title.toLowerCase().includes(wanted)) return [{ transcript: info, line: null, excerpt: [] }];
      const line = lines.find(({ text }) => text.toLowerCase().includes(wanted));
      return line ? [{ transcript: info, line: line.id, excerpt: [{ text: query, found: true }] }] : [];
    });
  }

  async renameTranscript(transcript: string, title: string) {
    this.#find(transcript).info.title = title;
  }

  async deleteTranscript(transcript: string) {
    this.#refuse();
    this.#find(transcript);
    this.#transcripts = this.#transcripts.filter(({ info }) => info.id !== transcript);
  }

  async deleteSound(transcript: string) {
    for (const channel of this.#find(transcript).info.channels) channel.has_sound = false;
  }

  async acceptTranscript(transcript: string) {
    this.#find(transcript).info.state = "complete";
  }

  async writeNotes(transcript: string, notes: string) {
    this.#refuse();
    this.#find(transcript).notes = notes;
  }

  async addMark(transcript: string, at_ms: number, note: string): Promise<MarkInfo> {
    this.#refuse();
    const mark = { id: `mark-${this.#made++}`, at_ms, note };
    this.#find(transcript).marks.push(mark);
    return { ...mark };
  }

  async writeMark(mark: string, note: string) {
    for (const { marks } of this.#transcripts) for (const other of marks) if (other.id === mark) other.note = note;
  }

  async deleteMark(mark: string) {
    for (const view of this.#transcripts) view.marks = view.marks.filter(({ id }) => id !== mark);
  }

  async editLine(line: string, text: string): Promise<StoredLine> {
    this.#refuse();
    return { ...Object.assign(this.#line(line), { text, is_edited: true, unclear: null }) };
  }

  async hearLineAgain(line: string): Promise<StoredLine> {
    await this.pause();
    this.#refuse();
    return { ...Object.assign(this.#line(line), { text: this.heardAgain, is_edited: false, unclear: null }) };
  }

  async playTranscript(transcript: string, channel: ChannelName, startMs: number, endMs: number) {
    this.played.push([transcript, channel, startMs, endMs]);
    return ENDLESS;
  }

  async transcriptText(transcript: string) {
    const { lines } = this.#find(transcript);
    const kept = lines.slice(0, this.roomForLines);
    const text = kept.map(({ channel, text }) => `${channel}: ${text}`).join("\n");
    return { text, kept: kept.length, lines: lines.length };
  }

  async exportTranscript(transcript: string, format: TranscriptFile, to: string) {
    const failure = this.exportFailures.shift();
    if (failure) throw failure;
    this.exportedTranscripts.push([transcript, format, to]);
  }

  /** Puts a transcript into the library, as if it had been there before; its lines are three seconds each. */
  keepTranscript(title: string, texts: string[], more: Partial<TranscriptInfo> = {}): string {
    const id = `transcript-${this.#made++}`;
    const lines = texts.map((text, i): StoredLine => {
      const channel = i % 2 === 0 ? "me" : "others";
      const start_ms = i * 3000;
      const nothing = { translation: null, unclear: null, is_edited: false };
      return { id: `${id}-line-${i}`, channel, start_ms, end_ms: start_ms + 2800, text, ...nothing };
    });
    const info: TranscriptInfo = {
      id,
      title,
      started_ms: Date.UTC(2026, 0, 5, 12) + this.#made * 60_000,
      length_ms: lines.length * 3000,
      state: "complete",
      language: "en",
      translate: null,
      model: "Gemma 3n example",
      channels: [
        { channel: "me", has_sound: true },
        { channel: "others", has_sound: true },
      ],
      ...more,
    };
    this.#transcripts.push({ info, notes: "", lines, marks: [] });
    return id;
  }

  /** As if a line were new, or had changed. */
  line(channel: ChannelName, segment: number, more: Partial<LiveLine>) {
    const nothing = { start_ms: null, committed: "", tentative: "", translation: null, unclear: null, id: null };
    this.#show({ event: "line", channel, segment, ...nothing, ...more });
  }

  phase(phase: LiveView["phase"]) {
    this.captions = { ...this.captions, phase };
    this.#show({ event: "phase", phase });
  }

  clock(elapsed_ms: number, behind_ms: number) {
    this.captions = { ...this.captions, elapsed_ms, behind_ms };
    this.#show({ event: "clock", elapsed_ms, behind_ms });
  }

  pace(pace: LiveView["pace"]) {
    this.#show({ event: "pace", pace });
  }

  level(channel: ChannelName, level: number) {
    this.#show({ event: "level", channel, level });
  }

  say(channel: ChannelName | null, kind: NoticeKind) {
    this.#show({ event: "notice", channel, ...kind });
  }

  /** As if the captions had ended by themselves. */
  fail(failure: ApiFailure) {
    const { code, message, subject } = failure;
    this.captions = { ...this.captions, phase: "idle", failure: { code, message, subject } };
    this.#show({ event: "view", ...structuredClone(this.captions) });
  }

  #show(event: LiveEvent) {
    for (const on of this.#watchers) on(event);
  }

  #channelsOf({ source }: StartCaptions): ChannelName[] {
    switch (source.type) {
      case "microphone":
        return ["me"];
      case "system":
        return ["others"];
      case "both":
        return ["me", "others"];
      case "file":
        return ["file"];
    }
  }

  #refuse() {
    const failure = this.transcriptFailures.shift();
    if (failure) throw failure;
  }

  #find(id: string): TranscriptView {
    const view = this.#transcripts.find(({ info }) => info.id === id);
    if (!view) throw new ApiFailure("gone", "This transcript is not there any more.");
    return view;
  }

  #line(id: string): StoredLine {
    const line = this.#transcripts.flatMap(({ lines }) => lines).find((line) => line.id === id);
    if (!line) throw new ApiFailure("gone", "This line is not there any more.");
    return line;
  }
}

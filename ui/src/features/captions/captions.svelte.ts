import { i18n, m } from "../../lib/i18n/i18n.svelte";
import { ApiFailure, type CaptionChoices, type CaptionPace, type CaptionsClient } from "../../lib/ipc/client";
import type { ApiError, ChannelName, LiveEvent, LiveLine, LiveNotice, LiveSource, LiveView, Phase } from "../../lib/ipc/client";

/** So much sound that is not written down yet is no more than the model's normal work. */
const BEHIND_MS = 6_000;

/** Of a transcript that begins now. */
export function captionsTitle(): string {
  const when = new Intl.DateTimeFormat(i18n.language, { dateStyle: "medium", timeStyle: "short" });
  return m.captions.title(when.format(Date.now()));
}

const keyOf = ({ channel, segment }: LiveLine) => `${channel} ${segment}`;

/** What a notice is about; a later one about the same thing takes its place, or ends it. */
function topicOf({ channel, notice }: LiveNotice): string {
  switch (notice) {
    case "hearing":
    case "device_lost":
      return `device ${channel}`;
    case "silent":
    case "heard":
      return `silence ${channel}`;
    case "not_saved":
    case "saved_again":
      return "disk";
    default:
      return `${notice} ${channel}`;
  }
}

/** News that something is all right again, or as it should be. */
const isGood = ({ notice }: LiveNotice) => ["hearing", "heard", "saved_again"].includes(notice);

/** The live captions as the Rust side tells of them, and what the user chose for them. */
export class CaptionsController {
  #client: CaptionsClient;
  #phase = $state<Phase>("idle");
  #transcript = $state<string | null>(null);
  #channels = $state.raw<readonly ChannelName[]>([]);
  #language = $state<string | null>(null);
  #translate = $state<string | null>(null);
  #elapsedMs = $state(0);
  #behindMs = $state(0);
  #pace = $state<CaptionPace>("full");
  #hasCaughtUp = $state(false);
  #lines = $state<LiveLine[]>([]);
  #levels = $state<Partial<Record<ChannelName, number>>>({});
  #devices = $state<Partial<Record<ChannelName, string>>>({});
  #notices = $state.raw<readonly LiveNotice[]>([]);
  #ended = $state.raw<ApiError | null>(null);
  #failure = $state.raw<ApiFailure | null>(null);
  #isAsking = $state(false);
  #markedMs = $state<number | null>(null);

  #source = $state<LiveSource>("microphone");
  #keepSound = $state(true);
  /** Told of what the user has chosen, to be remembered. */
  onchoose: (choices: CaptionChoices) => void = () => {};
  /** Told of a transcript that began or ended. */
  onchange: () => void = () => {};

  readonly isRunning = $derived(this.#phase !== "idle");
  readonly isOfFile = $derived(this.isRunning && this.#channels.includes("file"));
  /** How much of the sound is written down. */
  readonly percent = $derived(this.#elapsedMs > 0 ? (100 * (this.#elapsedMs - this.#behindMs)) / this.#elapsedMs : 0);
  /** The model needs longer than the speech; what it does about it is `pace`. */
  readonly isBehind = $derived(
    this.#phase === "listening" && !this.isOfFile && (this.#behindMs > BEHIND_MS || this.#pace !== "full"),
  );
  /** Finished lines, as they may be read out. */
  readonly finished = $derived(this.#lines.filter((line) => line.id !== null));

  constructor(client: CaptionsClient) {
    this.#client = client;
  }

  get phase(): Phase {
    // A device takes a moment to open; the button answers at once.
    return this.#isAsking && this.#phase === "idle" ? "starting" : this.#phase;
  }

  get source(): LiveSource {
    return this.#source;
  }

  set source(source: LiveSource) {
    this.#source = source;
    this.#chosen();
  }

  /** Without it the sound lies on the disk only until it is written down. */
  get keepSound(): boolean {
    return this.#keepSound;
  }

  set keepSound(keep: boolean) {
    this.#keepSound = keep;
    this.#chosen();
  }

  /** The transcript that is being made, or was made last. */
  get transcript(): string | null {
    return this.#transcript;
  }

  get channels(): readonly ChannelName[] {
    return this.#channels;
  }

  /** Null lets the model find out. */
  get language(): string | null {
    return this.#language;
  }

  /** Null translates nothing. */
  get translate(): string | null {
    return this.#translate;
  }

  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  get behindMs(): number {
    return this.#behindMs;
  }

  get pace(): CaptionPace {
    return this.#pace;
  }

  /** It was behind, and is no more. */
  get hasCaughtUp(): boolean {
    return this.#hasCaughtUp;
  }

  get lines(): readonly LiveLine[] {
    return this.#lines;
  }

  /** 0 to 1. */
  levelOf(channel: ChannelName): number {
    return this.#levels[channel] ?? 0;
  }

  deviceOf(channel: ChannelName): string | null {
    return this.#devices[channel] ?? null;
  }

  /** What is wrong at the moment, the latest last. */
  get notices(): readonly LiveNotice[] {
    return this.#notices;
  }

  /** Why the captions ended, or why the model stopped while the sound is still recorded. */
  get ended(): ApiError | null {
    return this.#ended;
  }

  /** Why something that the user asked for was not done. */
  get failure(): ApiFailure | null {
    return this.#failure;
  }

  /** The moment that was marked last. */
  get markedMs(): number | null {
    return this.#markedMs;
  }

  /** Follows the captions for as long as the window is there. */
  async watch() {
    await this.#attempt(() => this.#client.watchCaptions((event) => this.#apply(event)));
  }

  /** Of what the chosen source hears, or of a sound or video file. */
  async start(title: string, file?: string) {
    if (this.phase !== "idle") return;
    this.#isAsking = true;
    const [language, translate] = [this.#language, this.#translate];
    const source = file === undefined ? { type: this.source } : { type: "file" as const, path: file };
    const start = { source, title, language, translate, keep_sound: this.keepSound };
    await this.#attempt(() => this.#client.startCaptions(start));
    this.#isAsking = false;
    this.onchange();
  }

  /** Ends the sound; the rest of it is written down. A file, whose rest would be nearly all of it, is left for later. */
  async stop() {
    if (this.isOfFile) return this.leave();
    await this.#attempt(() => this.#client.stopCaptions());
  }

  /** Leaves what is not written down yet for later. */
  async leave() {
    await this.#attempt(() => this.#client.leaveCaptions());
  }

  /** Writes down the rest of a transcript's sound. */
  async resume(transcript: string) {
    await this.#attempt(() => this.#client.resumeTranscript(transcript));
    this.onchange();
  }

  /** Of what is spoken from now on; it may be changed while captions run. */
  async speak(language: string | null, translate: string | null) {
    const before = [this.#language, this.#translate] as const;
    [this.#language, this.#translate] = [language, translate];
    if (this.isRunning) {
      const done = await this.#attempt(() => this.#client.setCaptionLanguages(language, translate));
      if (!done) [this.#language, this.#translate] = before;
    }
    this.#chosen();
  }

  /** Takes up what the user chose at an earlier time. Captions that run keep their languages. */
  restore({ source, language, translate, keep_sound }: CaptionChoices) {
    this.#source = source;
    this.#keepSound = keep_sound;
    if (!this.isRunning) [this.#language, this.#translate] = [language, translate];
  }

  /** Marks this moment of the transcript. */
  async mark() {
    const [transcript, at] = [this.#transcript, this.#elapsedMs];
    if (transcript === null || this.#phase !== "listening") return;
    if (await this.#attempt(() => this.#client.addMark(transcript, at, ""))) this.#markedMs = at;
  }

  /** The user has read it. */
  dismiss(notice?: LiveNotice) {
    if (notice) this.#notices = this.#notices.filter((other) => other !== notice);
    else [this.#failure, this.#ended] = [null, null];
  }

  #chosen() {
    const [source, language, translate] = [this.#source, this.#language, this.#translate];
    this.onchoose({ source, language, translate, keep_sound: this.#keepSound });
  }

  #apply(event: LiveEvent) {
    switch (event.event) {
      case "view":
        return this.#take(event);
      case "phase":
        return this.#enter(event.phase);
      case "line":
        return this.#put(event);
      case "level":
        this.#levels[event.channel] = event.level;
        return;
      case "clock":
        this.#elapsedMs = event.elapsed_ms;
        this.#behindMs = event.behind_ms;
        return;
      case "pace":
        this.#hasCaughtUp = event.pace === "full" && this.#pace !== "full";
        this.#pace = event.pace;
        return;
      case "notice":
        return this.#notice(event);
    }
  }

  #take(view: LiveView) {
    // A view has the last lines only: while a transcript goes on, the window keeps the earlier ones.
    const goesOn = view.transcript === this.#transcript && this.#phase !== "idle";
    if (!goesOn) {
      this.#lines = [];
      this.#levels = {};
      this.#devices = {};
      this.#notices = [];
      this.#markedMs = null;
      this.#hasCaughtUp = false;
    }
    this.#transcript = view.transcript;
    this.#channels = view.channels;
    if (view.phase !== "idle") [this.#language, this.#translate] = [view.language, view.translate];
    this.#elapsedMs = view.elapsed_ms;
    this.#behindMs = view.behind_ms;
    this.#pace = view.pace;
    this.#ended = view.failure;
    for (const line of view.lines) this.#put(line);
    if (view.notice && !goesOn) this.#notice(view.notice);
    this.#enter(view.phase);
  }

  #enter(phase: Phase) {
    if (phase === this.#phase) return;
    const changed = (phase === "idle") !== (this.#phase === "idle");
    this.#phase = phase;
    if (phase !== "listening") this.#levels = {};
    if (changed) this.onchange();
  }

  #put(line: LiveLine) {
    // The line is one of the last, whatever the length of the meeting.
    const at = this.#lines.findLastIndex((other) => keyOf(other) === keyOf(line));
    if (at >= 0) this.#lines[at] = line;
    else this.#lines.push(line);
  }

  #notice(notice: LiveNotice) {
    if (notice.notice === "hearing" && notice.channel) this.#devices[notice.channel] = notice.device;
    const others = this.#notices.filter((other) => topicOf(other) !== topicOf(notice));
    this.#notices = isGood(notice) ? others : [...others, notice];
  }

  async #attempt(work: () => Promise<unknown>): Promise<boolean> {
    this.#failure = null;
    try {
      await work();
      return true;
    } catch (error) {
      this.#failure = ApiFailure.from(error);
      return false;
    }
  }
}

//! Sessions with the demo model, and devices that play what they are given.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use ::library::{Library, Transcript, TranscriptState};
use audio::Notice;
use tempfile::TempDir;

use super::*;
use crate::{OpenModel, TranscriptFile};

#[allow(clippy::unwrap_used)]
#[path = "../../../../tests/support/spoken.rs"]
pub(super) mod spoken;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn demo() -> OpenModel {
    OpenModel {
        path: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/sotto-demo.gguf"),
        ..OpenModel::default()
    }
}

struct Desk {
    api: Api,
    events: Arc<Mutex<Vec<LiveEvent>>>,
    folder: TempDir,
}

impl Desk {
    /// A library, the demo model, and somebody who watches.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let api = Api::new();
        api.open_library(folder.path()).expect("a library");
        api.open_model(&demo(), &mut |_| true)
            .expect("the demo model");
        let desk = Self {
            api,
            events: Arc::default(),
            folder,
        };
        desk.watch();
        desk
    }

    fn watch(&self) {
        let (events, library) = (Arc::clone(&self.events), self.library());
        self.api.watch_captions(move |event| {
            if let LiveEvent::Line(LiveLine { id: Some(id), .. }) = event {
                assert!(library.line(id).is_ok(), "a finished line is on the disk");
            }
            events
                .lock()
                .expect("no test panics here")
                .push(event.clone());
            true
        });
    }

    fn library(&self) -> Library {
        self.api.library().expect("it is open")
    }

    fn start(&self, tracks: Vec<(Channel, Tape)>, translate: Option<&str>) -> String {
        let ear = self.api.ear().expect("a model that hears");
        self.start_with(ear, tracks, translate)
    }

    fn start_with<R>(&self, ear: R, tracks: Vec<(Channel, Tape)>, translate: Option<&str>) -> String
    where
        R: Recogniser<Error: Into<ApiError>> + Send + 'static,
    {
        let start = StartCaptions {
            source: CaptionSource::Both,
            title: "A meeting".into(),
            language: Some("en".into()),
            translate: translate.map(str::to_owned),
            keep_sound: true,
        };
        let (channels, tapes): (Vec<_>, Vec<_>) = tracks.into_iter().unzip();
        let feeds = || {
            Ok(tapes
                .into_iter()
                .map(|tape| Feed::Device(Box::new(tape)))
                .collect())
        };
        self.api
            .begin(&start, channels, ear, feeds)
            .expect("captions")
    }

    fn events(&self) -> Vec<LiveEvent> {
        self.events.lock().expect("no test panics here").clone()
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&LiveView) -> bool) {
        let began = Instant::now();
        while !is_so(&self.api.captions_view()) {
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: {:?}",
                self.api.captions_view()
            );
            std::thread::sleep(WAIT);
        }
    }

    fn wait_for_sound(&self, ms: u32) {
        self.wait_for("sound", |view| view.elapsed_ms >= ms);
    }

    fn wait_for_end(&self, id: &str) -> Transcript {
        self.wait_for("the end", |view| view.phase == Phase::Idle);
        self.library().transcript(id).expect("it is there")
    }
}

/// A device that plays a sound faster than it was spoken, and then silence.
struct Tape {
    samples: Vec<f32>,
    /// Samples every 50 ms: ten times as fast.
    speed: usize,
    at: usize,
    /// What happens when so many samples were played.
    notices: Vec<(usize, Notice)>,
}

impl Tape {
    fn new(samples: &[f32]) -> Self {
        Self {
            samples: samples.to_vec(),
            speed: 8000,
            at: 0,
            notices: Vec::new(),
        }
    }
}

impl SoundDevice for Tape {
    fn read(&mut self, out: &mut Vec<f32>) -> Vec<Notice> {
        let end = self.at + self.speed;
        let there = self.samples.get(self.at..).unwrap_or_default();
        let there = &there[..there.len().min(self.speed)];
        out.extend(there);
        out.resize(out.len() + self.speed - there.len(), 0.0);
        self.at = end;
        let due = self.notices.iter().position(|(at, _)| *at < end);
        due.map(|i| self.notices.remove(i).1).into_iter().collect()
    }
}

fn text(transcript: &Transcript, channel: Channel) -> String {
    let lines = transcript.lines.iter();
    let lines = lines.filter(|line| line.channel == speaker(channel));
    lines
        .map(|line| line.text.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What is no speech: silence and three kinds of noise, each in three loudnesses, `seconds` in all.
fn nothing_said(seconds: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut white = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let (mut brown, mut n) = (0.0, 0.0);
    let mut sound = Vec::new();
    for kind in 0..4 {
        for loudness in [0.003, 0.03, 0.3] {
            for _ in 0..seconds * SAMPLE_RATE as usize / 12 {
                n += 1.0;
                brown = 0.98 * brown + 0.2 * white();
                sound.push(match kind {
                    0 => 0.0,
                    1 => white() * loudness,
                    2 => brown * loudness,
                    _ => loudness * (n * 50.0 * std::f32::consts::TAU / 16_000.0).sin().signum(),
                });
            }
        }
    }
    sound
}

/// The first `n` sentences of the spoken minute, and the rest of it.
fn cut(n: usize) -> (Vec<f32>, Vec<f32>, Vec<spoken::Spoken>) {
    let (sound, spoken) = spoken::minute();
    let end = 16 * (spoken[n - 1].end_ms as usize + 700);
    (sound[..end].to_vec(), sound[end..].to_vec(), spoken)
}

#[test]
fn two_voices_on_two_channels_and_no_word_is_taken_back() {
    let desk = Desk::new();
    let (mine, rest, spoken) = cut(4);
    let theirs = [vec![0.0; mine.len()], rest[..16_000 * 12].to_vec()].concat();
    let mut microphone = Tape::new(&mine);
    let device = || "Fake".to_owned();
    microphone.notices = vec![
        (0, Notice::Listening { device: device() }),
        (40_000, Notice::Lost { device: device() }),
    ];
    let length = theirs.len();
    let id = desk.start(
        vec![
            (Channel::Me, microphone),
            (Channel::Others, Tape::new(&theirs)),
        ],
        Some("de"),
    );
    let busy = desk.api.start_captions(StartCaptions {
        source: CaptionSource::Microphone,
        title: String::new(),
        language: None,
        translate: None,
        keep_sound: false,
    });
    assert_eq!(busy.expect_err("one at a time").code, ErrorCode::Busy);
    desk.wait_for_sound((length / 16) as u32 + 1000);
    desk.api.stop_captions();
    let transcript = desk.wait_for_end(&id);
    assert_eq!(transcript.entry.state, TranscriptState::Complete);

    let expected: Vec<&str> = spoken.iter().map(|s| s.text.as_str()).collect();
    let errors = spoken::word_error_rate(&expected[..4].join(" "), &text(&transcript, Channel::Me));
    assert!(errors < 0.25, "{:?}", transcript.lines);
    assert!(!text(&transcript, Channel::Others).is_empty());
    // Who spoke first comes first, though both were heard at the same time.
    let last_of_mine = transcript
        .lines
        .iter()
        .rposition(|l| l.channel == Speaker::Me);
    let first_of_theirs = transcript
        .lines
        .iter()
        .position(|l| l.channel == Speaker::Others);
    assert!(last_of_mine < first_of_theirs, "{:?}", transcript.lines);
    for (line, said) in transcript.lines.iter().zip(&spoken).take(4) {
        assert!(line.start_ms.abs_diff(said.start_ms) < 300, "{line:?}");
    }
    // Also what was put off is translated in the end.
    assert!(
        transcript
            .lines
            .iter()
            .all(|line| !line.translations.is_empty())
    );

    let events = desk.events();
    let mut shown: Vec<LiveLine> = Vec::new();
    for event in &events {
        let LiveEvent::Line(line) = event else {
            continue;
        };
        let same = |l: &&mut LiveLine| (l.channel, l.segment) == (line.channel, line.segment);
        match shown.iter_mut().find(same) {
            Some(before) => {
                assert!(
                    line.committed.starts_with(&before.committed),
                    "{before:?} {line:?}"
                );
                before.clone_from(line);
            }
            None => shown.push(line.clone()),
        }
    }
    assert!(
        shown
            .iter()
            .all(|line| line.id.is_some() && line.tentative.is_empty())
    );
    assert_eq!(shown.len(), transcript.lines.len());
    let notices = events.iter().filter_map(|event| match event {
        LiveEvent::Notice(notice) => Some(notice.notice.clone()),
        _ => None,
    });
    let notices: Vec<_> = notices.collect();
    assert!(notices.contains(&NoticeKind::Hearing { device: device() }));
    assert!(notices.contains(&NoticeKind::DeviceLost { device: device() }));
    assert!(
        events
            .iter()
            .any(|e| matches!(e, LiveEvent::Level { level, .. } if *level > 0.5))
    );
    assert!(matches!(events[0], LiveEvent::View(_)));
}

#[test]
fn what_is_left_for_later_is_written_down_later() {
    let desk = Desk::new();
    let (sound, _, spoken) = cut(6);
    let id = desk.start(vec![(Channel::Others, Tape::new(&sound))], None);
    desk.wait_for_sound((sound.len() / 16) as u32);
    desk.api.leave_captions();
    let left = desk.wait_for_end(&id);
    assert_eq!(left.entry.state, TranscriptState::Unfinished);
    assert!(left.entry.length_ms >= (sound.len() / 16) as u32);

    desk.api.resume_transcript(&id).expect("the sound is there");
    let whole = desk.wait_for_end(&id);
    assert_eq!(whole.entry.state, TranscriptState::Complete);
    assert!(whole.lines.len() >= left.lines.len());
    assert_eq!(
        whole.lines[..left.lines.len()],
        left.lines,
        "what was there stays"
    );
    let expected: Vec<&str> = spoken[..6].iter().map(|s| s.text.as_str()).collect();
    let errors = spoken::word_error_rate(&expected.join(" "), &text(&whole, Channel::Others));
    assert!(errors < 0.25, "{:?}", whole.lines);
    for (line, said) in whole.lines.iter().zip(&spoken) {
        assert!(
            line.start_ms.abs_diff(said.start_ms) < 300,
            "{line:?} {}",
            said.start_ms
        );
    }
    subtitles_are_where_the_words_are_spoken(&desk, &whole, &spoken[..6]);
}

/// As readers of subtitles find them, which are not ours.
fn subtitles_are_where_the_words_are_spoken(
    desk: &Desk,
    transcript: &Transcript,
    spoken: &[spoken::Spoken],
) {
    let export = |format| {
        let path = desk.folder.path().join("subtitles");
        let id = &transcript.entry.id;
        let exported = desk.api.export_transcript(id, format, &path);
        exported.expect("there is room");
        std::fs::read_to_string(path).expect("it is text")
    };
    let srt = srtlib::Subtitles::parse_from_str(export(TranscriptFile::Srt)).expect("SubRip");
    let ms = |time: srtlib::Timestamp| {
        let (h, m, s, ms) = time.get();
        srtlib::Timestamp::convert_to_milliseconds(h, m, s, ms)
    };
    let cue = |cue: srtlib::Subtitle| (ms(cue.start_time), ms(cue.end_time), cue.text);
    let srt: Vec<(u32, u32, String)> = srt.to_vec().into_iter().map(cue).collect();
    let vtt: vtt::WebVtt = export(TranscriptFile::Vtt).parse().expect("WebVTT");
    let ms = |time: &vtt::VttTimestamp| time.as_duration().as_millis() as u32;
    let cue = |cue: &vtt::VttCue| {
        let text = cue.payload.replace("<v Others>", "Others: ");
        (ms(&cue.start), ms(&cue.end), text)
    };
    let vtt: Vec<(u32, u32, String)> = vtt.cues.iter().map(cue).collect();
    assert_eq!(srt, vtt);
    assert_eq!(srt.len(), spoken.len());
    for ((start_ms, end_ms, text), said) in srt.iter().zip(spoken) {
        // A detector hears the room a little longer than the voice.
        let is_right = start_ms.abs_diff(said.start_ms) < 300 && end_ms.abs_diff(said.end_ms) < 400;
        assert!(is_right, "{start_ms} {end_ms} {}", said.end_ms);
        let said = format!("Others: {}", said.text);
        let errors = spoken::word_error_rate(&said, text);
        assert!(errors < 0.5, "{text} for {said}");
    }
}

#[test]
fn a_model_that_is_closed_ends_no_recording() {
    let desk = Desk::new();
    let (sound, ..) = cut(2);
    let id = desk.start(vec![(Channel::Me, Tape::new(&sound))], None);
    desk.wait_for("a line", |view| {
        view.lines.iter().any(|line| line.id.is_some())
    });
    desk.api.close_model();
    let so_far = desk.api.captions_view().elapsed_ms;
    // The tape is silent by then, and silence asks nothing of a model.
    desk.wait_for_sound(so_far + 3000);
    desk.api.stop_captions();
    let transcript = desk.wait_for_end(&id);
    assert!(transcript.entry.length_ms >= so_far + 3000);
    assert!(!transcript.lines.is_empty());
}

#[test]
fn a_file_becomes_a_transcript_that_can_be_changed_and_exported() {
    let desk = Desk::new();
    let (sound, _, spoken) = cut(3);
    let path: PathBuf = desk.folder.path().join("said.wav");
    spoken::write_wav(&path, &sound);
    let start = |path: PathBuf| {
        desk.api.start_captions(StartCaptions {
            source: CaptionSource::File { path },
            title: "said.wav".into(),
            language: Some("English".into()),
            translate: None,
            keep_sound: true,
        })
    };
    let id = start(path).expect("it is a sound");
    let transcript = desk.wait_for_end(&id);
    assert_eq!(transcript.entry.state, TranscriptState::Complete);
    assert_eq!(transcript.entry.language.as_deref(), Some("en"));
    assert!(transcript.entry.channels[0].has_sound);
    let expected: Vec<&str> = spoken[..3].iter().map(|s| s.text.as_str()).collect();
    let errors = spoken::word_error_rate(&expected.join(" "), &text(&transcript, Channel::File));
    assert!(errors < 0.25, "{:?}", transcript.lines);

    read_changed_and_exported(&desk, &id);

    let no_sound = start(desk.folder.path().join("library.db")).expect_err("no sound");
    assert_eq!(no_sound.code, ErrorCode::InputUnreadable);
    assert_eq!(desk.api.captions_view().phase, Phase::Idle);
    desk.api.close_model();
    let no_model = start(desk.folder.path().join("said.wav")).expect_err("no model");
    assert_eq!(no_model.code, ErrorCode::ModelMissing);
}

fn read_changed_and_exported(desk: &Desk, id: &str) {
    let view = desk.api.open_transcript(id).expect("it is there");
    let line = &view.lines[0];
    let edited = desk
        .api
        .edit_line(&line.id, "  Quite  other words. ")
        .expect("it is there");
    assert_eq!(
        (edited.text.as_str(), edited.is_edited),
        ("Quite other words.", true)
    );
    let hits = desk.api.search_transcripts("quite oth").expect("a search");
    assert_eq!(hits[0].line.as_ref(), Some(&line.id));
    // The sound is still there to be asked.
    let again = desk
        .api
        .hear_line_again(&line.id)
        .expect("the sound is there");
    assert!(!again.is_edited);
    let errors = spoken::word_error_rate(&line.text, &again.text);
    assert!(errors < 0.4, "{line:?} {again:?}");
    let sound = desk
        .api
        .play_transcript(id, line.channel, line.start_ms, line.end_ms);
    let sound = sound.expect("the sound is there");
    let bytes = (line.end_ms - line.start_ms) as usize * 32;
    assert!(sound.starts_with("data:audio/wav;base64,UklGR") && sound.len() > bytes * 4 / 3);

    desk.api.write_notes(id, "Ask Ada.").expect("notes");
    desk.api.add_mark(id, 61_000, "decided").expect("a mark");
    let export = |format| {
        let to = desk.folder.path().join("export");
        desk.api
            .export_transcript(id, format, &to)
            .expect("there is room");
        std::fs::read_to_string(to).expect("it was written")
    };
    let markdown = export(TranscriptFile::Markdown);
    assert!(
        markdown.starts_with("# said.wav\n\n- **00:00:0"),
        "{markdown}"
    );
    assert!(
        markdown.ends_with("- **01:01** decided\n\n## Notes\n\nAsk Ada.\n"),
        "{markdown}"
    );
    assert!(export(TranscriptFile::Srt).starts_with("1\n00:00:0"));
    assert!(export(TranscriptFile::Vtt).starts_with("WEBVTT\n\n00:00:0"));
    assert_eq!(
        export(TranscriptFile::Txt).lines().count(),
        view.lines.len()
    );
    let json: serde_json::Value =
        serde_json::from_str(&export(TranscriptFile::Json)).expect("JSON");
    assert_eq!(json["segments"][0]["start_ms"], line.start_ms);

    let all = desk.folder.path().join("all");
    assert_eq!(desk.api.export_all(&all), Ok(1));
    assert!(all.join("transcripts/said-wav.md").is_file());
    desk.api.delete_sound(id).expect("it is there");
    let gone = desk.api.hear_line_again(&line.id).expect_err("no sound");
    assert_eq!(gone.code, ErrorCode::Gone);
    desk.api.delete_transcript(id).expect("it is there");
    assert_eq!(desk.api.transcripts(), Ok(Vec::new()));
    let imported = desk.api.import_threads(&all).expect("an export");
    assert_eq!(imported.added, 1);
}

/// A model that needs three times as long as the sound takes, beside what it needs anyway.
struct Slow<R> {
    ear: R,
    /// The sound comes so many times as fast as it was spoken.
    speed: u32,
}

impl<R: Recogniser> Recogniser for Slow<R> {
    type Error = R::Error;

    fn listen(&mut self, listen: &::captions::Listen) -> Result<::captions::Heard, R::Error> {
        let length = Duration::from_secs_f64(listen.samples.len() as f64 / f64::from(SAMPLE_RATE));
        std::thread::sleep(3 * length / self.speed);
        self.ear.listen(listen)
    }

    fn answer(&mut self, prompt: &str, max_tokens: usize) -> Result<::captions::Heard, R::Error> {
        self.ear.answer(prompt, max_tokens)
    }
}

#[test]
fn a_model_that_is_too_slow_writes_down_everything_in_the_end() {
    let desk = Desk::new();
    let (sound, _, spoken) = cut(12);
    let length_ms = (sound.len() / 16) as u32;
    let slow = Slow {
        ear: desk.api.ear().expect("a model that hears"),
        speed: 10,
    };
    let id = desk.start_with(slow, vec![(Channel::Others, Tape::new(&sound))], None);
    desk.wait_for_sound(length_ms);
    desk.api.stop_captions();
    let transcript = desk.wait_for_end(&id);
    assert_eq!(transcript.entry.state, TranscriptState::Complete);
    let expected: Vec<&str> = spoken[..12].iter().map(|s| s.text.as_str()).collect();
    let said = text(&transcript, Channel::Others);
    let errors = spoken::word_error_rate(&expected.join(" "), &said);
    assert!(errors < 0.25, "{:?}", transcript.lines);

    // It was told that there is a queue, what was given up for it, and how it grew shorter after Stop.
    let events = desk.events();
    let stopped = events.iter().position(|event| {
        let phase = Phase::Finishing;
        *event == LiveEvent::Phase { phase }
    });
    let (before, after) = events.split_at(stopped.expect("the rest is finished visibly"));
    assert!(
        before
            .iter()
            .any(|event| matches!(event, LiveEvent::Pace { pace } if *pace != CaptionPace::Full))
    );
    let behind = after.iter().filter_map(|event| match event {
        LiveEvent::Clock { behind_ms, .. } => Some(*behind_ms),
        _ => None,
    });
    let behind: Vec<u32> = behind.collect();
    assert!(behind[0] > ::captions::BEHIND_MS, "{behind:?}");
    assert!(behind.last() < Some(&(behind[0] / 2)), "{behind:?}");
    let finished = after.iter().filter(|event| {
        let id = |line: &LiveLine| line.id.is_some();
        matches!(event, LiveEvent::Line(line) if id(line))
    });
    assert!(finished.count() >= 3, "lines came after Stop");
}

/// An hour of silence, and five minutes of noise: an hour of noise takes a minute of a test, and is in the example
/// `captions_soak`.
#[test]
fn silence_and_noise_become_no_text() {
    let desk = Desk::new();
    let noise = nothing_said(300);
    let length_ms = (noise.len() / 16) as u32 + 3_600_000;
    let mut tape = Tape::new(&noise);
    tape.speed = 60 * SAMPLE_RATE as usize;
    let id = desk.start(vec![(Channel::Me, tape)], Some("de"));
    desk.wait_for_sound(length_ms);
    desk.api.stop_captions();
    let transcript = desk.wait_for_end(&id);
    assert_eq!(transcript.entry.state, TranscriptState::Complete);
    let words = |line: &&::library::Line| !line.text.is_empty();
    let invented: Vec<_> = transcript.lines.iter().filter(words).collect();
    assert!(invented.is_empty(), "{invented:?}");
    for event in desk.events() {
        if let LiveEvent::Line(line) = event {
            let shown = (line.committed.as_str(), line.tentative.as_str());
            assert_eq!(shown, ("", ""), "{line:?}");
        }
    }
}

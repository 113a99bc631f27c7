//! What captions cost and how late they are, with the demo model on a spoken meeting of three minutes.
//!
//! `cargo run --release -p api --example captions_bench [-- --translate] [--file] [--fast] [--text]`
//!
//! The meeting is played into a sound card that is not there and captured from it by the same way as in the window; with
//! `--file` it comes from a file in real time, for systems without PulseAudio, and with `--fast` from a file as fast as
//! the model goes, which tells what the rules make of it where the model takes no time. Reported are the word error rate against
//! what was said and against the same file in one go, how late words are shown and committed, and what share of
//! real time the model takes. Needs `espeak-ng`, and on the sound card `pulseaudio` and `pulseaudio-utils`.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // it is shared with tests that need more of it
#[path = "../../../tests/support/sound_server.rs"]
mod sound_server;
#[allow(dead_code)] // as is this
#[path = "../../../tests/support/spoken.rs"]
mod spoken;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::{
    Api, CaptionEvent, CaptionSource, LiveEvent, LiveNotice, NoticeKind, OpenModel, Phase,
    SoundSource, StartCaptions, TranscribeEvent, TranscribeRequest,
};
use spoken::{Spoken, meeting, plain_words, word_error_rate, write_wav};

/// A child of this program runs with this variable, which says where the meeting is.
const MEETING: &str = "SOTTO_BENCH_MEETING";

/// Text of a segment at a time of the meeting, in ms.
struct Shown {
    at_ms: f64,
    segment: u32,
    committed: String,
    tentative: String,
}

/// A segment as it ended.
struct Line {
    segment: u32,
    start_ms: f64,
    end_ms: f64,
    text: String,
}

/// What became of the meeting.
struct Run {
    lines: Vec<Line>,
    shown: Vec<Shown>,
    /// Seconds that the model took for a second of sound, where that is told.
    model_share: Option<f64>,
    /// Seconds of the CPU that the whole process took for a second of sound, where that was measured.
    cpu_share: Option<f64>,
}

fn main() {
    let has = |name: &str| std::env::args().any(|arg| arg == name);
    let Some((samples, spoken)) = meeting() else {
        eprintln!("The meeting is spoken by espeak-ng, which is not installed.");
        std::process::exit(1);
    };
    if std::env::var_os(MEETING).is_none() {
        let path = std::env::temp_dir().join(format!("sotto-meeting-{}.wav", std::process::id()));
        write_wav(&path, &samples);
        let program = std::env::current_exe().unwrap();
        let server =
            (!has("--file") && !has("--fast")).then(|| sound_server::SoundServer::start("bench"));
        // A process of its own, because the sound server is found by the environment.
        let mut child = match &server {
            Some(server) => server.command(program.to_str().unwrap()),
            None => Command::new(program),
        };
        let child = child.args(std::env::args().skip(1)).env(MEETING, &path);
        let status = child.env_remove("CANDLE_NUM_THREADS").status();
        std::fs::remove_file(&path).unwrap();
        // An exit drops nothing, and the server would go on.
        drop(server);
        std::process::exit(i32::from(!status.unwrap().success()));
    }
    let path = std::env::var(MEETING).unwrap();
    let path = Path::new(&path);
    let api = demo();
    let said: Vec<&str> = spoken.iter().map(|s| s.text.as_str()).collect();
    let said = said.join(" ");
    println!(
        "{} sentences, {} words in {:.1} s; load {}",
        spoken.len(),
        plain_words(&said).len(),
        samples.len() as f64 / 16e3,
        load()
    );
    let one_go = transcribe(&api, path, has("--translate"), false, false);
    let live = if has("--file") || has("--fast") {
        transcribe(&api, path, has("--translate"), true, has("--file"))
    } else {
        capture(&api, path, &samples, has("--translate"))
    };
    let text = |lines: &[Line]| -> String {
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        texts.join(" ")
    };
    for (name, run) in [("one go", &one_go), ("live", &live)] {
        if has("--text") {
            println!("{name}");
            for line in &run.lines {
                println!("  {:8.0} {}", line.start_ms, line.text);
            }
        }
    }
    let errors = |run: &Run| 100.0 * word_error_rate(&said, &text(&run.lines));
    let differ = 100.0 * word_error_rate(&text(&one_go.lines), &text(&live.lines));
    println!("load {}\n", load());
    println!("| | one go | live: median | live: 95th percentile |");
    println!("|---|---|---|---|");
    println!(
        "| word error rate | {:.1} % | {:.1} % | |",
        errors(&one_go),
        errors(&live)
    );
    println!("| words that differ from one go | | {differ:.1} % | |");
    println!(
        "| segments | {} | {} | |",
        one_go.lines.len(),
        live.lines.len()
    );
    println!(
        "| committed words that changed | | {} | |",
        n_changed(&live.shown)
    );
    for (name, median, most) in latencies(&live.shown, &live.lines, &spoken) {
        println!("| {name}, after it was spoken | | {median:.2} s | {most:.2} s |");
    }
    println!(
        "| time of the model for a second of sound | {} | {} | |",
        seconds(one_go.model_share),
        seconds(live.model_share)
    );
    if let Some(cpu) = live.cpu_share {
        println!("| CPU time of everything for a second of sound | | {cpu:.3} s | |");
    }
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.trim().to_owned()
}

fn demo() -> Api {
    let api = Api::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/sotto-demo.gguf");
    let open = OpenModel {
        path: demo,
        ..OpenModel::default()
    };
    api.open_model(&open, &mut |_| true).unwrap();
    api
}

/// From the file, with captions on the way or in one go.
fn transcribe(api: &Api, path: &Path, translate: bool, live: bool, realtime: bool) -> Run {
    let request = TranscribeRequest {
        sources: vec![SoundSource::File(path.to_owned())],
        language: Some("English".into()),
        translate: translate.then(|| "German".into()),
        live,
        realtime,
        submodel: None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut shown = Vec::new();
    let transcribed = api.transcribe(&request, &stop, &mut |event| {
        if let TranscribeEvent::Caption(caption) = event {
            let CaptionEvent { at_ms, segment, .. } = caption;
            shown.push(Shown {
                at_ms: at_ms.into(),
                segment,
                committed: caption.committed,
                tentative: caption.tentative,
            });
        }
    });
    let transcribed = transcribed.unwrap();
    let model_share = f64::from(transcribed.model_ms) / f64::from(transcribed.heard_ms);
    let segments = transcribed.reply().segments;
    let lines = (0..).zip(segments).map(|(segment, s)| Line {
        segment,
        start_ms: s.start_ms.into(),
        end_ms: s.end_ms.into(),
        text: s.text,
    });
    Run {
        lines: lines.collect(),
        shown,
        model_share: Some(model_share),
        cpu_share: None,
    }
}

/// Plays the file, and captures it as the window does.
fn capture(api: &Api, path: &Path, samples: &[f32], translate: bool) -> Run {
    let folder = std::env::temp_dir().join(format!("sotto-bench-{}", std::process::id()));
    api.open_library(&folder).unwrap();
    let events: Arc<Mutex<Vec<(Instant, LiveEvent)>>> = Arc::default();
    let sink = Arc::clone(&events);
    api.watch_captions(move |event| {
        sink.lock().unwrap().push((Instant::now(), event.clone()));
        true
    });
    let start = StartCaptions {
        source: CaptionSource::System,
        title: "A meeting".into(),
        language: Some("en".into()),
        translate: translate.then(|| "de".into()),
        keep_sound: true,
    };
    let id = api.start_captions(start).unwrap();
    let heard = |event: &LiveEvent| {
        let LiveEvent::Notice(LiveNotice { notice, .. }) = event else {
            return false;
        };
        matches!(notice, NoticeKind::Hearing { .. })
    };
    wait("no sound arrives", Duration::from_secs(30), || {
        events.lock().unwrap().iter().any(|(_, e)| heard(e))
    });
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut play = Command::new("paplay");
    let mut playing = play.arg("--device=speaker").arg(path).spawn().unwrap();
    let length = Duration::from_secs_f64(samples.len() as f64 / 16e3);
    wait(
        "paplay does not end",
        length + Duration::from_secs(30),
        || playing.try_wait().unwrap().is_some(),
    );
    std::thread::sleep(Duration::from_secs(3));
    let cpu_share = (cpu_seconds() - cpu) / began.elapsed().as_secs_f64();
    api.stop_captions();
    wait("captions do not end", Duration::from_secs(120), || {
        api.captions_view().phase == Phase::Idle
    });
    let transcript = api.open_transcript(&id).unwrap();
    // Where in the recording the meeting begins.
    let mut recorded = Vec::new();
    for entry in std::fs::read_dir(folder.join("recordings")).unwrap() {
        let sound = audio::read_sound(&entry.unwrap().path(), Duration::from_secs(3600));
        recorded = sound.unwrap().samples;
    }
    let offset_ms = loud_from(&recorded) - loud_from(samples);
    std::fs::remove_dir_all(&folder).unwrap();

    let events = std::mem::take(&mut *events.lock().unwrap());
    for (_, event) in &events {
        match event {
            LiveEvent::Notice(notice) => println!("live: {:?}", notice.notice),
            LiveEvent::Pace { pace } => println!("live: the pace became {pace:?}"),
            _ => {}
        }
    }
    // A sample reaches the recording a little after it was played; the least of these delays is next to none.
    let first = events[0].0;
    let since = |at: Instant| at.duration_since(first).as_secs_f64() * 1e3;
    let zero = events.iter().filter_map(|(at, event)| match event {
        LiveEvent::Clock { elapsed_ms, .. } if *elapsed_ms > 0 => {
            Some(since(*at) - f64::from(*elapsed_ms))
        }
        _ => None,
    });
    let zero = zero.fold(f64::INFINITY, f64::min) + offset_ms;
    let shown = events.iter().filter_map(|(at, event)| match event {
        LiveEvent::Line(line) => Some(Shown {
            at_ms: since(*at) - zero,
            segment: line.segment,
            committed: line.committed.clone(),
            tentative: line.tentative.clone(),
        }),
        _ => None,
    });
    let shown = shown.collect();
    // The segment of a stored line is the one that was shown with its id.
    let lines = transcript.lines.iter().map(|line| {
        let segment = events.iter().find_map(|(_, event)| match event {
            LiveEvent::Line(shown) if shown.id.as_ref() == Some(&line.id) => Some(shown.segment),
            _ => None,
        });
        Line {
            segment: segment.unwrap(),
            start_ms: f64::from(line.start_ms) - offset_ms,
            end_ms: f64::from(line.end_ms) - offset_ms,
            text: line.text.clone(),
        }
    });
    Run {
        lines: lines.collect(),
        shown,
        model_share: None,
        cpu_share: Some(cpu_share),
    }
}

/// Waits until it is done; what does not come in that time ends the bench.
fn wait(trouble: &str, at_most: Duration, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        if began.elapsed() > at_most {
            eprintln!("The bench gives up: {trouble}.");
            std::process::exit(1);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn seconds(of: Option<f64>) -> String {
    of.map_or_else(String::new, |seconds| format!("{seconds:.3} s"))
}

/// When a sound is first loud, in ms.
fn loud_from(samples: &[f32]) -> f64 {
    let loudest = samples
        .iter()
        .fold(0.0f32, |loudest, s| loudest.max(s.abs()));
    let first = samples.iter().position(|s| s.abs() > loudest / 5.0);
    first.unwrap() as f64 / 16.0
}

/// Of this process so far; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    ticks.map(|t| t.parse::<f64>().unwrap_or(0.0) / 100.0).sum()
}

/// Events whose committed text is not the beginning of the segment's next one.
fn n_changed(shown: &[Shown]) -> usize {
    let mut n = 0;
    for (at, event) in shown.iter().enumerate() {
        let mut later = shown[at + 1..].iter();
        let next = later.find(|other| other.segment == event.segment);
        n += usize::from(next.is_some_and(|next| !next.committed.starts_with(&event.committed)));
    }
    n
}

/// When each word of a sentence was spoken, its time shared out by letters, against when it was shown: median and
/// 95th percentile in seconds.
fn latencies(shown: &[Shown], lines: &[Line], spoken: &[Spoken]) -> [(&'static str, f64, f64); 3] {
    let (mut first, mut any, mut committed) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let during: Vec<&Shown> = shown.iter().filter(|e| e.segment == line.segment).collect();
        // What was said within the segment, which can be several sentences.
        let mut said = Vec::new();
        for sentence in spoken {
            let (start, end) = (f64::from(sentence.start_ms), f64::from(sentence.end_ms));
            let middle = (start + end) / 2.0;
            if middle < line.start_ms || middle > line.end_ms {
                continue;
            }
            let words = plain_words(&sentence.text);
            let letters: usize = words.iter().map(|w| w.len() + 1).sum();
            let mut done = 0;
            for (at, word) in words.into_iter().enumerate() {
                done += word.len() + 1;
                let spoken_at = start + (end - start) * done as f64 / letters as f64;
                said.push((word, spoken_at, at == 0));
            }
        }
        for (at, (word, spoken_at, is_first)) in said.iter().enumerate() {
            // Shown where it belongs, or a place beside that if a word was missed or invented.
            let has = |text: &str| {
                let found = plain_words(text);
                let mut found = found.iter().enumerate();
                found.any(|(i, w)| w == word && i.abs_diff(at) <= 1)
            };
            let late = |e: &Shown| e.at_ms - spoken_at;
            let is_shown = |e: &Shown| has(&format!("{} {}", e.committed, e.tentative));
            if let Some(event) = during.iter().find(|e| is_shown(e)) {
                any.push(late(event));
                if *is_first {
                    first.push(late(event));
                }
            }
            let settled = during.iter().find(|e| has(&e.committed));
            committed.extend(settled.map(|e| late(e)));
        }
    }
    [
        ("first word of a sentence tentative", first),
        ("any word tentative", any),
        ("any word committed", committed),
    ]
    .map(|(name, mut values)| {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize] / 1e3;
        (name, at(0.5), at(0.95))
    })
}

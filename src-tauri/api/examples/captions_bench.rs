//! What captions cost and how late they are, with the demo model on a minute of speech:
//! `cargo run --release -p api --example captions`.
//!
//! Word error rate of live captions against the same file in one go, latency of tentative and of committed
//! words in real time, and the share of real time that the model takes.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/support/spoken.rs"]
mod spoken;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use api::{
    Api, CaptionEvent, OpenModel, SoundSource, TranscribeEvent, TranscribeRequest, Transcribed,
    TranscriptSegment,
};
use spoken::{Spoken, minute, plain_words, word_error_rate, write_wav};

fn main() {
    let (samples, spoken) = minute();
    let path = std::env::temp_dir().join(format!("sotto-minute-{}.wav", std::process::id()));
    write_wav(&path, &samples);
    let api = Api::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/sotto-demo.gguf");
    let open = OpenModel {
        path: demo,
        ..OpenModel::default()
    };
    api.open_model(&open, &mut |_| true).unwrap();
    let said: Vec<&str> = spoken.iter().map(|s| s.text.as_str()).collect();
    let said = said.join(" ");
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let seconds = samples.len() as f64 / 16e3;
    println!(
        "{} sentences in {seconds:.1} s; load {}",
        spoken.len(),
        load().trim()
    );
    for (name, live, realtime) in [
        ("one go", false, false),
        ("live", true, false),
        ("live, real time", true, true),
    ] {
        let mut events = Vec::new();
        let request = TranscribeRequest {
            sources: vec![SoundSource::File(path.clone())],
            language: Some("English".into()),
            translate: None,
            live,
            realtime,
            submodel: None,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let transcribed = api.transcribe(&request, &stop, &mut |event| {
            if let TranscribeEvent::Caption(caption) = event {
                events.push(caption);
            }
        });
        let transcribed = transcribed.unwrap();
        report(name, &said, &transcribed);
        if realtime {
            println!("  changed committed words: {}", n_changed(&events));
            latencies(&events, &transcribed.reply().segments, &spoken);
        }
    }
    println!("load {}", load().trim());
    std::fs::remove_file(&path).unwrap();
}

fn report(name: &str, said: &str, transcribed: &Transcribed) {
    let segments = transcribed.reply().segments;
    let text: Vec<&str> = segments.iter().map(|s| s.text.as_str()).collect();
    println!(
        "{name}: word error rate {:.1} %, {} segments, {} hypotheses, {:.3} of real time",
        100.0 * word_error_rate(said, &text.join(" ")),
        segments.len(),
        transcribed.hypotheses,
        f64::from(transcribed.model_ms) / f64::from(transcribed.heard_ms)
    );
    if std::env::args().any(|arg| arg == "--text") {
        for segment in segments {
            println!("  {:6} {}", segment.start_ms, segment.text);
        }
    }
}

/// Events whose committed text is not the beginning of the next one's.
fn n_changed(events: &[CaptionEvent]) -> usize {
    let pairs = events.windows(2);
    let pairs = pairs.filter(|pair| pair[0].segment == pair[1].segment);
    pairs
        .filter(|pair| !pair[1].committed.starts_with(&pair[0].committed))
        .count()
}

/// When each word of a sentence was spoken, its time shared out by letters, against when it was shown.
fn latencies(events: &[CaptionEvent], segments: &[TranscriptSegment], spoken: &[Spoken]) {
    let (mut first, mut any, mut committed) = (Vec::new(), Vec::new(), Vec::new());
    for sentence in spoken {
        // The segment that the sentence is in; they are counted in the order of the transcript.
        let within =
            |s: &TranscriptSegment| s.start_ms < sentence.end_ms && s.end_ms > sentence.start_ms;
        let Some(segment) = segments.iter().position(within) else {
            continue;
        };
        let segment = segment as u32;
        let during: Vec<&CaptionEvent> = events.iter().filter(|e| e.segment == segment).collect();
        let words = plain_words(&sentence.text);
        let letters: usize = words.iter().map(|w| w.len() + 1).sum();
        let length = f64::from(sentence.end_ms - sentence.start_ms);
        let mut done = 0;
        for (at, word) in words.iter().enumerate() {
            done += word.len() + 1;
            let spoken_at = f64::from(sentence.start_ms) + length * done as f64 / letters as f64;
            // Shown where it belongs, or a place beside that if a word was missed or invented.
            let has = |text: &str| {
                let found = plain_words(text);
                let mut found = found.iter().enumerate();
                found.any(|(i, w)| w == word && i.abs_diff(at) <= 1)
            };
            let late = |e: &CaptionEvent| f64::from(e.at_ms) - spoken_at;
            let shown = |e: &CaptionEvent| has(&format!("{} {}", e.committed, e.tentative));
            if let Some(event) = during.iter().find(|e| shown(e)) {
                any.push(late(event));
                if at == 0 {
                    first.push(late(event));
                }
            }
            let settled = during.iter().find(|e| has(&e.committed));
            committed.extend(settled.map(|e| late(e)));
        }
    }
    for (name, mut values) in [
        ("first word of a sentence tentative", first),
        ("any word tentative", any),
        ("any word committed", committed),
    ] {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize] / 1e3;
        println!(
            "  {name}: {:.2} s after it was spoken (median), {:.2} s (95th percentile), {} words",
            at(0.5),
            at(0.95),
            values.len()
        );
    }
}

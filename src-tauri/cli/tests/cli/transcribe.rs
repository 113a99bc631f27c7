//! `sotto-cli transcribe` with the demo model: a minute of speech in one go and live, every format, and what is no use.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

use super::spoken::{Spoken, minute, plain_words, word_error_rate, write_wav};
use super::{input, json_lines, refusal, sotto, tiny};

/// The minute as a file, made once.
static MINUTE: LazyLock<(String, Vec<Spoken>)> = LazyLock::new(|| {
    let (samples, spoken) = minute();
    let path = temporary("minute.wav");
    write_wav(&path, &samples);
    (path.display().to_string(), spoken)
});

/// Two sentences and a second of noise, for what need not take long.
static SHORT: LazyLock<String> = LazyLock::new(|| {
    let (samples, spoken) = minute();
    let end = spoken[2].start_ms as usize * 16 - 8000;
    let path = temporary("short.wav");
    write_wav(&path, &samples[..end]);
    path.display().to_string()
});

fn temporary(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn stdout(args: &[&str]) -> String {
    let output = sotto(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn texts(segments: &[Value]) -> Vec<&str> {
    segments
        .iter()
        .map(|s| s["text"].as_str().unwrap())
        .collect()
}

#[test]
fn live_captions_settle_on_what_one_go_gives() {
    let (path, spoken) = &*MINUTE;
    let said: Vec<&str> = spoken.iter().map(|s| s.text.as_str()).collect();
    let said = said.join(" ");
    let whole = json_lines(&["transcribe", path, "--language", "en", "--json"]).remove(0);
    let segments = whole["segments"].as_array().unwrap();
    let once = word_error_rate(&said, &texts(segments).join(" "));
    assert!(once < 0.15, "{:?}", texts(segments));

    // Every sentence is a segment of its own, at the time it was spoken.
    assert_eq!(segments.len(), spoken.len());
    for (segment, spoken) in segments.iter().zip(spoken) {
        assert_eq!(segment["channel"], "file");
        let late = |key: &str, ms: u32| segment[key].as_i64().unwrap() - i64::from(ms);
        let start = late("start_ms", spoken.start_ms);
        let end = late("end_ms", spoken.end_ms);
        // Two of the clips have reverberation, which the detector still hears.
        let is_right = start.abs() < 300 && end.abs() < 400;
        assert!(is_right, "{}: {start} ms, {end} ms", spoken.text);
    }

    let events = json_lines(&[
        "transcribe",
        path,
        "--language",
        "English",
        "--live",
        "--json",
    ]);
    let finals = events.iter().filter(|event| event["final"] == true);
    let finals: Vec<&str> = finals
        .map(|event| event["committed"].as_str().unwrap())
        .collect();
    let live = word_error_rate(&said, &finals.join(" "));
    assert!(live <= once + 0.015, "{live} after {once}: {finals:?}");

    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    let mut n_grown = 0;
    for pair in events.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        assert!(before["at_ms"].as_u64() <= after["at_ms"].as_u64());
        if before["segment"] == after["segment"] {
            assert_eq!(before["final"], false);
            let (before, after) = (text(before, "committed"), text(after, "committed"));
            assert!(after.starts_with(&before), "{before:?} became {after:?}");
            n_grown += usize::from(!before.is_empty());
        } else {
            assert_eq!(before["final"], true);
            assert_eq!(text(before, "tentative"), "");
            let (before, after) = (before["segment"].as_u64(), after["segment"].as_u64());
            assert_eq!(after, before.map(|n| n + 1));
        }
    }
    // Words are committed while they are spoken, and not only at the end.
    assert!(n_grown > spoken.len() / 2, "{n_grown}");
}

#[test]
fn every_format_says_the_same() {
    let path = &*SHORT;
    let args = |format| {
        [
            "transcribe",
            path,
            "--language",
            "en",
            "--translate",
            "de",
            "--format",
            format,
        ]
    };
    let json: Value = serde_json::from_str(&stdout(&args("json"))).unwrap();
    let segments = json["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 2, "{json}");
    let translations: Vec<&str> = segments
        .iter()
        .map(|s| s["translation"].as_str().unwrap())
        .collect();
    assert_eq!(
        (texts(segments)[1], translations[1]),
        (
            "Lisa has fifty two books.",
            "Lisa hat zweiundfünfzig Bücher."
        )
    );

    let txt = stdout(&args("txt"));
    let lines = texts(segments).into_iter().zip(&translations);
    let expected: Vec<String> = lines
        .map(|(text, translation)| format!("{text}\n{translation}\n\n"))
        .collect();
    assert_eq!(txt, expected.concat());
    let md = stdout(&args("md"));
    assert!(
        md.starts_with("- **00:00:01** ") && md.contains(translations[1]),
        "{md}"
    );

    for (format, point) in [("srt", ','), ("vtt", '.')] {
        let file = stdout(&args(format));
        let cues = cues(&file, point);
        assert_eq!(cues.len(), 2, "{file}");
        for ((start, end, text), segment) in cues.iter().zip(segments) {
            assert_eq!(segment["start_ms"], *start);
            assert_eq!(segment["end_ms"], *end);
            let expected = format!(
                "{} {}",
                segment["text"].as_str().unwrap(),
                segment["translation"].as_str().unwrap()
            );
            assert_eq!(plain_words(text), plain_words(&expected));
        }
    }
    assert!(stdout(&args("vtt")).starts_with("WEBVTT\n\n"));
    assert!(stdout(&args("srt")).starts_with("1\n00:00:01,"));
}

/// Start, end and text of a subtitle file's cues, read as players read them.
fn cues(file: &str, point: char) -> Vec<(u64, u64, String)> {
    let time = |text: &str| {
        let (clock, ms) = text.trim().split_once(point).unwrap();
        let clock: Vec<u64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
        assert_eq!((clock.len(), ms.len()), (3, 3));
        (clock[0] * 3600 + clock[1] * 60 + clock[2]) * 1000 + ms.parse::<u64>().unwrap()
    };
    let blocks = file.split("\n\n").filter(|block| block.contains(" --> "));
    let cues = blocks.map(|block| {
        let (head, text) = block.split_once(" --> ").unwrap();
        let (end, text) = text.split_once('\n').unwrap();
        (
            time(head.lines().last().unwrap()),
            time(end),
            text.to_owned(),
        )
    });
    cues.collect()
}

#[test]
fn captions_in_lines_show_what_may_change_in_brackets() {
    let text = stdout(&["transcribe", &SHORT, "--live", "--language", "en"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&"Lisa has fifty two books."));
    assert!(
        lines[0].ends_with(']') && lines.iter().any(|line| line.contains(" [")),
        "{text}"
    );
    // With a file for standard output, captions go where notes go.
    let output = sotto(&[
        "transcribe",
        &SHORT,
        "--live",
        "--language",
        "en",
        "--format",
        "srt",
    ]);
    assert!(output.stdout.starts_with(b"1\n"));
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(
        notes.contains(" [") && notes.lines().last().unwrap().starts_with("note: "),
        "{notes}"
    );
}

#[test]
fn where_nobody_speaks_there_is_nothing() {
    let clips = tiny().join("../demo/held-out/clips");
    for name in ["silence-00.flac", "noise-00.flac", "music-00.flac"] {
        let clip = clips.join(name).display().to_string();
        let reply = stdout(&["transcribe", &clip, "--json"]);
        assert_eq!(reply, "{\"segments\":[]}\n", "{name}");
        assert_eq!(
            stdout(&["transcribe", &clip, "--live", "--json", "--language", "en"]),
            "",
            "{name}"
        );
    }
}

#[test]
fn a_file_cut_short_is_transcribed_as_far_as_it_goes() {
    let whole = fs::read(&*SHORT).unwrap();
    let path = temporary("cut.wav");
    fs::write(&path, &whole[..whole.len() - 4000]).unwrap();
    let output = sotto(&[
        "transcribe",
        &path.display().to_string(),
        "--language",
        "en",
    ]);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(
        notes.starts_with("note: cut.wav: it is cut short"),
        "{notes}"
    );
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("fifty two books")
    );
}

#[test]
fn in_real_time_a_file_takes_as_long_as_it_is() {
    let began = std::time::Instant::now();
    let events = json_lines(&["transcribe", &SHORT, "--live", "--json", "--realtime"]);
    let seconds = (fs::metadata(&*SHORT).unwrap().len() - 44) as f64 / 32e3;
    assert!(began.elapsed().as_secs_f64() > seconds);
    // The first words are there before the second sentence begins.
    let first = &events[0];
    let at = first["at_ms"].as_u64().unwrap();
    assert!(at > 1500 && first["final"] == false, "{first}");
}

#[test]
fn what_cannot_be_transcribed_is_a_sentence() {
    let missing = refusal(&["transcribe", "missing.wav"]);
    assert!(
        missing.starts_with("error: missing.wav: the sound file cannot be opened"),
        "{missing}"
    );
    let picture = refusal(&["transcribe", &input("image_a.png")]);
    assert!(picture.contains("this is not a sound file"), "{picture}");
    let klingon = refusal(&["transcribe", &SHORT, "--translate", "Klingon"]);
    assert!(
        klingon.contains("no language \"Klingon\"") && klingon.contains("German"),
        "{klingon}"
    );
    let model = refusal(&["transcribe", &SHORT, "--model", "missing.gguf"]);
    assert!(model.contains("missing.gguf"), "{model}");
    // The command line itself is explained by its parser.
    for args in [
        &["transcribe"][..],
        &["transcribe", &SHORT, "--system"],
        &["transcribe", "--microphone", "--realtime"],
    ] {
        assert_eq!(sotto(args).status.code(), Some(2));
    }
}

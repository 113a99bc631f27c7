//! A minute of speech made of the demo model's clips, and how far a transcript is from what is said in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// A sentence and where it is spoken, in ms.
pub struct Spoken {
    pub text: String,
    pub start_ms: u32,
    pub end_ms: u32,
}

fn fixtures() -> PathBuf {
    let parents = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut found = parents.map(|folder| folder.join("tests/fixtures/demo"));
    found.find(|folder| folder.is_dir()).unwrap()
}

/// Twenty clips of clean speech with a second between them, as 16 kHz mono: a little more than a minute.
pub fn minute() -> (Vec<f32>, Vec<Spoken>) {
    let mut said = Said::default();
    for (clip, text) in clips(&["unseen voices", "clips by hand"]) {
        said.say(&clip, text, 1000);
    }
    (said.sound, said.spoken)
}

/// A meeting of three minutes: all clips, also with noise and by a human, and `espeak-ng` in several voices, with
/// pauses of different lengths; none where `espeak-ng` is not installed.
#[allow(dead_code)] // not all who share this file have meetings
pub fn meeting() -> Option<(Vec<f32>, Vec<Spoken>)> {
    const SENTENCES: [&str; 26] = [
        "The meeting starts at nine o'clock.",
        "Maria has to finish the report by Friday.",
        "Sales went up by twenty four percent.",
        "We need sixteen chairs.",
        "The budget is forty thousand euros.",
        "Peter is waiting for the contract.",
        "The lunch is in room twelve.",
        "Anna will send the invoice on Tuesday.",
        "The train to Berlin leaves at half past three.",
        "The number is seven one four nine.",
        "Sales went down by thirty percent.",
        "The party starts at quarter past eight.",
        "David has to sign the email by Monday.",
        "Lisa has eighteen books.",
        "Oscar is traveling to Rome on Wednesday.",
        "The interview is in room thirty one.",
        "The exam starts at half past ten.",
        "Kevin will change the picture on Thursday.",
        "The budget is seventy five thousand euros.",
        "We need ninety boxes.",
        "Robert is waiting for the invoice.",
        "The train to Paris leaves at six o'clock.",
        "Laura has to explain the video by Saturday.",
        "Sales went up by eleven percent.",
        "The number is two zero three six.",
        "The dinner starts at quarter past seven.",
    ];
    const VOICES: [&str; 4] = ["en-us", "en-gb+f2", "en-us+m3", "en-gb"];
    const PAUSES_MS: [usize; 5] = [700, 1000, 450, 1400, 800];
    let groups = [
        "unseen voices",
        "clips by hand",
        "unseen voices, noisy",
        "unseen human, digits",
    ];
    let wav = std::env::temp_dir().join(format!("sotto-said-{}.wav", std::process::id()));
    let mut all = Vec::new();
    for (sentence, voice) in SENTENCES.into_iter().zip(VOICES.into_iter().cycle()) {
        let mut espeak = std::process::Command::new("espeak-ng");
        let status = espeak.args(["-v", voice, "-s", "150", "-w"]).arg(&wav);
        if !status.arg(sentence).status().is_ok_and(|s| s.success()) {
            return None;
        }
        let clip = audio::read_sound(&wav, Duration::from_secs(30)).unwrap();
        all.push((clip.samples, sentence.to_owned()));
    }
    fs::remove_file(&wav).unwrap();
    // Voices change from sentence to sentence.
    let mut said = Said::default();
    let mut spoken = all.into_iter();
    let mut pauses = PAUSES_MS.into_iter().cycle();
    for (clip, text) in clips(&groups) {
        said.say(&clip, text, pauses.next().unwrap());
        if let Some((clip, text)) = spoken.next() {
            said.say(&clip, text, pauses.next().unwrap());
        }
    }
    Some((said.sound, said.spoken))
}

/// The clips of some groups, and what is said in them.
fn clips(groups: &[&str]) -> Vec<(Vec<f32>, String)> {
    let mut clips = Vec::new();
    for set in ["held-out", "by-hand"] {
        let folder = fixtures().join(set);
        let items = fs::read_to_string(folder.join("items.jsonl")).unwrap();
        for item in items.lines() {
            let item: Value = serde_json::from_str(item).unwrap();
            let group = item["group"].as_str().unwrap();
            if item["task"] != "transcription" || !groups.contains(&group) {
                continue;
            }
            let parts = item["parts"].as_array().unwrap();
            let clip = parts
                .iter()
                .find_map(|part| part["audio"].as_str())
                .unwrap();
            let clip = audio::read_sound(&folder.join(clip), Duration::from_secs(30)).unwrap();
            clips.push((clip.samples, item["answer"].as_str().unwrap().to_owned()));
        }
    }
    clips
}

/// Sentences one after the other.
struct Said {
    sound: Vec<f32>,
    spoken: Vec<Spoken>,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            sound: vec![0.0; 16_000],
            spoken: Vec::new(),
        }
    }
}

impl Said {
    fn say(&mut self, clip: &[f32], text: String, pause_ms: usize) {
        // The clips begin and end with up to a second of silence.
        let loudest = clip.iter().fold(0.0f32, |loudest, s| loudest.max(s.abs()));
        let heard = |s: &f32| s.abs() > loudest / 30.0;
        let first = clip.iter().position(heard).unwrap();
        let last = clip.iter().rposition(heard).unwrap();
        let ms = |sample: usize| ((self.sound.len() + sample) / 16) as u32;
        self.spoken.push(Spoken {
            text,
            start_ms: ms(first),
            end_ms: ms(last),
        });
        self.sound.extend(clip);
        self.sound.extend(vec![0.0; 16 * pause_ms]);
    }
}

/// 16 kHz mono as a WAV file.
pub fn write_wav(path: &Path, samples: &[f32]) {
    let data: Vec<u8> = samples
        .iter()
        .flat_map(|s| ((s * 32_767.0) as i16).to_le_bytes())
        .collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(16_000u32.to_le_bytes());
    file.extend(32_000u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    fs::write(path, file).unwrap();
}

/// Words in lower case, without punctuation.
pub fn plain_words(text: &str) -> Vec<String> {
    let words = text.split_whitespace().map(|word| {
        let letters = word.chars().filter(|c| c.is_alphanumeric() || *c == '\'');
        letters.flat_map(char::to_lowercase).collect::<String>()
    });
    words.filter(|word| !word.is_empty()).collect()
}

/// Word error rate: insertions, deletions and substitutions for each word that was said.
pub fn word_error_rate(said: &str, found: &str) -> f64 {
    let (said, found) = (plain_words(said), plain_words(found));
    let mut row: Vec<usize> = (0..=found.len()).collect();
    for (i, a) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in found.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[found.len()] as f64 / said.len() as f64
}

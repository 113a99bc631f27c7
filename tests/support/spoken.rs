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
    let mut sound = vec![0.0; 16_000];
    let mut spoken = Vec::new();
    for set in ["held-out", "by-hand"] {
        let folder = fixtures().join(set);
        let items = fs::read_to_string(folder.join("items.jsonl")).unwrap();
        for item in items.lines() {
            let item: Value = serde_json::from_str(item).unwrap();
            let group = item["group"].as_str().unwrap();
            if item["task"] != "transcription"
                || !["unseen voices", "clips by hand"].contains(&group)
            {
                continue;
            }
            let parts = item["parts"].as_array().unwrap();
            let clip = parts
                .iter()
                .find_map(|part| part["audio"].as_str())
                .unwrap();
            let clip = audio::read_sound(&folder.join(clip), Duration::from_secs(30))
                .unwrap()
                .samples;
            // The clips begin and end with up to a second of silence.
            let loudest = clip.iter().fold(0.0f32, |loudest, s| loudest.max(s.abs()));
            let heard = |s: &f32| s.abs() > loudest / 30.0;
            let first = clip.iter().position(heard).unwrap();
            let last = clip.iter().rposition(heard).unwrap();
            let ms = |sample: usize| ((sound.len() + sample) / 16) as u32;
            spoken.push(Spoken {
                text: item["answer"].as_str().unwrap().to_owned(),
                start_ms: ms(first),
                end_ms: ms(last),
            });
            sound.extend(clip);
            sound.extend([0.0; 16_000]);
        }
    }
    (sound, spoken)
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

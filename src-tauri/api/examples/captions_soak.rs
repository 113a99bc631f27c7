//! Memory of captions over a simulated hour of speech with pauses, played thirty times as fast as it was spoken, and
//! what an hour of noise becomes: `cargo run --release -p api --example captions_soak [-- --noise]`. Linux only.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // it is shared with tests that need more of it
#[path = "../../../tests/support/spoken.rs"]
mod spoken;

use std::path::Path;
use std::time::Duration;

use api::{Api, CaptionSource, ChannelName, OpenModel, Phase, SoundDevice, StartCaptions};
use audio::{Notice, SAMPLE_RATE};

const HOUR_MS: u32 = 3_600_000;
/// A device is read every 50 ms.
const SPEED: usize = 30 * SAMPLE_RATE as usize / 20;

/// Plays a sound again and again.
struct Loop {
    sound: Vec<f32>,
    at: usize,
    left: usize,
}

impl SoundDevice for Loop {
    fn read(&mut self, out: &mut Vec<f32>) -> Vec<Notice> {
        for _ in 0..SPEED.min(self.left) {
            out.push(self.sound[self.at]);
            self.at = (self.at + 1) % self.sound.len();
        }
        self.left -= SPEED.min(self.left);
        Vec::new()
    }
}

/// A minute of white noise, of another loudness every second.
fn noise() -> Vec<f32> {
    let mut state = 1u32;
    let mut sound = Vec::new();
    for second in 0..60 {
        let loudness = 0.4f32.powi(second % 7);
        for _ in 0..SAMPLE_RATE {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sound.push(loudness * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0));
        }
    }
    sound
}

fn main() {
    let api = Api::new();
    let folder = std::env::temp_dir().join(format!("sotto-soak-{}", std::process::id()));
    api.open_library(&folder).unwrap();
    let open = OpenModel {
        path: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/sotto-demo.gguf"),
        ..OpenModel::default()
    };
    api.open_model(&open, &mut |_| true).unwrap();
    let is_noise = std::env::args().any(|arg| arg == "--noise");
    let sound = if is_noise {
        noise()
    } else {
        spoken::minute().0
    };
    let device = Loop {
        sound,
        at: 0,
        left: HOUR_MS as usize * 16,
    };
    let start = StartCaptions {
        source: CaptionSource::System,
        title: "An hour".into(),
        language: Some("en".into()),
        translate: None,
        keep_sound: true,
    };
    let sounds: Vec<(ChannelName, Box<dyn SoundDevice>)> =
        vec![(ChannelName::Others, Box::new(device))];
    let id = api.start_captions_from(start, sounds).unwrap();
    for minutes in [5, 10, 20, 30, 40, 50, 60] {
        // Written down, not only recorded.
        let done = || {
            let view = api.captions_view();
            view.elapsed_ms - view.behind_ms.min(view.elapsed_ms)
        };
        while done() + 10_000 < minutes * HOUR_MS / 60 {
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("after {minutes} min: {}", memory());
    }
    api.stop_captions();
    while api.captions_view().phase != Phase::Idle {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("at the end: {}", memory());
    let lines = api.open_transcript(&id).unwrap().lines;
    let words = |line: &&api::StoredLine| !line.text.is_empty();
    println!(
        "{} lines, {} with words",
        lines.len(),
        lines.iter().filter(words).count()
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Resident memory, what is its own and what are pages of files apart.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mb = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kb = line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse::<f64>().ok());
        kb.unwrap_or_default() / 1024.0
    };
    format!(
        "{:.1} MB own, {:.1} MB of files",
        mb("RssAnon"),
        mb("RssFile")
    )
}

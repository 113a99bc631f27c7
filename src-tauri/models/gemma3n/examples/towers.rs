//! Times the towers: `cargo run --release -p gemma3n --example towers -- MODEL [SECONDS]`.
//!
//! The first pass of each tower loads it, too. What is seen and heard does not matter.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use gemma3n::{LogMel, MelConfig, Model, Options, Pixels};
use weights::Checkpoint;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path: PathBuf = args.next().ok_or("which model?")?.into();
    let seconds: usize = args.next().map_or(Ok(30), |s| s.parse())?;
    let model = Model::open(Arc::new(Checkpoint::open(&path)?), &Options::default())?;
    if let Some(vision) = &model.config().vision {
        let side = vision.image_size;
        let pixels = Pixels {
            width: side,
            height: side,
            data: (0..side * side * 3)
                .map(|i| (i % 251) as f32 / 251.0)
                .collect(),
        };
        for _ in 0..3 {
            let start = Instant::now();
            model.encode_image(&pixels)?;
            println!(
                "picture {side} x {side}: {:.2} s",
                start.elapsed().as_secs_f64()
            );
        }
    }
    if model.config().audio.is_some() {
        let samples: Vec<f32> = (0..seconds * 16_000)
            .map(|i| (i as f32 * 0.05).sin() * 0.3)
            .collect();
        for _ in 0..3 {
            let start = Instant::now();
            model.encode_audio(&LogMel::new(&MelConfig::default()).extract(&samples)?)?;
            println!(
                "sound of {seconds} s: {:.2} s",
                start.elapsed().as_secs_f64()
            );
        }
    }
    Ok(())
}

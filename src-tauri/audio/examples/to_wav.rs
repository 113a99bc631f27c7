//! `cargo run -p audio --example to_wav IN OUT.wav`: any sound file to what the model hears.

use std::path::Path;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, source, target] = args.as_slice() else {
        return Err("usage: to_wav IN OUT.wav".into());
    };
    let start = Instant::now();
    let sound = audio::read_sound(Path::new(source), Duration::from_secs(24 * 3600))?;
    println!(
        "{:?} of {} Hz, {} channels, in {:?}{}",
        sound.duration(),
        sound.original_rate,
        sound.channels,
        start.elapsed(),
        sound
            .damage
            .as_ref()
            .map(|damage| format!(", but {damage}"))
            .unwrap_or_default()
    );
    let data: Vec<u8> = sound
        .samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x03\0\x01\0"); // 32-bit float, one channel.
    file.extend(audio::SAMPLE_RATE.to_le_bytes());
    file.extend((audio::SAMPLE_RATE * 4).to_le_bytes());
    file.extend(b"\x04\0\x20\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    std::fs::write(target, file)?;
    Ok(())
}

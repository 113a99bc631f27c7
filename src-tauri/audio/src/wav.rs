//! Samples as a WAV file.

use crate::SAMPLE_RATE;

const BYTES_PER_SAMPLE: u32 = 2;

/// The bytes of a WAV file: 16 kHz, mono, 16 bits. Samples beyond -1 to 1 are clipped.
///
/// # Panics
///
/// If there are more samples than the format can count: more than a day and a half of them.
pub fn wav(samples: &[f32]) -> Vec<u8> {
    let length = u32::try_from(samples.len() * BYTES_PER_SAMPLE as usize + 36)
        .expect("a WAV file holds 4 GB")
        - 36;
    let mut file = Vec::with_capacity(44 + length as usize);
    file.extend(b"RIFF");
    file.extend((length + 36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes()); // bytes of the description that follows
    file.extend(1u16.to_le_bytes()); // PCM
    file.extend(1u16.to_le_bytes()); // channels
    file.extend(SAMPLE_RATE.to_le_bytes());
    file.extend((SAMPLE_RATE * BYTES_PER_SAMPLE).to_le_bytes());
    file.extend((BYTES_PER_SAMPLE as u16).to_le_bytes());
    file.extend(16u16.to_le_bytes()); // bits of a sample
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    for sample in samples {
        let scaled = (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round();
        file.extend((scaled as i16).to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let samples: Vec<f32> = (0..16_000).map(|n| (n as f32 / 20.0).sin() * 0.5).collect();
        let file = wav(&samples);
        let sound = crate::read_sound_bytes(file, Some("wav"), Duration::from_secs(2)).unwrap();
        assert_eq!((sound.original_rate, sound.channels), (SAMPLE_RATE, 1));
        assert_eq!((sound.samples.len(), sound.damage), (samples.len(), None));
        let far = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-4;
        assert!(!samples.iter().zip(&sound.samples).any(far));
    }

    #[test]
    fn what_is_too_loud_is_clipped() {
        assert_eq!(wav(&[2.0, -2.0])[44..], [0xFF, 0x7F, 0x01, 0x80]);
        assert_eq!(wav(&[]).len(), 44);
    }
}

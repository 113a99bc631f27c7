//! Sound files and devices to 16 kHz mono, and where somebody speaks in them.
//!
//! WAV, AIFF, CAF, FLAC, MP3, M4A (AAC-LC, ALAC), Ogg Vorbis, Opus and the sound of MP4 and WebM films.
//! Files are decoded and resampled piece by piece, so a long recording takes only the memory of its result.

mod capture;
mod decode;
mod error;
mod resample;
mod segment;
mod voice;
mod wav;

use std::fs::File;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use symphonia::core::io::MediaSource;

pub use capture::{Capture, Notice, Source};
pub use error::Error;
pub use resample::{Resampler, SAMPLE_RATE};
pub use segment::{OpenSegment, Segment, SegmentRules, Segmenter, Speech};
pub use voice::{Earshot, FRAME, VoiceDetector};
pub use wav::wav;

/// The sound of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    pub samples: Vec<f32>, // 16 kHz mono, -1 to 1.
    /// Sample rate of the file, in Hz.
    pub original_rate: u32,
    /// Channels of the file; their mean is what is heard.
    pub channels: usize,
    /// What was wrong with a file that could be read only in part, such as `it is cut short`.
    pub damage: Option<String>,
}

impl Sound {
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(SAMPLE_RATE))
    }
}

/// Reads a sound file; one longer than `max_duration` is an error.
pub fn read_sound(path: &Path, max_duration: Duration) -> Result<Sound, Error> {
    let file = File::open(path).map_err(Error::Open)?;
    if file.metadata().map_err(Error::Open)?.is_dir() {
        return Err(Error::NotASound);
    }
    decode(
        Box::new(file),
        path.extension().and_then(|extension| extension.to_str()),
        max_duration,
    )
}

/// Reads a sound file of any length piece by piece; `on` takes 16 kHz mono samples, and false stops.
///
/// Gives what was wrong with a file that could be read only in part.
pub fn stream_sound(
    path: &Path,
    on: &mut dyn FnMut(&[f32]) -> bool,
) -> Result<Option<String>, Error> {
    let file = File::open(path).map_err(Error::Open)?;
    if file.metadata().map_err(Error::Open)?.is_dir() {
        return Err(Error::NotASound);
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    let mut piece = Vec::new();
    let mut take = |samples: &mut Vec<f32>| {
        let goes_on = samples.is_empty() || on(samples);
        samples.clear();
        goes_on
    };
    let damage = catch_unwind(AssertUnwindSafe(|| {
        decode_to(Box::new(file), extension, &mut piece, &mut take)
    }));
    let (_, damage) = damage.unwrap_or_else(|_| Err(Error::Damaged(GAVE_UP.into())))?;
    Ok(damage)
}

/// Reads the bytes of a sound file, whose name's extension helps to tell formats apart.
pub fn read_sound_bytes(
    bytes: Vec<u8>,
    extension: Option<&str>,
    max_duration: Duration,
) -> Result<Sound, Error> {
    decode(Box::new(Cursor::new(bytes)), extension, max_duration)
}

fn decode(
    source: Box<dyn MediaSource>,
    extension: Option<&str>,
    max_duration: Duration,
) -> Result<Sound, Error> {
    // The decoders read files from anywhere; a panic in one of them is a damaged file, not our end.
    catch_unwind(AssertUnwindSafe(|| {
        decode_all(source, extension, max_duration)
    }))
    .unwrap_or_else(|_| Err(Error::Damaged(GAVE_UP.into())))
}

const GAVE_UP: &str = "its decoder gave up";

/// What a file turned out to hold.
#[derive(Default)]
struct Format {
    original_rate: u32,
    channels: usize,
}

fn decode_all(
    source: Box<dyn MediaSource>,
    extension: Option<&str>,
    max_duration: Duration,
) -> Result<Sound, Error> {
    let most = (max_duration.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize;
    let mut samples = Vec::new();
    let mut fits = |samples: &mut Vec<f32>| samples.len() <= most;
    let (format, damage) = decode_to(source, extension, &mut samples, &mut fits)?;
    if samples.len() > most {
        return Err(Error::TooLong {
            max_seconds: max_duration.as_secs(),
        });
    }
    Ok(Sound {
        samples,
        original_rate: format.original_rate,
        channels: format.channels,
        damage,
    })
}

/// Decodes into `samples`; `on` looks at them after every packet and at the end, may take them away, and stops with
/// false.
fn decode_to(
    source: Box<dyn MediaSource>,
    extension: Option<&str>,
    samples: &mut Vec<f32>,
    on: &mut dyn FnMut(&mut Vec<f32>) -> bool,
) -> Result<(Format, Option<String>), Error> {
    let mut decoder = decode::Decoder::open(source, extension)?;
    let mut format = Format::default();
    let mut resampler: Option<Resampler> = None;
    let mut mono = Vec::new();
    while let Some(block) = decoder.next()? {
        if block.rate != format.original_rate {
            if let Some(earlier) = resampler.take() {
                earlier.finish(samples);
            }
            format.original_rate = block.rate;
        }
        format.channels = format.channels.max(block.channels);
        let resampler = match &mut resampler {
            Some(resampler) => resampler,
            none => none.insert(Resampler::new(block.rate)?),
        };
        mono.clear();
        mono.extend(block.samples.chunks_exact(block.channels).map(mean));
        resampler.push(&mono, samples);
        if !on(samples) {
            return Ok((format, decoder.damage()));
        }
    }
    match resampler {
        Some(resampler) => resampler.finish(samples),
        None => return Err(decoder.damage().map_or(Error::CutShort, Error::Damaged)),
    }
    on(samples);
    Ok((format, decoder.damage()))
}

/// One channel passes bit for bit; what is not a number is silence.
fn mean(channels: &[f32]) -> f32 {
    let mean = match channels {
        [only] => *only,
        _ => channels.iter().sum::<f32>() / channels.len() as f32,
    };
    if mean.is_finite() { mean } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures/sounds")
            .join(name)
    }

    fn read(wav: Vec<u8>) -> Sound {
        read_sound_bytes(wav, Some("wav"), HOUR).unwrap()
    }

    fn sentence(bytes: &[u8], extension: Option<&str>) -> String {
        read_sound_bytes(bytes.to_vec(), extension, HOUR)
            .unwrap_err()
            .to_string()
    }

    /// A WAV file; `kind` is 1 for integers and 3 for floats.
    fn wav(kind: u16, rate: u32, channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
        let frame = channels * bits / 8;
        let mut file = b"RIFF".to_vec();
        file.extend((36 + data.len() as u32).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0");
        file.extend([kind.to_le_bytes(), channels.to_le_bytes()].concat());
        file.extend([rate.to_le_bytes(), (rate * u32::from(frame)).to_le_bytes()].concat());
        file.extend([frame.to_le_bytes(), bits.to_le_bytes()].concat());
        file.extend(b"data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn wav16(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        wav(
            1,
            rate,
            channels,
            16,
            &samples
                .iter()
                .flat_map(|s| s.to_le_bytes())
                .collect::<Vec<u8>>(),
        )
    }

    fn tone(rate: u32, seconds: f64) -> Vec<i16> {
        let n = (f64::from(rate) * seconds) as u32;
        (0..n)
            .map(|i| {
                (13_107.2 * (TAU * 440.0 * f64::from(i) / f64::from(rate)).sin()).round() as i16
            })
            .collect()
    }

    /// The tone of the fixtures, amplitude 0.4, which may begin up to `shift` samples late.
    fn assert_is_tone(sound: &Sound, shift: usize, tolerance: f32) {
        let error_at = |shift: usize| {
            let middle = 2000..sound.samples.len() - 1000; // Codecs take a while to settle.
            middle
                .map(|i| {
                    let expected = 0.4 * (TAU * 440.0 * (i as f64 - shift as f64) / 16_000.0).sin();
                    (sound.samples[i] - expected as f32).abs()
                })
                .fold(0.0, f32::max)
        };
        let best = (0..=shift).map(error_at).fold(f32::INFINITY, f32::min);
        assert!(best < tolerance, "differs by {best}");
    }

    #[test]
    fn sixteen_khz_passes_bit_for_bit() {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).step_by(7).chain([i16::MAX]).collect();
        let sound = read(wav16(16_000, 1, &samples));
        let expected: Vec<f32> = samples.iter().map(|s| f32::from(*s) / 32768.0).collect();
        assert_eq!(
            sound,
            Sound {
                samples: expected,
                original_rate: 16_000,
                channels: 1,
                damage: None
            }
        );
        assert_eq!(
            sound.duration().as_millis(),
            samples.len() as u128 * 1000 / 16_000
        );
    }

    #[test]
    fn every_sample_format_of_wav() {
        let check = |kind, bits, data: &[u8]| {
            let sound = read(wav(kind, 16_000, 1, bits, data));
            assert_eq!(sound.samples, [0.0, 0.5, -1.0], "{bits} bits");
        };
        check(1, 8, &[128, 192, 0]);
        check(1, 16, &[0, 0, 0, 0x40, 0, 0x80]);
        check(1, 24, &[0, 0, 0, 0, 0, 0x40, 0, 0, 0x80]);
        check(1, 32, &[0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0x80]);
        let floats = |samples: [f32; 3]| samples.map(f32::to_le_bytes).concat();
        check(3, 32, &floats([0.0, 0.5, -1.0]));
        check(3, 32, &floats([f32::NAN, 0.5, -1.0]));
        check(3, 64, &[0.0, 0.5, -1.0].map(f64::to_le_bytes).concat());
    }

    #[test]
    fn channels_are_averaged() {
        let sound = read(wav16(16_000, 2, &[16_384, 0, -32_768, 16_384, 0, 0]));
        assert_eq!((sound.samples, sound.channels), (vec![0.25, -0.25, 0.0], 2));
        let sound = read(wav16(16_000, 4, &[16_384, 0, 0, 0]));
        assert_eq!((sound.samples, sound.channels), (vec![0.125], 4));
    }

    #[test]
    fn every_rate_of_wav() {
        for rate in [8000, 12_000, 22_050, 44_100, 48_000, 96_000] {
            let sound = read(wav16(rate, 1, &tone(rate, 0.5)));
            assert_eq!((sound.samples.len(), sound.original_rate), (8000, rate));
            assert_is_tone(&sound, 0, 2e-3);
        }
    }

    #[test]
    fn every_format() {
        // Lossy codecs are allowed some error, and AAC in M4A and Opus in WebM some run-up or filling,
        // which Symphonia does not take off.
        for (name, rate, channels, shift, tolerance) in [
            ("stereo_44100.flac", 44_100, 2, 0, 2e-3),
            ("mono_44100.mp3", 44_100, 1, 0, 0.03),
            ("stereo_44100.ogg", 44_100, 2, 0, 0.05),
            ("mono_48000.opus", 48_000, 1, 0, 0.08),
            ("stereo_48000.webm", 48_000, 2, 160, 0.08),
            ("mono_44100.m4a", 44_100, 1, 800, 0.03),
            ("mono_16000_alac.m4a", 16_000, 1, 0, 2e-3),
            ("mono_16000.aiff", 16_000, 1, 0, 2e-3),
            ("mono_16000.caf", 16_000, 1, 0, 2e-3),
            ("mono_8000_mulaw.wav", 8000, 1, 0, 0.03),
        ] {
            let sound =
                read_sound(&fixture(name), HOUR).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(
                (sound.original_rate, sound.channels, &sound.damage),
                (rate, channels, &None),
                "{name}"
            );
            let millis = sound.duration().as_millis();
            assert!(
                (400..=400 + shift as u128 / 10).contains(&millis),
                "{name}: {millis} ms"
            );
            assert_is_tone(&sound, shift, tolerance);
            // Without the name's help, too.
            let bytes = std::fs::read(fixture(name)).unwrap();
            assert_eq!(
                read_sound_bytes(bytes, None, HOUR).unwrap(),
                sound,
                "{name}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_a_sentence() {
        assert_eq!(sentence(b"", None), "the sound file is empty");
        assert!(
            sentence(b"Dear diary, today I listened.\n", Some("wav"))
                .starts_with("this is not a sound file")
        );
        assert!(
            sentence(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None)
                .starts_with("this is not a sound file")
        );
        let no_file = read_sound(Path::new("no such file.wav"), HOUR)
            .unwrap_err()
            .to_string();
        assert!(
            no_file.starts_with("the sound file cannot be opened: "),
            "{no_file}"
        );
        assert!(read_sound(Path::new("."), HOUR).is_err());
        let ac3 = read_sound(&fixture("mono_44100_ac3.m4a"), HOUR)
            .unwrap_err()
            .to_string();
        assert_eq!(
            ac3,
            "the sound is coded as Dolby Digital, which cannot be read"
        );
        let slow = read_sound_bytes(wav16(50, 1, &[0; 100]), None, HOUR)
            .unwrap_err()
            .to_string();
        assert_eq!(
            slow,
            "the sound has 1 channels at 50 Hz, which cannot be read"
        );
        assert_eq!(
            sentence(&wav16(16_000, 1, &[]), None),
            "the sound file is cut short before any sound"
        );
    }

    #[test]
    fn a_sound_that_is_too_long_is_a_sentence() {
        let file = wav16(16_000, 1, &vec![1; 32_001]);
        let error = read_sound_bytes(file.clone(), None, Duration::from_secs(2))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the sound is longer than 2 s, the most that is read at once"
        );
        assert!(read_sound_bytes(file, None, Duration::from_millis(2001)).is_ok());
    }

    #[test]
    fn a_file_cut_short_gives_what_is_there_and_says_so() {
        let whole = wav16(16_000, 1, &tone(16_000, 1.0));
        let sound = read(whole[..whole.len() / 2].to_vec());
        assert_eq!(sound.damage.as_deref(), Some("it is cut short"));
        assert!(
            (7000..8000).contains(&sound.samples.len()),
            "{}",
            sound.samples.len()
        );
        assert_eq!(sound.samples, read(whole).samples[..sound.samples.len()]);
    }

    #[test]
    fn a_wav_that_does_not_know_its_length_is_read_to_its_end() {
        let mut file = wav16(16_000, 1, &tone(16_000, 0.5));
        file[4..8].fill(0xFF);
        file[40..44].fill(0xFF);
        let sound = read(file);
        assert_eq!((sound.samples.len(), sound.damage), (8000, None));
    }

    #[test]
    fn a_file_piece_by_piece_is_the_file_at_once() {
        for name in ["stereo_44100.flac", "mono_44100.mp3", "mono_16000.aiff"] {
            let path = fixture(name);
            let mut samples = Vec::new();
            let damage = stream_sound(&path, &mut |piece| {
                samples.extend_from_slice(piece);
                true
            });
            let whole = read_sound(&path, HOUR).unwrap();
            assert_eq!((damage.unwrap(), samples), (None, whole.samples));
            // And stops where it is told to.
            let mut pieces = 0;
            stream_sound(&path, &mut |_| {
                pieces += 1;
                false
            })
            .unwrap();
            assert_eq!(pieces, 1, "{name}");
        }
        assert!(stream_sound(Path::new("."), &mut |_| true).is_err());
    }

    /// Every fixture is cut at many lengths and has many bytes changed: a sound or a sentence, never a panic.
    #[test]
    fn damaged_files_never_panic() {
        for entry in std::fs::read_dir(fixture("")).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let file = std::fs::read(&path).unwrap();
            let step = file.len().div_ceil(40);
            for pos in (0..file.len()).step_by(step) {
                let mut damaged = file.clone();
                damaged[pos] ^= 0xA5;
                for bytes in [file[..pos].to_vec(), damaged] {
                    match read_sound_bytes(bytes, extension, HOUR) {
                        Ok(sound) => assert!(sound.channels > 0 && sound.original_rate > 0),
                        Err(error) => assert!(!error.to_string().is_empty()),
                    }
                }
            }
        }
    }
}

//! Sound as the audio tower wants it: log-mel frames, computed as the reference's extractor does.
//!
//! A frame reads one sample more than its length (the reference unfolds it so for its other
//! flavour of pre-emphasis), which decides how many frames a sound has. The spectrum is of
//! magnitudes, not powers, and the logarithm has a hard floor.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};
use serde_json::Value;

use crate::InputError;
use crate::settings::Settings;

/// A sound is padded with silence to a multiple of this.
const PAD_TO_MULTIPLE_OF: usize = 128;
/// The longest sound the model was trained to hear: 30 s.
const MAX_SAMPLES: usize = 480_000;

/// What `preprocessor_config.json` says about sound; the default is the published values.
#[derive(Debug, Clone, PartialEq)]
pub struct MelConfig {
    sampling_rate: usize,
    feature_size: usize,
    frame_length: usize, // In samples, as `hop_length`.
    hop_length: usize,
    fft_length: usize,
    min_frequency: f64, // Hz
    max_frequency: f64,
    preemphasis: f64,
    preemphasis_htk_flavor: bool,
    input_scale_factor: f64,
    mel_floor: f64,
    per_bin_mean: Option<Vec<f32>>,
    per_bin_stddev: Option<Vec<f32>>,
}

impl Default for MelConfig {
    fn default() -> Self {
        Self {
            sampling_rate: 16_000,
            feature_size: 128,
            frame_length: 512,
            hop_length: 160,
            fft_length: 1024,
            min_frequency: 125.0,
            max_frequency: 7600.0,
            preemphasis: 0.97,
            preemphasis_htk_flavor: true,
            input_scale_factor: 1.0,
            mel_floor: 1e-5,
            per_bin_mean: None,
            per_bin_stddev: None,
        }
    }
}

impl MelConfig {
    /// Reads `preprocessor_config.json`, or the newer `processor_config.json`.
    pub fn from_json(preprocessor_config: &Value) -> Result<Self, InputError> {
        let settings = Settings(
            preprocessor_config
                .get("feature_extractor")
                .unwrap_or(preprocessor_config),
        );
        settings.only("feature_extractor_type", "Gemma3nAudioFeatureExtractor")?;
        settings.only("dither", 0.0)?;
        settings.only("padding_side", "right")?;
        settings.only("padding_value", 0.0)?;
        settings.only("sampling_rate", 16_000)?; // The rate that sound files are brought to.

        let mut config = Self::default();
        let samples = |milliseconds: &'static str, key: &'static str, default: usize| match settings
            .numbered(milliseconds)?
        {
            Some(ms) => match (ms * config.sampling_rate as f64 / 1000.0).round_ties_even() {
                length @ 1.0..=1e5 => Ok(length as usize),
                _ => Err(settings.unsupported(milliseconds, "a length above zero")),
            },
            None => settings.count(key, default),
        };
        let frame_length = samples("frame_length_ms", "frame_length", config.frame_length)?;
        config.hop_length = samples("hop_length_ms", "hop_length", config.hop_length)?;
        config.frame_length = frame_length;
        config.fft_length = frame_length.next_power_of_two()
            * if settings.bool("fft_overdrive", true)? {
                2
            } else {
                1
            };
        settings.only("fft_length", config.fft_length)?;

        config.feature_size = settings.count("feature_size", config.feature_size)?;
        config.min_frequency = settings.number("min_frequency", config.min_frequency)?;
        config.max_frequency = settings.number("max_frequency", config.max_frequency)?;
        if !(0.0..config.max_frequency).contains(&config.min_frequency) {
            return Err(
                settings.unsupported("min_frequency", "a frequency from 0 to below max_frequency")
            );
        }
        config.preemphasis = settings.number("preemphasis", config.preemphasis)?;
        config.preemphasis_htk_flavor = settings.bool("preemphasis_htk_flavor", true)?;
        config.input_scale_factor = settings.number("input_scale_factor", 1.0)?;
        config.mel_floor = settings.number("mel_floor", config.mel_floor)?;
        if config.mel_floor <= 0.0 {
            return Err(settings.unsupported("mel_floor", "a number above zero"));
        }
        config.per_bin_mean = settings.numbers("per_bin_mean")?;
        config.per_bin_stddev = settings.numbers("per_bin_stddev")?;
        for (key, list) in [
            ("per_bin_mean", &config.per_bin_mean),
            ("per_bin_stddev", &config.per_bin_stddev),
        ] {
            if list
                .as_ref()
                .is_some_and(|list| list.len() != config.feature_size)
            {
                return Err(
                    settings.unsupported(key, format!("a list of {} numbers", config.feature_size))
                );
            }
        }
        Ok(config)
    }

    pub fn sampling_rate(&self) -> usize {
        self.sampling_rate
    }
}

/// Log-mel frames of one sound.
#[derive(Debug, Clone, PartialEq)]
pub struct MelFeatures {
    pub frames: usize,
    pub bins: usize,
    pub data: Vec<f32>, // [frames, bins]
    /// Frames that start on real sound; the others are padding.
    pub valid: Vec<bool>,
}

/// The extractor, with its window, filters and FFT plan made once.
pub struct LogMel {
    config: MelConfig,
    window: Vec<f64>,
    filters: Vec<Filter>,
    fft: Arc<dyn RealToComplex<f64>>,
}

/// A triangle over the spectrum; zero outside of its weights.
struct Filter {
    start: usize,
    weights: Vec<f64>,
}

impl LogMel {
    pub fn new(config: &MelConfig) -> Self {
        let n = config.frame_length as f64;
        let window = (0..config.frame_length)
            .map(|i| 0.5 * (1.0 - (2.0 * PI * i as f64 / n).cos()))
            .collect();
        let fft = RealFftPlanner::new().plan_fft_forward(config.fft_length);
        Self {
            config: config.clone(),
            window,
            filters: mel_filters(config),
            fft,
        }
    }

    /// The frames of one sound by itself, 16 kHz mono.
    pub fn extract(&self, samples: &[f32]) -> Result<MelFeatures, InputError> {
        self.extract_padded(samples, samples.len().next_multiple_of(PAD_TO_MULTIPLE_OF))
    }

    /// The frames of a sound that may go on, without the data of the first ones, and how many of them will not change.
    pub(crate) fn extract_next(
        &self,
        samples: &[f32],
        first: usize,
    ) -> Result<(MelFeatures, usize), InputError> {
        let padded_len = samples.len().next_multiple_of(PAD_TO_MULTIPLE_OF);
        let features = self.extract_from(samples, padded_len, first)?;
        let reach = self.config.frame_length + 1;
        let n_final = (samples.len() - reach) / self.config.hop_length + 1;
        Ok((features, n_final))
    }

    /// The frames of a sound that silence makes `padded_len` samples long, as shorter ones of a batch are.
    pub fn extract_padded(
        &self,
        samples: &[f32],
        padded_len: usize,
    ) -> Result<MelFeatures, InputError> {
        self.extract_from(samples, padded_len, 0)
    }

    /// The same without the data of the first frames.
    fn extract_from(
        &self,
        samples: &[f32],
        padded_len: usize,
        first: usize,
    ) -> Result<MelFeatures, InputError> {
        self.check(samples, padded_len)?;
        let MelConfig {
            frame_length,
            hop_length,
            feature_size: bins,
            ..
        } = self.config;
        let frames = (padded_len - (frame_length + 1)) / hop_length + 1;
        let mut data = Vec::with_capacity(frames.saturating_sub(first) * bins);

        let mut frame = vec![0.0; frame_length + 1];
        let mut wave = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut magnitudes = vec![0.0; spectrum.len()];
        for start in (first..frames).map(|t| t * hop_length) {
            let real = samples.get(start..).unwrap_or_default();
            for (i, sample) in frame.iter_mut().enumerate() {
                *sample = real
                    .get(i)
                    .map_or(0.0, |s| f64::from(*s) * self.config.input_scale_factor);
            }
            self.emphasize(&frame, &mut wave[..frame_length]);
            wave[frame_length..].fill(0.0);
            self.fft
                .process_with_scratch(&mut wave, &mut spectrum, &mut scratch)
                .expect("the plan made buffers of its own lengths");
            for (magnitude, bin) in magnitudes.iter_mut().zip(&spectrum) {
                *magnitude = bin.norm_sqr().sqrt();
            }
            for (bin, filter) in self.filters.iter().enumerate() {
                let sum: f64 = filter
                    .weights
                    .iter()
                    .zip(&magnitudes[filter.start..])
                    .map(|(w, m)| w * m)
                    .sum();
                let mean = self
                    .config
                    .per_bin_mean
                    .as_ref()
                    .map_or(0.0, |mean| f64::from(mean[bin]));
                let stddev = self
                    .config
                    .per_bin_stddev
                    .as_ref()
                    .map_or(1.0, |stddev| f64::from(stddev[bin]));
                data.push(((sum.max(self.config.mel_floor).ln() - mean) / stddev) as f32);
            }
        }
        let valid = (0..frames)
            .map(|t| t * hop_length < samples.len())
            .collect();
        Ok(MelFeatures {
            frames,
            bins,
            data,
            valid,
        })
    }

    fn check(&self, samples: &[f32], padded_len: usize) -> Result<(), InputError> {
        let min = self.config.frame_length + 1;
        if samples.is_empty() {
            return Err(InputError::SoundEmpty);
        }
        if samples.len() < min {
            return Err(InputError::SoundTooShort {
                samples: samples.len(),
                min,
            });
        }
        if samples.len() > MAX_SAMPLES {
            // Rounded up to tenths, so that it never reads "30.0 s; at most 30 s".
            let seconds =
                |samples: usize| samples.div_ceil(self.config.sampling_rate / 10) as f64 / 10.0;
            return Err(InputError::SoundTooLong {
                seconds: seconds(samples.len()),
                max_seconds: seconds(MAX_SAMPLES),
            });
        }
        if padded_len < samples.len() || padded_len > MAX_SAMPLES {
            return Err(InputError::SoundDoesNotFit {
                samples: samples.len(),
                padded: padded_len,
            });
        }
        match samples.iter().position(|sample| !sample.is_finite()) {
            Some(index) => Err(InputError::SoundNotANumber { index }),
            None => Ok(()),
        }
    }

    /// Pre-emphasis inside the frame, then the window.
    fn emphasize(&self, frame: &[f64], wave: &mut [f64]) {
        let coefficient = self.config.preemphasis;
        for (i, (value, window)) in wave.iter_mut().zip(&self.window).enumerate() {
            let emphasized = if coefficient <= 0.0 {
                frame[i]
            } else if !self.config.preemphasis_htk_flavor {
                frame[i + 1] - coefficient * frame[i]
            } else if i == 0 {
                frame[0] * (1.0 - coefficient)
            } else {
                frame[i] - coefficient * frame[i - 1]
            };
            *value = emphasized * window;
        }
    }
}

/// Triangles whose edges are evenly spaced in HTK mel, evaluated at the bins' exact frequencies,
/// without area normalisation.
fn mel_filters(config: &MelConfig) -> Vec<Filter> {
    let to_mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let to_hz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let (low, high) = (to_mel(config.min_frequency), to_mel(config.max_frequency));
    let step = (high - low) / (config.feature_size + 1) as f64;
    let edge = |i: usize| to_hz(low + step * i as f64);
    let bin_hz = config.sampling_rate as f64 / config.fft_length as f64;
    let triangle = |left: f64, center: f64, right: f64| {
        let weight = move |hz: f64| {
            ((hz - left) / (center - left))
                .min((right - hz) / (right - center))
                .max(0.0)
        };
        let weights: Vec<f64> = (0..=config.fft_length / 2)
            .map(|k| weight(k as f64 * bin_hz))
            .collect();
        let start = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
        let end = weights
            .iter()
            .rposition(|w| *w > 0.0)
            .map_or(start, |last| last + 1);
        Filter {
            start,
            weights: weights[start..end].to_vec(),
        }
    };
    (0..config.feature_size)
        .map(|i| triangle(edge(i), edge(i + 1), edge(i + 2)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Tensors, fixture, tensors};

    fn goldens() -> Tensors {
        tensors("tiny/goldens/audio_features.safetensors")
    }

    /// The 16-bit samples behind the fixtures' 44-byte headers.
    fn clip(name: &str) -> Vec<f32> {
        let samples = fixture(&format!("tiny/inputs/{name}.wav")).split_off(44);
        samples
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32768.0)
            .collect()
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let tolerance = 1e-4 * expected.abs().max(1.0);
            assert!(
                (found - expected).abs() <= tolerance,
                "value {i}: {found} instead of {expected}"
            );
        }
    }

    #[test]
    fn window_and_filters_are_the_references() {
        let mel = LogMel::new(&MelConfig::default());
        let goldens = goldens();
        let window: Vec<f32> = mel.window.iter().map(|w| *w as f32).collect();
        assert_close(&window, &goldens.f32s("window"));

        let mut filters = vec![0.0; 513 * 128];
        for (bin, filter) in mel.filters.iter().enumerate() {
            for (i, weight) in filter.weights.iter().enumerate() {
                filters[(filter.start + i) * 128 + bin] = *weight as f32;
            }
        }
        assert_close(&filters, &goldens.f32s("mel_filters"));
    }

    #[test]
    fn clips_give_the_references_frames() {
        let mel = LogMel::new(&MelConfig::default());
        let goldens = goldens();
        for name in ["clip_a", "clip_b"] {
            let features = mel.extract(&clip(name)).unwrap();
            assert_eq!(
                [1, features.frames, features.bins],
                goldens.shape(&format!("{name}.mel"))[..]
            );
            assert_close(&features.data, &goldens.f32s(&format!("{name}.mel")));
            assert!(features.valid.iter().all(|valid| *valid));
        }
    }

    #[test]
    fn padding_to_the_longest_of_a_batch() {
        let mel = LogMel::new(&MelConfig::default());
        let goldens = goldens();
        let padded_len = clip("clip_a").len().next_multiple_of(128);
        let (batch, mask) = (goldens.f32s("batch.mel"), goldens.bytes("batch.mask")); // [2, frames, bins], [2, frames]
        for (name, row) in [("clip_a", 0), ("clip_b", 1)] {
            let features = mel.extract_padded(&clip(name), padded_len).unwrap();
            assert_close(
                &features.data,
                &batch[row * features.data.len()..][..features.data.len()],
            );
            let valid: Vec<u8> = features
                .valid
                .iter()
                .map(|valid| u8::from(*valid))
                .collect();
            assert_eq!(valid, mask[row * features.frames..][..features.frames]);
        }
    }

    #[test]
    fn number_of_frames() {
        let mel = LogMel::new(&MelConfig::default());
        for (samples, frames) in [
            (513, 1),
            (640, 1),
            (641, 2),
            (16_000, 97),
            (80_000, 497),
            (480_000, 2997),
        ] {
            assert_eq!(
                mel.extract(&vec![0.5; samples]).unwrap().frames,
                frames,
                "{samples} samples"
            );
        }
    }

    #[test]
    fn silence_is_the_floor() {
        let features = LogMel::new(&MelConfig::default())
            .extract(&[0.0; 1000])
            .unwrap();
        assert_close(&features.data, &vec![1e-5f32.ln(); features.data.len()]);
    }

    #[test]
    fn what_cannot_be_heard_is_a_sentence() {
        let mel = LogMel::new(&MelConfig::default());
        let check = |samples: &[f32], sentence: &str| {
            assert_eq!(mel.extract(samples).unwrap_err().to_string(), sentence);
        };
        check(&[], "the sound is empty");
        check(
            &[0.0; 512],
            "the sound is too short: 512 samples, at least 513 are needed",
        );
        check(
            &vec![0.0; 547_200],
            "sound is 34.2 s long; at most 30 s can be heard at once",
        );
        check(
            &vec![0.0; 480_001],
            "sound is 30.1 s long; at most 30 s can be heard at once",
        );
        let mut samples = [0.1; 600];
        samples[7] = f32::NAN;
        check(&samples, "sample 7 of the sound is not a number");
        samples[7] = f32::INFINITY;
        check(&samples, "sample 7 of the sound is not a number");
        assert!(mel.extract_padded(&[0.0; 600], 599).is_err());
        assert!(mel.extract_padded(&[0.0; 600], usize::MAX).is_err());
    }

    #[test]
    fn reads_the_settings() {
        for file in ["preprocessor_config.json", "processor_config.json"] {
            let json =
                serde_json::from_slice(&fixture(&format!("tiny/checkpoint/{file}"))).unwrap();
            assert_eq!(MelConfig::from_json(&json).unwrap(), MelConfig::default());
        }
        assert_eq!(
            MelConfig::from_json(&json!({})).unwrap(),
            MelConfig::default()
        );
        // The lengths in milliseconds are what the reference's constructor reads.
        let config = MelConfig::from_json(
            &json!({"frame_length_ms": 25.0, "hop_length_ms": 5, "fft_overdrive": false}),
        );
        let config = config.unwrap();
        assert_eq!(
            (config.frame_length, config.hop_length, config.fft_length),
            (400, 80, 512)
        );

        for refused in [
            json!({"dither": 0.001}),
            json!({"padding_side": "left"}),
            json!({"sampling_rate": 44_100}),
            json!({"fft_length": 512}),
            json!({"per_bin_mean": [1.0]}),
            json!({"min_frequency": 8000.0}),
            json!({"mel_floor": 0}),
            json!({"feature_extractor_type": "Gemma4AudioFeatureExtractor"}),
        ] {
            let sentence = MelConfig::from_json(&refused).unwrap_err().to_string();
            assert!(sentence.starts_with("preprocessor setting "), "{sentence}");
        }
    }

    #[test]
    fn per_bin_statistics_are_applied() {
        let plain = LogMel::new(&MelConfig::default())
            .extract(&[0.25; 600])
            .unwrap();
        let config = MelConfig::from_json(
            &json!({"per_bin_mean": vec![1.5; 128], "per_bin_stddev": vec![2.0; 128]}),
        );
        let scaled = LogMel::new(&config.unwrap()).extract(&[0.25; 600]).unwrap();
        let expected: Vec<f32> = plain.data.iter().map(|value| (value - 1.5) / 2.0).collect();
        assert_close(&scaled.data, &expected);
    }
}

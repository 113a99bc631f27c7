//! Any sample rate to the 16 kHz that the model hears, without shifting the sound in time.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::Error;

/// The rate of all sound inside the app, in Hz.
pub const SAMPLE_RATE: u32 = 16_000;

/// About how many input samples one FFT takes; longer ones cut off more sharply, at more delay.
const BLOCK: usize = 2048;

/// Resamples one mono stream that arrives in pieces of any length.
///
/// After [`Resampler::finish`] there are exactly `round(n * 16000 / rate)` samples for `n` that came in,
/// and a sound at time `t` is at time `t`: the delay of the filter is taken off the beginning.
pub struct Resampler {
    fft: Option<Fft<f32>>, // None at 16 kHz, where samples pass as they are.
    rate: u32,
    pending: Vec<f32>, // Invariant: shorter than one block.
    block: Vec<f32>,
    skip: usize, // Output samples of the delay still to take off.
    n_in: u64,
    n_out: u64,
}

impl Resampler {
    pub fn new(rate: u32) -> Result<Self, Error> {
        if !(1000..=768_000).contains(&rate) {
            return Err(Error::UnusualFormat { rate, channels: 1 });
        }
        let mut resampler = Self {
            fft: None,
            rate,
            pending: Vec::new(),
            block: Vec::new(),
            skip: 0,
            n_in: 0,
            n_out: 0,
        };
        if rate != SAMPLE_RATE {
            // An even number of the smallest blocks makes the filter's delay a whole number of samples.
            let smallest = (rate / gcd(rate, SAMPLE_RATE)) as usize;
            let chunk = BLOCK.next_multiple_of(2 * smallest);
            let fft = Fft::new(
                rate as usize,
                SAMPLE_RATE as usize,
                chunk,
                1,
                FixedSync::Both,
            )
            .map_err(|_| Error::UnusualFormat { rate, channels: 1 })?;
            resampler.block = vec![0.0; fft.output_frames_max()];
            resampler.skip = fft.output_delay();
            resampler.fft = Some(fft);
        }
        Ok(resampler)
    }

    /// Takes the next samples and appends those that are ready to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.n_in += samples.len() as u64;
        let Some(fft) = &mut self.fft else {
            self.n_out += samples.len() as u64;
            out.extend_from_slice(samples);
            return;
        };
        self.pending.extend_from_slice(samples);
        let n_block = fft.input_frames_next();
        let whole = self.pending.len() / n_block * n_block;
        for start in (0..whole).step_by(n_block) {
            let source = InterleavedSlice::new(&self.pending[start..start + n_block], 1, n_block);
            let n_target = self.block.len();
            let target = InterleavedSlice::new_mut(&mut self.block, 1, n_target);
            let (_, n_done) = fft
                .process_into_buffer(
                    &source.expect("the slice is one block"),
                    &mut target.expect("the slice has its own length"),
                    None,
                )
                .expect("both buffers hold one block");
            let skipped = self.skip.min(n_done);
            self.skip -= skipped;
            self.n_out += (n_done - skipped) as u64;
            out.extend_from_slice(&self.block[skipped..n_done]);
        }
        self.pending.drain(..whole);
    }

    /// The stream is over: appends the rest to `out`.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        let Some(fft) = &self.fft else { return };
        let rate = u64::from(self.rate);
        let expected = (self.n_in * u64::from(SAMPLE_RATE) + rate / 2) / rate;
        let silence = vec![0.0; fft.input_frames_next()];
        while self.n_out < expected {
            self.push(&silence, out);
        }
        out.truncate(out.len() - (self.n_out - expected) as usize);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const RATES: [u32; 11] = [
        8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 44_101,
    ];

    fn resample(samples: &[f32], rate: u32, piece: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate).unwrap();
        let mut out = Vec::new();
        for samples in samples.chunks(piece) {
            resampler.push(samples, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    /// A tone that rises from 100 Hz to 3 kHz in two seconds, with soft ends.
    fn chirp(t: f64) -> f32 {
        let edge = (t.min(2.0 - t) * 20.0).clamp(0.0, 1.0);
        let soft = 0.5 - 0.5 * (edge * TAU / 2.0).cos();
        (0.8 * soft * (TAU * (100.0 * t + 725.0 * t * t)).sin()) as f32
    }

    #[test]
    fn a_chirp_stays_where_it_is() {
        for rate in RATES {
            let n = 2 * rate;
            let source: Vec<f32> = (0..n)
                .map(|i| chirp(f64::from(i) / f64::from(rate)))
                .collect();
            let out = resample(&source, rate, 1000);
            assert_eq!(out.len(), 32_000, "{rate} Hz");
            for (i, value) in out.iter().enumerate() {
                let expected = chirp(i as f64 / 16_000.0);
                assert!(
                    (value - expected).abs() < 2e-3,
                    "{rate} Hz, sample {i}: {value} instead of {expected}"
                );
            }
        }
    }

    #[test]
    fn an_impulse_stays_where_it_is() {
        for rate in RATES {
            let mut source = vec![0.0; 2 * rate as usize];
            source[rate as usize] = 1.0; // At one second.
            let out = resample(&source, rate, 5000);
            let loudest = (0..out.len())
                .max_by(|a, b| out[*a].abs().total_cmp(&out[*b].abs()))
                .unwrap();
            assert_eq!(loudest, 16_000, "{rate} Hz");
            // The same to both sides: no delay of less than a sample either.
            assert!(
                (1..50).all(|i| (out[16_000 - i] - out[16_000 + i]).abs() < 1e-3),
                "{rate} Hz"
            );
        }
    }

    #[test]
    fn lengths_are_exact_and_pieces_do_not_matter() {
        for rate in RATES {
            for n in [0, 1, 2, 3, 100, 511, 5000, 44_100, 50_001] {
                let source: Vec<f32> = (0..n)
                    .map(|i| (i as f32 * i as f32 * 0.001).sin())
                    .collect();
                let out = resample(&source, rate, 50_001);
                assert_eq!(
                    out.len() as f64,
                    (n as f64 * 16_000.0 / f64::from(rate)).round(),
                    "{n} at {rate} Hz"
                );
                assert_eq!(resample(&source, rate, 77), out);
            }
        }
    }

    #[test]
    fn what_is_too_high_for_16_khz_is_gone() {
        let source: Vec<f32> = (0..96_000)
            .map(|i| (TAU * 10_000.0 * f64::from(i) / 48_000.0).sin() as f32)
            .collect();
        let out = resample(&source, 48_000, 4800);
        // The first and last 50 ms hold the tone's sudden beginning and end.
        assert!(
            out[800..out.len() - 800]
                .iter()
                .all(|value| value.abs() < 1e-3)
        );
    }

    #[test]
    fn odd_rates_are_refused() {
        for rate in [0, 1, 999, 768_001, u32::MAX] {
            assert!(Resampler::new(rate).is_err());
        }
    }
}

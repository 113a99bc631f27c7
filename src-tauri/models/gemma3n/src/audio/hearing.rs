//! A clip that grows: what was heard of it stays heard.
//!
//! Captions ask about a sentence again and again while it is being spoken. Nothing in the published tower looks ahead
//! but its two first convolutions, by 60 ms, so all but the last position stays as it is when sound is added: only the
//! new frames go through the tower, from what it keeps of those before. The rows are those of the whole clip at once up
//! to the order of f32 sums; `tests/reference/growing.rs` holds them to 1e-4.

use candle_core::{Device, Tensor};

use super::{AudioTower, Heard, Progress};
use crate::InputError;
use crate::error::Result;
use crate::mel::{LogMel, MelFeatures};

/// What is known of the beginning of a clip.
#[derive(Clone, Debug, Default)]
pub struct Hearing {
    samples: Vec<f32>,
    /// Frames that went through the tower for good.
    frames: usize,
    progress: Progress,
    /// Rows of the text model's input, `[positions, hidden]`, one for each 160 ms.
    rows: Vec<f32>,
}

/// Frames of a clip that were not heard yet.
#[derive(Clone, Debug)]
pub struct NextFrames {
    /// Without the data of the frames that were heard.
    pub(crate) features: MelFeatures,
    /// So many frames of the clip stay as they are when it grows.
    n_final: usize,
}

impl Hearing {
    /// Whether this is about the beginning of a clip.
    pub fn begins(&self, samples: &[f32]) -> bool {
        samples.starts_with(&self.samples)
    }

    /// The frames to hear of a clip, 16 kHz mono: those behind what was heard of it, or of another clip all.
    pub fn next(&mut self, log_mel: &LogMel, samples: &[f32]) -> Result<NextFrames, InputError> {
        if !self.begins(samples) {
            *self = Self::default();
        }
        let (features, n_final) = log_mel.extract_next(samples, self.frames)?;
        let known = self.samples.len();
        self.samples.extend_from_slice(&samples[known..]);
        Ok(NextFrames { features, n_final })
    }

    /// Hears the next frames, and gives the rows of all that is sound. `embed` makes rows of the tower's output.
    pub(crate) fn go_on(
        &mut self,
        tower: &AudioTower,
        next: &NextFrames,
        device: &Device,
        embed: &dyn Fn(&Heard) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let NextFrames { features, n_final } = next;
        let frames = |from: usize, to: usize| -> Result<Option<Tensor>> {
            if from >= to {
                return Ok(None);
            }
            let bins = features.bins;
            let place = |frame: usize| (frame - self.frames) * bins;
            let data = &features.data[place(from)..place(to)];
            Ok(Some(Tensor::from_slice(data, (to - from, bins), device)?))
        };
        let n_final = (*n_final).clamp(self.frames, features.frames);
        let (new, rest) = (
            frames(self.frames, n_final)?,
            frames(n_final, features.frames)?,
        );
        let go_on = |mel: Option<&Tensor>, progress: &mut Progress, is_last| {
            let heard = tower.go_on(mel, &features.valid, progress, is_last, &mut |_, _| {})?;
            heard.map_or(Ok(Vec::new()), |heard| embed(&heard))
        };
        // A failure leaves what was known before.
        let mut progress = self.progress.clone();
        let new = go_on(new.as_ref(), &mut progress, false)?;
        let mut end = progress.clone();
        let end = go_on(rest.as_ref(), &mut end, true)?;

        self.progress = progress;
        self.rows.extend(new);
        self.frames = n_final;
        Ok([&self.rows[..], &end].concat())
    }
}

//! The audio tower: two strided convolutions and a conformer (Universal Speech Model).

mod conformer;
mod hearing;
mod subsample;

use candle_core::{Device, Tensor};

use crate::config::AudioConfig;
use crate::error::Result;
use crate::loader::Loader;
use conformer::{Block, BlockState, Neighbourhood};
pub use hearing::{Hearing, NextFrames};
use subsample::{Subsampled, Subsampling};

const PREFIX: &str = "model.audio_tower";

#[derive(Debug)]
pub struct AudioTower {
    subsampling: Subsampling,
    blocks: Vec<Block>,
    reduction_factor: usize,
    n_heads: usize,
    context: (usize, usize),
}

/// What the tower heard: one row for each 160 ms.
#[derive(Debug)]
pub struct Heard {
    /// `[positions, hidden]`, zero where not valid.
    pub data: Tensor,
    /// Whether a position comes from sound rather than from padding.
    pub valid: Vec<bool>,
}

impl AudioTower {
    pub(crate) fn load(loader: &Loader, config: &AudioConfig) -> Result<Self> {
        Ok(Self {
            subsampling: Subsampling::load(loader, config)?,
            blocks: (0..config.conf_num_hidden_layers)
                .map(|n| Block::load(loader, config, &format!("{PREFIX}.conformer.{n}")))
                .collect::<Result<_>>()?,
            reduction_factor: config.conf_reduction_factor,
            n_heads: config.conf_num_attention_heads,
            context: (
                config.conf_attention_context_left - 1,
                config.conf_attention_context_right,
            ),
        })
    }

    /// Whether a position is known for good once it was heard: none looks at those behind it.
    pub fn looks_back_only(&self) -> bool {
        self.context.1 == 0
    }

    /// Log-mel frames `[frames, bins]` and which of them are sound.
    ///
    /// `trace` sees the output of the subsampling ("sscp") and of every block ("conformerN").
    pub fn forward(
        &self,
        mel: &Tensor,
        valid: &[bool],
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Heard> {
        let heard = self.go_on(Some(mel), valid, &mut Progress::default(), true, trace)?;
        Ok(heard.expect("the end of a sound that is not empty gives positions"))
    }

    /// The next frames of a clip of which `valid` tells for all frames, also those before, which of them are sound.
    ///
    /// What comes from frames that are not there yet is left for the next call, unless these are the last ones.
    fn go_on(
        &self,
        mel: Option<&Tensor>,
        valid: &[bool],
        progress: &mut Progress,
        is_last: bool,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Option<Heard>> {
        let subsampled = &mut progress.subsampled;
        let Some(mut x) = self.subsampling.forward(mel, subsampled, is_last)? else {
            return Ok(None);
        };
        trace("sscp", &x);
        let (first, positions) = (progress.positions, x.dim(0)?);
        progress.positions += positions;
        let time_stride = self.subsampling.time_stride();
        let valid: Vec<bool> = (first..first + positions)
            .map(|i| valid[(i * time_stride).min(valid.len() - 1)])
            .collect();
        let device = &x.device().clone();
        let states = &mut progress.blocks;
        states.resize_with(self.blocks.len(), BlockState::default);
        let n_seen = states.first().map_or(Ok(0), BlockState::n_seen)?;
        let neighbourhood = Neighbourhood::new(&valid, n_seen, self.context, self.n_heads, device)?;
        let valid_rows = column(&valid, device)?;
        for (n, (block, state)) in self.blocks.iter().zip(states).enumerate() {
            x = block.forward(&x, &valid_rows, &neighbourhood, state)?;
            trace(&format!("conformer{n}"), &x);
        }
        let kept: Vec<u32> = (0..positions as u32)
            .filter(|i| (first + *i as usize).is_multiple_of(self.reduction_factor))
            .collect();
        let valid: Vec<bool> = kept.iter().map(|&i| valid[i as usize]).collect();
        let n_kept = kept.len();
        if n_kept == 0 {
            return Ok(None);
        }
        let rows = x.index_select(&Tensor::from_vec(kept, n_kept, device)?, 0)?;
        Ok(Some(Heard {
            data: rows.broadcast_mul(&column(&valid, device)?)?,
            valid,
        }))
    }
}

/// How far a clip was heard, and what is needed to go on from there.
#[derive(Clone, Debug, Default)]
struct Progress {
    subsampled: Subsampled,
    blocks: Vec<BlockState>,
    positions: usize,
}

/// 1 where valid and 0 elsewhere, `[positions, 1]`.
fn column(valid: &[bool], device: &Device) -> Result<Tensor> {
    let ones: Vec<f32> = valid.iter().map(|&v| f32::from(u8::from(v))).collect();
    Ok(Tensor::from_vec(ones, (valid.len(), 1), device)?)
}

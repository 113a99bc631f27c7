//! The audio tower: two strided convolutions and a conformer (Universal Speech Model).

mod conformer;
mod subsample;

use candle_core::{Device, Tensor};

use crate::config::AudioConfig;
use crate::error::Result;
use crate::loader::Loader;
use conformer::{Block, Neighbourhood};
use subsample::Subsampling;

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

    /// Log-mel frames `[frames, bins]` and which of them are sound.
    ///
    /// `trace` sees the output of the subsampling ("sscp") and of every block ("conformerN").
    pub fn forward(
        &self,
        mel: &Tensor,
        valid: &[bool],
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Heard> {
        let mut x = self.subsampling.forward(mel)?;
        trace("sscp", &x);
        let positions = x.dim(0)?;
        let time_stride = self.subsampling.time_stride();
        let valid: Vec<bool> = (0..positions)
            .map(|i| valid[(i * time_stride).min(valid.len() - 1)])
            .collect();
        let device = &x.device().clone();
        let neighbourhood = Neighbourhood::new(&valid, self.context, self.n_heads, device)?;
        let valid_rows = column(&valid, device)?;
        for (n, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, &valid_rows, &neighbourhood)?;
            trace(&format!("conformer{n}"), &x);
        }
        let kept: Vec<u32> = (0..positions as u32)
            .step_by(self.reduction_factor)
            .collect();
        let valid: Vec<bool> = kept.iter().map(|&i| valid[i as usize]).collect();
        let n_kept = kept.len();
        let rows = x.index_select(&Tensor::from_vec(kept, n_kept, device)?, 0)?;
        Ok(Heard {
            data: rows.broadcast_mul(&column(&valid, device)?)?,
            valid,
        })
    }
}

/// 1 where valid and 0 elsewhere, `[positions, 1]`.
fn column(valid: &[bool], device: &Device) -> Result<Tensor> {
    let ones: Vec<f32> = valid.iter().map(|&v| f32::from(u8::from(v))).collect();
    Ok(Tensor::from_vec(ones, (valid.len(), 1), device)?)
}

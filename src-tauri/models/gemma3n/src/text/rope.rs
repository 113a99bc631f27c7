//! Rotary position embedding, half-split.

use candle_core::{Device, Tensor};

use crate::error::Result;

/// Cosines and sines of the rows of one pass.
pub(crate) struct Rotations {
    /// `[rows, head_dim / 2]`
    cos: Tensor,
    sin: Tensor,
}

impl Rotations {
    pub fn none(device: &Device) -> Result<Self> {
        let empty = Tensor::zeros((0, 1), candle_core::DType::F32, device)?;
        Ok(Self {
            cos: empty.clone(),
            sin: empty,
        })
    }

    pub fn new(positions: &[usize], head_dim: usize, base: f64, device: &Device) -> Result<Self> {
        // f32 throughout, because the reference rounds the angle to f32: at position 30 000 that
        // moves it by a thousandth of a radian, and an exact angle would be the wrong one.
        let frequencies: Vec<f32> = (0..head_dim / 2)
            .map(|i| 1.0 / (base as f32).powf(2.0 * i as f32 / head_dim as f32))
            .collect();
        let angles: Vec<f32> = positions
            .iter()
            .flat_map(|&pos| frequencies.iter().map(move |f| pos as f32 * f))
            .collect();
        let shape = (positions.len(), head_dim / 2);
        let table = |f: fn(f32) -> f32| {
            Tensor::from_vec(angles.iter().map(|&a| f(a)).collect(), shape, device)
        };
        Ok(Self {
            cos: table(f32::cos)?,
            sin: table(f32::sin)?,
        })
    }

    /// Rotates `[rows, heads, head_dim]`.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?.unsqueeze(0)?;
        Ok(candle_nn::rotary_emb::rope_thd(&x, &self.cos, &self.sin)?.squeeze(0)?)
    }
}

//! RMSNorm, the only normalisation Gemma 3n has outside the audio front end.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::loader::Loader;

/// `x / sqrt(mean(x^2) + eps) * weight` over the last axis. The weight is used as stored, not `1 + weight`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    pub fn load(loader: &Loader, name: &str, width: usize, eps: f64) -> Result<Self> {
        Ok(Self {
            weight: loader.tensor(name, &[width])?,
            eps: eps as f32,
        })
    }

    /// A norm without a weight in the file.
    pub fn plain(width: usize, eps: f64, device: &Device) -> Result<Self> {
        Ok(Self {
            weight: Tensor::ones(width, candle_core::DType::F32, device)?,
            eps: eps as f32,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(candle_nn::ops::rms_norm(
            &x.contiguous()?,
            &self.weight,
            self.eps,
        )?)
    }
}

//! RMSNorm, the only normalisation Gemma 3n has outside the audio front end.

use candle_core::{DType, Device, Tensor};
use kernels::{Cpu, rows};

use crate::error::Result;
use crate::loader::Loader;

/// `x / sqrt(mean(x^2) + eps) * weight` over the last axis. The weight is used as stored, not `1 + weight`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    /// The same numbers, for rows that are no tensors.
    values: Vec<f32>,
    eps: f32,
}

impl RmsNorm {
    pub fn load(loader: &Loader, name: &str, width: usize, eps: f64) -> Result<Self> {
        let weight = loader.tensor(name, &[width])?;
        Ok(Self {
            values: weight.to_device(&Device::Cpu)?.to_vec1()?,
            weight,
            eps: eps as f32,
        })
    }

    /// A norm without a weight in the file.
    pub fn plain(width: usize, eps: f64, device: &Device) -> Result<Self> {
        Ok(Self {
            weight: Tensor::ones(width, DType::F32, device)?,
            values: vec![1.0; width],
            eps: eps as f32,
        })
    }

    /// The same norm, with every channel of its output multiplied by a number of its own.
    pub fn scaled(mut self, by: &[f32]) -> Result<Self> {
        self.values.iter_mut().zip(by).for_each(|(x, by)| *x *= by);
        self.weight = Tensor::from_slice(&self.values, by.len(), self.weight.device())?;
        Ok(self)
    }

    pub fn width(&self) -> usize {
        self.values.len()
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(candle_nn::ops::rms_norm(
            &x.contiguous()?,
            &self.weight,
            self.eps,
        )?)
    }

    /// Writes a normed row.
    pub fn write(&self, cpu: &Cpu, x: &[f32], out: &mut [f32]) {
        rows::rms_norm(cpu, x, &self.values, self.eps, out);
    }

    /// Adds a normed row.
    pub fn add(&self, cpu: &Cpu, x: &[f32], out: &mut [f32]) {
        rows::add_rms_norm(cpu, x, &self.values, self.eps, out);
    }

    /// Norms a row in place.
    pub fn apply(&self, cpu: &Cpu, x: &mut [f32]) {
        rows::rms_norm_in_place(cpu, x, &self.values, self.eps);
    }
}

//! Rotary position embedding, half-split.

use kernels::{Cpu, rows};

/// Cosines and sines of the rows of one pass.
#[derive(Default)]
pub(crate) struct Rotations {
    /// `[rows, head_dim / 2]`
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Rotations {
    pub fn new(positions: &[usize], head_dim: usize, base: f64) -> Self {
        // f32 throughout, because the reference rounds the angle to f32: at position 30 000 that
        // moves it by a thousandth of a radian, and an exact angle would be the wrong one.
        let frequencies: Vec<f32> = (0..head_dim / 2)
            .map(|i| 1.0 / (base as f32).powf(2.0 * i as f32 / head_dim as f32))
            .collect();
        let angles = positions
            .iter()
            .flat_map(|&pos| frequencies.iter().map(move |f| pos as f32 * f));
        let (sin, cos) = angles.map(f32::sin_cos).unzip();
        Self {
            cos,
            sin,
            half: head_dim / 2,
        }
    }

    /// Rotates a head of a row, `[head_dim]`.
    pub fn apply(&self, cpu: &Cpu, row: usize, head: &mut [f32]) {
        let of_row = row * self.half..(row + 1) * self.half;
        rows::rotate(cpu, head, &self.cos[of_row.clone()], &self.sin[of_row]);
    }
}

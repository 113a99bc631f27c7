//! The gated FFN, sparse in the first layers, of which a submodel uses the first columns.

use candle_core::{D, Tensor};

use crate::config::TextConfig;
use crate::error::Result;
use crate::linear::Panels;
use crate::loader::Loader;
use crate::pointwise::gelu;

#[derive(Debug)]
pub(super) struct Mlp {
    gate_proj: Panels,
    up_proj: Panels,
    down_proj: Panels,
    /// Standard deviations above the mean below which a gate value becomes zero.
    sparsity_z: Option<f64>,
}

impl Mlp {
    pub fn load(loader: &Loader, config: &TextConfig, layer: usize, prefix: &str) -> Result<Self> {
        let (hidden, width) = (config.hidden_size, config.intermediate_size[layer]);
        Ok(Self {
            gate_proj: loader.row_panels(&format!("{prefix}.gate_proj.weight"), width, hidden)?,
            up_proj: loader.row_panels(&format!("{prefix}.up_proj.weight"), width, hidden)?,
            down_proj: loader.column_panels(
                &format!("{prefix}.down_proj.weight"),
                hidden,
                width,
            )?,
            sparsity_z: config.activation_sparsity_z[layer],
        })
    }

    pub fn forward(&self, x: &Tensor, width: usize) -> Result<Tensor> {
        let mut gate = self.gate_proj.forward_rows(x, width)?;
        if let Some(z) = self.sparsity_z {
            gate = gaussian_top_k(&gate, z)?;
        }
        let up = self.up_proj.forward_rows(x, width)?;
        self.down_proj.forward_columns(&(gelu(&gate)? * up)?)
    }
}

/// Keeps, of each row, what lies more than `z` standard deviations above the mean, less that bound.
fn gaussian_top_k(gate: &Tensor, z: f64) -> Result<Tensor> {
    let mean = gate.mean_keepdim(D::Minus1)?;
    let std = gate
        .broadcast_sub(&mean)?
        .sqr()?
        .mean_keepdim(D::Minus1)?
        .sqrt()?;
    let cutoff = (mean + (std * z)?)?;
    Ok(gate.broadcast_sub(&cutoff)?.relu()?)
}

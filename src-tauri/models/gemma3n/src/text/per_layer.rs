//! Per-layer inputs: for every token and layer one small vector, half looked up and half computed.

use std::f32::consts::FRAC_1_SQRT_2;

use kernels::{Activations, Rows, rows};

use super::PREFIX;
use crate::config::TextConfig;
use crate::error::Result;
use crate::linear::{Linear, Product, multiply};
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::workers::{Operand, Workers};

#[derive(Debug)]
pub(super) struct PerLayerInputs {
    per_layer_model_projection: Linear,
    per_layer_projection_norm: RmsNorm,
    n_layers: usize,
    width: usize,
    hidden_size: usize,
}

impl PerLayerInputs {
    pub fn load(loader: &Loader, config: &TextConfig) -> Result<Self> {
        let (n_layers, width) = (config.num_hidden_layers, config.hidden_size_per_layer_input);
        Ok(Self {
            per_layer_model_projection: loader.linear(
                &format!("{PREFIX}.per_layer_model_projection.weight"),
                n_layers * width,
                config.hidden_size,
            )?,
            per_layer_projection_norm: RmsNorm::load(
                loader,
                &format!("{PREFIX}.per_layer_projection_norm.weight"),
                width,
                config.rms_norm_eps,
            )?,
            n_layers,
            width,
            hidden_size: config.hidden_size,
        })
    }

    /// Turns scaled table rows `[rows, layers, width]` into the inputs, with embeddings `[rows, hidden]`.
    pub fn complete(
        &self,
        workers: &Workers,
        embeddings: &[f32],
        lookups: &mut [f32],
        rounded: &mut Activations,
    ) -> Result<()> {
        let n_rows = embeddings.len() / self.hidden_size;
        let mut projected = vec![0.0; lookups.len()];
        let product = Product {
            linear: &self.per_layer_model_projection,
            rows: Rows::First(self.n_layers * self.width),
            out: &mut projected,
        };
        let mut operand = Operand::new(embeddings, self.hidden_size, rounded);
        multiply(workers, &mut operand, &mut [product])?;
        let factor = (self.hidden_size as f32).powf(-0.5);
        let Workers { cpu, pool } = workers;
        let buffers = [projected.as_mut_slice(), lookups];
        pool.for_rows(n_rows, buffers, |_, [projected, inputs]| {
            rows::scale(cpu, factor, projected);
            let projected = projected.chunks_exact(self.width);
            for (x, input) in projected.zip(inputs.chunks_exact_mut(self.width)) {
                self.per_layer_projection_norm.add(cpu, x, input);
            }
            rows::scale(cpu, FRAC_1_SQRT_2, inputs);
        })?;
        Ok(())
    }
}

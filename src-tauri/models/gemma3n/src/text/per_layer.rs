//! Per-layer inputs: for every token and layer one small vector, half looked up and half computed.

use candle_core::Tensor;

use super::PREFIX;
use crate::config::TextConfig;
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;

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

    /// Embeddings `[rows, hidden]` and scaled table rows `[rows, layers * width]` to `[rows, layers, width]`.
    pub fn forward(&self, embeddings: &Tensor, lookups: Tensor) -> Result<Tensor> {
        let shape = (embeddings.dim(0)?, self.n_layers, self.width);
        let scale = (self.hidden_size as f64).powf(-0.5);
        let projected = (self.per_layer_model_projection.forward(embeddings)? * scale)?;
        let projected = self
            .per_layer_projection_norm
            .forward(&projected.reshape(shape)?)?;
        Ok(((projected + lookups.reshape(shape)?)? * std::f64::consts::FRAC_1_SQRT_2)?)
    }
}

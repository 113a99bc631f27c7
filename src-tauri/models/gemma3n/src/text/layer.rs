//! One decoder layer: AltUp around LAuReL, attention and FFN, then the per-layer input.

use candle_core::Tensor;

use super::altup::AltUp;
use super::attention::Attention;
use super::mlp::Mlp;
use super::{PREFIX, Pass};
use crate::config::TextConfig;
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;

#[derive(Debug)]
pub(super) struct Layer {
    altup: AltUp,
    input_layernorm: RmsNorm,
    laurel: Laurel,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    mlp: Mlp,
    post_feedforward_layernorm: RmsNorm,
    per_layer_input: PerLayerInput,
    n_streams: usize,
}

impl Layer {
    pub fn load(loader: &Loader, config: &TextConfig, layer: usize) -> Result<Self> {
        let prefix = format!("{PREFIX}.layers.{layer}");
        let norm = |name: &str| {
            RmsNorm::load(
                loader,
                &format!("{prefix}.{name}.weight"),
                config.hidden_size,
                config.rms_norm_eps,
            )
        };
        Ok(Self {
            altup: AltUp::load(loader, config, layer)?,
            input_layernorm: norm("input_layernorm")?,
            laurel: Laurel::load(loader, config, &format!("{prefix}.laurel"))?,
            self_attn: Attention::load(loader, config, layer)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm")?,
            mlp: Mlp::load(loader, config, layer, &format!("{prefix}.mlp"))?,
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
            per_layer_input: PerLayerInput::load(loader, config, &prefix)?,
            n_streams: config.altup_num_inputs,
        })
    }

    /// `streams` `[rows, streams, hidden]` and the layer's own input `[rows, 256]`, with the first
    /// `ffn_width` columns of the FFN. `kept` is the layer's place among the submodel's layers and
    /// `kv_source` that of the layer whose keys and values it reads.
    pub fn forward(
        &self,
        streams: &Tensor,
        per_layer_input: &Tensor,
        ffn_width: usize,
        kept: usize,
        kv_source: usize,
        pass: &mut Pass,
    ) -> Result<Tensor> {
        let predictions = self.altup.predict(streams)?;
        let active = self.altup.active(&predictions)?;
        let x = self.input_layernorm.forward(&active)?;
        let laurel = self.laurel.forward(&x)?;
        let attention = self.self_attn.forward(&x, kept, kv_source, pass)?;
        let attention = self.post_attention_layernorm.forward(&attention)?;
        let residual = ((active + attention)? + laurel)?;
        let residual = (residual * std::f64::consts::FRAC_1_SQRT_2)?;

        let x = self.pre_feedforward_layernorm.forward(&residual)?;
        let ffn = self.mlp.forward(&x, ffn_width)?;
        let activated = (residual + self.post_feedforward_layernorm.forward(&ffn)?)?;
        let corrected = self.altup.correct(&predictions, &activated)?;

        let active = self.altup.active(&corrected)?;
        let extra = self.per_layer_input.forward(&active, per_layer_input)?;
        // The first stream never gets it, whichever stream is the active one.
        let first = corrected.narrow(1, 0, 1)?;
        let others = corrected.narrow(1, 1, self.n_streams - 1)?;
        let others = others.broadcast_add(&extra.unsqueeze(1)?)?;
        Ok(Tensor::cat(&[first, others], 1)?)
    }
}

/// Learned augmented residual layer: a low-rank bypass of the normed input.
#[derive(Debug)]
struct Laurel {
    linear_left: Linear,
    linear_right: Linear,
    post_laurel_norm: RmsNorm,
}

impl Laurel {
    fn load(loader: &Loader, config: &TextConfig, prefix: &str) -> Result<Self> {
        let (hidden, rank) = (config.hidden_size, config.laurel_rank);
        Ok(Self {
            linear_left: loader.linear(&format!("{prefix}.linear_left.weight"), rank, hidden)?,
            linear_right: loader.linear(&format!("{prefix}.linear_right.weight"), hidden, rank)?,
            post_laurel_norm: RmsNorm::load(
                loader,
                &format!("{prefix}.post_laurel_norm.weight"),
                hidden,
                config.rms_norm_eps,
            )?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let low_rank = self.linear_right.forward(&self.linear_left.forward(x)?)?;
        Ok((x + self.post_laurel_norm.forward(&low_rank)?)?)
    }
}

/// Lets the token's own vector for this layer into the streams that the layer did not compute.
#[derive(Debug)]
struct PerLayerInput {
    correct_output_scale: Option<Tensor>,
    per_layer_input_gate: Linear,
    per_layer_projection: Linear,
    post_per_layer_input_norm: RmsNorm,
}

impl PerLayerInput {
    fn load(loader: &Loader, config: &TextConfig, prefix: &str) -> Result<Self> {
        let (hidden, width) = (config.hidden_size, config.hidden_size_per_layer_input);
        Ok(Self {
            correct_output_scale: if config.altup_correct_scale {
                Some(loader.tensor(&format!("{prefix}.altup.correct_output_scale"), &[hidden])?)
            } else {
                None
            },
            per_layer_input_gate: loader.linear(
                &format!("{prefix}.per_layer_input_gate.weight"),
                width,
                hidden,
            )?,
            per_layer_projection: loader.linear(
                &format!("{prefix}.per_layer_projection.weight"),
                hidden,
                width,
            )?,
            post_per_layer_input_norm: RmsNorm::load(
                loader,
                &format!("{prefix}.post_per_layer_input_norm.weight"),
                hidden,
                config.rms_norm_eps,
            )?,
        })
    }

    fn forward(&self, active: &Tensor, per_layer_input: &Tensor) -> Result<Tensor> {
        let scaled = match &self.correct_output_scale {
            Some(scale) => active.broadcast_mul(scale)?,
            None => active.clone(),
        };
        let gate = self.per_layer_input_gate.forward(&scaled)?.gelu()?;
        let projected = self
            .per_layer_projection
            .forward(&(gate * per_layer_input)?)?;
        self.post_per_layer_input_norm.forward(&projected)
    }
}

//! GGUF metadata of a text file, and of the projector file beside it.

use std::path::Path;

use weights::{Checkpoint, Gguf};

use super::{AudioConfig, Config, LayerType, TextConfig, VisionConfig, default_layer_types};
use crate::error::{Error, Result};

pub(super) fn config(file: &Path, gguf: &Gguf, checkpoint: &Checkpoint) -> Result<Config> {
    let keys = Keys {
        file,
        gguf,
        checkpoint,
    };
    let text = keys.text_config()?;
    let vision = if checkpoint.contains("model.embed_vision.embedding.weight") {
        Some(keys.vision_config(&text)?)
    } else {
        None
    };
    let audio = if checkpoint.contains("model.embed_audio.embedding.weight") {
        Some(keys.audio_config(&text)?)
    } else {
        None
    };
    Ok(Config {
        text,
        vision,
        audio,
        image_token_id: keys.usize_or("sotto.token.image", 262_145)? as u32,
        audio_token_id: keys.usize_or("sotto.token.audio", 262_273)? as u32,
    })
}

struct Keys<'a> {
    file: &'a Path,
    gguf: &'a Gguf,
    checkpoint: &'a Checkpoint,
}

impl Keys<'_> {
    fn text_config(&self) -> Result<TextConfig> {
        let n_layers = self.usize("gemma3n.block_count")?;
        let rows = |name: &str| self.axis(name, 0);
        let embedding = "model.language_model.embed_tokens.weight";
        let per_layer = "model.language_model.embed_tokens_per_layer.weight";
        let layer_types = match self
            .gguf
            .opt_bool_array("gemma3n.attention.sliding_window_pattern")?
        {
            None => default_layer_types(n_layers),
            Some(pattern) => pattern
                .into_iter()
                .map(|sliding| match sliding {
                    true => LayerType::Sliding,
                    false => LayerType::Full,
                })
                .collect(),
        };
        let sparsity = match self
            .gguf
            .opt_f32_array("gemma3n.activation_sparsity_scale")?
        {
            // The file gives the z value itself, minus infinity for a dense layer.
            Some(scales) => scales
                .into_iter()
                .map(|z| z.is_finite().then_some(f64::from(z)))
                .collect(),
            None => (0..n_layers)
                .map(|i| (n_layers > 10 && i < 10).then(|| weights::inverse_normal_cdf(0.95)))
                .collect(),
        };
        let vocab_size = rows(embedding)?;
        Ok(TextConfig {
            vocab_size,
            // Some writers pad the table to the whole vocabulary; the rows behind this are zeros.
            vocab_size_per_layer_input: rows(per_layer)?
                .min(self.usize_or("sotto.vision.vocab_offset", 262_144)?),
            hidden_size: self.usize("gemma3n.embedding_length")?,
            hidden_size_per_layer_input: self
                .usize_or("gemma3n.embedding_length_per_layer_input", 256)?,
            num_hidden_layers: n_layers,
            intermediate_size: self
                .gguf
                .u64_or_array("gemma3n.feed_forward_length", n_layers)?
                .into_iter()
                .map(|width| width as usize)
                .collect(),
            num_attention_heads: self.usize("gemma3n.attention.head_count")?,
            num_key_value_heads: self.usize("gemma3n.attention.head_count_kv")?,
            head_dim: self.usize("gemma3n.attention.key_length")?,
            num_kv_shared_layers: self.usize("gemma3n.attention.shared_kv_layers")?,
            sliding_window: self.usize("gemma3n.attention.sliding_window")?,
            max_position_embeddings: self.usize_or("gemma3n.context_length", 32_768)?,
            rope_theta: self.f64_or("gemma3n.rope.freq_base", 1e6)?,
            rope_local_base_freq: self.f64_or("gemma3n.rope.freq_base_swa", 1e4)?,
            rms_norm_eps: self.f64_or("gemma3n.attention.layer_norm_rms_epsilon", 1e-6)?,
            final_logit_softcapping: Some(self.f64_or("gemma3n.final_logit_softcapping", 30.0)?),
            altup_num_inputs: self.usize_or("gemma3n.altup.num_inputs", 4)?,
            altup_active_idx: self.usize_or("gemma3n.altup.active_idx", 0)?,
            altup_correct_scale: true,
            laurel_rank: rows("model.language_model.layers.0.laurel.linear_left.weight")?,
            layer_types,
            activation_sparsity_z: sparsity,
        })
    }

    fn vision_config(&self, text: &TextConfig) -> Result<VisionConfig> {
        let table = "model.embed_vision.embedding.weight";
        let image_size = self.usize_or("clip.vision.image_size", 768)?;
        // The published encoder makes 16 x 16 soft tokens of 768 pixels.
        let side = (image_size / 48).max(1);
        Ok(VisionConfig {
            hidden_size: self.axis(table, 1)?,
            vocab_size: self.axis(table, 0)?,
            vocab_offset: text.vocab_size_per_layer_input,
            rms_norm_eps: text.rms_norm_eps,
            image_size,
            soft_tokens_per_image: self.usize_or("sotto.vision.soft_tokens", side * side)?,
        })
    }

    /// The standard keys leave most of the tower's shape out, and one of them (`layer_norm_epsilon`)
    /// is not the epsilon to use; the tensors say the rest.
    fn audio_config(&self, text: &TextConfig) -> Result<AudioConfig> {
        let table = "model.embed_audio.embedding.weight";
        let block = "model.audio_tower.conformer.0";
        let hidden_size = self.axis(table, 1)?;
        let head_dim = self.axis(&format!("{block}.attention.attn.per_dim_scale"), 0)?;
        let n_layers = (0..)
            .take_while(|n| {
                let name = format!("model.audio_tower.conformer.{n}.norm.weight");
                self.checkpoint.contains(&name)
            })
            .count();
        let vision_ids = match self
            .checkpoint
            .tensor("model.embed_vision.embedding.weight")
        {
            Some(view) => view.shape[0],
            None => 128,
        };
        Ok(AudioConfig {
            hidden_size,
            vocab_size: self.axis(table, 0)?,
            vocab_offset: self.usize_or(
                "sotto.audio.vocab_offset",
                text.vocab_size_per_layer_input + vision_ids,
            )?,
            rms_norm_eps: text.rms_norm_eps,
            input_feat_size: self.usize_or("clip.audio.num_mel_bins", 128)?,
            gradient_clipping: 1e10,
            conf_num_hidden_layers: n_layers,
            conf_num_attention_heads: (hidden_size / head_dim.max(1)).max(1),
            conf_attention_context_left: self
                .usize_or("sotto.audio.attention_context_left", 13)?
                .max(1),
            conf_attention_context_right: self
                .usize_or("sotto.audio.attention_context_right", 0)?,
            conf_attention_logit_cap: 50.0,
            conf_conv_kernel_size: self
                .axis(&format!("{block}.lconv1d.depthwise_conv1d.weight"), 2)?,
            conf_reduction_factor: self.usize_or("sotto.audio.reduction_factor", 4)?.max(1),
            conf_residual_weight: 0.5,
            sscp_conv_group_norm_eps: 1e-3,
            sscp_conv_stride_size: [[2, 2]; 2],
            soft_tokens_per_clip: self.usize_or("sotto.audio.soft_tokens", 188)?,
        })
    }

    fn usize(&self, key: &str) -> Result<usize> {
        Ok(usize::try_from(self.gguf.u64(key)?).unwrap_or(usize::MAX))
    }

    fn usize_or(&self, key: &str, default: usize) -> Result<usize> {
        Ok(match self.gguf.opt_u64(key)? {
            Some(value) => usize::try_from(value).unwrap_or(usize::MAX),
            None => default,
        })
    }

    fn f64_or(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.gguf.opt_f32(key)?.map_or(default, shortest_decimal))
    }

    /// Length of an axis of a tensor that must be there.
    fn axis(&self, tensor: &str, axis: usize) -> Result<usize> {
        let Some(view) = self.checkpoint.tensor(tensor) else {
            self.checkpoint.require(tensor, &[])?;
            unreachable!("require refuses a tensor that is not there");
        };
        view.shape.get(axis).copied().ok_or_else(|| Error::Config {
            file: self.file.to_owned(),
            key: tensor.to_owned(),
            expected: format!("a tensor of more than {axis} axes"),
            found: format!("one of {}", view.shape.len()),
        })
    }
}

/// GGUF keeps 1e-6 as the nearest f32; the reference computes with 1e-6 itself.
fn shortest_decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

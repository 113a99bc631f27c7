//! The shape of one Gemma 3n model, read from `config.json` or GGUF metadata.
//!
//! Fields keep the checkpoint's own names. What a file leaves out is filled with the published
//! model's value; what this code does not implement is refused here, before any weight is read.

mod gguf;
mod json;

use std::path::Path;

use weights::{Checkpoint, Metadata};

use crate::error::{Error, Result};

/// How far back the queries of a layer look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerType {
    /// `sliding_window` positions, the query's own included.
    Sliding,
    /// Every earlier position.
    Full,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    pub vocab_size: usize,
    /// Ids from here on have no per-layer embedding of their own and use row 0.
    pub vocab_size_per_layer_input: usize,
    pub hidden_size: usize,
    pub hidden_size_per_layer_input: usize,
    pub num_hidden_layers: usize,
    /// FFN width of every layer.
    pub intermediate_size: Vec<usize>,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    /// The last so many layers compute no keys and values of their own.
    pub num_kv_shared_layers: usize,
    pub sliding_window: usize,
    pub max_position_embeddings: usize,
    pub rope_theta: f64,
    pub rope_local_base_freq: f64,
    pub rms_norm_eps: f64,
    pub final_logit_softcapping: Option<f64>,
    pub altup_num_inputs: usize,
    pub altup_active_idx: usize,
    pub altup_correct_scale: bool,
    pub laurel_rank: usize,
    pub layer_types: Vec<LayerType>,
    /// Standard deviations above the mean that a gate value must reach to survive; `None` keeps all.
    pub activation_sparsity_z: Vec<Option<f64>>,
}

impl TextConfig {
    /// Index of the first layer that borrows keys and values.
    pub fn first_kv_shared_layer(&self) -> usize {
        self.num_hidden_layers - self.num_kv_shared_layers
    }

    pub fn rope_base(&self, layer_type: LayerType) -> f64 {
        match layer_type {
            LayerType::Sliding => self.rope_local_base_freq,
            LayerType::Full => self.rope_theta,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    pub hidden_size: usize,
    pub vocab_size: usize,
    pub vocab_offset: usize,
    pub rms_norm_eps: f64,
    /// Side of the square picture that goes in, in pixels.
    pub image_size: usize,
    /// Soft tokens that come out for one picture.
    pub soft_tokens_per_image: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AudioConfig {
    pub hidden_size: usize,
    pub vocab_size: usize,
    pub vocab_offset: usize,
    pub rms_norm_eps: f64,
    /// Mel bins of a frame.
    pub input_feat_size: usize,
    pub gradient_clipping: f64,
    pub conf_num_hidden_layers: usize,
    pub conf_num_attention_heads: usize,
    /// Positions a query sees to the left, its own included.
    pub conf_attention_context_left: usize,
    pub conf_attention_context_right: usize,
    pub conf_attention_logit_cap: f64,
    pub conf_conv_kernel_size: usize,
    pub conf_reduction_factor: usize,
    pub conf_residual_weight: f64,
    pub sscp_conv_group_norm_eps: f64,
    /// `[time, frequency]` of the two subsampling convolutions.
    pub sscp_conv_stride_size: [[usize; 2]; 2],
    /// Positions that one clip takes in the prompt, however short it is.
    pub soft_tokens_per_clip: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub text: TextConfig,
    pub vision: Option<VisionConfig>,
    pub audio: Option<AudioConfig>,
    pub image_token_id: u32,
    pub audio_token_id: u32,
}

impl Config {
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self> {
        let file = checkpoint.path();
        let config = match checkpoint.metadata() {
            Metadata::Json(value) => json::config(&file.join("config.json"), value, checkpoint)?,
            Metadata::Gguf(metadata) => gguf::config(file, metadata, checkpoint)?,
        };
        check(file, &config)?;
        Ok(config)
    }

    /// Ids below this stand for text; the others for pictures, sound and their markers.
    pub fn text_vocab_size(&self) -> usize {
        self.text
            .vocab_size
            .min(self.text.vocab_size_per_layer_input)
    }
}

/// Four sliding layers, then a full one, as in every published Gemma 3n.
fn default_layer_types(num_hidden_layers: usize) -> Vec<LayerType> {
    (1..=num_hidden_layers)
        .map(|n| match n % 5 {
            0 => LayerType::Full,
            _ => LayerType::Sliding,
        })
        .collect()
}

fn check(file: &Path, config: &Config) -> Result<()> {
    let text = &config.text;
    let wrong = |key: &str, found: String, expected: String| {
        Err(Error::Config {
            file: file.to_owned(),
            key: key.to_owned(),
            expected,
            found,
        })
    };
    let layers = text.num_hidden_layers;
    for (key, len) in [
        ("intermediate_size", text.intermediate_size.len()),
        ("layer_types", text.layer_types.len()),
        (
            "activation_sparsity_pattern",
            text.activation_sparsity_z.len(),
        ),
    ] {
        if len != layers {
            return wrong(
                key,
                format!("a list of {len}"),
                format!("one entry for each of the {layers} layers"),
            );
        }
    }
    for (key, value) in [
        ("vocab_size", text.vocab_size),
        (
            "vocab_size_per_layer_input",
            text.vocab_size_per_layer_input,
        ),
        ("hidden_size", text.hidden_size),
        (
            "hidden_size_per_layer_input",
            text.hidden_size_per_layer_input,
        ),
        ("num_hidden_layers", layers),
        ("num_attention_heads", text.num_attention_heads),
        ("num_key_value_heads", text.num_key_value_heads),
        ("head_dim", text.head_dim),
        ("sliding_window", text.sliding_window),
        ("max_position_embeddings", text.max_position_embeddings),
        ("altup_num_inputs", text.altup_num_inputs),
        ("laurel_rank", text.laurel_rank),
    ] {
        // The largest published figure is the vocabulary's 262 400; this bound only keeps products from overflowing.
        if value == 0 || value > 1 << 24 {
            return wrong(key, value.to_string(), "between 1 and 16777216".into());
        }
    }
    if let Some(&width) = text.intermediate_size.iter().find(|&&w| w == 0) {
        return wrong("intermediate_size", width.to_string(), "above 0".into());
    }
    if !text
        .num_attention_heads
        .is_multiple_of(text.num_key_value_heads)
    {
        return wrong(
            "num_attention_heads",
            text.num_attention_heads.to_string(),
            format!(
                "a multiple of num_key_value_heads, {}",
                text.num_key_value_heads
            ),
        );
    }
    if !text.head_dim.is_multiple_of(2) {
        return wrong("head_dim", text.head_dim.to_string(), "even".into());
    }
    if text.altup_active_idx >= text.altup_num_inputs {
        return wrong(
            "altup_active_idx",
            text.altup_active_idx.to_string(),
            format!("below altup_num_inputs, {}", text.altup_num_inputs),
        );
    }
    if text.num_kv_shared_layers >= layers {
        return wrong(
            "num_kv_shared_layers",
            text.num_kv_shared_layers.to_string(),
            format!("below the number of layers, {layers}"),
        );
    }
    let (own, shared) = text.layer_types.split_at(text.first_kv_shared_layer());
    if shared.iter().any(|layer_type| !own.contains(layer_type)) {
        return wrong(
            "num_kv_shared_layers",
            text.num_kv_shared_layers.to_string(),
            "small enough to leave a layer of each type that owns its keys and values".into(),
        );
    }
    if let Some(audio) = &config.audio
        && !audio
            .hidden_size
            .is_multiple_of(2 * audio.conf_num_attention_heads)
    {
        return wrong(
            "audio_config.hidden_size",
            audio.hidden_size.to_string(),
            format!(
                "an even multiple of conf_num_attention_heads, {}",
                audio.conf_num_attention_heads
            ),
        );
    }
    if let Some(vision) = &config.vision
        && vision.soft_tokens_per_image.isqrt().pow(2) != vision.soft_tokens_per_image
    {
        return wrong(
            "vision_soft_tokens_per_image",
            vision.soft_tokens_per_image.to_string(),
            "a square number".into(),
        );
    }
    Ok(())
}

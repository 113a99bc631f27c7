//! `config.json`, in the published spelling and in the one of folders re-saved by newer libraries.

use std::path::Path;

use serde_json::Value;
use weights::{Checkpoint, inverse_normal_cdf};

use super::{AudioConfig, Config, LayerType, TextConfig, VisionConfig, default_layer_types};
use crate::error::{Error, Result};

pub(super) fn config(file: &Path, root: &Value, checkpoint: &Checkpoint) -> Result<Config> {
    let top = Keys::new(file, "", root);
    let text_only = root.get("text_config").is_none();
    let text = if text_only {
        text_config(&top)?
    } else {
        text_config(&top.section("text_config")?)?
    };
    // A folder may describe a tower whose tensors were left out.
    let has = |name: &str| !text_only && checkpoint.contains(name);
    let vision = if has("model.embed_vision.embedding.weight") {
        Some(vision_config(&top, checkpoint)?)
    } else {
        None
    };
    let audio = if has("model.embed_audio.embedding.weight") {
        Some(audio_config(&top)?)
    } else {
        None
    };
    Ok(Config {
        text,
        vision,
        audio,
        image_token_id: top.u32_or("image_token_id", 262_145)?,
        audio_token_id: top.u32_or("audio_token_id", 262_273)?,
    })
}

fn text_config(keys: &Keys) -> Result<TextConfig> {
    keys.only("hidden_activation", "gelu_pytorch_tanh")?;
    if keys.bool_or("attention_bias", false)? {
        return Err(keys.wrong(
            "attention_bias",
            "false (no published Gemma 3n has such biases)",
        ));
    }
    let num_hidden_layers = keys.usize("num_hidden_layers")?;
    let sparsity = match keys.get("activation_sparsity_pattern") {
        None => (0..num_hidden_layers)
            .map(|i| {
                if num_hidden_layers > 10 && i < 10 {
                    0.95
                } else {
                    0.0
                }
            })
            .collect(),
        Some(Value::Number(_)) => {
            vec![keys.f64_or("activation_sparsity_pattern", 0.0)?; num_hidden_layers]
        }
        Some(_) => keys.list("activation_sparsity_pattern", "a number", Value::as_f64)?,
    };
    if sparsity.iter().any(|p| !(0.0..1.0).contains(p)) {
        return Err(keys.wrong(
            "activation_sparsity_pattern",
            "fractions of at least 0 and below 1",
        ));
    }
    let intermediate_size = match keys.get("intermediate_size") {
        Some(Value::Array(_)) => keys.list("intermediate_size", "a whole number", as_usize)?,
        _ => vec![keys.usize("intermediate_size")?; num_hidden_layers],
    };
    let layer_types = match keys.get("layer_types") {
        None => default_layer_types(num_hidden_layers),
        Some(_) => keys.list(
            "layer_types",
            "sliding_attention or full_attention",
            |v| match v.as_str() {
                Some("sliding_attention") => Some(LayerType::Sliding),
                Some("full_attention") => Some(LayerType::Full),
                _ => None,
            },
        )?,
    };
    let (rope_theta, rope_local_base_freq) = rope(keys)?;
    Ok(TextConfig {
        vocab_size: keys.usize("vocab_size")?,
        vocab_size_per_layer_input: keys.usize("vocab_size_per_layer_input")?,
        hidden_size: keys.usize("hidden_size")?,
        hidden_size_per_layer_input: keys.usize("hidden_size_per_layer_input")?,
        num_hidden_layers,
        intermediate_size,
        num_attention_heads: keys.usize("num_attention_heads")?,
        num_key_value_heads: keys.usize("num_key_value_heads")?,
        head_dim: keys.usize("head_dim")?,
        num_kv_shared_layers: keys.usize("num_kv_shared_layers")?,
        sliding_window: keys.usize("sliding_window")?,
        max_position_embeddings: keys.usize_or("max_position_embeddings", 32_768)?,
        rope_theta,
        rope_local_base_freq,
        rms_norm_eps: keys.f64_or("rms_norm_eps", 1e-6)?,
        final_logit_softcapping: match keys.get("final_logit_softcapping") {
            None => None,
            Some(_) => Some(keys.f64_or("final_logit_softcapping", 30.0)?),
        },
        altup_num_inputs: keys.usize_or("altup_num_inputs", 4)?,
        altup_active_idx: keys.usize_or("altup_active_idx", 0)?,
        altup_correct_scale: keys.bool_or("altup_correct_scale", true)?,
        laurel_rank: keys.usize_or("laurel_rank", 64)?,
        layer_types,
        activation_sparsity_z: sparsity
            .into_iter()
            .map(|p| (p > 0.0).then(|| inverse_normal_cdf(p)))
            .collect(),
    })
}

/// Bases of the full and the sliding layers, from either spelling.
fn rope(keys: &Keys) -> Result<(f64, f64)> {
    if keys.get("rope_parameters").is_none() {
        if keys.get("rope_scaling").is_some() {
            return Err(keys.wrong("rope_scaling", "null (Gemma 3n scales no positions)"));
        }
        return Ok((
            keys.f64_or("rope_theta", 1e6)?,
            keys.f64_or("rope_local_base_freq", 1e4)?,
        ));
    }
    let parameters = keys.section("rope_parameters")?;
    let base = |name: &str, default: f64| -> Result<f64> {
        if parameters.get(name).is_none() {
            return Ok(default);
        }
        let section = parameters.section(name)?;
        section.only("rope_type", "default")?;
        section.f64_or("rope_theta", default)
    };
    Ok((
        base("full_attention", 1e6)?,
        base("sliding_attention", 1e4)?,
    ))
}

fn vision_config(top: &Keys, checkpoint: &Checkpoint) -> Result<VisionConfig> {
    let keys = top.section("vision_config")?;
    let preprocessor = checkpoint.preprocessor_config()?.unwrap_or_default();
    let side = |name: &str| {
        preprocessor
            .pointer(&format!("/size/{name}"))
            .and_then(as_usize)
    };
    if side("height") != side("width") {
        return Err(Error::Config {
            file: checkpoint.path().join("preprocessor_config.json"),
            key: "size".into(),
            expected: "a square".into(),
            found: preprocessor["size"].to_string(),
        });
    }
    Ok(VisionConfig {
        hidden_size: keys.usize_or("hidden_size", 2048)?,
        vocab_size: keys.usize_or("vocab_size", 128)?,
        vocab_offset: keys.usize_or("vocab_offset", 262_144)?,
        rms_norm_eps: keys.f64_or("rms_norm_eps", 1e-6)?,
        image_size: side("height").unwrap_or(768),
        soft_tokens_per_image: top.usize_or("vision_soft_tokens_per_image", 256)?,
    })
}

fn audio_config(top: &Keys) -> Result<AudioConfig> {
    let keys = top.section("audio_config")?;
    let strides = match keys.get("sscp_conv_stride_size") {
        None => vec![[2, 2]; 2],
        Some(_) => keys.list(
            "sscp_conv_stride_size",
            "a pair of whole numbers",
            |v| match v.as_array()?.as_slice() {
                [time, frequency] => Some([as_usize(time)?, as_usize(frequency)?]),
                _ => None,
            },
        )?,
    };
    let Ok(sscp_conv_stride_size) = <[[usize; 2]; 2]>::try_from(strides) else {
        return Err(keys.wrong("sscp_conv_stride_size", "two pairs"));
    };
    Ok(AudioConfig {
        hidden_size: keys.usize_or("hidden_size", 1536)?,
        vocab_size: keys.usize_or("vocab_size", 128)?,
        vocab_offset: keys.usize_or("vocab_offset", 262_272)?,
        rms_norm_eps: keys.f64_or("rms_norm_eps", 1e-6)?,
        input_feat_size: keys.usize_or("input_feat_size", 128)?,
        gradient_clipping: keys.f64_or("gradient_clipping", 1e10)?,
        conf_num_hidden_layers: keys.usize_or("conf_num_hidden_layers", 12)?,
        conf_num_attention_heads: keys.at_least_one("conf_num_attention_heads", 8)?,
        conf_attention_context_left: keys.at_least_one("conf_attention_context_left", 13)?,
        conf_attention_context_right: keys.usize_or("conf_attention_context_right", 0)?,
        conf_attention_logit_cap: keys.f64_or("conf_attention_logit_cap", 50.0)?,
        conf_conv_kernel_size: keys.at_least_one("conf_conv_kernel_size", 5)?,
        conf_reduction_factor: keys.at_least_one("conf_reduction_factor", 4)?,
        conf_residual_weight: keys.f64_or("conf_residual_weight", 0.5)?,
        sscp_conv_group_norm_eps: keys.f64_or("sscp_conv_group_norm_eps", 1e-3)?,
        sscp_conv_stride_size,
        soft_tokens_per_clip: top.usize_or("audio_soft_tokens_per_image", 188)?,
    })
}

fn as_usize(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// One JSON object, with enough context to name a wrong key.
struct Keys<'a> {
    file: &'a Path,
    prefix: String,
    value: &'a Value,
}

impl<'a> Keys<'a> {
    fn new(file: &'a Path, prefix: &str, value: &'a Value) -> Self {
        Self {
            file,
            prefix: prefix.to_owned(),
            value,
        }
    }

    fn section(&self, key: &str) -> Result<Keys<'a>> {
        match self.value.get(key) {
            Some(value @ Value::Object(_)) => Ok(Keys::new(
                self.file,
                &format!("{}{key}.", self.prefix),
                value,
            )),
            _ => Err(self.wrong(key, "an object")),
        }
    }

    /// The value of a key that is present and not null.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|v| !v.is_null())
    }

    fn wrong(&self, key: &str, expected: &str) -> Error {
        let found = match self.value.get(key) {
            None => "missing".to_owned(),
            Some(value) => {
                let text = value.to_string();
                match text.char_indices().nth(80) {
                    Some((end, _)) => format!("{}...", &text[..end]),
                    None => text,
                }
            }
        };
        Error::Config {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.prefix),
            expected: expected.to_owned(),
            found,
        }
    }

    fn only(&self, key: &str, supported: &str) -> Result<()> {
        match self.get(key) {
            Some(value) if value.as_str() != Some(supported) => Err(self.wrong(key, supported)),
            _ => Ok(()),
        }
    }

    fn usize(&self, key: &str) -> Result<usize> {
        self.get(key)
            .and_then(as_usize)
            .ok_or_else(|| self.wrong(key, "a whole number"))
    }

    fn usize_or(&self, key: &str, default: usize) -> Result<usize> {
        match self.get(key) {
            None => Ok(default),
            Some(_) => self.usize(key),
        }
    }

    fn at_least_one(&self, key: &str, default: usize) -> Result<usize> {
        match self.usize_or(key, default)? {
            0 => Err(self.wrong(key, "at least 1")),
            n => Ok(n),
        }
    }

    fn u32_or(&self, key: &str, default: u32) -> Result<u32> {
        u32::try_from(self.usize_or(key, default as usize)?)
            .map_err(|_| self.wrong(key, "a token id"))
    }

    fn f64_or(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| self.wrong(key, "a number")),
        }
    }

    fn bool_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(key, "true or false")),
        }
    }

    fn list<T>(&self, key: &str, each: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>> {
        self.get(key)
            .and_then(Value::as_array)
            .and_then(|values| values.iter().map(read).collect())
            .ok_or_else(|| self.wrong(key, &format!("a list in which every entry is {each}")))
    }
}

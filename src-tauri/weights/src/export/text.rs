//! The key-values of the text file.

use super::config::{Config, Section};
use super::{Options, Quantisation, require, sampling, tokenizer};
use crate::checkpoint::{Checkpoint, SUBMODELS_KEY};
use crate::gguf::{Value, Writer};
use crate::inverse_normal_cdf;
use crate::{DType, Error};

/// Published models have 30 and 35.
const MAX_LAYERS: u32 = 1024;

pub(super) fn describe(
    checkpoint: &Checkpoint,
    config: &Config<'_>,
    options: &Options<'_>,
    writer: &mut Writer,
) -> Result<(), Error> {
    let text = config.text();
    let folder = checkpoint
        .path()
        .file_name()
        .map(|name| name.to_string_lossy());
    if let Some(name) = options.name.or(folder.as_deref()) {
        writer.value("general.name", name);
    }
    writer.value("general.type", "model");
    match options.quantisation {
        None => writer.value("general.file_type", file_type(checkpoint)),
        Some(quantisation) => {
            let mix: u32 = match quantisation {
                Quantisation::Q4_0 => 2,
                Quantisation::Q8_0 => 7,
                Quantisation::Q4K => 14,
            };
            writer.value("general.file_type", mix);
            writer.value("general.quantization_version", 2u32);
        }
    }

    // Both decide how long lists become, so they are not believed blindly.
    let n_layers = text.u32("num_hidden_layers")?;
    if n_layers > MAX_LAYERS {
        return Err(text.wrong(
            "num_hidden_layers",
            "a number of layers",
            n_layers.to_string(),
        ));
    }
    let vocab_size = text.u32("vocab_size")?;
    let embedding = require(checkpoint, "model.language_model.embed_tokens.weight")?;
    if embedding.shape.first() != Some(&(vocab_size as usize)) {
        let found = format!(
            "{vocab_size}, but the embedding has shape {:?}",
            embedding.shape
        );
        return Err(text.wrong("vocab_size", "the number of rows of the embedding", found));
    }
    let numbers = [
        ("vocab_size", vocab_size),
        ("context_length", text.u32("max_position_embeddings")?),
        ("embedding_length", text.u32("hidden_size")?),
        ("block_count", n_layers),
        ("attention.head_count", text.u32("num_attention_heads")?),
        ("attention.head_count_kv", text.u32("num_key_value_heads")?),
        ("attention.key_length", text.u32("head_dim")?),
        ("attention.value_length", text.u32("head_dim")?),
        ("attention.sliding_window", text.u32("sliding_window")?),
        (
            "attention.shared_kv_layers",
            text.u32("num_kv_shared_layers")?,
        ),
        ("altup.active_idx", text.u32("altup_active_idx")?),
        ("altup.num_inputs", text.u32("altup_num_inputs")?),
        (
            "embedding_length_per_layer_input",
            text.u32("hidden_size_per_layer_input")?,
        ),
    ];
    for (key, value) in numbers {
        writer.value(&format!("gemma3n.{key}"), value);
    }
    writer.value(
        "gemma3n.attention.layer_norm_rms_epsilon",
        text.f32("rms_norm_eps")?,
    );
    writer.value(
        "gemma3n.final_logit_softcapping",
        text.f32("final_logit_softcapping")?,
    );
    let bases = [
        (
            "gemma3n.rope.freq_base",
            "rope_theta",
            "rope_parameters/full_attention/rope_theta",
        ),
        (
            "gemma3n.rope.freq_base_swa",
            "rope_local_base_freq",
            "rope_parameters/sliding_attention/rope_theta",
        ),
    ];
    for (key, published, resaved) in bases {
        let base = match text.opt_f32(published)? {
            Some(base) => base,
            None => text.f32(resaved)?,
        };
        writer.value(key, base);
    }
    writer.value(
        "gemma3n.feed_forward_length",
        feed_forward_length(text, n_layers)?,
    );
    writer.value(
        "gemma3n.attention.sliding_window_pattern",
        sliding_window_pattern(text, n_layers)?,
    );
    writer.value(
        "gemma3n.activation_sparsity_scale",
        activation_sparsity_scale(text, n_layers)?,
    );

    describe_media(config, writer)?;
    if let Some(table) = options.submodels {
        writer.value(SUBMODELS_KEY, table);
    }
    sampling::describe(checkpoint, writer)?;
    tokenizer::describe(checkpoint, config, vocab_size, writer)
}

/// Where the ids of images and sound begin and which of them stand for soft tokens: no common key says so.
fn describe_media(config: &Config<'_>, writer: &mut Writer) -> Result<(), Error> {
    for (section, kind) in [("vision_config", "vision"), ("audio_config", "audio")] {
        if let Some(section) = config.section(section) {
            writer.value(
                &format!("sotto.{kind}.vocab_offset"),
                section.u32("vocab_offset")?,
            );
        }
    }
    for (field, kind) in [("image_token_id", "image"), ("audio_token_id", "audio")] {
        if let Some(id) = config.root().opt_u32(field)? {
            writer.value(&format!("sotto.token.{kind}"), id);
        }
    }
    Ok(())
}

/// What llama.cpp calls the mix of types, by the type of the largest tensor.
fn file_type(checkpoint: &Checkpoint) -> u32 {
    let tensors = checkpoint
        .names()
        .filter_map(|name| checkpoint.tensor(name));
    match tensors
        .max_by_key(|tensor| tensor.bytes.len())
        .map(|tensor| tensor.dtype)
    {
        Some(DType::F16) => 1,
        Some(DType::BF16) => 32,
        _ => 0,
    }
}

fn feed_forward_length(text: Section<'_>, n_layers: u32) -> Result<Value, Error> {
    const FIELD: &str = "intermediate_size";
    let mut widths = text
        .opt_u32_or_list(FIELD)?
        .ok_or_else(|| text.missing(FIELD, "an integer or a list of integers"))?;
    if let [width] = widths[..] {
        return Ok(width.into());
    }
    check_len(text, FIELD, widths.len(), n_layers)?;
    widths.dedup();
    if let [width] = widths[..] {
        return Ok(width.into());
    }
    Ok(text.opt_u32_or_list(FIELD)?.unwrap_or_default().into())
}

/// True for layers that look back only so far.
fn sliding_window_pattern(text: Section<'_>, n_layers: u32) -> Result<Vec<bool>, Error> {
    const FIELD: &str = "layer_types";
    let Some(types) = text.opt_string_list(FIELD)? else {
        return Ok((1..=n_layers).map(|n| n % 5 != 0).collect());
    };
    check_len(text, FIELD, types.len(), n_layers)?;
    types
        .into_iter()
        .map(|kind| match kind {
            "sliding_attention" => Ok(true),
            "full_attention" => Ok(false),
            other => Err(text.wrong(
                FIELD,
                "sliding_attention or full_attention for each layer",
                other.to_owned(),
            )),
        })
        .collect()
}

/// For each layer how many standard deviations above the mean an activation counts; minus infinity keeps all.
fn activation_sparsity_scale(text: Section<'_>, n_layers: u32) -> Result<Vec<f32>, Error> {
    const FIELD: &str = "activation_sparsity_pattern";
    let pattern = text.opt_f64_list(FIELD)?.unwrap_or_else(|| {
        // The reference's defaults.
        (0..n_layers)
            .map(|i| if n_layers > 10 && i < 10 { 0.95 } else { 0.0 })
            .collect()
    });
    check_len(text, FIELD, pattern.len(), n_layers)?;
    if let Some(share) = pattern.iter().find(|share| !(0.0..1.0).contains(*share)) {
        return Err(text.wrong(FIELD, "shares from 0 to below 1", share.to_string()));
    }
    Ok(pattern
        .into_iter()
        .map(|share| inverse_normal_cdf(share) as f32)
        .collect())
}

fn check_len(text: Section<'_>, field: &str, found: usize, n_layers: u32) -> Result<(), Error> {
    if found == n_layers as usize {
        return Ok(());
    }
    Err(text.wrong(
        field,
        "one entry per layer",
        format!("a list of {found} for {n_layers} layers"),
    ))
}

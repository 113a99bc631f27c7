//! The key-values of the projector file.

use super::config::{Config, Section};
use super::require;
use crate::Error;
use crate::checkpoint::{Checkpoint, PREPROCESSOR_KEY};
use crate::gguf::Writer;

/// What the published model takes, where no file says otherwise.
const IMAGE_SIZE: u32 = 768;

pub(super) fn describe(
    checkpoint: &Checkpoint,
    config: &Config<'_>,
    writer: &mut Writer,
) -> Result<(), Error> {
    let root = config.root();
    let projection_dim = config.text().u32("hidden_size")?;
    writer.value("general.type", "mmproj");
    // Its common keys tell other runtimes a part of it.
    let preprocessor = checkpoint.preprocessor_config()?;
    if let Some(settings) = &preprocessor {
        writer.value(PREPROCESSOR_KEY, settings.to_string());
    }

    // A section may describe a tower that the files lack.
    let has = |prefix: &str| checkpoint.names().any(|name| name.starts_with(prefix));
    let vision = config
        .section("vision_config")
        .filter(|_| has("model.vision_tower."));
    let audio = config
        .section("audio_config")
        .filter(|_| has("model.audio_tower."));
    writer.value("clip.has_vision_encoder", vision.is_some());
    writer.value("clip.has_audio_encoder", audio.is_some());
    if let Some(vision) = vision {
        let soft_tokens = root.u32("vision_soft_tokens_per_image")?;
        let image_size = preprocessor
            .as_ref()
            .and_then(|settings| settings.pointer("/size/height")?.as_u64())
            .and_then(|height| u32::try_from(height).ok())
            .unwrap_or(IMAGE_SIZE);
        describe_vision(image_size, vision, soft_tokens, projection_dim, writer)?;
    }
    if let Some(audio) = audio {
        let soft_tokens = root.u32("audio_soft_tokens_per_image")?;
        describe_audio(checkpoint, audio, soft_tokens, projection_dim, writer)?;
    }
    Ok(())
}

fn describe_vision(
    image_size: u32,
    vision: Section<'_>,
    soft_tokens: u32,
    projection_dim: u32,
    writer: &mut Writer,
) -> Result<(), Error> {
    let width = vision.u32("hidden_size")?;
    writer.value("clip.vision.projector_type", "gemma3nv");
    writer.value("clip.vision.image_size", image_size);
    writer.value("clip.vision.image_mean", vec![0f32; 3]);
    writer.value("clip.vision.image_std", vec![1f32; 3]);
    writer.value("clip.vision.embedding_length", width);
    writer.value("clip.vision.projection_dim", projection_dim);
    // Other runtimes ask for these although the tower, a convolutional one, has no such thing: the common converter's
    // values.
    writer.value(
        "clip.vision.patch_size",
        (image_size / soft_tokens.max(1)).max(1),
    );
    writer.value("clip.vision.block_count", 128u32);
    writer.value("clip.vision.feed_forward_length", width.saturating_mul(4));
    writer.value("clip.vision.attention.head_count", 8u32);
    writer.value(
        "clip.vision.attention.layer_norm_epsilon",
        vision.f32("rms_norm_eps")?,
    );

    writer.value("sotto.vision.soft_tokens", soft_tokens);
    // Strides and kernel sizes of a tower that is not the published one; there is no other place for them.
    if let Some(arguments) = vision.get("model_args") {
        writer.value("sotto.vision.model_args", arguments.to_string());
    }
    Ok(())
}

fn describe_audio(
    checkpoint: &Checkpoint,
    audio: Section<'_>,
    soft_tokens: u32,
    projection_dim: u32,
    writer: &mut Writer,
) -> Result<(), Error> {
    // Not in `config.json`: the conformer's feed-forward width is a constant of the architecture.
    const UP: &str = "model.audio_tower.conformer.0.ffw_layer_start.ffw_layer_1.weight";
    let up = require(checkpoint, UP)?;
    let rows = up.shape.first().copied().unwrap_or(1);
    let feed_forward_length = u32::try_from(rows).unwrap_or(u32::MAX);

    writer.value("clip.audio.projector_type", "gemma3na");
    let numbers = [
        ("clip.audio.embedding_length", audio.u32("hidden_size")?),
        (
            "clip.audio.block_count",
            audio.u32("conf_num_hidden_layers")?,
        ),
        (
            "clip.audio.attention.head_count",
            audio.u32("conf_num_attention_heads")?,
        ),
        ("clip.audio.feed_forward_length", feed_forward_length),
        ("clip.audio.num_mel_bins", audio.u32("input_feat_size")?),
        ("clip.audio.projection_dim", projection_dim),
        (
            "sotto.audio.attention_chunk_size",
            audio.u32("conf_attention_chunk_size")?,
        ),
        (
            "sotto.audio.attention_context_left",
            audio.u32("conf_attention_context_left")?,
        ),
        (
            "sotto.audio.attention_context_right",
            audio.u32("conf_attention_context_right")?,
        ),
        (
            "sotto.audio.reduction_factor",
            audio.u32("conf_reduction_factor")?,
        ),
        ("sotto.audio.soft_tokens", soft_tokens),
    ];
    for (key, value) in numbers {
        writer.value(key, value);
    }
    // What the common converter writes; the model's own epsilon is 1e-6 and nobody reads this one.
    writer.value("clip.audio.attention.layer_norm_epsilon", 1e-5f32);
    Ok(())
}

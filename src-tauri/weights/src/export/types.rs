//! Which type each tensor of a quantised package has.

use crate::DType;
use crate::encode::Target;
use crate::names::{self, VISION};

/// `None` leaves the tensor as it is.
///
/// - Matrices that are multiplied or looked up by row: 8 bits, or f16 where their rows are not whole blocks.
/// - The coefficients of AltUp, a few numbers that mix all streams: f32, as everything with one axis.
/// - The vision tower's convolutions, which have a kernel as their last axes and therefore no rows to cut into blocks:
///   f16, what other runtimes multiply them in.
///   Its stem and the audio tower's convolutions, which are small, stay f32 as the common converter has them.
pub(super) fn at_eight_bits(canonical: &str, shape: &[usize]) -> Option<Target> {
    names::gguf_name(canonical)?; // A stranger is nothing we know how to read.
    let is_vision = canonical.starts_with(VISION);
    Some(match *shape {
        [_, _] if canonical.contains(".altup.") => Target::F32,
        [_, columns] if columns.is_multiple_of(DType::Q8_0.block_len()) => Target::Q8_0,
        [_, _] => Target::F16,
        [_, _, _, _] if is_vision && is_weight(canonical) => Target::F16,
        _ => Target::F32,
    })
}

/// Whether it is the kernel of a convolution behind the stem, and not the scale of a layer.
fn is_weight(canonical: &str) -> bool {
    canonical.ends_with(".weight") && !canonical.contains(".conv_stem.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_what_a_tensor_is_for() {
        let text = |rest: &str| format!("model.language_model.{rest}");
        let vision = |rest: &str| format!("{VISION}{rest}");
        let audio = |rest: &str| format!("model.audio_tower.{rest}");
        for (name, shape, expected) in [
            (text("embed_tokens.weight"), &[2080, 128][..], Target::Q8_0),
            (
                text("embed_tokens_per_layer.weight"),
                &[2048, 320],
                Target::Q8_0,
            ),
            (
                text("altup_projections.0.weight"),
                &[128, 128],
                Target::Q8_0,
            ),
            (
                text("layers.3.mlp.down_proj.weight"),
                &[128, 512],
                Target::Q8_0,
            ),
            (
                text("layers.3.laurel.linear_left.weight"),
                &[16, 128],
                Target::Q8_0,
            ),
            (
                text("layers.3.laurel.linear_right.weight"),
                &[128, 16],
                Target::F16,
            ),
            (
                text("layers.3.altup.modality_router.weight"),
                &[4, 128],
                Target::F32,
            ),
            (
                text("layers.3.altup.prediction_coefs.weight"),
                &[16, 4],
                Target::F32,
            ),
            (text("norm.weight"), &[128], Target::F32),
            ("lm_head.weight".into(), &[2080, 128], Target::Q8_0),
            (
                "model.embed_vision.embedding.weight".into(),
                &[16, 2048],
                Target::Q8_0,
            ),
            (
                "model.embed_audio.embedding_projection.weight".into(),
                &[128, 128],
                Target::Q8_0,
            ),
            (
                audio("conformer.0.attention.post.weight"),
                &[128, 128],
                Target::Q8_0,
            ),
            (
                audio("conformer.0.attention.attn.per_dim_scale"),
                &[32],
                Target::F32,
            ),
            (
                audio("conformer.0.lconv1d.depthwise_conv1d.weight"),
                &[128, 1, 5],
                Target::F32,
            ),
            (
                audio("subsample_conv_projection.conv_0.conv.weight"),
                &[16, 1, 3, 3],
                Target::F32,
            ),
            (
                audio("subsample_conv_projection.input_proj_linear.weight"),
                &[128, 512],
                Target::Q8_0,
            ),
            (vision("conv_stem.conv.weight"), &[16, 3, 3, 3], Target::F32),
            (
                vision("blocks.0.0.conv_exp.weight"),
                &[48, 16, 3, 3],
                Target::F16,
            ),
            (
                vision("blocks.1.0.pw_exp.conv.weight"),
                &[64, 16, 1, 1],
                Target::F16,
            ),
            (
                vision("blocks.1.0.layer_scale.gamma"),
                &[1, 32, 1, 1],
                Target::F32,
            ),
        ] {
            assert_eq!(at_eight_bits(&name, shape), Some(expected), "{name}");
        }
        assert_eq!(at_eight_bits("rope_freqs.weight", &[64, 64]), None);
    }
}

//! Which type each tensor of a quantised package has.
//!
//! | tensors | Q8_0 | Q4_0 | Q4_K |
//! |---|---|---|---|
//! | attention, FFN and per-layer gates of the layers | 8 bits | Q4_0 | Q4_K |
//! | token embedding, which is the head too, and the per-layer table | 8 bits | Q6_K | Q6_K |
//! | AltUp's and LAuReL's projections, the projection of per-layer inputs | 8 bits | 8 bits | 8 bits |
//! | both towers and their embedders | 8 bits | 8 bits | 8 bits |
//!
//! The second row is what a wrong word comes from soonest, and only a row of either table is read for a token. The third
//! mixes all streams of every layer, so its errors do not stay where they are made; it is a twentieth of the bytes. What
//! the towers do wrong no later layer can put right, and they are read once for a picture, not for every token.

use crate::encode::Target;
use crate::names::{self, VISION};

use super::Quantisation;

/// `None` leaves the tensor as it is.
///
/// - Matrices are as the table above says; where their rows are not whole blocks the next type with shorter blocks takes
///   its place, and f16 in the end.
/// - 1x1 convolutions are matrices, too. Other convolutions have a kernel as their last axes and therefore no rows to cut
///   into blocks: f16. The stem and the audio tower's convolutions, which are small, stay f32 as the common converter
///   has them.
/// - The coefficients of AltUp, a few numbers that mix all streams: f32, as everything with one axis.
pub(super) fn target(
    quantisation: Quantisation,
    canonical: &str,
    shape: &[usize],
) -> Option<Target> {
    names::gguf_name(canonical)?; // A stranger is nothing we know how to read.
    let is_vision = canonical.starts_with(VISION);
    Some(match *shape {
        [_, _] if canonical.contains(".altup.") => Target::F32,
        [_, columns] => matrix(quantisation, canonical, columns),
        [_, columns, 1, 1] if is_vision && is_weight(canonical) => {
            matrix(quantisation, canonical, columns)
        }
        [_, _, _, _] if is_vision && is_weight(canonical) => Target::F16,
        _ => Target::F32,
    })
}

fn matrix(quantisation: Quantisation, canonical: &str, columns: usize) -> Target {
    const TABLES: [&str; 3] = [
        "lm_head.weight",
        "model.language_model.embed_tokens.weight",
        "model.language_model.embed_tokens_per_layer.weight",
    ];
    let is_of_layer =
        canonical.starts_with("model.language_model.layers.") && !canonical.contains(".laurel.");
    let wanted: &[Target] = match quantisation {
        Quantisation::Q8_0 => &[],
        _ if TABLES.contains(&canonical) => &[Target::Q6K],
        Quantisation::Q4_0 if is_of_layer => &[Target::Q4_0],
        Quantisation::Q4K if is_of_layer => &[Target::Q4K, Target::Q4_0],
        Quantisation::Q4_0 | Quantisation::Q4K => &[],
    };
    let fits = |target: &Target| columns.is_multiple_of(target.dtype().block_len());
    let wanted = wanted.iter().copied().chain([Target::Q8_0]);
    wanted.into_iter().find(fits).unwrap_or(Target::F16)
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
                vision("blocks.1.0.pw_proj.conv.weight"),
                &[16, 64, 1, 1],
                Target::Q8_0,
            ),
            (
                vision("blocks.1.0.layer_scale.gamma"),
                &[1, 32, 1, 1],
                Target::F32,
            ),
        ] {
            assert_eq!(
                target(Quantisation::Q8_0, &name, shape),
                Some(expected),
                "{name}"
            );
        }
        assert_eq!(
            target(Quantisation::Q8_0, "rope_freqs.weight", &[64, 64]),
            None
        );
        for (name, columns, q4_0, q4k) in [
            (text("embed_tokens.weight"), 2048, Target::Q6K, Target::Q6K),
            (text("embed_tokens.weight"), 128, Target::Q8_0, Target::Q8_0),
            (
                text("layers.0.mlp.down_proj.weight"),
                8192,
                Target::Q4_0,
                Target::Q4K,
            ),
            (
                text("layers.0.mlp.down_proj.weight"),
                96,
                Target::Q4_0,
                Target::Q4_0,
            ),
            (
                text("layers.0.mlp.down_proj.weight"),
                20,
                Target::F16,
                Target::F16,
            ),
            (
                text("layers.0.laurel.linear_left.weight"),
                2048,
                Target::Q8_0,
                Target::Q8_0,
            ),
            (
                text("altup_projections.0.weight"),
                2048,
                Target::Q8_0,
                Target::Q8_0,
            ),
            (
                audio("conformer.0.attention.post.weight"),
                1536,
                Target::Q8_0,
                Target::Q8_0,
            ),
        ] {
            for (quantisation, expected) in [(Quantisation::Q4_0, q4_0), (Quantisation::Q4K, q4k)] {
                let found = target(quantisation, &name, &[64, columns]);
                assert_eq!(found, Some(expected), "{name} {columns} {quantisation:?}");
            }
        }
    }
}

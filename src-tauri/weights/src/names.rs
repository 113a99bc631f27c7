//! One set of tensor names.
//!
//! Inside Sotto a tensor is called what the published multimodal folder calls it (`model.language_model.layers.0...`).
//! Text-only folders leave a level out and GGUF files use names of their own; both are translated here.

/// Which of the two files of a GGUF package holds a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    Text,
    Projector,
}

/// Where a tensor lies in a GGUF package.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GgufName {
    pub part: Part,
    pub name: String,
    /// Which slice along the outermost axis, for tensors that GGUF keeps stacked.
    pub stacked: Option<usize>,
}

/// What a GGUF tensor is called here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Canonical {
    One(String),
    /// Slice `i` along the outermost axis is `{prefix}{i}.weight`.
    Stack {
        prefix: &'static str,
    },
}

const TEXT: &str = "model.language_model.";
pub(crate) const VISION: &str = "model.vision_tower.timm_model.";
const AUDIO: &str = "model.audio_tower.";

/// Names without a number, GGUF first.
const SINGLE: &[(Part, &str, &str)] = &[
    (
        Part::Text,
        "token_embd.weight",
        "model.language_model.embed_tokens.weight",
    ),
    (Part::Text, "output.weight", "lm_head.weight"),
    (
        Part::Text,
        "output_norm.weight",
        "model.language_model.norm.weight",
    ),
    (
        Part::Text,
        "per_layer_token_embd.weight",
        "model.language_model.embed_tokens_per_layer.weight",
    ),
    (
        Part::Text,
        "per_layer_model_proj.weight",
        "model.language_model.per_layer_model_projection.weight",
    ),
    (
        Part::Text,
        "per_layer_proj_norm.weight",
        "model.language_model.per_layer_projection_norm.weight",
    ),
    (
        Part::Projector,
        "mm.embedding.weight",
        "model.embed_vision.embedding.weight",
    ),
    (
        Part::Projector,
        "mm.hard_emb_norm.weight",
        "model.embed_vision.hard_embedding_norm.weight",
    ),
    (
        Part::Projector,
        "mm.soft_emb_norm.weight",
        "model.embed_vision.soft_embedding_norm.weight",
    ),
    (
        Part::Projector,
        "mm.input_projection.weight",
        "model.embed_vision.embedding_projection.weight",
    ),
    (
        Part::Projector,
        "mm.a.embedding.weight",
        "model.embed_audio.embedding.weight",
    ),
    (
        Part::Projector,
        "mm.a.hard_emb_norm.weight",
        "model.embed_audio.hard_embedding_norm.weight",
    ),
    (
        Part::Projector,
        "mm.a.soft_emb_norm.weight",
        "model.embed_audio.soft_embedding_norm.weight",
    ),
    (
        Part::Projector,
        "mm.a.input_projection.weight",
        "model.embed_audio.embedding_projection.weight",
    ),
    (
        Part::Projector,
        "a.conv1d.0.weight",
        "model.audio_tower.subsample_conv_projection.conv_0.conv.weight",
    ),
    (
        Part::Projector,
        "a.conv1d.0.norm.weight",
        "model.audio_tower.subsample_conv_projection.conv_0.norm.weight",
    ),
    (
        Part::Projector,
        "a.conv1d.1.weight",
        "model.audio_tower.subsample_conv_projection.conv_1.conv.weight",
    ),
    (
        Part::Projector,
        "a.conv1d.1.norm.weight",
        "model.audio_tower.subsample_conv_projection.conv_1.norm.weight",
    ),
    (
        Part::Projector,
        "a.pre_encode.out.weight",
        "model.audio_tower.subsample_conv_projection.input_proj_linear.weight",
    ),
];

/// Matrices that GGUF stacks into one tensor.
const STACKED: &[(&str, &str)] = &[
    (
        "altup_proj.weight",
        "model.language_model.altup_projections.",
    ),
    (
        "altup_unembd_proj.weight",
        "model.language_model.altup_unembed_projections.",
    ),
];

/// `blk.N.` and `model.language_model.layers.N.`.
const LAYER: &[(&str, &str)] = &[
    ("attn_norm.weight", "input_layernorm.weight"),
    (
        "post_attention_norm.weight",
        "post_attention_layernorm.weight",
    ),
    ("ffn_norm.weight", "pre_feedforward_layernorm.weight"),
    ("post_ffw_norm.weight", "post_feedforward_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("attn_q_norm.weight", "self_attn.q_norm.weight"),
    ("attn_k_norm.weight", "self_attn.k_norm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
    ("inp_gate.weight", "per_layer_input_gate.weight"),
    ("proj.weight", "per_layer_projection.weight"),
    ("post_norm.weight", "post_per_layer_input_norm.weight"),
    ("altup_correct_coef.weight", "altup.correction_coefs.weight"),
    ("altup_predict_coef.weight", "altup.prediction_coefs.weight"),
    ("altup_correct_scale.weight", "altup.correct_output_scale"), // Without `.weight`, as published.
    ("altup_router.weight", "altup.modality_router.weight"),
    ("altup_router_norm.weight", "altup.router_norm.weight"),
    ("laurel_l.weight", "laurel.linear_left.weight"),
    ("laurel_r.weight", "laurel.linear_right.weight"),
    ("laurel_post_norm.weight", "laurel.post_laurel_norm.weight"),
];

/// `a.blk.N.` and `model.audio_tower.conformer.N.`. Mind `conv_norm` and `norm_conv`.
const CONFORMER: &[(&str, &str)] = &[
    ("ffn_norm.weight", "ffw_layer_start.pre_layer_norm.weight"),
    ("ffn_up.weight", "ffw_layer_start.ffw_layer_1.weight"),
    ("ffn_down.weight", "ffw_layer_start.ffw_layer_2.weight"),
    (
        "ffn_post_norm.weight",
        "ffw_layer_start.post_layer_norm.weight",
    ),
    ("ffn_norm_1.weight", "ffw_layer_end.pre_layer_norm.weight"),
    ("ffn_up_1.weight", "ffw_layer_end.ffw_layer_1.weight"),
    ("ffn_down_1.weight", "ffw_layer_end.ffw_layer_2.weight"),
    (
        "ffn_post_norm_1.weight",
        "ffw_layer_end.post_layer_norm.weight",
    ),
    ("ln1.weight", "attention.pre_attn_norm.weight"),
    ("attn_q.weight", "attention.attn.q_proj.weight"),
    ("attn_k.weight", "attention.attn.k_proj.weight"),
    ("attn_v.weight", "attention.attn.v_proj.weight"),
    ("per_dim_scale", "attention.attn.per_dim_scale"),
    (
        "linear_pos.weight",
        "attention.attn.relative_position_embedding.pos_proj.weight",
    ),
    ("attn_out.weight", "attention.post.weight"),
    ("ln2.weight", "attention.post_norm.weight"),
    ("conv_norm.weight", "lconv1d.pre_layer_norm.weight"),
    ("conv_pw1.weight", "lconv1d.linear_start.weight"),
    ("conv_dw.weight", "lconv1d.depthwise_conv1d.weight"),
    ("norm_conv.weight", "lconv1d.conv_norm.weight"),
    ("conv_pw2.weight", "lconv1d.linear_end.weight"),
    ("layer_pre_norm.weight", "norm.weight"),
];

/// The name of a GGUF tensor here, or `None` for one that Gemma 3n does not have.
pub(crate) fn from_gguf(name: &str) -> Option<Canonical> {
    if let Some((_, _, canonical)) = SINGLE.iter().find(|(_, gguf, _)| *gguf == name) {
        return Some(Canonical::One((*canonical).to_owned()));
    }
    if let Some(&(_, prefix)) = STACKED.iter().find(|(gguf, _)| *gguf == name) {
        return Some(Canonical::Stack { prefix });
    }
    if let Some((n, rest)) = name.strip_prefix("blk.").and_then(split_number) {
        let (_, rest) = LAYER.iter().find(|(gguf, _)| *gguf == rest)?;
        return Some(Canonical::One(format!("{TEXT}layers.{n}.{rest}")));
    }
    if let Some((n, rest)) = name.strip_prefix("a.blk.").and_then(split_number) {
        let (_, rest) = CONFORMER.iter().find(|(gguf, _)| *gguf == rest)?;
        return Some(Canonical::One(format!("{AUDIO}conformer.{n}.{rest}")));
    }
    // The vision tower keeps its own names behind the prefix.
    let rest = name.strip_prefix("v.")?;
    if let Some(rest) = rest.strip_prefix("blk.") {
        return Some(Canonical::One(format!("{VISION}blocks.{rest}")));
    }
    if rest.starts_with("conv_stem.") || rest.starts_with("msfa.") {
        return Some(Canonical::One(format!("{VISION}{rest}")));
    }
    None
}

/// Where a GGUF package keeps the tensor that is called `canonical` here; the inverse of what opening one does.
pub fn gguf_name(canonical: &str) -> Option<GgufName> {
    let single = |part, name: String| {
        Some(GgufName {
            part,
            name,
            stacked: None,
        })
    };
    if let Some((part, gguf, _)) = SINGLE.iter().find(|(_, _, name)| *name == canonical) {
        return single(*part, (*gguf).to_owned());
    }
    for (gguf, prefix) in STACKED {
        let slice = canonical.strip_prefix(prefix).and_then(split_number);
        if let Some((i, "weight")) = slice {
            return Some(GgufName {
                part: Part::Text,
                name: (*gguf).to_owned(),
                stacked: Some(i),
            });
        }
    }
    if let Some(rest) = canonical.strip_prefix(TEXT) {
        let (n, rest) = rest.strip_prefix("layers.").and_then(split_number)?;
        let (gguf, _) = LAYER.iter().find(|(_, name)| *name == rest)?;
        return single(Part::Text, format!("blk.{n}.{gguf}"));
    }
    if let Some(rest) = canonical.strip_prefix(AUDIO) {
        let (n, rest) = rest.strip_prefix("conformer.").and_then(split_number)?;
        let (gguf, _) = CONFORMER.iter().find(|(_, name)| *name == rest)?;
        return single(Part::Projector, format!("a.blk.{n}.{gguf}"));
    }
    let rest = canonical.strip_prefix(VISION)?;
    if let Some(rest) = rest.strip_prefix("blocks.") {
        return single(Part::Projector, format!("v.blk.{rest}"));
    }
    if rest.starts_with("conv_stem.") || rest.starts_with("msfa.") {
        return single(Part::Projector, format!("v.{rest}"));
    }
    None
}

/// Gives the tensors of a text-only folder (`model.layers.0...`) the level that they lack.
pub(crate) fn from_folder(name: String) -> String {
    const MULTIMODAL: [&str; 5] = [
        "language_model.",
        "vision_tower.",
        "audio_tower.",
        "embed_vision.",
        "embed_audio.",
    ];
    match name.strip_prefix("model.") {
        Some(rest) if !MULTIMODAL.iter().any(|part| rest.starts_with(part)) => {
            format!("{TEXT}{rest}")
        }
        _ => name,
    }
}

/// The shape that a tensor has in a folder, from that in a package: one file or another stores vectors with axes of
/// length one around them, and ours 1x1 convolutions as the matrices that they are.
pub(crate) fn canonical_shape(canonical: &str, shape: Box<[usize]>) -> Box<[usize]> {
    let is_vector =
        canonical.ends_with("conv_stem.conv.bias") || canonical.ends_with(".layer_scale.gamma");
    match *shape {
        _ if !canonical.starts_with(VISION) => shape,
        [n_out, n_in] => [n_out, n_in, 1, 1].into(),
        _ if is_vector => {
            let long: Box<[usize]> = shape.iter().copied().filter(|&n| n != 1).collect();
            match long.len() {
                0 => [1].into(),
                1 => long,
                _ => shape,
            }
        }
        _ => shape,
    }
}

/// Splits `12.rest` into the number and the rest. Numbers are written one way only, so that no two names coincide.
fn split_number(text: &str) -> Option<(usize, &str)> {
    let (digits, rest) = text.split_once('.')?;
    let canonical =
        digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    if !canonical {
        return None;
    }
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(canonical: &str, part: Part, gguf: &str) {
        let place = gguf_name(canonical).unwrap_or_else(|| panic!("{canonical} has no GGUF name"));
        assert_eq!((place.part, place.name.as_str()), (part, gguf));
        match place.stacked {
            None => assert_eq!(from_gguf(gguf), Some(Canonical::One(canonical.to_owned()))),
            Some(i) => {
                let Some(Canonical::Stack { prefix }) = from_gguf(gguf) else {
                    panic!("{gguf} is not stacked")
                };
                assert_eq!(format!("{prefix}{i}.weight"), canonical);
            }
        }
    }

    #[test]
    fn every_table_row_round_trips() {
        for (part, gguf, canonical) in SINGLE {
            check(canonical, *part, gguf);
        }
        for (gguf, canonical) in LAYER {
            check(
                &format!("{TEXT}layers.34.{canonical}"),
                Part::Text,
                &format!("blk.34.{gguf}"),
            );
        }
        for (gguf, canonical) in CONFORMER {
            check(
                &format!("{AUDIO}conformer.0.{canonical}"),
                Part::Projector,
                &format!("a.blk.0.{gguf}"),
            );
        }
        for (gguf, prefix) in STACKED {
            check(&format!("{prefix}2.weight"), Part::Text, gguf);
        }
    }

    #[test]
    fn vision_keeps_its_own_names() {
        let tower = "model.vision_tower.timm_model.";
        check(
            &format!("{tower}blocks.2.3.attn.key.down_conv.weight"),
            Part::Projector,
            "v.blk.2.3.attn.key.down_conv.weight",
        );
        check(
            &format!("{tower}conv_stem.conv.bias"),
            Part::Projector,
            "v.conv_stem.conv.bias",
        );
        check(
            &format!("{tower}msfa.ffn.pw_exp.bn.weight"),
            Part::Projector,
            "v.msfa.ffn.pw_exp.bn.weight",
        );
    }

    #[test]
    fn leaves_strangers_alone() {
        for name in [
            "blk.x.attn_q.weight",
            "blk.01.attn_q.weight",
            "blk.0.rope_freqs.weight",
            "v.patch_embd.weight",
            "",
        ] {
            assert_eq!(from_gguf(name), None, "{name}");
        }
        for name in [
            "model.language_model.layers.0.new.weight",
            "altup_proj.weight",
            "model.language_model.altup_projections.0.bias",
        ] {
            assert_eq!(gguf_name(name), None, "{name}");
        }
    }

    #[test]
    fn text_only_folders_gain_the_missing_level() {
        for (found, expected) in [
            (
                "model.layers.0.mlp.up_proj.weight",
                "model.language_model.layers.0.mlp.up_proj.weight",
            ),
            ("model.norm.weight", "model.language_model.norm.weight"),
            (
                "model.language_model.norm.weight",
                "model.language_model.norm.weight",
            ),
            (
                "model.embed_audio.embedding.weight",
                "model.embed_audio.embedding.weight",
            ),
            ("lm_head.weight", "lm_head.weight"),
            ("extra", "extra"),
        ] {
            assert_eq!(from_folder(found.to_owned()), expected);
        }
    }
}

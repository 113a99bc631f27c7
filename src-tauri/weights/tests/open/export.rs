//! A folder written as a GGUF package and opened again.

use std::collections::BTreeSet;

use serde_json::json;
use weights::{Checkpoint, Gguf, Metadata, export};

use crate::files::{Folder, gemma3n, one_tensor, tiny};

const UNCHANGED: export::Options<'_> = export::Options {
    quantisation: None,
    submodels: None,
    name: None,
    watch: None,
};

fn gguf(model: &Checkpoint) -> &Gguf {
    match model.metadata() {
        Metadata::Gguf(gguf) => gguf,
        Metadata::Json(_) => panic!("not a GGUF model"),
    }
}

#[track_caller]
fn assert_same_tensors(from: &Checkpoint, to: &Checkpoint) {
    assert_eq!(
        from.names().collect::<BTreeSet<_>>(),
        to.names().collect::<BTreeSet<_>>()
    );
    for name in from.names() {
        let (a, b) = (from.tensor(name).unwrap(), to.tensor(name).unwrap());
        assert_eq!((a.dtype, a.shape), (b.dtype, b.shape), "{name}");
        assert!(a.bytes == b.bytes, "{name} differs");
    }
}

#[test]
fn the_tiny_model_comes_back_unchanged() {
    let folder = Folder::new();
    let (text, projector) = (folder.file("tiny.gguf"), folder.file("tiny.mmproj.gguf"));
    let from = Checkpoint::open(&tiny("checkpoint")).unwrap();
    export::write_gguf(&from, &text, Some(&projector), &UNCHANGED).unwrap();
    let model = Checkpoint::open(&text).unwrap();
    assert_same_tensors(&from, &model);
    assert_same_tensors(&from, &Checkpoint::open(folder.path()).unwrap());

    let gguf = gguf(&model);
    for (key, expected) in [
        ("gemma3n.vocab_size", 544),
        ("gemma3n.context_length", 512),
        ("gemma3n.embedding_length", 64),
        ("gemma3n.block_count", 15),
        ("gemma3n.attention.head_count", 4),
        ("gemma3n.attention.head_count_kv", 2),
        ("gemma3n.attention.key_length", 16),
        ("gemma3n.attention.value_length", 16),
        ("gemma3n.attention.sliding_window", 16),
        ("gemma3n.attention.shared_kv_layers", 10),
        ("gemma3n.altup.active_idx", 0),
        ("gemma3n.altup.num_inputs", 4),
        ("gemma3n.embedding_length_per_layer_input", 16),
        ("sotto.vision.vocab_offset", 512),
        ("sotto.audio.vocab_offset", 528),
        ("sotto.token.image", 513),
        ("sotto.token.audio", 529),
        ("tokenizer.ggml.bos_token_id", 2),
        ("tokenizer.ggml.eos_token_id", 1),
        ("tokenizer.ggml.eot_token_id", 6),
        ("tokenizer.ggml.unknown_token_id", 3),
        ("tokenizer.ggml.padding_token_id", 0),
        ("clip.vision.image_size", 192),
        ("clip.vision.projection_dim", 64),
        ("clip.audio.embedding_length", 48),
        ("clip.audio.block_count", 3),
        ("clip.audio.attention.head_count", 4),
        ("clip.audio.feed_forward_length", 192),
        ("clip.audio.num_mel_bins", 128),
        ("clip.audio.projection_dim", 64),
        ("sotto.vision.soft_tokens", 16),
        ("sotto.audio.soft_tokens", 20),
        ("sotto.audio.attention_chunk_size", 8),
        ("sotto.audio.attention_context_left", 9),
        ("sotto.audio.attention_context_right", 0),
        ("sotto.audio.reduction_factor", 4),
    ] {
        assert_eq!(gguf.u64(key).unwrap(), expected, "{key}");
    }
    for (key, expected) in [
        ("gemma3n.attention.layer_norm_rms_epsilon", 1e-6),
        ("gemma3n.rope.freq_base", 1e6),
        ("gemma3n.rope.freq_base_swa", 1e4),
        ("gemma3n.final_logit_softcapping", 30.0),
        ("general.sampling.temp", 1.0),
        ("general.sampling.top_k", 64.0),
        ("general.sampling.top_p", 0.95),
    ] {
        assert_eq!(gguf.f32(key).unwrap(), expected, "{key}");
    }
    for (key, expected) in [
        ("tokenizer.ggml.model", "llama"),
        ("clip.vision.projector_type", "gemma3nv"),
        ("clip.audio.projector_type", "gemma3na"),
    ] {
        assert_eq!(gguf.string(key).unwrap(), expected);
    }
    for (key, expected) in [
        ("tokenizer.ggml.add_bos_token", true),
        ("tokenizer.ggml.add_space_prefix", false),
        ("clip.has_vision_encoder", true),
        ("clip.has_audio_encoder", true),
    ] {
        assert_eq!(gguf.bool(key).unwrap(), expected, "{key}");
    }
    let widths = [
        128, 128, 96, 128, 160, 128, 128, 64, 128, 160, 128, 96, 128, 128, 160,
    ];
    assert_eq!(
        gguf.u64_or_array("gemma3n.feed_forward_length", 15)
            .unwrap(),
        widths
    );
    let sliding: Vec<bool> = (1..=15).map(|n| n % 5 != 0).collect();
    assert_eq!(
        gguf.bool_array("gemma3n.attention.sliding_window_pattern")
            .unwrap(),
        sliding
    );
    let scale = gguf.f32_array("gemma3n.activation_sparsity_scale").unwrap();
    assert_eq!(
        scale[..5],
        [1.644_853_6, 1.644_853_6, 1.644_853_6, 1.644_853_6, 0.0]
    );
    assert!(scale[5..].iter().all(|&z| z == f32::NEG_INFINITY));
    assert_eq!(gguf.f32_array("clip.vision.image_std").unwrap(), [1.0; 3]);
    assert_eq!(
        gguf.string("tokenizer.chat_template").unwrap(),
        from.text_file("chat_template.jinja").unwrap().unwrap(),
    );
    let arguments: serde_json::Value =
        serde_json::from_str(gguf.string("sotto.vision.model_args").unwrap()).unwrap();
    assert_eq!(arguments["stem_size"], 16);
    assert_eq!(
        model.preprocessor_config().unwrap(),
        from.preprocessor_config().unwrap()
    );
}

#[test]
fn the_tokenizer_comes_along() {
    let folder = Folder::new();
    let from = Checkpoint::open(&tiny("checkpoint")).unwrap();
    export::write_gguf(&from, &folder.file("tiny.gguf"), None, &UNCHANGED).unwrap();
    let model = Checkpoint::open(&folder.file("tiny.gguf")).unwrap();
    assert!(!model.names().any(|name| name.contains("tower")));
    let gguf = gguf(&model);
    let tokens = gguf.string_array("tokenizer.ggml.tokens").unwrap();
    let scores = gguf.f32_array("tokenizer.ggml.scores").unwrap();
    let types = gguf.i32_array("tokenizer.ggml.token_type").unwrap();
    assert_eq!((tokens.len(), scores.len(), types.len()), (544, 544, 544));
    let piece = |text: &str| {
        let id = tokens.iter().position(|token| token == text).unwrap();
        (id, scores[id], types[id])
    };
    assert_eq!(piece("<pad>"), (0, -1000.0, 3));
    assert_eq!(piece("<unk>"), (3, -1000.0, 2));
    assert_eq!(piece("<end_of_turn>"), (6, -1000.0, 3));
    assert_eq!(piece("\n\n"), (8, -1000.0, 4));
    assert_eq!(piece("<0x00>"), (10, 0.0, 6));
    assert_eq!(
        (piece("th").1, piece("▁th").1, piece("▁the").1),
        (0.0, -1.0, -2.0)
    );
    assert_eq!(piece("▁"), (266, -149.0, 1), "149 merges come first");
    // Its merges are not all that the scores allow, so they are listed.
    let merges = gguf.string_array("tokenizer.ggml.merges").unwrap();
    assert_eq!((merges.len(), merges.get(1)), (149, Some("▁ th")));
}

#[test]
fn a_text_only_folder_needs_no_tokenizer() {
    let folder = Folder::new();
    let from = Checkpoint::open(&tiny("checkpoint-sliced-text")).unwrap();
    export::write_gguf(&from, &folder.file("slice.gguf"), None, &UNCHANGED).unwrap();
    let model = Checkpoint::open(&folder.file("slice.gguf")).unwrap();
    assert_same_tensors(&from, &model);
    assert_eq!(gguf(&model).string("tokenizer.ggml.model").unwrap(), "none");
    assert_eq!(gguf(&model).f32("gemma3n.rope.freq_base_swa").unwrap(), 1e4);
    let nothing = export::write_gguf(
        &from,
        &folder.file("a.gguf"),
        Some(&folder.file("b.gguf")),
        &UNCHANGED,
    )
    .unwrap_err();
    assert!(
        nothing
            .to_string()
            .contains("has neither a vision nor an audio tower")
    );
    assert!(
        !folder.file("a.gguf").exists(),
        "asked before anything is written"
    );
}

#[test]
fn what_cannot_be_exported_is_said() {
    let folder = Folder::with_config(&gemma3n());
    folder.write("model.safetensors", one_tensor("a"));
    let from = Checkpoint::open(folder.path()).unwrap();
    let out = folder.file("out.gguf");
    let error = export::write_gguf(&from, &out, None, &UNCHANGED)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("config.json has no key num_hidden_layers, expected an integer"),
        "{error}"
    );
    assert!(!out.exists());

    let mut config: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(tiny("checkpoint").join("config.json")).unwrap(),
    )
    .unwrap();
    for (field, value, part) in [
        (
            "vocab_size",
            json!(4_000_000_000u32),
            "text_config.vocab_size in",
        ),
        (
            "num_hidden_layers",
            json!(4_000_000_000u32),
            "text_config.num_hidden_layers in",
        ),
        (
            "intermediate_size",
            json!([1, 2]),
            "is a list of 2 for 15 layers, expected one entry per layer",
        ),
        (
            "activation_sparsity_pattern",
            json!(vec![1.0; 15]),
            "is 1, expected shares from 0 to below 1",
        ),
        (
            "layer_types",
            json!(vec!["mamba"; 15]),
            "is mamba, expected sliding_attention or full_attention",
        ),
        (
            "hidden_size",
            json!("wide"),
            "is \"wide\", expected an integer",
        ),
        (
            "rms_norm_eps",
            json!(null),
            "has no key text_config.rms_norm_eps, expected a number",
        ),
    ] {
        let folder = Folder::new();
        std::fs::copy(
            tiny("checkpoint").join("model.safetensors"),
            folder.file("model.safetensors"),
        )
        .unwrap();
        let right = std::mem::replace(&mut config["text_config"][field], value);
        folder.write("config.json", config.to_string());
        config["text_config"][field] = right;
        let from = Checkpoint::open(folder.path()).unwrap();
        let error = export::write_gguf(&from, &out, None, &UNCHANGED)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
        assert!(!out.exists());
    }

    let slice = Checkpoint::open(&tiny("checkpoint-sliced-text")).unwrap();
    export::write_gguf(&slice, &out, None, &UNCHANGED).unwrap();
    let again = export::write_gguf(
        &Checkpoint::open(&out).unwrap(),
        &folder.file("b.gguf"),
        None,
        &UNCHANGED,
    )
    .unwrap_err();
    assert!(again.to_string().contains("is a GGUF model already"));
}

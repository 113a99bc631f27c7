//! Folders with safetensors files.

use serde_json::json;
use weights::{Checkpoint, DType, Format, Metadata};

use crate::files::{Folder, gemma3n, one_tensor, refuses, safetensors, safetensors_text, tiny};

#[test]
fn opens_the_tiny_model() {
    let model = Checkpoint::open(&tiny("checkpoint")).unwrap();
    assert_eq!(model.format(), Format::HuggingFace);
    assert_eq!(model.names().count(), 545);
    let embedding = model
        .require("model.language_model.embed_tokens.weight", &[544, 64])
        .unwrap();
    assert_eq!(
        (embedding.dtype, embedding.elements()),
        (DType::F32, 544 * 64)
    );
    assert_eq!(
        embedding.row(543),
        embedding.bytes.last_chunk::<256>().map(|row| &row[..])
    );
    assert_eq!(embedding.row(544), None);
    assert_eq!(embedding.file().file_name().unwrap(), "model.safetensors");
    assert!(
        model
            .tensor("model.language_model.norm.weight")
            .unwrap()
            .row(0)
            .is_none()
    );
    let Metadata::Json(config) = model.metadata() else {
        panic!("a folder has a config.json")
    };
    assert_eq!(config["text_config"]["hidden_size"], 64);
    assert_eq!(model.first_not_finite(), None);
    assert_eq!(
        model.total_bytes(),
        model
            .names()
            .map(|n| model.tensor(n).unwrap().bytes.len() as u64)
            .sum::<u64>()
    );
    let name = "model.language_model.embed_tokens_per_layer.weight";
    let table = model.tensor(name).unwrap();
    let mut row = Vec::new();
    assert!(model.read_row(name, 7, &mut row).unwrap());
    assert_eq!(table.row(7), Some(row.as_slice()));
    assert!(!model.read_row(name, table.shape[0], &mut row).unwrap());
    assert!(!model.read_row("no such tensor", 0, &mut row).unwrap());
}

#[test]
fn a_checkpoint_may_be_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Checkpoint>();
}

#[test]
fn text_only_folders_get_the_same_names() {
    let model = Checkpoint::open(&tiny("checkpoint-sliced-text")).unwrap();
    assert_eq!(model.names().count(), 236);
    assert!(
        model
            .names()
            .all(|name| name.starts_with("model.language_model."))
    );
}

#[test]
fn says_what_is_missing_or_of_another_shape() {
    let model = Checkpoint::open(&tiny("checkpoint")).unwrap();
    let missing = model
        .require("model.language_model.layers.99.mlp.up_proj.weight", &[1])
        .unwrap_err();
    assert!(
        missing.to_string().starts_with(
            "tensor model.language_model.layers.99.mlp.up_proj.weight is missing from"
        )
    );
    let shape = model
        .require("model.language_model.norm.weight", &[2048])
        .unwrap_err()
        .to_string();
    assert!(
        shape.contains("norm.weight in ") && shape.ends_with("has shape [64], expected [2048]"),
        "{shape}"
    );
}

#[test]
fn reads_text_files() {
    let model = Checkpoint::open(&tiny("checkpoint")).unwrap();
    assert!(
        model
            .text_file("chat_template.jinja")
            .unwrap()
            .unwrap()
            .contains("start_of_turn")
    );
    assert_eq!(model.text_file("no_such_file.json").unwrap(), None);
    for name in ["../checkpoint/config.json", "..", "", "a/b"] {
        assert!(model.text_file(name).is_err(), "{name}");
    }
}

#[test]
fn text_files_must_be_text_and_not_huge() {
    let folder = Folder::with_config(&gemma3n());
    folder.write("model.safetensors", one_tensor("a"));
    folder.write("tokenizer.json", [b'a', 0xff]);
    let model = Checkpoint::open(folder.path()).unwrap();
    let error = model.text_file("tokenizer.json").unwrap_err().to_string();
    assert!(
        error.contains("tokenizer.json") && error.contains("not UTF-8 text (byte 1)"),
        "{error}"
    );
    let sparse = std::fs::File::create(folder.file("chat_template.jinja")).unwrap();
    sparse.set_len((64 << 20) + 1).unwrap();
    let error = model
        .text_file("chat_template.jinja")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("chat_template.jinja takes 67108865 bytes, more than the 67108864"),
        "{error}"
    );
}

#[test]
fn refuses_what_is_no_model() {
    let folder = Folder::new();
    refuses(&folder.file("nothing"), &["nothing does not exist"]);
    refuses(
        folder.path(),
        &[
            "is not a model",
            "neither model.safetensors nor a GGUF file",
        ],
    );
    let file = folder.write("model.safetensors", one_tensor("a"));
    refuses(folder.path(), &["it has no config.json"]);
    refuses(&file, &["open the folder"]);
    let empty = folder.write("empty.gguf", "");
    refuses(&empty, &["ends at byte 0"]);
    folder.write("config.json", "{");
    refuses(folder.path(), &["config.json", "not JSON"]);
    folder.write("config.json", "[]");
    refuses(folder.path(), &["config.json", "not a JSON object"]);
}

#[test]
fn names_another_architecture() {
    for (config, found) in [
        (
            json!({"model_type": "llama"}),
            "architecture llama, expected gemma3n",
        ),
        (
            json!({"model_type": "gemma3", "architectures": ["Gemma3nForCausalLM"]}),
            "architecture gemma3,",
        ),
        (
            json!({"architectures": ["LlamaForCausalLM"]}),
            "architecture LlamaForCausalLM",
        ),
        (json!({}), "architecture unknown"),
    ] {
        let folder = Folder::with_config(&config);
        folder.write("model.safetensors", one_tensor("a"));
        refuses(folder.path(), &["config.json", found]);
    }
    for config in [
        json!({"architectures": ["Gemma3nForCausalLM"]}),
        json!({"model_type": "gemma3n_text"}),
    ] {
        let folder = Folder::with_config(&config);
        folder.write("model.safetensors", one_tensor("a"));
        Checkpoint::open(folder.path()).unwrap();
    }
}

#[test]
fn refuses_mlx_folders() {
    let quantised = json!({"model_type": "gemma3n", "quantization": {"group_size": 64, "bits": 4}});
    let header = json!({
        "a.weight": {"dtype": "U32", "shape": [1], "data_offsets": [0, 4]},
        "a.scales": {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]},
    });
    for (config, file) in [
        (quantised, one_tensor("a")),
        (gemma3n(), safetensors(&header, 8)),
        (gemma3n(), one_tensor("language_model.model.norm.weight")),
    ] {
        let folder = Folder::with_config(&config);
        folder.write("model.safetensors", file);
        refuses(
            folder.path(),
            &["is an MLX 4-bit folder, which this version cannot open"],
        );
    }
}

#[test]
fn finds_a_single_file_of_any_name() {
    let folder = Folder::with_config(&gemma3n());
    folder.write("gemma.safetensors", one_tensor("model.norm.weight"));
    assert!(
        Checkpoint::open(folder.path())
            .unwrap()
            .contains("model.language_model.norm.weight")
    );
    folder.write("other.safetensors", one_tensor("b"));
    refuses(
        folder.path(),
        &["2 safetensors files", "model.safetensors.index.json"],
    );
    folder.write("model.safetensors", one_tensor("c"));
    assert!(Checkpoint::open(folder.path()).unwrap().contains("c"));
}

#[test]
fn follows_the_index() {
    let folder = Folder::with_config(&gemma3n());
    let index = |map| {
        folder.write(
            "model.safetensors.index.json",
            json!({"metadata": {}, "weight_map": map}).to_string(),
        )
    };
    index(json!({"a": "1.safetensors", "model.norm.weight": "2.safetensors"}));
    folder.write("1.safetensors", one_tensor("a"));
    refuses(
        folder.path(),
        &["lists 2.safetensors, which is missing; download it"],
    );
    folder.write("2.safetensors", one_tensor("b"));
    refuses(
        folder.path(),
        &[
            "tensor model.language_model.norm.weight in",
            "2.safetensors",
            "does not",
        ],
    );
    folder.write("2.safetensors", one_tensor("model.norm.weight"));
    let model = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(
        model.names().collect::<Vec<_>>(),
        ["a", "model.language_model.norm.weight"]
    );
    assert!(model.tensor("a").unwrap().file().ends_with("1.safetensors"));

    folder.write("2.safetensors", one_tensor("a"));
    index(json!({"a": "1.safetensors", "b": "2.safetensors"}));
    refuses(
        folder.path(),
        &["tensor a in", "2.safetensors", "1.safetensors holds it too"],
    );
    for outside in ["../1.safetensors", "/etc/passwd", "..", ""] {
        index(json!({"a": outside}));
        refuses(folder.path(), &["index.json", "not a file of this folder"]);
    }
    index(json!({}));
    refuses(folder.path(), &["lists no tensor"]);
    folder.write("model.safetensors.index.json", "{}");
    refuses(folder.path(), &["index.json", "weight_map"]);
}

#[test]
fn checks_the_header() {
    let tensor = |dtype: &str, shape: &[u64], from: u64, to: u64| json!({"t": {"dtype": dtype, "shape": shape, "data_offsets": [from, to]}});
    let huge = u64::MAX;
    for (bytes, parts) in [
        (vec![1, 2, 3], ["ends at byte 3", "the header's length"]),
        (
            1000u64.to_le_bytes().to_vec(),
            ["ends at byte 8", "the list of tensors"],
        ),
        (
            huge.to_le_bytes().to_vec(),
            ["wrong header", "18446744073709551615 bytes"],
        ),
        (
            safetensors_text("{", 0),
            ["wrong header", "not the expected JSON"],
        ),
        (
            safetensors_text("[]", 0),
            ["wrong header", "not the expected JSON"],
        ),
        (
            safetensors_text(&"[".repeat(1 << 16), 0),
            ["wrong header", "not the expected JSON"],
        ),
        (
            safetensors(&json!({"t": {"dtype": "F32"}}), 0),
            ["wrong header", "shape"],
        ),
        (
            safetensors(&tensor("I8", &[8], 0, 8), 8),
            ["tensor t in", "stored as I8, which cannot be read"],
        ),
        (
            safetensors(&tensor("F8_E4M3", &[8], 0, 8), 8),
            ["tensor t in", "stored as F8_E4M3"],
        ),
        (
            safetensors(&tensor("F32", &[2], 0, 8), 7),
            ["cut short at byte", "download it again"],
        ),
        (
            safetensors(&tensor("F32", &[2], 0, huge), 8),
            ["wrong header", "end at byte 18446744073709551615"],
        ),
        (
            safetensors(&tensor("F32", &[2], 0, 4), 8),
            ["tensor t in", "f32 [2] takes 8 bytes"],
        ),
        (
            safetensors(&tensor("F32", &[2], 8, 0), 8),
            ["tensor t in", "at bytes 8 to 0"],
        ),
        (
            safetensors(&tensor("F32", &[2, 0], 0, 0), 8),
            ["tensor t in", "holds no element"],
        ),
        (
            safetensors(&tensor("F32", &[1 << 40, 1 << 40], 0, 8), 8),
            ["tensor t in", "too large for any file"],
        ),
        (
            safetensors(&tensor("F32", &[1 << 62], 0, 8), 8),
            ["tensor t in", "too large for any file"],
        ),
        (
            safetensors_text(
                r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                8,
            ),
            ["tensor t in", "lists it twice"],
        ),
        (
            safetensors_text(
                r#"{"s":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12,
            ),
            ["tensor t in", "overlaps tensor s"],
        ),
    ] {
        let folder = Folder::with_config(&gemma3n());
        folder.write("model.safetensors", bytes);
        refuses(
            folder.path(),
            &[&["model.safetensors"], &parts[..]].concat(),
        );
    }
}

#[test]
fn says_where_a_number_is_not_finite() {
    let folder = Folder::with_config(&gemma3n());
    let header = json!({
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]},
        "c": {"dtype": "F16", "shape": [2], "data_offsets": [12, 16]},
    });
    let mut bytes = safetensors(&header, 16);
    let start = bytes.len() - 16;
    let mut first = |at: usize, value: &[u8]| {
        bytes[start + at..start + at + value.len()].copy_from_slice(value);
        folder.write("model.safetensors", &bytes);
        Checkpoint::open(folder.path()).unwrap().first_not_finite()
    };
    assert_eq!(first(0, &f32::MAX.to_le_bytes()), None);
    assert_eq!(first(14, &0x7e00u16.to_le_bytes()), Some("c".to_owned()));
    assert_eq!(first(10, &0xff80u16.to_le_bytes()), Some("b".to_owned()));
    assert_eq!(first(4, &f32::NAN.to_le_bytes()), Some("a".to_owned()));
}

#[cfg(unix)]
#[test]
fn does_not_wait_for_special_files() {
    let folder = Folder::with_config(&gemma3n());
    std::os::unix::fs::symlink("/dev/zero", folder.file("model.safetensors")).unwrap();
    refuses(folder.path(), &["model.safetensors", "not a regular file"]);
    refuses(std::path::Path::new("/dev/zero"), &["not a regular file"]);
}

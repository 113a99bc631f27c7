//! Files cut short at every byte, and files with flipped bytes: an error or a model, never a panic.

use serde_json::json;
use weights::Checkpoint;

use crate::files::{Folder, Raw, gemma3n, refuses, safetensors, text};

fn good_safetensors() -> Vec<u8> {
    let header = json!({
        "__metadata__": {"format": "pt"},
        "model.norm.weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "model.layers.0.mlp.up_proj.weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [16, 28]},
        "lm_head.weight": {"dtype": "F16", "shape": [1, 2], "data_offsets": [28, 32]},
    });
    safetensors(&header, 32)
}

fn good_gguf() -> Vec<u8> {
    let strings = [
        &8u32.to_le_bytes()[..],
        &2u64.to_le_bytes(),
        &text("<pad>"),
        &text("▁a"),
    ]
    .concat();
    let nested = [
        &9u32.to_le_bytes()[..],
        &1u64.to_le_bytes(),
        &7u32.to_le_bytes(),
        &1u64.to_le_bytes(),
        &[1],
    ]
    .concat();
    let floats = [
        &6u32.to_le_bytes()[..],
        &1u64.to_le_bytes(),
        &1.5f32.to_le_bytes(),
    ]
    .concat();
    Raw::gemma3n()
        .u32("general.alignment", 32)
        .value("tokenizer.ggml.tokens", 9, &strings)
        .value("nested", 9, &nested)
        .value("gemma3n.activation_sparsity_scale", 9, &floats)
        .value("big", 10, &u64::MAX.to_le_bytes())
        .tensor("blk.0.ffn_up.weight", &[32, 2], 2, 0)
        .tensor("altup_proj.weight", &[2, 2, 3], 0, 64)
        .tensor("output_norm.weight", &[4], 0, 128)
        .bytes(144)
}

/// Uses all that an opened model offers, so that a wrong range would be noticed.
fn walk(model: &Checkpoint) {
    for name in model.names() {
        let tensor = model.tensor(name).expect("every name has a tensor");
        assert_eq!(
            tensor.dtype.bytes_for(tensor.elements()),
            Some(tensor.bytes.len())
        );
        if let [rows, _] = *tensor.shape {
            assert!(tensor.row(rows - 1).is_some() && tensor.row(rows).is_none());
            let mut row = Vec::new();
            assert!(model.read_row(name, rows - 1, &mut row).unwrap());
            assert_eq!(tensor.row(rows - 1), Some(row.as_slice()));
        }
    }
    model.first_not_finite();
}

#[test]
fn every_truncation_is_a_sentence() {
    let folder = Folder::with_config(&gemma3n());
    let bytes = good_safetensors();
    for end in 0..bytes.len() {
        folder.write("model.safetensors", &bytes[..end]);
        refuses(
            folder.path(),
            &["model.safetensors", &format!(" at byte {end}")],
        );
    }
    folder.write("model.safetensors", &bytes);
    walk(&Checkpoint::open(folder.path()).unwrap());

    let folder = Folder::new();
    let bytes = good_gguf();
    for end in 0..bytes.len() {
        let path = folder.write("model.gguf", &bytes[..end]);
        refuses(&path, &["model.gguf", &format!(" at byte {end}")]);
    }
    walk(&Checkpoint::open(&folder.write("model.gguf", &bytes)).unwrap());
}

#[test]
fn a_truncated_projector_is_a_sentence() {
    let folder = Folder::new();
    let path = folder.write("model.gguf", good_gguf());
    let bytes = Raw::clip("gemma3nv")
        .tensor("mm.embedding.weight", &[2, 1], 0, 0)
        .bytes(8);
    for end in 0..bytes.len() {
        folder.write("model.mmproj.gguf", &bytes[..end]);
        refuses(&path, &["model.mmproj.gguf", &format!(" at byte {end}")]);
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    let folder = Folder::with_config(&gemma3n());
    let mut opened = 0;
    for (name, good) in [
        ("model.safetensors", good_safetensors()),
        ("model.gguf", good_gguf()),
    ] {
        for _ in 0..4000 {
            let mut bytes = good.clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] = match random.below(4) {
                    0 => bytes[at] ^ 1 << random.below(8),
                    1 => 0xff,
                    2 => 0,
                    _ => random.next() as u8,
                };
            }
            let path = folder.write(name, bytes);
            let path = if name == "model.gguf" {
                path.as_path()
            } else {
                folder.path()
            };
            match Checkpoint::open(path) {
                Ok(model) => {
                    walk(&model);
                    opened += 1;
                }
                Err(error) => assert!(
                    error
                        .to_string()
                        .contains(&*folder.path().to_string_lossy()),
                    "{error}"
                ),
            }
        }
    }
    assert!(
        opened > 500,
        "only {opened} survived: the mutations are too coarse to reach the later checks"
    );
}

/// Marsaglia's generator: the same mutations on every run.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

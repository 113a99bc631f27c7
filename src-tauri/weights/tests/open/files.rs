//! Writes small models, right and wrong ones.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use weights::Checkpoint;

/// A folder that is removed with the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    /// With this `config.json`.
    pub fn with_config(config: &Value) -> Self {
        let folder = Self::new();
        folder.write("config.json", config.to_string());
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, bytes).expect("the temporary folder is writable");
        path
    }
}

pub fn gemma3n() -> Value {
    json!({"model_type": "gemma3n", "architectures": ["Gemma3nForConditionalGeneration"]})
}

/// A safetensors file with this header and this many zeros behind it.
pub fn safetensors(header: &Value, data: usize) -> Vec<u8> {
    safetensors_text(&header.to_string(), data)
}

pub fn safetensors_text(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(std::iter::repeat_n(0, data));
    bytes
}

/// A file with one f32 vector of two elements.
pub fn one_tensor(name: &str) -> Vec<u8> {
    safetensors(
        &json!({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
        8,
    )
}

/// Builds the bytes of a GGUF file without asking whether they make sense.
#[derive(Default)]
pub struct Raw {
    values: Vec<u8>,
    n_values: u64,
    tensors: Vec<u8>,
    n_tensors: u64,
}

impl Raw {
    pub fn gemma3n() -> Self {
        Self::default().string("general.architecture", "gemma3n")
    }

    pub fn clip(kind: &str) -> Self {
        Self::default()
            .string("general.architecture", "clip")
            .string("clip.vision.projector_type", kind)
    }

    /// A key with a type's number and the bytes of a value.
    pub fn value(mut self, key: &str, code: u32, bytes: &[u8]) -> Self {
        self.values.extend(text(key));
        self.values.extend(code.to_le_bytes());
        self.values.extend(bytes);
        self.n_values += 1;
        self
    }

    pub fn string(self, key: &str, value: &str) -> Self {
        self.value(key, 8, &text(value))
    }

    pub fn u32(self, key: &str, value: u32) -> Self {
        self.value(key, 4, &value.to_le_bytes())
    }

    /// Dimensions innermost first, as they stand in the file.
    pub fn tensor(mut self, name: &str, dims: &[u64], type_id: u32, offset: u64) -> Self {
        self.tensors.extend(text(name));
        self.tensors.extend((dims.len() as u32).to_le_bytes());
        dims.iter()
            .for_each(|n| self.tensors.extend(n.to_le_bytes()));
        self.tensors.extend(type_id.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.n_tensors += 1;
        self
    }

    pub fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(self.n_tensors.to_le_bytes());
        bytes.extend(self.n_values.to_le_bytes());
        bytes.extend(&self.values);
        bytes.extend(&self.tensors);
        bytes
    }

    /// The whole file, with this many bytes counting up as data.
    pub fn bytes(&self, data: usize) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend((0..data).map(|i| i as u8));
        bytes
    }
}

/// A string with its length before it.
pub fn text(string: &str) -> Vec<u8> {
    [&(string.len() as u64).to_le_bytes(), string.as_bytes()].concat()
}

/// Opening must fail with a sentence that holds all these parts.
#[track_caller]
pub fn refuses(path: &Path, parts: &[&str]) {
    let error = match Checkpoint::open(path) {
        Ok(_) => panic!("{} was opened, expected {parts:?}", path.display()),
        Err(error) => error.to_string(),
    };
    for part in parts {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
    assert!(!error.ends_with('.'), "{error:?}");
}

/// The tiny model of the repository.
pub fn tiny(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/tiny")
        .join(folder)
}

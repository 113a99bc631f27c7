//! What can be wrong with a model on disk, each as a sentence for the person who opened it.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{path} does not exist")]
    NotFound { path: PathBuf },

    #[error("{path} is not a model: {reason}")]
    NotAModel { path: PathBuf, reason: String },

    #[error("cannot {action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    #[error("{file} is cut short at byte {have} of {need}; download it again")]
    Truncated { file: PathBuf, have: u64, need: u64 },

    #[error(
        "{file} ends at byte {have}, inside its header (while reading {reading}); it is cut short or damaged, download it again"
    )]
    CutInHeader {
        file: PathBuf,
        have: u64,
        reading: &'static str,
    },

    #[error("{file} is not a GGUF file: expected it to begin with \"GGUF\", found {found}")]
    BadMagic { file: PathBuf, found: String },

    #[error(
        "{file} is a big-endian GGUF file; only little-endian files can be opened, download that one"
    )]
    BigEndian { file: PathBuf },

    #[error(
        "{file} is GGUF version {version}; versions 2 and 3 can be opened, download a newer file"
    )]
    UnknownVersion { file: PathBuf, version: u32 },

    #[error("{file} has a wrong header: {reason}; download it again")]
    BadHeader { file: PathBuf, reason: String },

    #[error("tensor {tensor} in {file} is wrong: {reason}")]
    BadTensor {
        file: PathBuf,
        tensor: String,
        reason: String,
    },

    #[error("tensor {tensor} in {file} is stored as {found}, which cannot be read; {hint}")]
    UnknownType {
        file: PathBuf,
        tensor: String,
        found: String,
        hint: &'static str,
    },

    #[error("tensor {tensor} is missing from {path}")]
    MissingTensor { path: PathBuf, tensor: String },

    #[error("tensor {tensor} in {file} has shape {found:?}, expected {expected:?}")]
    WrongShape {
        file: PathBuf,
        tensor: String,
        expected: Vec<usize>,
        found: Vec<usize>,
    },

    #[error("{file} has no key {key}, expected {expected}")]
    MissingKey {
        file: PathBuf,
        key: String,
        expected: &'static str,
    },

    #[error("key {key} in {file} is {found}, expected {expected}")]
    WrongValue {
        file: PathBuf,
        key: String,
        expected: &'static str,
        found: String,
    },

    #[error("{file} holds a model of architecture {found}, expected gemma3n (Gemma 3n)")]
    OtherArchitecture { file: PathBuf, found: String },

    #[error(
        "{file} is the projector of a model (images and sound); open the text file that belongs to it"
    )]
    IsProjector { file: PathBuf },

    #[error("{file} is not the projector of a Gemma 3n model: its architecture is {found}")]
    NotAProjector { file: PathBuf, found: String },

    #[error(
        "{file} is part of a model split into {count} files; join them with llama-gguf-split --merge and open the result"
    )]
    SplitGguf { file: PathBuf, count: u64 },

    #[error(
        "{path} is an MLX 4-bit folder, which this version cannot open; use the original folder or a GGUF file"
    )]
    Mlx { path: PathBuf },

    #[error("{file} takes {size} bytes, more than the {limit} that such a file may have")]
    TooLarge {
        file: PathBuf,
        size: u64,
        limit: u64,
    },

    #[error("it was cancelled")]
    Cancelled,

    #[error("cannot write {file}: {reason}")]
    CannotExport { file: PathBuf, reason: String },
}

impl Error {
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            return Error::NotFound {
                path: path.to_owned(),
            };
        }
        Error::Io {
            action: "read",
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        Error::Io {
            action: "write",
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn header(file: &Path, reason: impl Into<String>) -> Self {
        Error::BadHeader {
            file: file.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn tensor(file: &Path, tensor: &str, reason: impl Into<String>) -> Self {
        Error::BadTensor {
            file: file.to_owned(),
            tensor: tensor.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn not_a_model(path: &Path, reason: impl Into<String>) -> Self {
        Error::NotAModel {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

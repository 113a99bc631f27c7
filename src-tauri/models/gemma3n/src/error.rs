//! What can go wrong between a file and an answer.

use std::path::PathBuf;

/// An error of the model crate. Every sentence says what is wrong and, where it helps, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Weights(#[from] weights::Error),
    #[error("{file}: {key} is {found}; expected {expected}", file = file.display())]
    Config {
        file: PathBuf,
        key: String,
        expected: String,
        found: String,
    },
    #[error("submodel {name:?} does not fit this model: {reason}")]
    Submodel { name: String, reason: String },
    #[error("this model has no {part} part; open a model that has one, or leave the {input} out")]
    MissingPart {
        part: &'static str,
        input: &'static str,
    },
    #[error(
        "the prompt has {positions} {kind} positions but the given {kind} input fills {rows} of them"
    )]
    Placeholders {
        kind: &'static str,
        positions: usize,
        rows: usize,
    },
    #[error("token id {id} is outside the model's vocabulary of {vocab_size}")]
    TokenId { id: u32, vocab_size: usize },
    #[error("the conversation needs {needed} tokens but the model's context holds {context}")]
    ContextFull { needed: usize, context: usize },
    #[error(
        "the model computed a value that is not a number; tensor {tensor} of {file} holds such values, so the file is damaged: download it again",
        file = file.display()
    )]
    DamagedWeights { file: PathBuf, tensor: String },
    #[error("the model computed a value that is not a number; try the f32 compute type")]
    NotFinite,
    #[error("the picture is {width} x {height} pixels; this model takes {expected} x {expected}")]
    PictureSize {
        width: usize,
        height: usize,
        expected: usize,
    },
    #[error("the two sequences of a step run different submodels, {a:?} and {b:?}")]
    MixedSubmodels { a: String, b: String },
    #[error("stopped")]
    Cancelled,
    #[error("{0}; this is a fault of the program")]
    Panicked(#[from] kernels::JobPanicked),
    #[error("a tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A picture was given to a model without the vision tower.
    pub fn no_vision() -> Self {
        Self::MissingPart {
            part: "vision",
            input: "picture",
        }
    }

    /// Sound was given to a model without the audio tower.
    pub fn no_audio() -> Self {
        Self::MissingPart {
            part: "audio",
            input: "sound",
        }
    }
}

//! Why there is no answer.

use crate::plan::size;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Weights(#[from] weights::Error),
    #[error(transparent)]
    Model(#[from] gemma3n::Error),
    #[error(transparent)]
    Input(#[from] gemma3n::InputError),
    #[error("{file}: {reason}")]
    BrokenFile { file: String, reason: String },
    #[error(
        "{file} has {pieces} pieces but the model's vocabulary has {vocab_size}; it belongs to another model"
    )]
    TokenizerMismatch {
        file: String,
        pieces: usize,
        vocab_size: usize,
    },
    #[error("{path} has no tokenizer, so it can take token ids but no text")]
    NoTokenizer { path: String },
    #[error(
        "there is no submodel {name:?}; this file can become {known}, or layers=0-19;ffn=8192 spells one out"
    )]
    UnknownSubmodel { name: String, known: String },
    #[error("{name} is {found}; {expected}")]
    Setting {
        name: &'static str,
        found: String,
        expected: &'static str,
    },
    #[error(
        "the conversation takes {needed} tokens but the model holds {context}; start a new one or shorten the input"
    )]
    TooLong { needed: usize, context: usize },
    #[error(
        "this model needs {} of memory even at its smallest, and {} are free; close other programs or choose a smaller model",
        size(*needed),
        size(*budget)
    )]
    DoesNotFit { needed: u64, budget: u64 },
    #[error(
        "there is no room for the part of the model that takes in {what}; close other programs and open the model again"
    )]
    NoRoomFor { what: &'static str },
    #[error("the model was closed")]
    Closed,
    #[error("stopped")]
    Cancelled,
    #[error(
        "something went wrong inside Sotto while it was answering; the model is still open, please try again ({0})"
    )]
    Panicked(String),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

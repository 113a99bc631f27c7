//! Gemma 3n: text, vision and audio.

mod image;
mod input_error;
mod mel;
mod settings;
#[cfg(test)]
mod testing;
mod tokenizer;

pub use self::image::{ImageProcessor, Pixels, decode_picture};
pub use input_error::InputError;
pub use mel::{LogMel, MelConfig, MelFeatures};
pub use tokenizer::{GgufVocab, TextStream, Tokenizer};

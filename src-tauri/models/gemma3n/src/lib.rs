//! Gemma 3n: text, vision and audio.

mod chat_template;
mod image;
mod input_error;
mod mel;
mod prompt;
mod settings;
#[cfg(test)]
mod testing;
mod tokenizer;

pub use self::image::{ImageProcessor, Pixels, decode_picture};
pub use chat_template::ChatTemplate;
pub use input_error::InputError;
pub use mel::{LogMel, MelConfig, MelFeatures};
pub use prompt::{MediaTokens, Message, Part, PromptBuilder, Rendered, Role};
pub use tokenizer::{GgufVocab, TextStream, Tokenizer};

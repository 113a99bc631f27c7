//! Gemma 3n: text, vision and audio, exact against the reference implementation.
//!
//! A [`Model`] is shared and read-only. A conversation owns a [`KvCache`]. A forward pass is a
//! [`Model::step`] of new tokens; which [`Submodel`] runs is a property of the cache.

mod audio;
mod cache;
mod chat_template;
mod config;
mod conv;
mod device;
mod embedder;
mod error;
mod image;
mod input_error;
mod linear;
mod loader;
mod mel;
mod model;
mod norm;
mod pointwise;
mod prompt;
mod settings;
mod submodel;
#[cfg(test)]
mod testing;
mod text;
mod tokenizer;
mod tokens;
mod vision;
mod workers;

pub use self::image::{ImageProcessor, Pixels, decode_picture};
pub use audio::{Heard, Hearing, NextFrames};
pub use cache::{KvCache, KvType};
pub use chat_template::ChatTemplate;
pub use config::{AudioConfig, Config, LayerType, TextConfig, VisionConfig};
pub use device::best_device;
pub use error::Error;
pub use input_error::InputError;
pub use kernels::Cpu;
pub use loader::{Compute, OnProgress};
pub use mel::{LogMel, MelConfig, MelFeatures};
pub use model::{Model, Options};
pub use prompt::{MediaTokens, Message, Part, PromptBuilder, Rendered, Role};
pub use submodel::Submodel;
pub use text::Wanted;
pub use tokenizer::{GgufVocab, TextStream, Tokenizer};
pub use tokens::{MediaKind, Prompt, SoftTokens, Step, Tokens};
pub use vision::Map;

//! Gemma 3n: text, vision and audio, exact against the reference implementation.
//!
//! A [`Model`] is shared and read-only. A conversation owns a [`KvCache`]. A forward pass is a
//! [`Model::step`] of new tokens; which [`Submodel`] runs is a property of the cache.

mod audio;
mod cache;
mod config;
mod conv;
mod device;
mod embedder;
mod error;
mod linear;
mod loader;
mod model;
mod norm;
mod submodel;
mod text;
mod vision;

pub use audio::Heard;
pub use cache::KvCache;
pub use config::{AudioConfig, Config, LayerType, TextConfig, VisionConfig};
pub use conv::Map;
pub use device::best_device;
pub use error::Error;
pub use loader::{Compute, OnProgress};
pub use model::{MediaKind, Model, Options, Prompt, SoftTokens, Step, Tokens};
pub use submodel::Submodel;
pub use text::Wanted;

// stand-ins until merged
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    pub data: Vec<f32>,
}
pub struct MelFeatures {
    pub frames: usize,
    pub bins: usize,
    pub data: Vec<f32>,
    pub valid: Vec<bool>,
}

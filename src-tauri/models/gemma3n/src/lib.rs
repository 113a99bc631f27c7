//! Gemma 3n: text, vision and audio.

mod image;
mod input_error;
mod settings;
#[cfg(test)]
mod testing;

pub use self::image::{ImageProcessor, Pixels, decode_picture};
pub use input_error::InputError;

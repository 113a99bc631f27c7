//! Model files: one set of tensor names over Hugging Face folders and GGUF.

mod checkpoint;
mod dtype;
mod encode;
mod error;
pub mod export;
pub mod gguf;
mod import;
mod mapped;
mod names;
mod normal;
pub mod safetensors;
mod tensor;

pub use checkpoint::{Checkpoint, Format, Metadata, SubmodelTable};
pub use dtype::DType;
pub use error::Error;
pub use gguf::Gguf;
pub use import::{Package, Staged};
pub use mapped::MappedBytes;
pub use names::{GgufName, Part, gguf_name};
pub use normal::inverse_normal_cdf;
pub use tensor::{TensorInfo, TensorView};

//! The arithmetic of a forward pass on the CPU, over slices.
//!
//! Quantised matrices are multiplied as they lie in a GGUF file. Activations are rounded to 8 bits in blocks of
//! 32 ([`Activations`]), each with its own scale, and the products of a block are summed in whole numbers.
//!
//! The instruction set is chosen when the program runs: a [`Cpu`] is proof that this machine has it. Every output
//! is summed by one thread in an order that depends on nothing but the matrix, so results are equal bit by bit
//! for every number of threads and however the rows are shared out.

#![allow(unsafe_code)] // The one crate that may: vector instructions take addresses.
#![deny(clippy::undocumented_unsafe_blocks)]

mod activations;
mod attention;
mod columns;
mod cpu;
mod decode;
mod dense;
mod format;
pub mod math;
mod pool;
mod product;
pub mod reference;
pub mod rows;
mod simd;
mod strip;

pub use activations::{Activations, BLOCK};
pub use attention::{Attention, Floats, KV_BLOCK, KvBlock, attend};
pub use columns::ColumnMatrix;
pub use cpu::Cpu;
pub use dense::{DenseMatrix, DenseType, dense_product};
pub use format::{Format, Matrix};
pub use pool::{JobPanicked, Pool, physical_cores};
pub use product::{Part, Rows, products};

//! The model against what the reference wrote, and against itself.
#![allow(clippy::unwrap_used)]

mod equivalence;
mod goldens;
mod growing;
mod quantized;
mod support;

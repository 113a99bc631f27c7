//! Memory of one forward pass.

use kernels::Activations;

/// Results that live from one operation of a layer to a later one, `[rows, width]`, in the memory of the layer before.
#[derive(Default)]
pub(super) struct Scratch {
    /// The operand of the product at hand, at 8 bits.
    pub rounded: Activations,
    /// Normed input of attention, then of the FFN, then of the per-layer gate, `[rows, hidden]`.
    pub x: Vec<f32>,
    /// What goes past the FFN, `[rows, hidden]`.
    pub residual: Vec<f32>,
    /// What attention, FFN and per-layer input give, one after the other, `[rows, hidden]`.
    pub branch: Vec<f32>,
    /// `[rows, rank]` and `[rows, hidden]`
    pub low_rank: Vec<f32>,
    pub laurel: Vec<f32>,
    /// `[rows, n_heads, head_dim]`, and the same for keys and values.
    pub queries: Vec<f32>,
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
    /// What attention read, `[rows, n_heads, head_dim]`.
    pub heads: Vec<f32>,
    /// `[rows, FFN width]`
    pub gate: Vec<f32>,
    pub up: Vec<f32>,
    /// `[rows, width of the per-layer input]`
    pub narrow: Vec<f32>,
}

/// A buffer of `len` numbers, whose contents are to be overwritten.
pub(crate) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}

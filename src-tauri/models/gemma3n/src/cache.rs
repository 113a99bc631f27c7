//! Keys and values of one conversation.
//!
//! Only layers that compute keys and values own a cache; the last layers of the model borrow
//! theirs. A sliding layer keeps the blocks that its window reaches into, a full one everything.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use half::f16;
use kernels::{Floats, KV_BLOCK, KvBlock};

use crate::config::{LayerType, TextConfig};
use crate::submodel::Submodel;

/// The state of one conversation between two forward passes.
///
/// It belongs to the submodel that filled it; another submodel needs a cache of its own.
#[derive(Debug)]
pub struct KvCache {
    submodel: Arc<Submodel>,
    owners: Vec<LayerKv>,
    /// Tokens that have gone through the model.
    len: usize,
}

impl KvCache {
    pub fn new(config: &TextConfig, submodel: Arc<Submodel>, kv_type: KvType) -> Self {
        let owners = submodel.layers()[..submodel.n_kv_owners()]
            .iter()
            .map(|&layer| LayerKv {
                kv_type,
                window: match config.layer_types[layer] {
                    LayerType::Sliding => Some(config.sliding_window),
                    LayerType::Full => None,
                },
                n_kv_heads: config.num_key_value_heads,
                head_dim: config.head_dim,
                start: 0,
                end: 0,
                blocks: VecDeque::new(),
            })
            .collect();
        Self {
            submodel,
            owners,
            len: 0,
        }
    }

    pub fn submodel(&self) -> &Arc<Submodel> {
        &self.submodel
    }

    /// The position of the next token.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory that the keys and values take.
    pub fn bytes(&self) -> usize {
        let blocks = self.owners.iter().flat_map(|owner| &owner.blocks);
        blocks
            .map(|block| block.keys.bytes() + block.values.bytes())
            .sum()
    }

    /// Forgets everything from a position on, so that other tokens can follow there. Says whether that was
    /// possible: a sliding layer may have let go of what the tokens before that position saw. If not, nothing changes.
    ///
    /// It always is for a position among the tokens of the last step.
    #[must_use]
    pub fn truncate(&mut self, len: usize) -> bool {
        if len >= self.len {
            return true;
        }
        if self.owners.iter().any(|o| o.start > o.first_visible(len)) {
            return false;
        }
        for owner in &mut self.owners {
            owner.end = len;
            let kept = len.saturating_sub(owner.start);
            owner.blocks.truncate(kept.div_ceil(KV_BLOCK));
        }
        self.len = len;
        true
    }

    pub(crate) fn layer(&mut self, owner: usize) -> &mut LayerKv {
        &mut self.owners[owner]
    }

    pub(crate) fn advance(&mut self, n_tokens: usize) {
        self.len += n_tokens;
    }
}

/// The number type of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvType {
    /// Exact against the reference.
    F32,
    F16,
}

impl KvType {
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::F16 => size_of::<f16>(),
        }
    }
}

/// Keys and values of one layer, in blocks. Those of a sliding layer leave when no new token can see them.
#[derive(Debug)]
pub(crate) struct LayerKv {
    kv_type: KvType,
    window: Option<usize>,
    n_kv_heads: usize,
    head_dim: usize,
    /// Position of the first entry of the first block, a multiple of [`KV_BLOCK`].
    start: usize,
    /// Position of the next token.
    end: usize,
    blocks: VecDeque<Block>,
}

#[derive(Debug)]
struct Block {
    /// `[n_kv_heads, KV_BLOCK, head_dim]`
    keys: Numbers,
    /// `[n_kv_heads, head_dim, KV_BLOCK]`
    values: Numbers,
}

#[derive(Debug)]
enum Numbers {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Numbers {
    fn zeros(kv_type: KvType, len: usize) -> Self {
        match kv_type {
            KvType::F32 => Self::F32(vec![0.0; len]),
            KvType::F16 => Self::F16(vec![f16::ZERO; len]),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::F32(x) => size_of_val(x.as_slice()),
            Self::F16(x) => size_of_val(x.as_slice()),
        }
    }

    /// Writes numbers from `start` on, `stride` apart.
    fn put(&mut self, start: usize, stride: usize, from: &[f32]) {
        match self {
            Self::F32(x) => {
                let to = x[start..].iter_mut().step_by(stride);
                to.zip(from).for_each(|(to, &from)| *to = from);
            }
            Self::F16(x) => {
                let to = x[start..].iter_mut().step_by(stride);
                to.zip(from)
                    .for_each(|(to, &from)| *to = f16::from_f32(from));
            }
        }
    }

    fn floats(&self) -> Floats<'_> {
        match self {
            Self::F32(x) => Floats::F32(x),
            Self::F16(x) => Floats::F16(x),
        }
    }
}

impl LayerKv {
    /// Appends the keys and values of new tokens, `[tokens, n_kv_heads, head_dim]`.
    ///
    /// Entries that no later query can see may go, but never ones that a query among the new tokens
    /// still sees: borrowing layers read this cache later in the same pass.
    pub fn append(&mut self, keys: &[f32], values: &[f32]) {
        let first_visible = self.first_visible(self.end);
        while self.start + KV_BLOCK <= first_visible && !self.blocks.is_empty() {
            self.blocks.pop_front();
            self.start += KV_BLOCK;
        }
        let (n_heads, dim) = (self.n_kv_heads, self.head_dim);
        let width = n_heads * dim;
        for (keys, values) in keys.chunks_exact(width).zip(values.chunks_exact(width)) {
            let at = self.end - self.start;
            if at / KV_BLOCK == self.blocks.len() {
                let zeros = || Numbers::zeros(self.kv_type, width * KV_BLOCK);
                self.blocks.push_back(Block {
                    keys: zeros(),
                    values: zeros(),
                });
            }
            let (block, slot) = (&mut self.blocks[at / KV_BLOCK], at % KV_BLOCK);
            for head in 0..n_heads {
                let of_head = head * dim..(head + 1) * dim;
                let first = (head * KV_BLOCK + slot) * dim;
                block.keys.put(first, 1, &keys[of_head.clone()]);
                let first = head * dim * KV_BLOCK + slot;
                block.values.put(first, KV_BLOCK, &values[of_head]);
            }
            self.end += 1;
        }
    }

    /// The positions that a query at `pos` sees.
    pub fn visible(&self, pos: usize) -> Range<usize> {
        self.first_visible(pos)..pos + 1
    }

    fn first_visible(&self, pos: usize) -> usize {
        match self.window {
            Some(window) => (pos + 1).saturating_sub(window),
            None => 0,
        }
    }

    /// The blocks that hold the positions in `seen`, all of which must still be here.
    pub fn blocks(&self, seen: Range<usize>) -> Vec<KvBlock<'_>> {
        let first = (seen.start - self.start) / KV_BLOCK;
        let end = (seen.end - self.start).div_ceil(KV_BLOCK);
        let blocks = self.blocks.range(first..end).enumerate();
        blocks
            .map(|(n, block)| KvBlock {
                start: self.start + (first + n) * KV_BLOCK,
                keys: block.keys.floats(),
                values: block.values.floats(),
            })
            .collect()
    }
}

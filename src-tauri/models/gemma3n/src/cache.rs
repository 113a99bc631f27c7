//! Keys and values of one conversation.
//!
//! Only layers that compute keys and values own a cache; the last layers of the model borrow
//! theirs. A sliding layer keeps its window, a full one everything.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::config::{LayerType, TextConfig};
use crate::error::Result;
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
    pub fn new(config: &TextConfig, submodel: Arc<Submodel>) -> Self {
        let owners = submodel.layers()[..submodel.n_kv_owners()]
            .iter()
            .map(|&layer| LayerKv {
                window: match config.layer_types[layer] {
                    LayerType::Sliding => Some(config.sliding_window),
                    LayerType::Full => None,
                },
                start: 0,
                len: 0,
                buffers: None,
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
        let buffers = self.owners.iter().filter_map(|o| o.buffers.as_ref());
        buffers
            .map(|(k, v)| (k.elem_count() + v.elem_count()) * k.dtype().size_in_bytes())
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
            owner.len = len - owner.start;
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

/// Keys and values of one layer, `[n_kv_heads, position, head_dim]`.
#[derive(Debug)]
pub(crate) struct LayerKv {
    window: Option<usize>,
    /// Position of the first entry.
    start: usize,
    len: usize,
    /// Room for more entries than there are, so that a step appends in place.
    buffers: Option<(Tensor, Tensor)>,
}

/// A stretch of keys and values.
pub(crate) struct KvView {
    /// `[n_kv_heads, len, head_dim]`
    pub k: Tensor,
    pub v: Tensor,
}

impl LayerKv {
    /// Appends the keys and values of new tokens.
    ///
    /// Entries that no later query can see may go, but never ones that a query among the new tokens
    /// still sees: borrowing layers read this cache later in the same pass.
    pub fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<()> {
        let (n_heads, n_new, head_dim) = k.dims3()?;
        let needed = self.len + n_new;
        let room = self.buffers.as_ref().map_or(0, |(k, _)| k.dims()[1]);
        if needed > room {
            let kept = match self.window {
                Some(window) => self.len.min(window - 1),
                None => self.len,
            };
            // A sliding layer copies its window once a window's worth of tokens; a full one doubles.
            let room = match self.window {
                Some(window) => kept + n_new.max(window),
                None => (needed * 2).next_multiple_of(256),
            };
            self.relocate(kept, (n_heads, room, head_dim), k.device())?;
        }
        let (keys, values) = self.buffers.as_ref().expect("relocate made them");
        keys.slice_set(&k.contiguous()?, 1, self.len)?;
        values.slice_set(&v.contiguous()?, 1, self.len)?;
        self.len += n_new;
        Ok(())
    }

    /// Moves the last `kept` entries to the front of new buffers.
    fn relocate(
        &mut self,
        kept: usize,
        shape: (usize, usize, usize),
        device: &Device,
    ) -> Result<()> {
        let keys = Tensor::zeros(shape, DType::F32, device)?;
        let values = Tensor::zeros(shape, DType::F32, device)?;
        if let Some((old_keys, old_values)) = self.buffers.take().filter(|_| kept > 0) {
            let last = |t: &Tensor| t.narrow(1, self.len - kept, kept)?.contiguous();
            keys.slice_set(&last(&old_keys)?, 1, 0)?;
            values.slice_set(&last(&old_values)?, 1, 0)?;
        }
        self.buffers = Some((keys, values));
        self.start += self.len - kept;
        self.len = kept;
        Ok(())
    }

    /// The position before which nothing can be seen from `pos`.
    pub fn first_visible(&self, pos: usize) -> usize {
        match self.window {
            Some(window) => (pos + 1).saturating_sub(window),
            None => 0,
        }
    }

    /// Entries of the positions `from..to`, all of which must still be here.
    pub fn view(&self, from: usize, to: usize) -> Result<KvView> {
        let (k, v) = self.buffers.as_ref().expect("queries come after keys");
        let part = |t: &Tensor| t.narrow(1, from - self.start, to - from);
        Ok(KvView {
            k: part(k)?,
            v: part(v)?,
        })
    }
}

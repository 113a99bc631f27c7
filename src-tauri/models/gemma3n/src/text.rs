//! The text decoder.
//!
//! ```text
//! rows -> per-layer inputs -> AltUp streams -> layers -> one stream -> norm -> head
//! ```
//!
//! The rows of all sequences of a step lie one after another; only attention looks at them by
//! sequence. Positions whose output nobody wants leave before the layers that borrow their keys and
//! values, because from there on nothing reads them any more.

mod altup;
mod attention;
mod layer;
mod mlp;
mod per_layer;
mod rope;

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::cache::KvCache;
use crate::config::{LayerType, TextConfig};
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::submodel::Submodel;
use altup::StreamProjections;
use layer::Layer;
use per_layer::PerLayerInputs;
use rope::Rotations;

pub(crate) const PREFIX: &str = "model.language_model";

/// Which positions of a sequence's new tokens get logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    Last,
    None,
}

/// The new tokens of one sequence, as rows of the step.
pub(crate) struct SequenceRows<'a> {
    pub cache: &'a mut KvCache,
    pub n_tokens: usize,
    pub wanted: Wanted,
}

/// Which rows of a pass go on through the borrowing layers.
enum Kept {
    All,
    /// These, by their index.
    Rows(Tensor),
    Nothing,
}

#[derive(Debug)]
pub(crate) struct TextModel {
    config: TextConfig,
    per_layer_inputs: PerLayerInputs,
    input_streams: StreamProjections,
    output_streams: StreamProjections,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Linear,
    device: Device,
}

/// What every layer of one pass shares.
pub(super) struct Pass<'a, 'b> {
    pub config: &'a TextConfig,
    pub sequences: &'a mut [SequenceRows<'b>],
    /// Positions of the rows that are still here, sequence by sequence.
    pub positions: Vec<Vec<usize>>,
    sliding: Rotations,
    full: Rotations,
}

impl Pass<'_, '_> {
    pub fn rotations(&self, layer_type: LayerType) -> &Rotations {
        match layer_type {
            LayerType::Sliding => &self.sliding,
            LayerType::Full => &self.full,
        }
    }

    fn set_positions(&mut self, positions: Vec<Vec<usize>>, device: &Device) -> Result<()> {
        let all = positions.concat();
        let rotations = |base| Rotations::new(&all, self.config.head_dim, base, device);
        self.sliding = rotations(self.config.rope_base(LayerType::Sliding))?;
        self.full = rotations(self.config.rope_base(LayerType::Full))?;
        self.positions = positions;
        Ok(())
    }
}

impl TextModel {
    pub fn load(loader: &Loader, config: &TextConfig) -> Result<Self> {
        let hidden = config.hidden_size;
        let head = ["lm_head.weight", "model.lm_head.weight"]
            .into_iter()
            .find(|name| loader.checkpoint().contains(name))
            .map_or(format!("{PREFIX}.embed_tokens.weight"), str::to_owned);
        // Some GGUF files carry no logits for the media ids.
        let vocab_size = loader
            .checkpoint()
            .tensor(&head)
            .map_or(config.vocab_size, |view| {
                view.shape[0].min(config.vocab_size)
            });
        Ok(Self {
            config: config.clone(),
            per_layer_inputs: PerLayerInputs::load(loader, config)?,
            input_streams: StreamProjections::load(
                loader,
                config,
                &format!("{PREFIX}.altup_projections"),
            )?,
            output_streams: StreamProjections::load(
                loader,
                config,
                &format!("{PREFIX}.altup_unembed_projections"),
            )?,
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::load(loader, config, i))
                .collect::<Result<_>>()?,
            norm: RmsNorm::load(
                loader,
                &format!("{PREFIX}.norm.weight"),
                hidden,
                config.rms_norm_eps,
            )?,
            lm_head: loader.linear(&head, vocab_size, hidden)?,
            device: loader.device().clone(),
        })
    }

    /// Runs new tokens through the submodel and appends them to the caches.
    ///
    /// `embeddings` `[rows, hidden]` and `lookups` `[rows, layers * 256]` belong to the tokens of all
    /// sequences in order. Returns logits `[wanted rows, vocabulary]`, or nothing if no row was wanted.
    pub fn forward(
        &self,
        submodel: &Submodel,
        embeddings: &Tensor,
        lookups: Tensor,
        sequences: &mut [SequenceRows],
        trace: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Option<Tensor>> {
        let config = &self.config;
        let positions = sequences
            .iter()
            .map(|s| (s.cache.len()..s.cache.len() + s.n_tokens).collect())
            .collect();
        let mut pass = Pass {
            config,
            sequences,
            positions: Vec::new(),
            sliding: Rotations::none(&self.device)?,
            full: Rotations::none(&self.device)?,
        };
        pass.set_positions(positions, &self.device)?;

        let mut per_layer = self.per_layer_inputs.forward(embeddings, lookups)?;
        let mut streams = self.input_streams.spread(embeddings)?;
        let sources = submodel.kv_sources(config);
        let mut narrowed = false;
        for (n, (&index, &width)) in submodel.layers().iter().zip(submodel.widths()).enumerate() {
            if n == submodel.n_kv_owners() {
                narrowed = true;
                match self.keep_wanted(&mut pass)? {
                    Kept::All => {}
                    Kept::Nothing => break,
                    Kept::Rows(rows) => {
                        streams = streams.index_select(&rows, 0)?;
                        per_layer = per_layer.index_select(&rows, 0)?;
                    }
                }
            }
            let row = per_layer.narrow(1, index, 1)?.squeeze(1)?;
            streams =
                self.layers[index].forward(&streams, &row, width, n, sources[n], &mut pass)?;
            trace(index, &streams);
        }
        if !narrowed && let Kept::Rows(rows) = self.keep_wanted(&mut pass)? {
            streams = streams.index_select(&rows, 0)?;
        }
        for sequence in pass.sequences.iter_mut() {
            sequence.cache.advance(sequence.n_tokens);
        }
        if pass.positions.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let hidden = self.norm.forward(&self.output_streams.merge(&streams)?)?;
        let logits = self.lm_head.forward(&hidden)?;
        Ok(Some(match config.final_logit_softcapping {
            Some(cap) => ((logits / cap)?.tanh()? * cap)?,
            None => logits,
        }))
    }

    /// Drops the rows that nobody wants.
    fn keep_wanted(&self, pass: &mut Pass) -> Result<Kept> {
        let mut rows = Vec::new();
        let mut start = 0;
        let mut positions = Vec::new();
        for (sequence, all) in pass.sequences.iter().zip(&pass.positions) {
            let kept = match sequence.wanted {
                Wanted::All => 0,
                Wanted::Last => all.len().saturating_sub(1),
                Wanted::None => all.len(),
            };
            rows.extend((start + kept..start + all.len()).map(|row| row as u32));
            positions.push(all[kept..].to_vec());
            start += all.len();
        }
        let n_rows = rows.len();
        if n_rows == start {
            return Ok(Kept::All);
        }
        if n_rows == 0 {
            pass.positions = positions;
            return Ok(Kept::Nothing);
        }
        pass.set_positions(positions, &self.device)?;
        Ok(Kept::Rows(Tensor::from_vec(rows, n_rows, &self.device)?))
    }

    pub fn new_cache(&self, submodel: &Arc<Submodel>) -> KvCache {
        KvCache::new(&self.config, Arc::clone(submodel))
    }
}

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
mod scratch;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use kernels::{Rows, rows};

use crate::cache::{KvCache, KvType};
use crate::config::{LayerType, TextConfig};
use crate::error::Result;
use crate::linear::{Linear, Product, multiply};
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::submodel::Submodel;
use crate::workers::{Operand, Workers};
use altup::StreamProjections;
use layer::{Layer, Place, State};
use per_layer::PerLayerInputs;
use rope::Rotations;
use scratch::Scratch;
pub(crate) use scratch::room;

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

/// Is shown the streams after every layer.
pub(crate) type Trace<'a> = dyn FnMut(usize, &Tensor) + 'a;

#[derive(Debug)]
pub(crate) struct TextModel {
    config: TextConfig,
    per_layer_inputs: PerLayerInputs,
    input_streams: StreamProjections,
    output_streams: StreamProjections,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Linear,
    kv_type: KvType,
    workers: Arc<Workers>,
}

/// What every layer of one pass shares.
pub(super) struct Pass<'a, 'b> {
    config: &'a TextConfig,
    pub workers: &'a Workers,
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

    fn set_positions(&mut self, positions: Vec<Vec<usize>>) {
        let all = positions.concat();
        let rotations = |layer_type| {
            Rotations::new(
                &all,
                self.config.head_dim,
                self.config.rope_base(layer_type),
            )
        };
        (self.sliding, self.full) = (rotations(LayerType::Sliding), rotations(LayerType::Full));
        self.positions = positions;
    }
}

impl TextModel {
    pub fn load(loader: &Loader, config: &TextConfig, kv_type: KvType) -> Result<Self> {
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
            kv_type,
            workers: Arc::clone(loader.workers()),
        })
    }

    /// Runs new tokens through the submodel and appends them to the caches.
    ///
    /// `embeddings` `[rows, hidden]` and `lookups` `[rows, layers * 256]` belong to the tokens of all
    /// sequences in order. Returns logits `[wanted rows, vocabulary]`, or nothing if no row was wanted.
    pub fn forward(
        &self,
        submodel: &Submodel,
        embeddings: &[f32],
        lookups: Vec<f32>,
        sequences: &mut [SequenceRows],
        mut trace: Option<&mut Trace>,
    ) -> Result<Option<Tensor>> {
        let (config, workers) = (&self.config, &*self.workers);
        let positions = sequences
            .iter()
            .map(|s| (s.cache.len()..s.cache.len() + s.n_tokens).collect())
            .collect();
        let mut pass = Pass {
            config,
            workers,
            sequences,
            positions: Vec::new(),
            sliding: Rotations::default(),
            full: Rotations::default(),
        };
        pass.set_positions(positions);

        let mut scratch = Scratch::default();
        let mut per_layer = lookups;
        self.per_layer_inputs.complete(
            workers,
            embeddings,
            &mut per_layer,
            &mut scratch.rounded,
        )?;
        let streams = self
            .input_streams
            .spread(workers, embeddings, &mut scratch.rounded)?;
        let mut state = State {
            n_rows: embeddings.len() / config.hidden_size,
            predictions: vec![0.0; streams.len()],
            streams,
            per_layer,
        };
        let sources = submodel.kv_sources(config);
        let mut narrowed = false;
        for (kept, (&index, &ffn_width)) in
            submodel.layers().iter().zip(submodel.widths()).enumerate()
        {
            if kept == submodel.n_kv_owners() {
                narrowed = true;
                keep_wanted(&mut pass, &mut state);
                if state.n_rows == 0 {
                    break;
                }
            }
            let place = Place {
                index,
                kept,
                kv_source: sources[kept],
                ffn_width,
            };
            self.layers[index].forward(&mut state, place, &mut pass, &mut scratch)?;
            if let Some(trace) = &mut trace {
                let shape = (state.n_rows, config.altup_num_inputs, config.hidden_size);
                trace(
                    index,
                    &Tensor::from_slice(&state.streams, shape, &Device::Cpu)?,
                );
            }
        }
        if !narrowed {
            keep_wanted(&mut pass, &mut state);
        }
        for sequence in pass.sequences.iter_mut() {
            sequence.cache.advance(sequence.n_tokens);
        }
        if state.n_rows == 0 {
            return Ok(None);
        }
        Ok(Some(self.logits(&state, &mut scratch)?))
    }

    /// `[rows, vocabulary]`
    fn logits(&self, state: &State, scratch: &mut Scratch) -> Result<Tensor> {
        let (workers, vocab_size) = (&*self.workers, self.lm_head.n_out());
        let rounded = &mut scratch.rounded;
        let hidden = self
            .output_streams
            .merge(workers, &state.streams, &self.norm, rounded)?;
        let mut logits = vec![0.0; state.n_rows * vocab_size];
        let product = Product {
            linear: &self.lm_head,
            rows: Rows::First(vocab_size),
            out: &mut logits,
        };
        let mut operand = Operand::new(&hidden, self.config.hidden_size, rounded);
        multiply(workers, &mut operand, &mut [product])?;
        if let Some(cap) = self.config.final_logit_softcapping {
            /// Logits that are capped at once.
            const PIECE: usize = 1 << 14;
            let Workers { cpu, pool } = workers;
            let (pieces, rest) = logits.as_chunks_mut::<PIECE>();
            let n_pieces = pieces.len();
            pool.for_rows(n_pieces, [pieces.as_flattened_mut()], |_, [piece]| {
                rows::soft_cap(cpu, piece, cap as f32);
            })?;
            rows::soft_cap(cpu, rest, cap as f32);
        }
        Ok(Tensor::from_vec(
            logits,
            (state.n_rows, vocab_size),
            &Device::Cpu,
        )?)
    }

    /// Lets go of what was copied out of the files; it is copied again when it is needed.
    pub fn forget_copies(&self) {
        for layer in &self.layers {
            layer.forget_copies();
        }
    }

    pub fn new_cache(&self, submodel: &Arc<Submodel>) -> KvCache {
        KvCache::new(&self.config, Arc::clone(submodel), self.kv_type)
    }
}

/// Drops the rows that nobody wants.
fn keep_wanted(pass: &mut Pass, state: &mut State) {
    let mut kept = Vec::new();
    let mut start = 0;
    let mut positions = Vec::new();
    for (sequence, all) in pass.sequences.iter().zip(&pass.positions) {
        let dropped = match sequence.wanted {
            Wanted::All => 0,
            Wanted::Last => all.len().saturating_sub(1),
            Wanted::None => all.len(),
        };
        kept.extend(start + dropped..start + all.len());
        positions.push(all[dropped..].to_vec());
        start += all.len();
    }
    if kept.len() == state.n_rows {
        return;
    }
    for buffer in [
        &mut state.streams,
        &mut state.predictions,
        &mut state.per_layer,
    ] {
        let width = buffer.len() / state.n_rows;
        for (to, &from) in kept.iter().enumerate() {
            buffer.copy_within(from * width..(from + 1) * width, to * width);
        }
        buffer.truncate(kept.len() * width);
    }
    state.n_rows = kept.len();
    pass.set_positions(positions);
}

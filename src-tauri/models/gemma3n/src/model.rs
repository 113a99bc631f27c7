//! An open model: its matrices used where they lie in the file, the towers when they are needed.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use kernels::{Cpu, Pool, physical_cores};
use weights::Checkpoint;

use crate::audio::{AudioTower, Heard, Hearing, NextFrames};
use crate::cache::{KvCache, KvType};
use crate::config::Config;
use crate::embedder::{Embedder, EmbedderShape, to_host};
use crate::error::{Error, Result};
use crate::loader::{Compute, Loader, OnProgress, read_row};
use crate::submodel::Submodel;
use crate::text::{SequenceRows, TextModel, Trace};
use crate::tokens::{MediaKind, Prompt, SoftTokens, Step, Tokens};
use crate::vision::{Map, VisionTower};
use crate::workers::Workers;
use crate::{MelFeatures, Pixels};

/// How to open a model.
#[derive(Clone, Debug)]
pub struct Options {
    pub device: Device,
    /// `None`: bf16 for a bf16 file, f32 otherwise.
    pub compute: Option<Compute>,
    /// The number type of keys and values. `None`: f32 for an f32 file, where they would be the only rounded numbers,
    /// and f16 otherwise.
    pub kv_type: Option<KvType>,
    /// The instruction set of the products.
    pub cpu: Cpu,
    /// Threads that share out a product. `None`: as many as there are cores.
    pub n_threads: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            compute: None,
            kv_type: None,
            cpu: Cpu::best(),
            n_threads: None,
        }
    }
}

/// A Gemma 3n model. Shared and read-only; what changes lives in a [`KvCache`].
#[derive(Debug)]
pub struct Model {
    checkpoint: Arc<Checkpoint>,
    config: Config,
    compute: Compute,
    device: Device,
    workers: Arc<Workers>,
    text: TextModel,
    whole: Arc<Submodel>,
    embed_vision: Option<Embedder>,
    embed_audio: Option<Embedder>,
    vision: Mutex<Option<Arc<VisionTower>>>,
    audio: Mutex<Option<Arc<AudioTower>>>,
}

impl Model {
    pub fn open(checkpoint: Arc<Checkpoint>, options: &Options) -> Result<Self> {
        Self::open_with(checkpoint, options, &mut |_| true)
    }

    /// Opens a model and tells how much of [`Model::bytes_to_open`] has been read.
    pub fn open_with(
        checkpoint: Arc<Checkpoint>,
        options: &Options,
        on: &mut OnProgress,
    ) -> Result<Self> {
        let config = Config::from_checkpoint(&checkpoint)?;
        let compute = options
            .compute
            .unwrap_or_else(|| natural_compute(&checkpoint));
        let device = options.device.clone();
        let n_threads = options.n_threads.unwrap_or_else(physical_cores);
        let workers = Arc::new(Workers {
            cpu: options.cpu,
            pool: Pool::new(n_threads),
        });
        let kv_type = options
            .kv_type
            .unwrap_or_else(|| KvType::natural(&checkpoint));
        let loader = Loader::new(&checkpoint, &device, compute, &workers, on);
        let text = &config.text;
        check_tables(&checkpoint, &config)?;
        let embed_vision = match &config.vision {
            Some(vision) => Some(Embedder::load(
                &loader,
                "model.embed_vision",
                &EmbedderShape {
                    vocab_size: vision.vocab_size,
                    vocab_offset: vision.vocab_offset,
                    tower_width: vision.hidden_size,
                    hidden_size: text.hidden_size,
                    eps: vision.rms_norm_eps,
                },
            )?),
            None => None,
        };
        let embed_audio = match &config.audio {
            Some(audio) => Some(Embedder::load(
                &loader,
                "model.embed_audio",
                &EmbedderShape {
                    vocab_size: audio.vocab_size,
                    vocab_offset: audio.vocab_offset,
                    tower_width: audio.hidden_size,
                    hidden_size: text.hidden_size,
                    eps: audio.rms_norm_eps,
                },
            )?),
            None => None,
        };
        let text = TextModel::load(&loader, text, kv_type)?;
        Ok(Self {
            whole: Arc::new(Submodel::whole(&config.text)),
            checkpoint,
            config,
            compute,
            device,
            text,
            workers,
            embed_vision,
            embed_audio,
            vision: Mutex::new(None),
            audio: Mutex::new(None),
        })
    }

    /// Bytes that opening this file reads: all but the towers and the per-layer table.
    pub fn bytes_to_open(checkpoint: &Checkpoint) -> u64 {
        checkpoint
            .names()
            .filter(|name| !name.contains("_tower.") && *name != PER_LAYER_TABLE)
            .filter_map(|name| checkpoint.tensor(name))
            .map(|view| view.bytes.len() as u64)
            .sum()
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub fn compute(&self) -> Compute {
        self.compute
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The name of the instruction set and the number of threads.
    pub fn runs_on(&self) -> (&'static str, usize) {
        (self.workers.cpu.name(), self.workers.pool.n_threads())
    }

    fn loader<'a>(&'a self, on: &'a mut OnProgress<'a>) -> Loader<'a> {
        Loader::new(
            &self.checkpoint,
            &self.device,
            self.compute,
            &self.workers,
            on,
        )
    }

    /// The model without any slicing.
    pub fn whole(&self) -> &Arc<Submodel> {
        &self.whole
    }

    pub fn new_cache(&self, submodel: &Arc<Submodel>) -> KvCache {
        self.text.new_cache(submodel)
    }

    /// Joins token ids with the media that they leave places for, in order.
    pub fn prompt(&self, ids: Vec<u32>, media: &[&SoftTokens]) -> Result<Prompt> {
        let hidden = self.config.text.hidden_size;
        let rows_of = |kind| {
            media
                .iter()
                .filter(move |soft| soft.kind == kind)
                .flat_map(|soft| soft.rows.chunks_exact(hidden))
        };
        let mut prompt = Prompt::text(ids);
        let mut positions = [0; 2];
        let mut sources = [rows_of(MediaKind::Image), rows_of(MediaKind::Audio)];
        let given = [
            rows_of(MediaKind::Image).count(),
            rows_of(MediaKind::Audio).count(),
        ];
        for (place, &id) in prompt.ids.iter().enumerate() {
            let kind = match id {
                id if id == self.config.image_token_id && self.embed_vision.is_some() => 0,
                id if id == self.config.audio_token_id && self.embed_audio.is_some() => 1,
                _ => continue,
            };
            positions[kind] += 1;
            if let Some(row) = sources[kind].next() {
                prompt.places.push(place);
                prompt.rows.extend_from_slice(row);
            }
        }
        for (kind, (positions, rows)) in ["picture", "sound"]
            .into_iter()
            .zip(positions.into_iter().zip(given))
        {
            if positions != rows {
                return Err(Error::Placeholders {
                    kind,
                    positions,
                    rows,
                });
            }
        }
        Ok(prompt)
    }

    /// Runs the new tokens of all sequences together.
    ///
    /// Returns logits `[wanted positions, vocabulary]`, sequence after sequence, or `None` if none
    /// were wanted. After an error the caches of the step are not to be used again.
    pub fn step(&self, steps: &mut [Step]) -> Result<Option<Tensor>> {
        self.run(steps, None)
    }

    /// [`Model::step`], with a look at the streams `[rows, streams, hidden]` after every layer.
    pub fn step_traced(
        &self,
        steps: &mut [Step],
        trace: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Option<Tensor>> {
        self.run(steps, Some(trace))
    }

    fn run(&self, steps: &mut [Step], trace: Option<&mut Trace>) -> Result<Option<Tensor>> {
        let Some(submodel) = steps.first().map(|s| Arc::clone(s.cache.submodel())) else {
            return Ok(None);
        };
        let context = self.config.text.max_position_embeddings;
        for step in steps.iter() {
            let other = step.cache.submodel();
            if *other != submodel {
                return Err(Error::MixedSubmodels {
                    a: submodel.name().to_owned(),
                    b: other.name().to_owned(),
                });
            }
            let needed = step.cache.len() + step.tokens.ids.len();
            if needed > context {
                return Err(Error::ContextFull { needed, context });
            }
        }
        let mut embeddings = Vec::new();
        let mut lookups = Vec::new();
        for step in steps.iter() {
            self.embed(&step.tokens, &mut embeddings)?;
            self.look_up(step.tokens.ids, &mut lookups)?;
        }
        if embeddings.is_empty() {
            return Ok(None);
        }
        let mut sequences: Vec<SequenceRows> = steps
            .iter_mut()
            .filter(|step| !step.tokens.ids.is_empty())
            .map(|step| SequenceRows {
                n_tokens: step.tokens.ids.len(),
                cache: step.cache,
                wanted: step.wanted,
            })
            .collect();
        self.text
            .forward(&submodel, &embeddings, lookups, &mut sequences, trace)
    }

    /// Input rows of the tokens: scaled text embeddings, and unscaled ones of media ids and soft tokens.
    pub fn embed(&self, tokens: &Tokens, out: &mut Vec<f32>) -> Result<()> {
        let text = &self.config.text;
        let hidden = text.hidden_size;
        let table = self
            .checkpoint
            .tensor(TOKEN_TABLE)
            .expect("opening read it");
        let scale = (hidden as f32).sqrt();
        let first = out.len();
        out.resize(first + tokens.ids.len() * hidden, 0.0);
        for (&id, row) in tokens.ids.iter().zip(out[first..].chunks_exact_mut(hidden)) {
            let media = [&self.embed_vision, &self.embed_audio]
                .into_iter()
                .flatten()
                .find_map(|embedder| embedder.hard(id));
            if let Some(ready) = media {
                row.copy_from_slice(ready);
                continue;
            }
            let bytes = table.row(id as usize).ok_or(Error::TokenId {
                id,
                vocab_size: table.shape[0],
            })?;
            read_row(table.dtype, bytes, row)?;
            row.iter_mut().for_each(|x| *x *= scale);
        }
        for (&place, soft) in tokens.places.iter().zip(tokens.rows.chunks_exact(hidden)) {
            let at = first + (place - tokens.start) * hidden;
            out[at..at + hidden].copy_from_slice(soft);
        }
        Ok(())
    }

    /// Rows of the per-layer table, scaled. Every media id uses row 0.
    pub fn look_up(&self, ids: &[u32], out: &mut Vec<f32>) -> Result<()> {
        let text = &self.config.text;
        let width = text.num_hidden_layers * text.hidden_size_per_layer_input;
        let dtype = self
            .checkpoint
            .tensor(PER_LAYER_TABLE)
            .expect("opening looked for it")
            .dtype;
        let mut bytes = Vec::new();
        let scale = (text.hidden_size_per_layer_input as f32).sqrt();
        let first = out.len();
        out.resize(first + ids.len() * width, 0.0);
        for (&id, row) in ids.iter().zip(out[first..].chunks_exact_mut(width)) {
            let in_table = (id as usize) < text.vocab_size_per_layer_input;
            let index = if in_table { id as usize } else { 0 };
            let is_there = self
                .checkpoint
                .read_row(PER_LAYER_TABLE, index, &mut bytes)?;
            assert!(is_there, "check_tables compared the rows");
            read_row(dtype, &bytes, row)?;
            row.iter_mut().for_each(|x| *x *= scale);
        }
        Ok(())
    }

    /// Encodes a picture, loading the vision tower if it is not in memory.
    pub fn encode_image(&self, pixels: &Pixels) -> Result<SoftTokens> {
        self.encode_image_traced(pixels, &mut |_, _| {})
    }

    pub fn encode_image_traced(
        &self,
        pixels: &Pixels,
        trace: &mut dyn FnMut(&str, &Map),
    ) -> Result<SoftTokens> {
        let (Some(config), Some(embedder)) = (&self.config.vision, &self.embed_vision) else {
            return Err(Error::no_vision());
        };
        let tower = load_once(&self.vision, || {
            VisionTower::load(&self.loader(&mut |_| true), config)
        })?;
        let picture = Map {
            height: pixels.height,
            width: pixels.width,
            channels: 3,
            data: pixels.data.clone(),
        };
        let seen = tower.forward(&self.workers, &picture, trace)?;
        let shape = (seen.height * seen.width, seen.channels);
        let seen = Tensor::from_vec(seen.data, shape, &self.device)?;
        let rows = embedder.soft(&seen)?;
        Ok(SoftTokens {
            kind: MediaKind::Image,
            rows: to_host(&rows)?,
        })
    }

    /// Encodes a clip, loading the audio tower if it is not in memory. However short the clip, it
    /// takes the same number of positions; the rest is filled with the row that means "no sound".
    pub fn encode_audio(&self, features: &MelFeatures) -> Result<SoftTokens> {
        let heard = self.hear(features, &mut |_, _| {})?;
        let config = self.config.audio.as_ref().expect("hear would have refused");
        let embedder = self.embed_audio.as_ref().expect("hear would have refused");
        let hidden = self.config.text.hidden_size;
        let soft = to_host(&embedder.soft(&heard.data)?)?;
        let mut rows = Vec::with_capacity(config.soft_tokens_per_clip * hidden);
        for position in 0..config.soft_tokens_per_clip {
            let row = match heard.valid.get(position) {
                Some(true) => &soft[position * hidden..(position + 1) * hidden],
                _ => embedder.padding(),
            };
            rows.extend_from_slice(row);
        }
        if heard.valid.len() > config.soft_tokens_per_clip {
            return Err(Error::Placeholders {
                kind: "sound",
                positions: config.soft_tokens_per_clip,
                rows: heard.valid.len(),
            });
        }
        Ok(SoftTokens {
            kind: MediaKind::Audio,
            rows,
        })
    }

    /// The same for a clip of which `hearing` holds what was heard before, with the next frames of it.
    pub fn encode_growing_audio(
        &self,
        hearing: &mut Hearing,
        next: &NextFrames,
    ) -> Result<SoftTokens> {
        let (tower, embedder) = (self.audio_tower()?, self.embed_audio.as_ref());
        let embedder = embedder.ok_or_else(Error::no_audio)?;
        if !tower.looks_back_only() {
            // Then nothing was heard for good, and these are all frames.
            return self.encode_audio(&next.features);
        }
        let hidden = self.config.text.hidden_size;
        let embed = |heard: &Heard| -> Result<Vec<f32>> {
            let mut rows = to_host(&embedder.soft(&heard.data)?)?;
            let n_valid = heard.valid.iter().take_while(|valid| **valid).count();
            rows.truncate(n_valid * hidden);
            Ok(rows)
        };
        let mut rows = hearing.go_on(&tower, next, &self.device, &embed)?;
        let config = self.config.audio.as_ref().ok_or_else(Error::no_audio)?;
        let (n_rows, positions) = (rows.len() / hidden, config.soft_tokens_per_clip);
        if n_rows > positions {
            return Err(Error::Placeholders {
                kind: "sound",
                positions,
                rows: n_rows,
            });
        }
        for _ in n_rows..positions {
            rows.extend_from_slice(embedder.padding());
        }
        Ok(SoftTokens {
            kind: MediaKind::Audio,
            rows,
        })
    }

    fn audio_tower(&self) -> Result<Arc<AudioTower>> {
        let config = self.config.audio.as_ref().ok_or_else(Error::no_audio)?;
        load_once(&self.audio, || {
            AudioTower::load(&self.loader(&mut |_| true), config)
        })
    }

    /// What the audio tower makes of a clip, before it is put into the text model's terms.
    pub fn hear(
        &self,
        features: &MelFeatures,
        trace: &mut dyn FnMut(&str, &Tensor),
    ) -> Result<Heard> {
        let tower = self.audio_tower()?;
        let shape = (features.frames, features.bins);
        let mel = Tensor::from_slice(&features.data, shape, &self.device)?;
        tower.forward(&mel, &features.valid, trace)
    }

    /// The embedding of the tower's output, `[positions, hidden]`.
    pub fn embed_heard(&self, heard: &Heard) -> Result<Tensor> {
        match &self.embed_audio {
            Some(embedder) => embedder.soft(&heard.data),
            None => Err(Error::no_audio()),
        }
    }

    /// Gives the memory of a tower back; the next picture loads it again.
    pub fn unload_vision(&self) {
        *self.vision.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The same for sound.
    pub fn unload_audio(&self) {
        *self.audio.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Gives back the memory of everything that can be read from the files again: a smaller submodel touches less of it.
    /// May be called while a step is computed.
    pub fn give_back(&self) {
        self.text.forget_copies();
        for name in self.checkpoint.names() {
            if let Some(bytes) = self.checkpoint.mapped(name) {
                bytes.release();
            }
        }
    }

    /// The error for logits that are not numbers: names the damaged tensor if there is one.
    pub fn explain_not_finite(&self) -> Error {
        match self.checkpoint.first_not_finite() {
            Some(tensor) => Error::DamagedWeights {
                file: self.checkpoint.path().to_owned(),
                tensor,
            },
            None => Error::NotFinite,
        }
    }
}

const TOKEN_TABLE: &str = "model.language_model.embed_tokens.weight";
const PER_LAYER_TABLE: &str = "model.language_model.embed_tokens_per_layer.weight";

/// The tables are not loaded, so their shapes are compared by themselves.
fn check_tables(checkpoint: &Checkpoint, config: &Config) -> Result<()> {
    let text = &config.text;
    checkpoint.require(TOKEN_TABLE, &[text.vocab_size, text.hidden_size])?;
    let width = text.num_hidden_layers * text.hidden_size_per_layer_input;
    let rows = match checkpoint.tensor(PER_LAYER_TABLE) {
        // Writers disagree on whether the table has rows for media ids; nothing reads them.
        Some(view) if view.shape.first() >= Some(&text.vocab_size_per_layer_input) => view.shape[0],
        _ => text.vocab_size_per_layer_input,
    };
    checkpoint.require(PER_LAYER_TABLE, &[rows, width])?;
    Ok(())
}

impl KvType {
    /// What suits a model: as exact as its weights.
    pub fn natural(checkpoint: &Checkpoint) -> Self {
        let table = checkpoint.tensor(TOKEN_TABLE);
        match table.map(|view| view.dtype) {
            Some(weights::DType::F32) => Self::F32,
            _ => Self::F16,
        }
    }
}

fn natural_compute(checkpoint: &Checkpoint) -> Compute {
    let table = checkpoint.tensor(TOKEN_TABLE);
    match table.map(|view| view.dtype) {
        Some(weights::DType::BF16) => Compute::Bf16,
        _ => Compute::F32,
    }
}

fn load_once<T>(slot: &Mutex<Option<Arc<T>>>, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tower) = &*slot {
        return Ok(Arc::clone(tower));
    }
    let tower = Arc::new(load()?);
    *slot = Some(Arc::clone(&tower));
    Ok(tower)
}

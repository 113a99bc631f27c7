//! What the parts of a model take in memory, from the headers of its files.

use std::path::Path;
use std::sync::Arc;

use gemma3n::{Config, KvType, LayerType, Submodel, TextConfig};
use weights::Checkpoint;

use crate::error::Result;
use crate::package::{find_submodel, submodels};

/// The system maps files page by page.
const PAGE: u64 = 4096;
/// The bytes of a model's parts, and the sizes that it can run at.
pub struct Manifest {
    text: TextConfig,
    kv_type: KvType,
    layers: Vec<LayerBytes>,
    /// Token table, head and what else every step reads once.
    ends: u64,
    vision: Option<u64>,
    audio: Option<u64>,
    submodels: Vec<Arc<Submodel>>,
    /// Every submodel that has a name in this file.
    named: Vec<Arc<Submodel>>,
}

#[derive(Clone, Copy, Default)]
struct LayerBytes {
    /// `gate_proj` and `up_proj`: a narrower layer uses their first rows.
    rows: u64,
    down: Down,
    rest: u64,
}

/// `down_proj`: a narrower layer uses the beginning of every row.
#[derive(Clone, Copy, Default)]
struct Down {
    rows: u64,
    row_bytes: u64,
}

impl Manifest {
    /// Reads the headers of a model's files.
    pub fn open(path: &Path, projector: Option<&Path>) -> Result<Self> {
        let checkpoint = Checkpoint::open_with_projector(path, projector)?;
        Self::of(&checkpoint, &Config::from_checkpoint(&checkpoint)?)
    }

    pub(crate) fn of(checkpoint: &Checkpoint, config: &Config) -> Result<Self> {
        let text = config.text.clone();
        let whole = Arc::new(Submodel::whole(&text));
        let named = submodels(checkpoint, config, &whole)?;
        let mut manifest = Self {
            kv_type: KvType::natural(checkpoint),
            layers: vec![LayerBytes::default(); text.num_hidden_layers],
            ends: 0,
            vision: config.vision.as_ref().map(|_| 0),
            audio: config.audio.as_ref().map(|_| 0),
            submodels: ladder(&named, &text),
            named,
            text,
        };
        for view in checkpoint
            .names()
            .filter_map(|name| checkpoint.tensor(name))
        {
            manifest.add(view.name, view.shape, view.bytes.len() as u64);
        }
        Ok(manifest)
    }

    fn add(&mut self, name: &str, shape: &[usize], bytes: u64) {
        let Some(name) = name.strip_prefix("model.language_model.") else {
            let tower = match name {
                "lm_head.weight" => Some(&mut self.ends),
                _ if name.contains("vision") => self.vision.as_mut(),
                _ if name.contains("audio") => self.audio.as_mut(),
                _ => None,
            };
            if let Some(tower) = tower {
                *tower += bytes;
            }
            return;
        };
        // Looked up by row, in the file.
        if name == "embed_tokens_per_layer.weight" {
            return;
        }
        let layer = name.strip_prefix("layers.").and_then(|rest| {
            let (index, tensor) = rest.split_once('.')?;
            Some((self.layers.get_mut(index.parse::<usize>().ok()?)?, tensor))
        });
        match layer {
            None => self.ends += bytes,
            Some((layer, "mlp.gate_proj.weight" | "mlp.up_proj.weight")) => layer.rows += bytes,
            Some((layer, "mlp.down_proj.weight")) => {
                let rows = shape[0] as u64;
                layer.down = Down {
                    rows,
                    row_bytes: bytes / rows,
                };
            }
            Some((layer, _)) => layer.rest += bytes,
        }
    }

    pub fn text_config(&self) -> &TextConfig {
        &self.text
    }

    /// The sizes worth running this model at, the smallest first. Each is better than those before it by the published table,
    /// but the whole model always is the last.
    pub fn submodels(&self) -> &[Arc<Submodel>] {
        &self.submodels
    }

    /// The submodel of this name, or the one that is spelled out.
    pub fn submodel(&self, name: &str) -> Result<Arc<Submodel>> {
        find_submodel(name, &self.named, &self.text)
    }

    pub fn vision(&self) -> Option<u64> {
        self.vision
    }

    pub fn audio(&self) -> Option<u64> {
        self.audio
    }

    /// Bytes of the text weights that a submodel reads, in whole pages.
    pub fn text_bytes(&self, submodel: &Submodel) -> u64 {
        let kept = submodel.layers().iter().zip(submodel.widths());
        let layers: u64 = kept
            .map(|(&layer, &width)| {
                let bytes = &self.layers[layer];
                let whole = self.text.intermediate_size[layer] as u64;
                bytes.rest + bytes.rows * width as u64 / whole + bytes.down.touched(width, whole)
            })
            .sum();
        self.ends + layers
    }

    pub fn kv_type(&self) -> KvType {
        self.kv_type
    }

    /// Bytes of the keys and values of one conversation that has filled its context, read `chunk` tokens at a time.
    pub fn kv_bytes(&self, submodel: &Submodel, context: usize, chunk: usize) -> u64 {
        let text = &self.text;
        let owners = &submodel.layers()[..submodel.n_kv_owners()];
        let positions: usize = owners
            .iter()
            .map(|&layer| match text.layer_types[layer] {
                LayerType::Sliding => context.min(text.sliding_window + chunk),
                LayerType::Full => context,
            })
            .sum();
        let numbers = 2 * text.num_key_value_heads * text.head_dim * positions;
        (numbers * self.kv_type.bytes()) as u64
    }

    /// Bytes of intermediate results while `chunk` tokens of a prompt are read.
    pub fn scratch_bytes(&self, submodel: &Submodel, chunk: usize) -> u64 {
        let text = &self.text;
        let ffn = 2 * submodel.widths().iter().max().copied().unwrap_or(0);
        let streams = 2 * text.altup_num_inputs * text.hidden_size;
        let per_layer = text.num_hidden_layers * text.hidden_size_per_layer_input;
        let heads = text.num_attention_heads + text.num_key_value_heads;
        let attention = 2 * heads * text.head_dim;
        // Embeddings, input, residual and branch of a layer, and what goes past it.
        let rows = 6 * text.hidden_size;
        let numbers = chunk * (ffn + streams + per_layer + attention + rows) + 2 * text.vocab_size;
        (numbers * size_of::<f32>()) as u64
    }
}

impl Down {
    /// Bytes of the pages that hold the first `width` of `whole` columns.
    fn touched(self, width: usize, whole: u64) -> u64 {
        let used = self.row_bytes * width as u64 / whole;
        // A stretch that begins anywhere in a page reaches into one page more than it fills.
        let pages = if used == self.row_bytes {
            used
        } else {
            used + PAGE
        };
        self.rows * pages.min(self.row_bytes)
    }
}

/// The sizes that are worth choosing, in order, and the mixes between neighbours that contain one another.
fn ladder(submodels: &[Arc<Submodel>], config: &TextConfig) -> Vec<Arc<Submodel>> {
    let mut rungs: Vec<Arc<Submodel>> = Vec::new();
    let mut best = f32::NEG_INFINITY;
    for (n, submodel) in submodels.iter().enumerate() {
        let is_whole = n + 1 == submodels.len();
        // A size that a smaller one beats is no step up. The whole model is what was trained, so it stays.
        match submodel.published_quality() {
            Some(quality) if quality <= best && !is_whole => continue,
            Some(quality) => best = best.max(quality),
            None => {}
        }
        if let Some(below) = rungs.last() {
            let mixes = below.mixes_towards(submodel, config);
            rungs.extend(mixes.into_iter().map(Arc::new));
        }
        rungs.push(Arc::clone(submodel));
    }
    rungs
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The published E4B model with matrices of 4.5 bits and towers of 8.5 bits.
    pub fn e4b() -> Manifest {
        let text = TextConfig {
            vocab_size: 262_400,
            vocab_size_per_layer_input: 262_144,
            hidden_size: 2048,
            hidden_size_per_layer_input: 256,
            num_hidden_layers: 35,
            intermediate_size: vec![16_384; 35],
            num_attention_heads: 8,
            num_key_value_heads: 2,
            head_dim: 256,
            num_kv_shared_layers: 15,
            sliding_window: 512,
            max_position_embeddings: 32_768,
            rope_theta: 1e6,
            rope_local_base_freq: 1e4,
            rms_norm_eps: 1e-6,
            final_logit_softcapping: Some(30.0),
            altup_num_inputs: 4,
            altup_active_idx: 0,
            altup_correct_scale: true,
            laurel_rank: 64,
            layer_types: (1..=35)
                .map(|n| match n % 5 {
                    0 => LayerType::Full,
                    _ => LayerType::Sliding,
                })
                .collect(),
            activation_sparsity_z: vec![None; 35],
        };
        let whole = Arc::new(Submodel::whole(&text));
        let mut published: Vec<_> = Submodel::published(&text)
            .into_iter()
            .map(Arc::new)
            .collect();
        published.pop();
        published.push(whole);
        let mut manifest = Manifest {
            kv_type: KvType::F16,
            layers: vec![LayerBytes::default(); 35],
            ends: 0,
            vision: Some(0),
            audio: Some(0),
            submodels: ladder(&published, &text),
            named: published,
            text,
        };
        let q4 = |rows: usize, columns: usize| (rows * columns) as u64 * 9 / 16;
        let mut add =
            |name: String, rows, columns, bytes| manifest.add(&name, &[rows, columns], bytes);
        for n in 0..35 {
            let layer = |tensor: &str| format!("model.language_model.layers.{n}.{tensor}.weight");
            for up in ["mlp.gate_proj", "mlp.up_proj"] {
                add(layer(up), 16_384, 2048, q4(16_384, 2048));
            }
            add(layer("mlp.down_proj"), 2048, 16_384, q4(2048, 16_384));
            add(layer("self_attn.q_proj"), 2048, 2048, q4(2048, 2048));
            add(layer("self_attn.o_proj"), 2048, 2048, q4(2048, 2048));
        }
        let table = "model.language_model.embed_tokens.weight".to_owned();
        add(table, 262_400, 2048, q4(262_400, 2048));
        let per_layer = "model.language_model.embed_tokens_per_layer.weight".to_owned();
        add(per_layer, 262_144, 8960, q4(262_144, 8960));
        add("model.vision_tower.x".to_owned(), 1, 1, 317_000_000);
        add("model.audio_tower.x".to_owned(), 1, 1, 727_000_000);
        manifest
    }

    #[test]
    fn a_narrow_layer_reads_less_of_the_file() {
        let manifest = e4b();
        let sizes: Vec<u64> = manifest
            .submodels
            .iter()
            .map(|s| manifest.text_bytes(s))
            .collect();
        assert!(sizes.is_sorted_by(|a, b| a < b), "{sizes:?}");
        // The whole: all bytes but those of the per-layer table.
        let whole = 35 * (3 * 16_384 + 2 * 2048) * 2048 * 9 / 16 + 262_400 * 2048 * 9 / 16;
        assert_eq!(sizes[sizes.len() - 1], whole);
        // A 16 384 wide row of 4.5-bit numbers is 9216 bytes: half of it touches all but an eighth of a page of it.
        let half = Down {
            rows: 1,
            row_bytes: 9216,
        };
        assert_eq!(half.touched(8192, 16_384), 4608 + PAGE);
        assert_eq!(half.touched(16_384, 16_384), 9216);
    }
}

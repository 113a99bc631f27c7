//! MatFormer slices: which layers of a model run, and how many FFN columns of each.
//!
//! A smaller model is nested in the larger one's weights, so a [`Submodel`] is only numbers: it
//! names layers and widths, and every forward pass is told which one to run.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::config::TextConfig;
use crate::error::{Error, Result};

/// The slices that Google published for the E4B model.
const PUBLISHED: &str = include_str!("../../../../assets/submodels.json");

/// The name under which every model offers itself, unsliced.
const WHOLE: &str = "full";

/// A slice that fits one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodel {
    name: String,
    /// Kept layers, by their index in the whole model, ascending.
    layers: Vec<usize>,
    /// FFN width of each kept layer.
    widths: Vec<usize>,
    /// How many of the kept layers, at the end, borrow their keys and values.
    n_kv_shared: usize,
}

/// A slice as files describe it.
#[derive(Debug, Deserialize)]
struct Slice {
    layers_skipped: Vec<usize>,
    ffn_hidden_dims: Vec<usize>,
}

#[derive(Debug, Deserialize)]
struct PublishedTable {
    base: Base,
    submodels: BTreeMap<String, PublishedSlice>,
}

#[derive(Debug, Deserialize)]
struct PublishedSlice {
    #[serde(flatten)]
    slice: Slice,
    mmlu: f32,
}

#[derive(Debug, Deserialize)]
struct Base {
    num_hidden_layers: usize,
    intermediate_size: usize,
}

impl Submodel {
    /// The whole model. Carries its published name if it is one of the published sizes.
    pub fn whole(config: &TextConfig) -> Self {
        let table = published_table();
        let name = table
            .submodels
            .iter()
            .find(|(_, published)| published.slice.ffn_hidden_dims == config.intermediate_size)
            .map_or(WHOLE, |(name, _)| name);
        Self {
            name: name.to_owned(),
            layers: (0..config.num_hidden_layers).collect(),
            widths: config.intermediate_size.clone(),
            n_kv_shared: config.num_kv_shared_layers,
        }
    }

    /// A slice of explicit layers (indices in the whole model, ascending) and their FFN widths.
    pub fn new(
        name: &str,
        config: &TextConfig,
        layers: Vec<usize>,
        widths: Vec<usize>,
    ) -> Result<Self> {
        let refuse = |reason: String| {
            Err(Error::Submodel {
                name: name.to_owned(),
                reason,
            })
        };
        if layers.is_empty() {
            return refuse("it keeps no layer".into());
        }
        if layers.len() != widths.len() {
            return refuse(format!(
                "it names {} layers but {} widths",
                layers.len(),
                widths.len()
            ));
        }
        if !layers.is_sorted_by(|a, b| a < b) {
            return refuse("its layers are not in ascending order".into());
        }
        for (&layer, &width) in layers.iter().zip(&widths) {
            let Some(&whole) = config.intermediate_size.get(layer) else {
                return refuse(format!(
                    "layer {layer} does not exist; the model has {}",
                    config.num_hidden_layers
                ));
            };
            if width == 0 || width > whole {
                return refuse(format!(
                    "width {width} of layer {layer} is not between 1 and {whole}"
                ));
            }
        }
        let first_shared = config.first_kv_shared_layer();
        let n_kv_shared = layers.iter().filter(|&&i| i >= first_shared).count();
        let (own, shared) = layers.split_at(layers.len() - n_kv_shared);
        let types = &config.layer_types;
        if let Some(&orphan) = shared
            .iter()
            .find(|&&i| !own.iter().any(|&j| types[j] == types[i]))
        {
            return refuse(format!(
                "layer {orphan} borrows keys and values from a layer that is dropped"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            layers,
            widths,
            n_kv_shared,
        })
    }

    /// Parses `layers=0-19,25-34;ffn=8192*20,16384*10`; either part may be left out, and one width stands for all.
    pub fn explicit(spec: &str, config: &TextConfig) -> Result<Self> {
        let refuse = |reason: String| Error::Submodel {
            name: spec.to_owned(),
            reason,
        };
        let mut layers: Vec<usize> = (0..config.num_hidden_layers).collect();
        let mut widths = None;
        for part in spec.split(';') {
            match part.split_once('=').map(|(k, v)| (k.trim(), v)) {
                Some(("layers", list)) => {
                    layers = expand(list, '-')
                        .ok_or_else(|| refuse(format!("{list:?} is not a list like 0-19,25-34")))?;
                }
                Some(("ffn", list)) => {
                    widths = Some(expand(list, '*').ok_or_else(|| {
                        refuse(format!("{list:?} is not a list like 8192*20,16384"))
                    })?);
                }
                _ => {
                    return Err(refuse(
                        "it is neither a known name nor of the form layers=0-19,25-34;ffn=8192"
                            .into(),
                    ));
                }
            }
        }
        let widths = match widths {
            Some(one) if one.len() == 1 => vec![one[0]; layers.len()],
            Some(widths) => widths,
            None => layers
                .iter()
                .map(|&i| config.intermediate_size.get(i).copied().unwrap_or(0))
                .collect(),
        };
        Self::new(spec, config, layers, widths)
    }

    /// Reads slices in the form `{"name": {"layers_skipped": [..], "ffn_hidden_dims": [..]}}`.
    pub fn from_json(text: &str, config: &TextConfig) -> Result<Vec<Self>> {
        let slices: BTreeMap<String, Slice> =
            serde_json::from_str(text).map_err(|e| Error::Submodel {
                name: "matformer.json".into(),
                reason: format!("the file is not a table of slices: {e}"),
            })?;
        slices
            .into_iter()
            .map(|(name, slice)| Self::from_slice(&name, &slice, config))
            .collect()
    }

    /// The published slices that this model can become, the smallest first.
    pub fn published(config: &TextConfig) -> Vec<Self> {
        let table = published_table();
        let base = &table.base;
        if config.intermediate_size != vec![base.intermediate_size; base.num_hidden_layers] {
            return Vec::new();
        }
        let mut submodels: Vec<Self> = table
            .submodels
            .iter()
            .filter_map(|(name, published)| Self::from_slice(name, &published.slice, config).ok())
            .collect();
        submodels.sort_by_key(|s| s.effective_parameters(config));
        submodels
    }

    fn from_slice(name: &str, slice: &Slice, config: &TextConfig) -> Result<Self> {
        let layers = (0..config.num_hidden_layers)
            .filter(|i| !slice.layers_skipped.contains(i))
            .collect();
        Self::new(name, config, layers, slice.ffn_hidden_dims.clone())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What Google measured for a slice of this name: MMLU of the pre-trained model, in percent.
    pub fn published_quality(&self) -> Option<f32> {
        let table = published_table();
        table.submodels.get(&self.name).map(|slice| slice.mmlu)
    }

    /// The slices between this one and a larger one that contains it, wider layer by layer; none if it does not contain it.
    pub fn mixes_towards(&self, larger: &Self, config: &TextConfig) -> Vec<Self> {
        if self.layers != larger.layers
            || self.widths.iter().zip(&larger.widths).any(|(a, b)| a > b)
        {
            return Vec::new();
        }
        let mut widths = self.widths.clone();
        let mut mixes = Vec::new();
        for (n, &width) in larger.widths.iter().enumerate() {
            if widths[n] < width {
                widths[n] = width;
                mixes.push(widths.clone());
            }
        }
        mixes.pop(); // the larger one itself
        mixes
            .into_iter()
            .filter_map(|widths| {
                let name = spelled_out(&self.layers, &widths);
                Self::new(&name, config, self.layers.clone(), widths).ok()
            })
            .collect()
    }

    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// How many kept layers own a KV cache; they come first.
    pub fn n_kv_owners(&self) -> usize {
        self.layers.len() - self.n_kv_shared
    }

    /// For every kept layer, the position among the kept layers of the one whose keys and values it uses.
    pub fn kv_sources(&self, config: &TextConfig) -> Vec<usize> {
        let layer_type = |n: usize| config.layer_types[self.layers[n]];
        let owners = self.n_kv_owners();
        (0..self.layers.len())
            .map(|n| {
                if n < owners {
                    return n;
                }
                (0..owners)
                    .rfind(|&m| layer_type(m) == layer_type(n))
                    .expect("the constructors keep an owner of every type")
            })
            .collect()
    }

    /// Decoder weights without the token and per-layer tables: what "effective" counts in E2B and E4B.
    /// Keys and values of borrowing layers count although nothing reads them, as in the published figures.
    pub fn effective_parameters(&self, config: &TextConfig) -> u64 {
        let hidden = config.hidden_size;
        let n = config.altup_num_inputs;
        let heads = config.num_attention_heads + config.num_key_value_heads;
        let attention = 2 * hidden * heads * config.head_dim + 2 * config.head_dim;
        let altup = 2 * hidden + n * n + n * n * n + n * hidden;
        let laurel = 2 * hidden * config.laurel_rank + hidden;
        let per_layer = 2 * hidden * config.hidden_size_per_layer_input;
        let norms = 5 * hidden;
        let projection = hidden * config.hidden_size_per_layer_input;
        let layer = attention + altup + laurel + per_layer + norms + projection;
        let ffn = 3 * hidden * self.widths.iter().sum::<usize>();
        let ends = 2 * (n - 1) * hidden * hidden + hidden + config.hidden_size_per_layer_input;
        (self.layers.len() * layer + ffn + ends) as u64
    }
}

/// The spelling that [`Submodel::explicit`] reads.
fn spelled_out(layers: &[usize], widths: &[usize]) -> String {
    let layers = layers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    let ffn = widths.chunk_by(|a, b| a == b);
    let ffn = ffn.map(|run| format!("{}*{}", run[0], run.len()));
    let list = |items: Vec<String>| items.join(",");
    format!(
        "layers={};ffn={}",
        list(layers.collect()),
        list(ffn.collect())
    )
}

/// The shipped table, read once.
fn published_table() -> &'static PublishedTable {
    static TABLE: LazyLock<PublishedTable> =
        LazyLock::new(|| serde_json::from_str(PUBLISHED).expect("a test reads the shipped table"));
    &TABLE
}

/// Expands `0-3,7` (`-`: from and to) or `8192*3,64` (`*`: value and count).
fn expand(list: &str, operator: char) -> Option<Vec<usize>> {
    // Longer than any list of layers, short enough that a slip of the keyboard allocates nothing large.
    const LONGEST: usize = 4096;
    let mut out = Vec::new();
    for item in list.split(',') {
        let item = item.trim();
        match item.split_once(operator) {
            None => out.push(item.parse().ok()?),
            Some((a, b)) => {
                let (a, b): (usize, usize) = (a.trim().parse().ok()?, b.trim().parse().ok()?);
                let count = if operator == '-' {
                    b.checked_sub(a)?.checked_add(1)?
                } else {
                    b
                };
                if count > LONGEST {
                    return None;
                }
                match operator {
                    '-' => out.extend(a..=b),
                    _ => out.extend(std::iter::repeat_n(a, count)),
                }
            }
        }
        if out.len() > LONGEST {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LayerType;

    fn e4b() -> TextConfig {
        TextConfig {
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
            layer_types: (0..35)
                .map(|i| match i % 5 {
                    4 => LayerType::Full,
                    _ => LayerType::Sliding,
                })
                .collect(),
            activation_sparsity_z: vec![None; 35],
        }
    }

    #[test]
    fn published_sizes_are_the_published_ones() {
        let config = e4b();
        let submodels = Submodel::published(&config);
        assert_eq!(submodels.len(), 16);
        let size = |name: &str| {
            let submodel = submodels.iter().find(|s| s.name() == name).unwrap();
            submodel.effective_parameters(&config) as f64 / 1e9
        };
        // Recomputed values of the published table, in billions.
        for (name, billions) in [
            ("E4B", 3.980),
            ("E2B", 1.905),
            ("E1.96B layer", 1.956),
            ("E2.54B layer", 2.521),
            ("E3.79B block", 3.729),
        ] {
            assert!(
                (size(name) - billions).abs() < 5e-4,
                "{name}: {}",
                size(name)
            );
        }
        assert_eq!(submodels[0].name(), "E2B");
        assert_eq!(Submodel::whole(&config).name(), "E4B");
    }

    #[test]
    fn borrowing_layers_use_the_last_owner_of_their_type() {
        let config = e4b();
        let e2b = &Submodel::published(&config)[0];
        assert_eq!(e2b.n_kv_owners(), 20);
        let sources = e2b.kv_sources(&config);
        assert_eq!(sources[..20], (0..20).collect::<Vec<_>>());
        assert_eq!(sources[20..25], [18, 18, 18, 18, 19]);
    }

    #[test]
    fn mixes_lie_between_and_are_spelled_so_that_they_can_be_read() {
        let config = e4b();
        let named = |name: &str| {
            let published = Submodel::published(&config);
            published.into_iter().find(|s| s.name() == name).unwrap()
        };
        let (smaller, larger) = (named("E3.39B layer"), named("E3.59B layer"));
        let mixes = smaller.mixes_towards(&larger, &config);
        assert_eq!(mixes.len(), 3); // 5 to 8 are wider in the larger one: it is the fourth
        let size = |submodel: &Submodel| submodel.effective_parameters(&config);
        assert!(size(&smaller) < size(&mixes[0]) && size(&mixes[2]) < size(&larger));
        assert!(mixes.is_sorted_by(|a, b| size(a) < size(b)));
        for mix in &mixes {
            assert_eq!(&Submodel::explicit(mix.name(), &config).unwrap(), mix);
        }
        assert!(named("E2B").mixes_towards(&larger, &config).is_empty());
    }

    #[test]
    fn explicit_slices_are_read_and_wrong_ones_refused() {
        let config = e4b();
        let slice = Submodel::explicit("layers=0-19,25-34;ffn=8192*29,16384", &config).unwrap();
        assert_eq!(slice.layers().len(), 30);
        assert_eq!(slice.widths()[28..], [8192, 16_384]);
        for (spec, reason) in [
            ("layers=0-40", "does not exist"),
            ("ffn=16385", "not between"),
            ("ffn=1,2", "35 layers but 2 widths"),
            ("layers=0-3,20-34", "dropped"),
            ("layers=3,2", "ascending"),
            ("layers=0-99999999", "list like"),
            ("E9B", "neither a known name"),
        ] {
            let error = Submodel::explicit(spec, &config).unwrap_err().to_string();
            assert!(error.contains(reason), "{spec}: {error}");
        }
    }
}

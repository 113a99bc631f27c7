//! What is in a model file, without loading it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gemma3n::{Config, Model, Submodel};
use weights::{Checkpoint, Format, Metadata};

use crate::error::Result;
use crate::package::submodels;

#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    pub path: PathBuf,
    pub format: Format,
    /// Parameters of the decoder, tables excluded, with the unused keys and values that files may carry.
    pub text: u64,
    pub per_layer_embeddings: u64,
    /// The token table, and the head where the file has one of its own.
    pub embedding: u64,
    /// Tower and embedder.
    pub vision: u64,
    pub audio: u64,
    pub effective_parameters: u64,
    /// Bytes of the tensors by how their numbers are stored.
    pub bytes_by_type: BTreeMap<&'static str, u64>,
    pub bytes: u64,
    pub context_length: usize,
    pub submodels: Vec<SubmodelFacts>,
    /// Parts that a complete Gemma 3n has and this file has not.
    pub missing: Vec<&'static str>,
    /// As the file itself says: "gemma".
    pub license: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SubmodelFacts {
    pub name: String,
    pub layers: usize,
    pub effective_parameters: u64,
}

impl SubmodelFacts {
    pub fn new(submodel: &Submodel, config: &Config) -> Self {
        Self {
            name: submodel.name().to_owned(),
            layers: submodel.layers().len(),
            effective_parameters: submodel.effective_parameters(&config.text),
        }
    }
}

impl Inspection {
    pub fn parameters(&self) -> u64 {
        self.text + self.per_layer_embeddings + self.embedding + self.vision + self.audio
    }
}

/// Reads headers only.
pub fn inspect(path: &Path, projector: Option<&Path>) -> Result<Inspection> {
    let checkpoint = Checkpoint::open_with_projector(path, projector)?;
    let config = Config::from_checkpoint(&checkpoint)?;
    inspect_checkpoint(&checkpoint, &config)
}

/// The same for a model that is open.
pub fn inspect_open(model: &Model) -> Result<Inspection> {
    inspect_checkpoint(model.checkpoint(), model.config())
}

fn inspect_checkpoint(checkpoint: &Checkpoint, config: &Config) -> Result<Inspection> {
    let whole = Arc::new(Submodel::whole(&config.text));
    let mut inspection = Inspection {
        path: checkpoint.path().to_owned(),
        format: checkpoint.format(),
        text: 0,
        per_layer_embeddings: 0,
        embedding: 0,
        vision: 0,
        audio: 0,
        effective_parameters: whole.effective_parameters(&config.text),
        bytes_by_type: BTreeMap::new(),
        bytes: 0,
        context_length: config.text.max_position_embeddings,
        submodels: submodels(checkpoint, config, &whole)?
            .iter()
            .map(|s| SubmodelFacts::new(s, config))
            .collect(),
        missing: missing(checkpoint, config)?,
        license: license(checkpoint)?,
    };
    for name in checkpoint.names() {
        let Some(view) = checkpoint.tensor(name) else {
            continue;
        };
        let bytes = view.bytes.len() as u64;
        inspection.bytes += bytes;
        *inspection
            .bytes_by_type
            .entry(view.dtype.name())
            .or_default() += bytes;
        let group = match name {
            _ if name.ends_with("embed_tokens_per_layer.weight") => {
                &mut inspection.per_layer_embeddings
            }
            _ if name.ends_with("embed_tokens.weight") || name.ends_with("lm_head.weight") => {
                &mut inspection.embedding
            }
            _ if name.starts_with("model.language_model.") => &mut inspection.text,
            _ if name.contains("vision") => &mut inspection.vision,
            _ if name.contains("audio") => &mut inspection.audio,
            // Tensors that no part of the model reads.
            _ => continue,
        };
        *group += view.elements() as u64;
    }
    Ok(inspection)
}

/// From a package's metadata, or the head of a folder's model card.
fn license(checkpoint: &Checkpoint) -> Result<Option<String>> {
    if let Metadata::Gguf(gguf) = checkpoint.metadata() {
        return Ok(gguf.opt_string("general.license")?.map(str::to_owned));
    }
    let card = checkpoint.text_file("README.md")?.unwrap_or_default();
    let head = card
        .strip_prefix("---")
        .and_then(|rest| rest.split_once("\n---"));
    let line =
        head.and_then(|(head, _)| head.lines().find_map(|line| line.strip_prefix("license:")));
    Ok(line
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty()))
}

fn missing(checkpoint: &Checkpoint, config: &Config) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    if config.vision.is_none() {
        missing.push("vision");
    }
    if config.audio.is_none() {
        missing.push("audio");
    }
    let (tokenizer, template) = match checkpoint.metadata() {
        Metadata::Gguf(gguf) => (
            gguf.get("tokenizer.ggml.tokens").is_some(),
            gguf.get("tokenizer.chat_template").is_some(),
        ),
        Metadata::Json(_) => {
            let in_config = match checkpoint.text_file("tokenizer_config.json")? {
                Some(text) => text.contains("\"chat_template\""),
                None => false,
            };
            (
                checkpoint.text_file("tokenizer.json")?.is_some(),
                in_config || checkpoint.text_file("chat_template.jinja")?.is_some(),
            )
        }
    };
    if !tokenizer {
        missing.push("tokenizer");
    }
    if !template {
        missing.push("chat_template");
    }
    Ok(missing)
}

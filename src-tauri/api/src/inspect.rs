//! What is in a model file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use weights::Format;

use crate::types::ApiError;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectReply {
    pub path: String,
    /// "huggingface" or "gguf".
    pub format: &'static str,
    pub parameters: ParameterCounts,
    /// Decoder weights without token and per-layer tables: the number in names like E2B.
    pub effective_parameters: u64,
    pub bytes: u64,
    pub bytes_by_type: BTreeMap<&'static str, u64>,
    pub context_length: usize,
    /// What this file can run as, the smallest first.
    pub submodels: Vec<SubmodelEntry>,
    /// "vision", "audio", "tokenizer", "chat_template".
    pub missing: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParameterCounts {
    pub text: u64,
    pub per_layer_embeddings: u64,
    pub embedding: u64,
    pub vision: u64,
    pub audio: u64,
    pub total: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubmodelEntry {
    pub name: String,
    pub layers: usize,
    pub effective_parameters: u64,
}

/// Reads a model's headers. Needs no open model and opens none.
pub fn inspect(path: &Path, projector: Option<&Path>) -> Result<InspectReply, ApiError> {
    let found = engine::inspect(path, projector)?;
    Ok(InspectReply {
        path: path.display().to_string(),
        format: match found.format {
            Format::HuggingFace => "huggingface",
            Format::Gguf => "gguf",
        },
        parameters: ParameterCounts {
            text: found.text,
            per_layer_embeddings: found.per_layer_embeddings,
            embedding: found.embedding,
            vision: found.vision,
            audio: found.audio,
            total: found.parameters(),
        },
        effective_parameters: found.effective_parameters,
        bytes: found.bytes,
        bytes_by_type: found.bytes_by_type,
        context_length: found.context_length,
        submodels: found
            .submodels
            .into_iter()
            .map(|submodel| SubmodelEntry {
                name: submodel.name,
                layers: submodel.layers,
                effective_parameters: submodel.effective_parameters,
            })
            .collect(),
        missing: found.missing,
    })
}

//! What is in a model file.

use std::collections::BTreeMap;
use std::path::Path;

use engine::SubmodelFacts;
use serde::Serialize;
use weights::Format;

use crate::Api;
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

impl From<SubmodelFacts> for SubmodelEntry {
    fn from(facts: SubmodelFacts) -> Self {
        Self {
            name: facts.name,
            layers: facts.layers,
            effective_parameters: facts.effective_parameters,
        }
    }
}

impl Api {
    /// What the open model can run as, the smallest first.
    pub fn submodels(&self) -> Result<Vec<SubmodelEntry>, ApiError> {
        let engine = self.engine()?;
        let config = engine.package().model().config();
        let submodels = engine.package().submodels().iter();
        Ok(submodels
            .map(|submodel| SubmodelFacts::new(submodel, config).into())
            .collect())
    }

    /// The submodel of the open model that an ask with this name is answered by.
    pub fn submodel(&self, name: Option<&str>) -> Result<SubmodelEntry, ApiError> {
        let engine = self.engine()?;
        let package = engine.package();
        let submodel = package.submodel(name)?;
        Ok(SubmodelFacts::new(&submodel, package.model().config()).into())
    }
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
        submodels: found.submodels.into_iter().map(Into::into).collect(),
        missing: found.missing,
    })
}

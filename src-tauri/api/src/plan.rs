//! What of a model fits the memory at hand.

use std::path::Path;

use engine::{Manifest, Tower, Wishes};
use serde::Serialize;

use crate::model::budget;
use crate::types::{ApiError, ErrorCode};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReply {
    pub budget_bytes: u64,
    /// A name, or a size spelled out as --submodel reads it.
    pub submodel: String,
    pub layers: usize,
    pub effective_parameters: u64,
    /// "resident", "on_demand" or "absent".
    pub vision: &'static str,
    pub audio: &'static str,
    /// Tokens of one conversation.
    pub context: usize,
    pub kv: &'static str,
    pub bytes: PlanBytes,
    /// The plan in sentences.
    pub why: Vec<String>,
}

/// A tower on demand is counted; of two, only the larger in the total.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanBytes {
    pub text: u64,
    pub vision: u64,
    pub audio: u64,
    pub kv: u64,
    pub scratch: u64,
    pub total: u64,
}

/// How a model may be run; what is not given is chosen.
#[derive(Debug, Clone, Default)]
pub struct PlanQuestion<'a> {
    pub projector: Option<&'a Path>,
    /// Bytes; what the machine has free if not given.
    pub memory: Option<u64>,
    pub submodel: Option<&'a str>,
    pub context: Option<usize>,
}

/// Reads a model's headers and the machine's free memory.
pub fn plan(path: &Path, question: &PlanQuestion) -> Result<PlanReply, ApiError> {
    let manifest = Manifest::open(path, question.projector)?;
    let Some(budget) = question.memory.or_else(|| budget(0, None)) else {
        let message =
            "This system does not tell how much memory is free. Say how much the model may take.";
        return Err(ApiError::new(ErrorCode::Unsupported, message));
    };
    let wishes = Wishes {
        submodel: question
            .submodel
            .map(|name| manifest.submodel(name))
            .transpose()?,
        context: question.context,
        ..Wishes::default()
    };
    let plan = engine::plan(&manifest, budget, &wishes)?;
    let parameters = plan.submodel.effective_parameters(manifest.text_config());
    Ok(PlanReply {
        budget_bytes: plan.budget,
        submodel: plan.submodel.name().to_owned(),
        layers: plan.submodel.layers().len(),
        effective_parameters: parameters,
        vision: word(plan.vision),
        audio: word(plan.audio),
        context: plan.context,
        kv: plan.kv,
        bytes: PlanBytes {
            text: plan.bytes.text,
            vision: plan.bytes.vision,
            audio: plan.bytes.audio,
            kv: plan.bytes.kv,
            scratch: plan.bytes.scratch,
            total: plan.total,
        },
        why: plan.why,
    })
}

fn word(tower: Tower) -> &'static str {
    match tower {
        Tower::Resident => "resident",
        Tower::OnDemand => "on_demand",
        Tower::Absent => "absent",
    }
}

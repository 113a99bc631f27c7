//! Opening, closing and describing the model.

use std::path::Path;
use std::sync::Arc;

use engine::{
    Engine, Inspection, MachineMemory, OpenOptions, Package, Plan, process_status, status_bytes,
};
use weights::Format;

use crate::types::{
    ApiError, ComputeType, ErrorCode, ModelState, ModelSummary, OpenModel, OpenProgress, OpenStage,
};
use crate::{Api, OpeningModel, Slot};

impl Api {
    pub fn model_state(&self) -> ModelState {
        match &*self.slot() {
            Slot::Empty => ModelState::None,
            Slot::Opening(opening) => ModelState::Opening {
                path: opening.path.clone(),
                stage: opening.progress.stage,
                percent: opening.progress.percent,
            },
            Slot::Ready(_, summary) => ModelState::Ready(summary.clone()),
            Slot::Failed(error) => ModelState::Failed(error.clone()),
        }
    }

    /// Closes the model that is open and opens another. Blocks until it is ready; `on` returns false to cancel.
    pub fn open_model(
        &self,
        open: &OpenModel,
        on: &mut dyn FnMut(OpenProgress) -> bool,
    ) -> Result<ModelSummary, ApiError> {
        let path = open.path.display().to_string();
        let begin = OpenProgress {
            stage: OpenStage::LookingAtFiles,
            percent: 0.0,
        };
        let opening = Slot::Opening(OpeningModel {
            path,
            progress: begin,
        });
        // Closed first, so that two models never share the memory.
        let old = {
            let mut slot = self.slot();
            if let Slot::Opening(opening) = &*slot {
                let message = format!("Sotto is still opening {}.", opening.path);
                return Err(ApiError::new(ErrorCode::Busy, message));
            }
            std::mem::replace(&mut *slot, opening)
        };
        old.close();
        let mut report = |progress: OpenProgress| {
            if let Slot::Opening(opening) = &mut *self.slot() {
                opening.progress = progress;
            }
            on(progress)
        };
        let opened = if report(begin) {
            self.open_package(open, &mut report)
        } else {
            Err(engine::Error::Cancelled.into())
        };
        let mut slot = self.slot();
        match opened {
            Ok((engine, summary)) => {
                *slot = Slot::Ready(Arc::new(engine), summary.clone());
                Ok(summary)
            }
            Err(error) => {
                *slot = match error.code {
                    ErrorCode::Cancelled => Slot::Empty,
                    _ => Slot::Failed(error.clone()),
                };
                Err(error)
            }
        }
    }

    fn open_package(
        &self,
        open: &OpenModel,
        report: &mut dyn FnMut(OpenProgress) -> bool,
    ) -> Result<(Engine, ModelSummary), ApiError> {
        let options = OpenOptions {
            projector: open.projector.clone(),
            compute: open.compute.map(|compute| match compute {
                ComputeType::F32 => gemma3n::Compute::F32,
                ComputeType::Bf16 => gemma3n::Compute::Bf16,
            }),
            budget: budget(0, open.memory),
            ..OpenOptions::default()
        };
        // A tensor of the smallest kind comes every few microseconds; a window wants whole percents.
        let mut last = -1.0;
        let package = Package::open(&open.path, &options, &mut |share| {
            let percent = (share * 100.0).floor() as f32;
            if percent == last {
                return true;
            }
            last = percent;
            report(OpenProgress {
                stage: OpenStage::ReadingWeights,
                percent,
            })
        })?;
        let summary = summary(&package)?;
        Ok((Engine::new(package), summary))
    }

    /// Fits the open model to the memory that there is now, of which it may take `cap` bytes at most. Returns what has
    /// become of it if it changes; an answer in flight goes on with that.
    pub fn fit_model(&self, cap: Option<u64>) -> Result<Option<ModelSummary>, ApiError> {
        let Ok(engine) = self.engine() else {
            return Ok(None);
        };
        let package = engine.package();
        let budget = package
            .plan()
            .and_then(|plan| budget(allocated(&plan), cap));
        let Some(budget) = budget else {
            return Ok(None);
        };
        if package.replan(budget)?.is_none() {
            return Ok(None);
        }
        let changed = summary(package)?;
        match &mut *self.slot() {
            Slot::Ready(current, kept) if Arc::ptr_eq(current, &engine) => {
                *kept = changed.clone();
                Ok(Some(changed))
            }
            _ => Ok(None),
        }
    }

    pub fn close_model(&self) {
        let old = std::mem::take(&mut *self.slot());
        old.close();
    }
}

/// What a model may take when `own` bytes of it are given back; the cap alone where the system does not tell.
pub(crate) fn budget(own: u64, cap: Option<u64>) -> Option<u64> {
    match MachineMemory::read() {
        Some(machine) => Some(machine.budget(own, cap)),
        None => cap,
    }
}

/// What a model that runs by this plan has allocated at most. Pages of its files count as available anyway.
fn allocated(plan: &Plan) -> u64 {
    let planned = plan.bytes.kv + plan.bytes.scratch;
    let anonymous = process_status().and_then(|status| status_bytes(&status, "RssAnon:"));
    anonymous.map_or(0, |anonymous| anonymous.min(planned))
}

/// What the user should know: how the model was opened, and what was left out for lack of memory.
fn notice(package: &Package) -> Option<String> {
    let plan = package.plan().filter(|plan| !plan.is_complete);
    let why = plan.map(|plan| plan.why.join(" "));
    let sentences: Vec<&str> = package.notice().into_iter().chain(why.as_deref()).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// The folder's name, or the file's without its ending.
pub(crate) fn model_name(path: &Path) -> String {
    let name = if path.is_dir() {
        path.file_name()
    } else {
        path.file_stem()
    };
    name.unwrap_or(path.as_os_str()).display().to_string()
}

/// By what most of the bytes are stored as.
pub(crate) fn format_name(inspection: &Inspection) -> String {
    let main_type = inspection
        .bytes_by_type
        .iter()
        .max_by_key(|(_, bytes)| **bytes)
        .map_or("", |(name, _)| *name);
    match inspection.format {
        Format::HuggingFace => format!("safetensors, {main_type}"),
        Format::Gguf => format!("GGUF, {}", main_type.to_uppercase()),
    }
}

fn summary(package: &Package) -> Result<ModelSummary, ApiError> {
    let model = package.model();
    let checkpoint = model.checkpoint();
    let path = checkpoint.path();
    let submodel = package.submodel(None)?;
    let inspection = engine::inspect_open(model)?;
    Ok(ModelSummary {
        name: model_name(path),
        path: path.display().to_string(),
        format: format_name(&inspection),
        submodel: submodel.name().to_owned(),
        layers: submodel.layers().len() as u32,
        parameters: inspection.parameters() as f64,
        effective_parameters: submodel.effective_parameters(&model.config().text) as f64,
        context: package.context() as u32,
        vision: model.config().vision.is_some(),
        audio: model.config().audio.is_some(),
        bytes: inspection.bytes as f64,
        notice: notice(package),
    })
}

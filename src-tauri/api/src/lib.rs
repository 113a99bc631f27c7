//! What a window or the command line may ask for.
//!
//! Knows no Tauri: the window's commands and `sotto-cli` call the same functions of [`Api`].

use std::path::Path;

mod types;

pub use types::*;

/// The one entrance: cheap to clone, and every clone speaks of the same model.
// Temporary: no engine is behind it yet.
#[derive(Debug, Clone, Default)]
pub struct Api;

impl Api {
    pub fn new() -> Api {
        Api
    }

    pub fn model_state(&self) -> ModelState {
        ModelState::None
    }

    /// Blocks until the model is open; `on` returns false to cancel.
    pub fn open_model(
        &self,
        _path: &Path,
        _on: &mut dyn FnMut(OpenProgress) -> bool,
    ) -> Result<ModelSummary, ApiError> {
        Err(ApiError::new(
            ErrorCode::Unsupported,
            "This build cannot open a model yet.",
        ))
    }

    pub fn close_model(&self) {}

    /// Blocks until the answer has ended; `out` returns false to stop it.
    pub fn ask(&self, _ask: Ask, _out: &mut dyn FnMut(ChatEvent) -> bool) -> Result<(), ApiError> {
        Err(ApiError::new(
            ErrorCode::ModelMissing,
            "No model is open. Choose one first.",
        ))
    }
}

//! What a window or the command line may ask for.
//!
//! Knows no Tauri: the window's commands and `sotto-cli` call the same functions of [`Api`].

mod ask;
mod attach;
mod bench;
mod catalogue;
mod digest;
mod failure;
mod import;
mod inspect;
mod library;
mod live;
mod memory;
mod model;
mod note;
mod plan;
mod score;
mod send;
mod settings;
mod transcribe;
mod transcripts;
mod types;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Engine;

pub use bench::{BenchReply, BenchRequest, bench};
pub use catalogue::{ModelEntry, ModelFacts, ModelFolder, ModelList, list_models};
pub use import::{ImportReply, ImportRequest, PackageType, import, import_model};
pub use inspect::{InspectReply, ParameterCounts, SubmodelEntry, inspect};
pub use live::{
    CaptionPace, CaptionSource, LiveEvent, LiveLine, LiveNotice, LiveView, NoticeKind, Phase,
    SoundDevice, StartCaptions, Unclear,
};
pub use memory::{MemoryFigures, ResidentKinds, memory_figures};
pub use note::NoteWish;
pub use plan::{PlanBytes, PlanQuestion, PlanReply, plan};
pub use score::{ScoreReply, ScoreRequest, ScoredToken, TopToken};
pub use settings::{
    CaptionChoices, CaptionStyle, CustomGeneration, GenerationSettings, GlobalShortcuts, Language,
    LiveSource, OverlayChange, OverlayMode, OverlayPlace, OverlaySettings, OverlayText, Preset,
    Salvage, SendKey, SettingChange, Settings, SettingsFile, SettingsState, TextAlignment,
    TextEdge, TextSize, TextWeight, Theme,
};
pub use transcribe::{
    CaptionEvent, ChannelName, SoundSource, TranscribeEvent, TranscribeRequest, Transcribed,
    TranscriptFormat, TranscriptReply, TranscriptSegment,
};
pub use transcripts::{
    ChannelInfo, MarkInfo, StoredLine, StoredState, TranscriptFile, TranscriptHit, TranscriptInfo,
    TranscriptText, TranscriptView,
};
pub use types::*;

/// The one entrance: cheap to clone, and every clone speaks of the same model.
#[derive(Clone, Default)]
pub struct Api {
    slot: Arc<Mutex<Slot>>,
    library: Arc<Mutex<Shelf>>,
    /// Held while the model writes for a window: what the engine remembers changes with every answer.
    answering: Arc<Mutex<()>>,
    /// Live captions, and who watches them.
    stage: Arc<live::Stage>,
}

/// The place for the one library of this process.
#[derive(Default)]
enum Shelf {
    #[default]
    Empty,
    Open(::library::Library),
    Failed(ApiError),
}

/// The place for the one model of this process.
#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Opening(OpeningModel),
    Ready(Arc<Engine>, ModelSummary),
    Failed(ApiError),
}

impl Slot {
    /// Lets go of a model. Not to be called under the lock: it waits for the answer in flight to end.
    fn close(self) {
        if let Self::Ready(engine, _) = self {
            engine.close();
        }
    }
}

#[derive(Clone)]
struct OpeningModel {
    path: String,
    progress: OpenProgress,
}

impl Api {
    pub fn new() -> Self {
        Self::default()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answering(&self) -> MutexGuard<'_, ()> {
        self.answering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn engine(&self) -> Result<Arc<Engine>, ApiError> {
        match &*self.slot() {
            Slot::Ready(engine, _) => Ok(Arc::clone(engine)),
            Slot::Opening(_) => Err(ApiError::new(
                ErrorCode::Busy,
                "The model is still being opened.",
            )),
            Slot::Empty | Slot::Failed(_) => Err(ApiError::new(
                ErrorCode::ModelMissing,
                "No model is open. Choose one first.",
            )),
        }
    }
}

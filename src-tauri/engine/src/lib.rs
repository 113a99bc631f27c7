//! Conversations with a resident model.
//!
//! A [`Package`] is a model with all that turns text, pictures and sound into its input and its
//! output into text. An [`Engine`] is the thread that owns one and answers in turn.

mod bench;
mod budget;
mod conversation;
mod error;
mod generation;
mod import;
mod inspect;
mod listen;
mod manifest;
mod memory;
mod package;
mod plan;
mod sampler;
mod score;
mod thread;

pub use bench::{BenchOptions, BenchReport, bench};
pub use budget::MachineMemory;
pub use conversation::{DoneReason, Event, Exchange, Part, Report, Turn};
pub use error::Error;
pub use generation::{Generation, Overrides};
pub use import::{Import, import, import_watched};
pub use inspect::{Inspection, SubmodelFacts, inspect, inspect_open};
pub use listen::{Listen, Listened};
pub use manifest::Manifest;
pub use memory::{MemoryPeak, process_status, status_bytes};
pub use package::{OpenOptions, Package};
pub use plan::{PartBytes, Plan, Tower, Wishes, plan, replan};
pub use score::{ScoredToken, score};
pub use thread::{Answer, Engine};

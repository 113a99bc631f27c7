//! Live captions: segments of speech in, text that stays out.
//!
//! A [`Captioner`] takes the samples of one channel and asks a [`Recogniser`] what is said in them:
//! again and again while somebody speaks, and a last time at the pause. [`Hypotheses`] decide which
//! words are *committed* and never change again and which are *tentative*; a guard refuses answers that
//! cannot be what was said; finished segments make a [`Transcript`].

mod captioner;
mod guard;
mod hypotheses;
mod language;
mod pace;
mod prompts;
mod transcript;
mod words;

pub use captioner::{
    Caption, Captioner, Channel, Heard, Listen, Recogniser, Settings, hear_again, translate,
};
pub use guard::Objection;
pub use hypotheses::Hypotheses;
pub use language::{Language, UnknownLanguage};
pub use pace::{BEHIND_MS, Pace, Pacer};
pub use transcript::{Transcript, TranscriptSegment};

//! What windows and live captions say to each other.

use std::path::PathBuf;

use ::captions::Objection;
use serde::{Deserialize, Serialize};
use specta::Type;

use crate::transcribe::ChannelName;
use crate::types::{ApiError, Number};

/// How captions begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct StartCaptions {
    pub source: CaptionSource,
    /// Of the transcript; the user can change it at any time.
    pub title: String,
    /// What is spoken, by English name or code; the model finds out if it is not said.
    pub language: Option<String>,
    pub translate: Option<String>,
    /// Without it the sound lies on the disk only until it is written down.
    pub keep_sound: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CaptionSource {
    Microphone,
    /// What the computer plays.
    System,
    /// The microphone and what the computer plays, each a channel of its own.
    Both,
    /// As fast as the model goes.
    File {
        path: PathBuf,
    },
}

/// What happens, for every window that watches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LiveEvent {
    /// Everything as it is now; the first event of every watcher, and of every new transcript.
    View(LiveView),
    Phase {
        phase: Phase,
    },
    /// A line is new, or has changed.
    Line(LiveLine),
    /// How loud a channel is, 0 to 1.
    Level {
        channel: ChannelName,
        #[specta(type = Number)]
        level: f32,
    },
    Clock {
        /// Length of the sound.
        elapsed_ms: u32,
        /// How much of it is not written down yet.
        behind_ms: u32,
    },
    Pace {
        pace: CaptionPace,
    },
    Notice(LiveNotice),
}

/// The captions at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Type)]
pub struct LiveView {
    pub phase: Phase,
    /// The transcript that is being made, or was made last.
    pub transcript: Option<String>,
    pub channels: Vec<ChannelName>,
    pub language: Option<String>,
    pub translate: Option<String>,
    pub elapsed_ms: u32,
    pub behind_ms: u32,
    pub pace: CaptionPace,
    /// The last ones, in the order in which they were begun.
    pub lines: Vec<LiveLine>,
    /// The last one.
    pub notice: Option<LiveNotice>,
    /// Why the captions ended, or the model stopped while the sound is still recorded.
    pub failure: Option<ApiError>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Idle,
    /// A device is being opened.
    Starting,
    Listening,
    /// No more sound comes; the rest is written down.
    Finishing,
}

/// A line of captions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct LiveLine {
    pub channel: ChannelName,
    /// Counts the lines of a channel from 0.
    pub segment: u32,
    /// When it began; none while it is being spoken.
    pub start_ms: Option<u32>,
    /// What is certain; it only grows until the line is finished.
    pub committed: String,
    /// What may yet change.
    pub tentative: String,
    pub translation: Option<String>,
    /// Why this is not, or not all, of what was said.
    pub unclear: Option<Unclear>,
    /// The stored line; none until it is finished and on the disk.
    pub id: Option<String>,
}

/// Why the model's words about a stretch of sound were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Unclear {
    /// It said the same again and again.
    Loop,
    /// It wrote more than can be said in that time.
    TooMuch,
    /// It spoke of its task instead of writing down.
    Chatter,
    WrongLanguage,
}

impl From<Objection> for Unclear {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::Loop => Self::Loop,
            Objection::TooMuch => Self::TooMuch,
            Objection::Chatter => Self::Chatter,
            Objection::WrongLanguage => Self::WrongLanguage,
        }
    }
}

/// How captions are made, from the best to the cheapest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum CaptionPace {
    #[default]
    Full,
    LongerSteps,
    FinalsOnly,
    TranslateLater,
}

/// Something that the user should know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct LiveNotice {
    pub channel: Option<ChannelName>,
    #[serde(flatten)]
    pub notice: NoticeKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum NoticeKind {
    /// Samples come from the device of this name.
    Hearing { device: String },
    /// The device is gone; silence takes its place until there is one again.
    DeviceLost { device: String },
    /// Nothing but exact zeros.
    Silent,
    /// Sound again after such silence.
    Heard,
    /// So much sound was lost because the computer was too busy.
    SoundLost { ms: u32 },
    /// The disk refuses sound or lines; both wait in memory.
    NotSaved { message: String },
    /// The disk takes them again.
    SavedAgain,
    /// The file is damaged, and its rest is missing.
    FileDamaged { message: String },
    /// The model failed; the sound is recorded, and can be written down later.
    ModelFailed { message: String },
}

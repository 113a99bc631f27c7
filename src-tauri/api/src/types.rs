//! The requests and replies, the only types of the project that become JSON.
//!
//! `ui/src/lib/ipc/bindings.ts` is generated from them by `cargo xtask bindings`, and `sotto-cli --json` prints
//! [`ChatEvent`] one per line.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use specta::Type;

/// How the bindings see a float.
///
/// specta writes floats as `number | null`, because NaN becomes `null` in JSON.
/// Every float below is finite, and a 32-bit integer is written as plain `number`.
pub(crate) type Number = u32;

/// What the one model of this process is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ModelState {
    None,
    Opening {
        path: String,
        stage: OpenStage,
        /// 0 to 100.
        #[specta(type = Number)]
        percent: f32,
    },
    Ready(ModelSummary),
    Failed(ApiError),
}

/// An open model, in numbers that were read from its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ModelSummary {
    pub name: String,
    pub path: String,
    /// "safetensors, bf16" or "GGUF, Q4_0".
    pub format: String,
    /// "E2B", "E4B", or what was made between them.
    pub submodel: String,
    pub layers: u32,
    /// All weights of the files. A float, since it does not fit 32 bits and 64-bit integers do not survive JavaScript.
    #[specta(type = Number)]
    pub parameters: f64,
    /// Weights without per-layer embeddings and towers: what must be resident to chat.
    #[specta(type = Number)]
    pub effective_parameters: f64,
    /// Longest conversation in tokens.
    pub context: u32,
    pub vision: bool,
    pub audio: bool,
    /// Size of the files.
    #[specta(type = Number)]
    pub bytes: f64,
    /// One sentence that the user should know about this model, such as "random weights, made for tests".
    pub notice: Option<String>,
}

/// Which model to open, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Type)]
pub struct OpenModel {
    /// A folder or a GGUF file.
    pub path: PathBuf,
    /// The projector of a GGUF model, if it does not lie beside it under the usual name.
    #[specta(optional)]
    pub projector: Option<PathBuf>,
    #[specta(optional)]
    pub compute: Option<ComputeType>,
    /// Bytes that the model may take; if not given, what the machine has free less a reserve.
    #[specta(optional, type = Option<Number>)]
    pub memory: Option<u64>,
}

/// In what numbers an unquantised model is kept and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ComputeType {
    F32,
    Bf16,
}

/// What is being done while a model is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum OpenStage {
    LookingAtFiles,
    ReadingWeights,
}

/// How far opening a model has come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct OpenProgress {
    pub stage: OpenStage,
    /// 0 to 100.
    #[specta(type = Number)]
    pub percent: f32,
}

/// One turn of the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Ask {
    /// An id of the caller's choice.
    /// The first ask with it starts a conversation; later ones continue it and bring the new turn alone.
    pub conversation: String,
    /// In the order in which the model shall see them.
    pub parts: Vec<AskPart>,
    pub options: AskOptions,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AskPart {
    Text {
        text: String,
    },
    Image {
        path: PathBuf,
    },
    Audio {
        path: PathBuf,
    },
    /// A whole prompt in token ids, for models that come without a tokenizer. No template is applied.
    Tokens {
        ids: Vec<u32>,
    },
}

/// What is left out takes the model's own default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Type)]
pub struct AskOptions {
    #[specta(optional)]
    pub system: Option<String>,
    #[specta(optional)]
    pub submodel: Option<String>,
    #[specta(optional, type = Option<Number>)]
    pub temperature: Option<f32>,
    #[specta(optional)]
    pub top_k: Option<u32>,
    #[specta(optional, type = Option<Number>)]
    pub top_p: Option<f32>,
    #[specta(optional, type = Option<Number>)]
    pub min_p: Option<f32>,
    #[specta(optional, type = Option<Number>)]
    pub repetition_penalty: Option<f32>,
    #[specta(optional)]
    pub seed: Option<u32>,
    #[specta(optional)]
    pub max_tokens: Option<u32>,
}

/// An answer as it is written; the last event is `Done`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ChatEvent {
    /// The question is on disk, and the answer will be. First of all, in a conversation that is stored.
    Stored {
        thread: ThreadEntry,
        question: String,
        answer: String,
    },
    /// Something about the question or its answer that the user should know.
    Notice(Notice),
    /// So many of the prompt's tokens have gone through the model.
    Prefill { done: u32, total: u32 },
    Token {
        id: u32,
        /// What this token adds to the text; empty while a character is incomplete.
        text: String,
    },
    Done {
        reason: DoneReason,
        /// The answer ended because the context holds no more; the conversation cannot go on.
        context_full: bool,
        /// Text of the last tokens that waited for the rest of a character which never came.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        #[specta(optional)]
        text: String,
        prompt_tokens: u32,
        completion_tokens: u32,
        /// Positions of the context that are taken now.
        context_tokens: u32,
        #[specta(type = Number)]
        time_to_first_token_ms: f64,
        #[specta(type = Number)]
        prefill_tokens_per_second: f64,
        #[specta(type = Number)]
        decode_tokens_per_second: f64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum DoneReason {
    /// The model ended its turn.
    Stop,
    /// `max_tokens` was reached, or the context is full.
    Length,
    /// The receiver asked to stop.
    Cancelled,
}

/// A conversation in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ThreadEntry {
    pub id: String,
    pub title: String,
    pub pinned: bool,
    /// Milliseconds since 1970.
    #[specta(type = Number)]
    pub created_ms: f64,
    /// When something was last asked or answered in it.
    #[specta(type = Number)]
    pub updated_ms: f64,
}

/// A conversation with the messages of the branch that is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ThreadView {
    pub thread: ThreadEntry,
    pub messages: Vec<StoredMessage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct StoredMessage {
    pub id: String,
    /// The message that it follows; none at the start.
    pub parent: Option<String>,
    pub role: MessageRole,
    pub state: MessageState,
    pub parts: Vec<MessagePart>,
    #[specta(type = Number)]
    pub created_ms: f64,
    pub model: Option<String>,
    pub failure: Option<ApiError>,
    pub figures: Option<Figures>,
    /// Every message that follows the same one, itself among them, the oldest first.
    pub siblings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum MessageRole {
    User,
    Assistant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    Streaming,
    Complete,
    /// It reached a limit of length.
    Cut,
    Stopped,
    Failed,
    /// Sotto ended while it was written.
    Interrupted,
}

/// A piece of a question, with its files in the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MessagePart {
    Text {
        text: String,
    },
    /// A text file, taken into the question.
    Quote {
        name: String,
        text: String,
    },
    Picture {
        /// Its name in the library.
        file: String,
        /// What the user calls it.
        name: String,
        #[specta(type = Number)]
        bytes: f64,
    },
    Sound {
        file: String,
        name: String,
        #[specta(type = Number)]
        bytes: f64,
    },
}

/// What was measured while an answer was written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct Figures {
    /// The answer ended because the context holds no more.
    pub context_full: bool,
    pub prompt_tokens: u32,
    pub completion_tokens: u32,
    pub context_tokens: u32,
    #[specta(type = Number)]
    pub time_to_first_token_ms: f64,
    #[specta(type = Number)]
    pub prefill_tokens_per_second: f64,
    #[specta(type = Number)]
    pub decode_tokens_per_second: f64,
}

/// A question that is stored before it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Send {
    /// An id of the caller's choice, to stop the answer by.
    pub run: String,
    /// None begins a thread.
    pub thread: Option<String>,
    /// The message that the question follows; none if it stands at the start of its thread.
    pub parent: Option<String>,
    pub parts: Vec<MessagePart>,
    pub options: AskOptions,
}

/// A further answer to a stored question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Retry {
    /// An id of the caller's choice, to stop the answer by.
    pub run: String,
    pub question: String,
    pub options: AskOptions,
}

/// A file that was taken into the library, and what the user should know about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Attached {
    pub part: MessagePart,
    pub notice: Option<Notice>,
}

/// Something that the user should know, and that is no failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Notice {
    /// Whole sentences, in English.
    pub text: String,
    pub about: NoticeAbout,
}

/// The facts of a notice, for a window that speaks another language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NoticeAbout {
    /// A sound file can be heard only in part.
    SoundDamaged {
        /// What the user calls it.
        file: String,
        /// How much of it can be heard.
        #[specta(type = Number)]
        seconds: f64,
    },
    /// What was written is not on the disk.
    NotSaved,
    /// The microphone went away while a voice note was recorded.
    MicrophoneLost { device: String },
}

/// A voice note while it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum NoteEvent {
    /// From now on it hears, with the device of this name.
    Listening { device: String },
    Level {
        /// The loudest sample since the last event, 0 to 1.
        #[specta(type = Number)]
        peak: f32,
        /// How long the note is by now.
        elapsed_ms: u32,
    },
    /// Nothing but exact zeros for some seconds, which no microphone in a room gives.
    Silent,
    /// Sound again after such silence.
    Heard,
}

/// What to show of a sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Waveform {
    #[specta(type = Number)]
    pub seconds: f64,
    /// The loudest sample of each stretch, 0 to 1.
    #[specta(type = Vec<Number>)]
    pub peaks: Vec<f32>,
}

/// A conversation in which something was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct SearchHit {
    pub thread: ThreadEntry,
    /// None if the title itself was found.
    pub message: Option<String>,
    pub excerpt: Vec<ExcerptPiece>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ExcerptPiece {
    pub text: String,
    /// Whether it is what was searched for.
    pub found: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    Markdown,
    Json,
}

/// Where conversations and transcripts are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct LibraryState {
    pub folder: String,
    /// Size on disk.
    #[specta(type = Number)]
    pub bytes: f64,
    pub threads: u32,
    pub transcripts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ThreadsImported {
    pub added: u32,
    /// Conversations that were here already.
    pub known: u32,
}

/// What went wrong, for the window to act on and for the user to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ApiError {
    pub code: ErrorCode,
    /// Whole sentences, in English: what is wrong and, where something can be done, what to do.
    pub message: String,
    /// The file or folder that it is about, as the user calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub subject: Option<String>,
}

/// A code exists only if the window does something of its own for it, or has words of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    ModelMissing,
    ModelBroken,
    Unsupported,
    InputUnreadable,
    InputEmpty,
    /// A picture, a text or a file of more than Sotto takes in.
    InputTooLarge,
    /// A sound of more than the model hears at once.
    InputTooLong,
    /// Neither a picture, a sound nor a text.
    InputUnknown,
    InputIsFolder,
    TooLong,
    /// The conversations cannot be read or written.
    Storage,
    /// A newer Sotto has written the conversations.
    StorageNewer,
    /// Another Sotto has the conversations open.
    StorageInUse,
    StorageReadOnly,
    StorageDamaged,
    DiskFull,
    ExportTooLarge,
    MicMissing,
    MicDenied,
    /// Another program has the microphone to itself.
    MicBusy,
    MicSilent,
    MicFailed,
    /// What was asked for has been deleted.
    Gone,
    Busy,
    OutOfMemory,
    Cancelled,
    Internal,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            message: message.into(),
            subject: None,
        }
    }

    #[must_use]
    pub fn about(self, subject: impl Into<String>) -> ApiError {
        ApiError {
            subject: Some(subject.into()),
            ..self
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn a_token_is_the_line_that_the_cli_prints() {
        let token = ChatEvent::Token {
            id: 7,
            text: "Hi".into(),
        };
        let line = serde_json::to_string(&token).expect("serialises");
        assert_eq!(line, r#"{"event":"token","id":7,"text":"Hi"}"#);
    }

    #[test]
    fn states_carry_their_fields_beside_the_tag() {
        let failed = ModelState::Failed(ApiError::new(ErrorCode::ModelMissing, "No model."));
        assert_eq!(
            to_value(failed).expect("serialises"),
            json!({"state": "failed", "code": "model_missing", "message": "No model."})
        );
        assert_eq!(
            to_value(ModelState::None).expect("serialises"),
            json!({"state": "none"})
        );
    }

    #[test]
    fn an_ask_may_leave_out_every_option() {
        let ask = from_value::<Ask>(json!({
            "conversation": "c1",
            "parts": [{"type": "image", "path": "/a b.png"}, {"type": "text", "text": "What is it?"}],
            "options": {"max_tokens": 5},
        }))
        .expect("parses");
        assert_eq!(
            ask.parts[0],
            AskPart::Image {
                path: "/a b.png".into()
            }
        );
        assert_eq!(
            ask.options,
            AskOptions {
                max_tokens: Some(5),
                ..AskOptions::default()
            }
        );
    }
}

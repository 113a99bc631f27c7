//! What can be wrong with the things a person, or a model folder, gives the model to read.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum InputError {
    #[error("this is not a picture in a format that can be read (PNG, JPEG, WebP, GIF, BMP, TIFF)")]
    NotAPicture,
    #[error("the picture is {width} x {height} pixels; at most {max} a side can be read")]
    PictureTooWide { width: u32, height: u32, max: u32 },
    #[error("the picture is {width} x {height} pixels and needs more than {max_mib} MiB of memory")]
    PictureTooLarge {
        width: u32,
        height: u32,
        max_mib: u64,
    },
    #[error("the picture file is cut short")]
    PictureCutShort,
    #[error("the picture file is damaged: {0}")]
    PictureDamaged(String),
    #[error("the picture is of a kind that cannot be read: {0}")]
    PictureUnsupported(String),

    #[error("the sound is empty")]
    SoundEmpty,
    #[error("the sound is too short: {samples} samples, at least {min} are needed")]
    SoundTooShort { samples: usize, min: usize },
    #[error("sound is {seconds:.1} s long; at most {max_seconds} s can be heard at once")]
    SoundTooLong { seconds: f64, max_seconds: f64 },
    #[error("sample {index} of the sound is not a number")]
    SoundNotANumber { index: usize },
    #[error(
        "a sound of {samples} samples does not fit the {padded} samples it should be padded to"
    )]
    SoundDoesNotFit { samples: usize, padded: usize },

    #[error("preprocessor setting {key} is {found}; {expected} is supported")]
    Setting {
        key: &'static str,
        found: String,
        expected: String,
    },

    #[error("the tokenizer cannot be used: {0}")]
    Tokenizer(String),
    #[error("token {id} is not in the vocabulary of {size} tokens")]
    UnknownToken { id: u32, size: usize },
    #[error("the text would turn into the control token {piece:?}")]
    ControlTokenInText { piece: String },

    #[error("the chat template cannot be used: {0}")]
    Template(String),
    #[error("the chat template refused the conversation: {0}")]
    TemplateRefused(String),
    #[error("there is no message to answer")]
    NoMessages,
    #[error("a system message can hold only text")]
    MediaInSystemMessage,
    #[error("the text uses all characters that are kept free to mark it")]
    NoFreeMarker,
    #[error("this model's vocabulary has no {piece:?}, so it cannot take {medium}")]
    NoMediaToken { piece: String, medium: &'static str },
    #[error("the prompt has {found} places for {medium}, but the conversation has {expected}")]
    MediaCount {
        medium: &'static str,
        expected: usize,
        found: usize,
    },
}

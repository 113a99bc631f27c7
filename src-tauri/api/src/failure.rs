//! From what went wrong inside to what a user reads.

use std::path::Path;

use crate::types::{ApiError, ErrorCode};

impl From<engine::Error> for ApiError {
    fn from(error: engine::Error) -> Self {
        let code = match &error {
            engine::Error::Weights(error) => weights_code(error),
            engine::Error::Model(error) => model_code(error),
            engine::Error::Input(error) => input_code(error),
            engine::Error::BrokenFile { .. } | engine::Error::TokenizerMismatch { .. } => {
                ErrorCode::ModelBroken
            }
            engine::Error::NoTokenizer { .. }
            | engine::Error::UnknownSubmodel { .. }
            | engine::Error::Setting { .. } => ErrorCode::Unsupported,
            engine::Error::TooLong { .. } => ErrorCode::TooLong,
            engine::Error::DoesNotFit { .. } | engine::Error::NoRoomFor { .. } => {
                ErrorCode::OutOfMemory
            }
            engine::Error::Closed => ErrorCode::ModelMissing,
            engine::Error::Cancelled => ErrorCode::Cancelled,
            engine::Error::Panicked(_) => ErrorCode::Internal,
        };
        Self::new(code, sentence(&error.to_string()))
    }
}

impl From<::library::Error> for ApiError {
    fn from(error: ::library::Error) -> Self {
        use ::library::Error;
        let (code, subject) = match &error {
            Error::Gone(_) => (ErrorCode::Gone, None),
            Error::NotAnExport { path, .. } => (ErrorCode::InputUnreadable, Some(path)),
            Error::NewerVersion { path, .. } => (ErrorCode::StorageNewer, Some(path)),
            Error::InUse { path } => (ErrorCode::StorageInUse, Some(path)),
            Error::DiskFull => (ErrorCode::DiskFull, None),
            Error::ReadOnly { path } => (ErrorCode::StorageReadOnly, Some(path)),
            Error::Damaged { path, .. } => (ErrorCode::StorageDamaged, Some(path)),
            Error::Io { path, .. } => (ErrorCode::Storage, Some(path)),
            Error::TooLargeForOneFile => (ErrorCode::ExportTooLarge, None),
            Error::Store(_) => (ErrorCode::Storage, None),
        };
        Self {
            subject: subject.map(|path| path.display().to_string()),
            ..Self::new(code, sentence(&error.to_string()))
        }
    }
}

fn weights_code(error: &weights::Error) -> ErrorCode {
    match error {
        weights::Error::NotFound { .. } => ErrorCode::ModelMissing,
        weights::Error::OtherArchitecture { .. }
        | weights::Error::Mlx { .. }
        | weights::Error::IsProjector { .. }
        | weights::Error::NotAProjector { .. }
        | weights::Error::SplitGguf { .. }
        | weights::Error::CannotExport { .. } => ErrorCode::Unsupported,
        weights::Error::Cancelled => ErrorCode::Cancelled,
        weights::Error::Io {
            action: "write", ..
        } => ErrorCode::Storage,
        _ => ErrorCode::ModelBroken,
    }
}

fn model_code(error: &gemma3n::Error) -> ErrorCode {
    match error {
        gemma3n::Error::Weights(error) => weights_code(error),
        gemma3n::Error::Config { .. } | gemma3n::Error::DamagedWeights { .. } => {
            ErrorCode::ModelBroken
        }
        gemma3n::Error::MissingPart { .. } | gemma3n::Error::Submodel { .. } => {
            ErrorCode::Unsupported
        }
        gemma3n::Error::ContextFull { .. } => ErrorCode::TooLong,
        gemma3n::Error::Placeholders { .. } | gemma3n::Error::TokenId { .. } => {
            ErrorCode::InputUnreadable
        }
        gemma3n::Error::Cancelled => ErrorCode::Cancelled,
        gemma3n::Error::NotFinite
        | gemma3n::Error::PictureSize { .. }
        | gemma3n::Error::MixedSubmodels { .. }
        | gemma3n::Error::Panicked(_)
        | gemma3n::Error::Tensor(_) => ErrorCode::Internal,
    }
}

fn input_code(error: &gemma3n::InputError) -> ErrorCode {
    use gemma3n::InputError;
    match error {
        InputError::Setting { .. } | InputError::Tokenizer(_) | InputError::Template(_) => {
            ErrorCode::ModelBroken
        }
        InputError::NoMediaToken { .. } => ErrorCode::Unsupported,
        InputError::SoundTooLong { .. } => ErrorCode::TooLong,
        _ => ErrorCode::InputUnreadable,
    }
}

/// Says which of the user's files an error is about.
pub(crate) fn about(path: &Path, code: ErrorCode, error: impl std::fmt::Display) -> ApiError {
    let name = path.file_name().unwrap_or(path.as_os_str()).display();
    let message = sentence(&format!("{name}: {error}"));
    ApiError::new(code, message).about(name.to_string())
}

pub(crate) fn about_picture(path: &Path, error: &gemma3n::InputError) -> ApiError {
    use gemma3n::InputError;
    let code = match error {
        InputError::PictureTooWide { .. } | InputError::PictureTooLarge { .. } => {
            ErrorCode::InputTooLarge
        }
        _ => ErrorCode::InputUnreadable,
    };
    about(path, code, error)
}

pub(crate) fn about_sound(path: &Path, error: &audio::Error) -> ApiError {
    let code = match error {
        audio::Error::Empty => ErrorCode::InputEmpty,
        audio::Error::TooLong { .. } => ErrorCode::InputTooLong,
        _ => ErrorCode::InputUnreadable,
    };
    about(path, code, error)
}

/// What is wrong with a device that should listen.
pub(crate) fn listening(error: &audio::Error) -> ApiError {
    let code = match error {
        audio::Error::NoMicrophone => ErrorCode::MicMissing,
        audio::Error::NotAllowed => ErrorCode::MicDenied,
        audio::Error::DeviceBusy => ErrorCode::MicBusy,
        audio::Error::NoSystemSound => ErrorCode::Unsupported,
        _ => ErrorCode::MicFailed,
    };
    ApiError::new(code, sentence(&error.to_string()))
}

/// Errors are written without a capital and a full stop, because they are parts of larger ones.
pub(crate) fn sentence(text: &str) -> String {
    let mut sentence = String::with_capacity(text.len() + 1);
    let mut characters = text.chars();
    // A path or a file name keeps its first letter.
    let first_word = text.split_whitespace().next().unwrap_or_default();
    let is_name = first_word.contains(['/', '\\', '.', ':', '_']);
    if let Some(first) = characters.next() {
        if is_name {
            sentence.push(first);
        } else {
            sentence.extend(first.to_uppercase());
        }
    }
    sentence.push_str(characters.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_begin_and_end_as_such() {
        for (text, expected) in [
            ("the model was closed", "The model was closed."),
            ("/a/b.gguf: bad magic", "/a/b.gguf: bad magic."),
            ("said.wav: too short", "said.wav: too short."),
            ("", "."),
        ] {
            assert_eq!(sentence(text), expected);
        }
    }
}

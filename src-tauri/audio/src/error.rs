//! What can be wrong with a sound file.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("the sound file cannot be opened: {0}")]
    Open(#[source] std::io::Error),
    #[error("the sound file is empty")]
    Empty,
    #[error(
        "this is not a sound file in a format that can be read (WAV, AIFF, CAF, FLAC, MP3, M4A, Ogg Vorbis, Opus, WebM)"
    )]
    NotASound,
    #[error("the file has no sound track")]
    NoTrack,
    #[error("the sound is coded as {codec}, which cannot be read")]
    UnknownCodec { codec: String },
    #[error("the sound file is damaged: {0}")]
    Damaged(String),
    #[error("the sound file is cut short before any sound")]
    CutShort,
    #[error("the sound has {channels} channels at {rate} Hz, which cannot be read")]
    UnusualFormat { rate: u32, channels: usize },
    #[error("the sound is longer than {max_seconds} s, the most that is read at once")]
    TooLong { max_seconds: u64 },
}

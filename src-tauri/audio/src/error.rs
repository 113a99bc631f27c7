//! What can be wrong with a sound file or a device.

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
    #[error("there is no microphone; connect one, or choose one in the system's sound settings")]
    NoMicrophone,
    #[error(
        "what the computer plays cannot be heard; on Linux that takes PulseAudio or PipeWire, on macOS version 14.6"
    )]
    NoSystemSound,
    #[error("the system does not let Sotto listen; allow it in the system's privacy settings")]
    NotAllowed,
    #[error("another program has the sound device to itself; close that program and try again")]
    DeviceBusy,
    #[error("the sound device cannot be used: {0}")]
    Device(String),
}

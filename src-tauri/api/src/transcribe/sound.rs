//! Threads that bring sound: a file's, as fast as it is taken or as it was spoken, and a device's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use audio::{Capture, Notice, SAMPLE_RATE, Source};

use super::SoundSource;
use crate::failure::{about_sound, listening, sentence};
use crate::types::ApiError;

pub(super) enum Piece {
    Samples(Vec<f32>),
    Notice(String),
}

/// Sound that a thread of its own brings.
pub(super) struct Sound {
    pub pieces: Receiver<Result<Piece, ApiError>>,
    thread: JoinHandle<()>,
}

/// Pieces that may wait. Of a device or a file in real time that is an hour and more; other files wait for the captions.
const QUEUE: usize = 40_000;

/// A piece of a file: 100 ms.
const PIECE: usize = SAMPLE_RATE as usize / 10;

/// A device is read so often.
pub(super) const READ: Duration = Duration::from_millis(50);

impl Sound {
    pub fn open(
        source: &SoundSource,
        realtime: bool,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, ApiError> {
        let stop = Arc::clone(stop);
        let (pieces, device) = match source {
            SoundSource::File(path) => {
                // A sentence at once for what is no sound at all.
                audio::stream_sound(path, &mut |_| false).map_err(|e| about_sound(path, &e))?;
                let (pieces, receiver) = sync_channel(if realtime { QUEUE } else { 8 });
                let path = path.clone();
                let work = move || play(&path, realtime, &stop, &pieces);
                return Ok(Self::start(receiver, work));
            }
            SoundSource::Microphone => (sync_channel(QUEUE), Source::Microphone),
            SoundSource::System => (sync_channel(QUEUE), Source::System),
        };
        let (sender, receiver) = pieces;
        let capture = Capture::open(device).map_err(|error| listening(&error))?;
        Ok(Self::start(receiver, move || {
            record(capture, device, &stop, &sender)
        }))
    }

    fn start(
        pieces: Receiver<Result<Piece, ApiError>>,
        work: impl FnOnce() + Send + 'static,
    ) -> Self {
        let thread = std::thread::Builder::new()
            .name("sound".into())
            .spawn(work)
            .expect("the system gives a thread");
        Self { pieces, thread }
    }

    pub fn join(self) {
        drop(self.pieces);
        // It has no panics of its own, and decoders' are caught.
        let _ = self.thread.join();
    }
}

/// Reads a file, as fast as it is taken or as slowly as it was spoken.
fn play(
    path: &Path,
    realtime: bool,
    stop: &AtomicBool,
    pieces: &SyncSender<Result<Piece, ApiError>>,
) {
    let began = Instant::now();
    let mut n_sent = 0;
    let mut send = |samples: &[f32]| {
        for piece in samples.chunks(PIECE) {
            n_sent += piece.len();
            if realtime {
                let due = Duration::from_secs_f64(n_sent as f64 / f64::from(SAMPLE_RATE));
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
            let gone = || pieces.send(Ok(Piece::Samples(piece.to_vec()))).is_err();
            if stop.load(Ordering::Relaxed) || gone() {
                return false;
            }
        }
        true
    };
    let last = match audio::stream_sound(path, &mut send) {
        Ok(None) => return,
        Ok(Some(damage)) => {
            let name = path.file_name().unwrap_or(path.as_os_str()).display();
            Ok(Piece::Notice(sentence(&format!("{name}: {damage}"))))
        }
        Err(error) => Err(about_sound(path, &error)),
    };
    // Nobody is there any more after an error of the model.
    let _ = pieces.send(last);
}

/// Reads a device until it is told to stop.
fn record(
    mut capture: Capture,
    source: Source,
    stop: &AtomicBool,
    pieces: &SyncSender<Result<Piece, ApiError>>,
) {
    let mut samples = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let notices = capture.read(&mut samples);
        let notices = notices
            .iter()
            .map(|notice| Piece::Notice(told(notice, source)));
        let heard = (!samples.is_empty()).then(|| Piece::Samples(std::mem::take(&mut samples)));
        for piece in notices.chain(heard) {
            if pieces.send(Ok(piece)).is_err() {
                return;
            }
        }
        std::thread::sleep(READ);
    }
}

fn told(notice: &Notice, source: Source) -> String {
    match (notice, source) {
        (Notice::Listening { device }, _) => format!("Listening to {device}."),
        (Notice::Lost { device }, _) => {
            format!("{device} is gone. Listening goes on as soon as there is another device.")
        }
        (Notice::Silent, Source::Microphone) => {
            "The microphone gives nothing but silence: it may be switched off, or \
             Sotto may not be allowed to use it."
                .into()
        }
        (Notice::Silent, Source::System) => {
            "The computer plays nothing; if it does, Sotto may not be allowed to listen.".into()
        }
        (Notice::Heard, _) => "There is sound again.".into(),
        (Notice::Overrun { ms }, _) => {
            format!("The computer is too busy: {ms} ms of sound were lost.")
        }
    }
}

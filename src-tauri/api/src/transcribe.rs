//! Files, the microphone and system sound to transcripts, with captions on the way.

mod sound;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use audio::SAMPLE_RATE;
use captions::{
    Caption, Captioner, Channel, Heard, Language, Listen, Recogniser, Settings, Transcript,
};
use serde::{Deserialize, Serialize};
use specta::Type;

use crate::Api;
use crate::failure::sentence;
use crate::types::{ApiError, ErrorCode};
use sound::{Piece, READ, Sound};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoundSource {
    File(PathBuf),
    Microphone,
    /// What the computer plays.
    System,
}

#[derive(Clone, Debug)]
pub struct TranscribeRequest {
    /// A file, or one or both of the others; each is a channel of its own.
    pub sources: Vec<SoundSource>,
    /// What is spoken, by English name or code; the model finds out if it is not said.
    pub language: Option<String>,
    /// A language to translate into.
    pub translate: Option<String>,
    /// Captions while somebody speaks, and not only at the pauses.
    pub live: bool,
    /// A file comes as slowly as it was spoken.
    pub realtime: bool,
    pub submodel: Option<String>,
}

/// What happens while a transcript is made.
#[derive(Clone, Debug, PartialEq)]
pub enum TranscribeEvent {
    Caption(CaptionEvent),
    /// Something that the user should know.
    Notice(String),
}

/// What is known about a segment of speech now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaptionEvent {
    /// Since the sound began: by the clock, or in a file that does not come in real time by its own time.
    pub at_ms: u32,
    pub channel: ChannelName,
    /// Counts from 0.
    pub segment: u32,
    /// All of the segment that is certain; it only grows from event to event.
    pub committed: String,
    /// What may yet change.
    pub tentative: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translation: Option<String>,
    /// The last event of the segment.
    #[serde(rename = "final")]
    pub is_final: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "lowercase")]
pub enum ChannelName {
    Me,
    Others,
    File,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TranscriptReply {
    pub segments: Vec<TranscriptSegment>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TranscriptSegment {
    pub start_ms: u32,
    pub end_ms: u32,
    pub channel: ChannelName,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translation: Option<String>,
    /// Why this is not, or not all, of what was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unclear: Option<String>,
}

/// What was said, and how fast it was written down.
#[derive(Clone, Debug)]
pub struct Transcribed {
    transcript: Transcript,
    /// Length of the sound.
    pub heard_ms: u32,
    /// Time that the model took.
    pub model_ms: u32,
    /// How often the model was asked about sound.
    pub hypotheses: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranscriptFormat {
    Txt,
    Srt,
    Vtt,
    Markdown,
}

impl Transcribed {
    pub fn reply(&self) -> TranscriptReply {
        let segments = self.transcript.segments().iter();
        TranscriptReply {
            segments: segments.map(Into::into).collect(),
        }
    }

    pub fn to_text(&self, format: TranscriptFormat) -> String {
        match format {
            TranscriptFormat::Txt => self.transcript.to_txt(),
            TranscriptFormat::Srt => self.transcript.to_srt(),
            TranscriptFormat::Vtt => self.transcript.to_vtt(),
            TranscriptFormat::Markdown => self.transcript.to_markdown(),
        }
    }
}

impl ChannelName {
    pub(crate) fn channel(self) -> Channel {
        match self {
            Self::Me => Channel::Me,
            Self::Others => Channel::Others,
            Self::File => Channel::File,
        }
    }
}

impl From<Channel> for ChannelName {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Me => Self::Me,
            Channel::Others => Self::Others,
            Channel::File => Self::File,
        }
    }
}

impl From<&captions::TranscriptSegment> for TranscriptSegment {
    fn from(segment: &captions::TranscriptSegment) -> Self {
        Self {
            start_ms: segment.start_ms,
            end_ms: segment.end_ms,
            channel: segment.channel.into(),
            text: segment.text.clone(),
            translation: segment.translation(),
            unclear: segment.unclear.map(|objection| objection.to_string()),
        }
    }
}

/// The engine writes down speech.
pub(crate) struct Ear {
    engine: Arc<engine::Engine>,
    submodel: Option<String>,
    busy: Duration,
    hypotheses: u32,
}

impl Ear {
    /// The name of the model's file or folder.
    pub fn model_name(&self) -> String {
        let path = self.engine.package().model().checkpoint().path();
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    fn ask(&mut self, listen: engine::Listen) -> Result<Heard, engine::Error> {
        let started = Instant::now();
        let listened = self.engine.listen(engine::Listen {
            submodel: self.submodel.clone(),
            ..listen
        })?;
        self.busy += started.elapsed();
        Ok(Heard {
            text: listened.text,
            complete: listened.complete,
        })
    }
}

impl Recogniser for Ear {
    type Error = engine::Error;

    fn listen(&mut self, listen: &Listen) -> Result<Heard, Self::Error> {
        self.hypotheses += 1;
        self.ask(engine::Listen {
            prompt: listen.prompt.to_owned(),
            samples: Some(listen.samples.to_vec()),
            begun: listen.begun.to_owned(),
            draft: listen.draft.to_owned(),
            submodel: None,
            max_tokens: listen.max_tokens,
        })
    }

    fn answer(&mut self, prompt: &str, max_tokens: usize) -> Result<Heard, Self::Error> {
        self.ask(engine::Listen {
            prompt: prompt.to_owned(),
            max_tokens,
            ..engine::Listen::default()
        })
    }
}

impl Api {
    /// The open model, if it can hear.
    pub(crate) fn ear(&self) -> Result<Ear, ApiError> {
        let engine = self.engine()?;
        if engine.package().model().config().audio.is_none() {
            let message = "This model has no ears: it was opened without its audio part.";
            return Err(ApiError::new(ErrorCode::Unsupported, message));
        }
        Ok(Ear {
            engine,
            submodel: None,
            busy: Duration::ZERO,
            hypotheses: 0,
        })
    }

    /// Transcribes until the sound ends or `stop` is set; what was heard until then is finished.
    pub fn transcribe(
        &self,
        request: &TranscribeRequest,
        stop: &Arc<AtomicBool>,
        on: &mut dyn FnMut(TranscribeEvent),
    ) -> Result<Transcribed, ApiError> {
        let ear = Ear {
            submodel: request.submodel.clone(),
            ..self.ear()?
        };
        let settings = Settings {
            language: language(request.language.as_deref())?,
            translate: language(request.translate.as_deref())?,
            live: request.live,
            ..Settings::default()
        };
        let is_file = |source: &SoundSource| matches!(source, SoundSource::File(_));
        let has_file = request.sources.iter().any(is_file);
        if request.sources.is_empty() || has_file && request.sources.len() > 1 {
            let message =
                "A transcript is made of one file, or of the microphone and system sound.";
            return Err(ApiError::new(ErrorCode::Unsupported, message));
        }
        let tracks = request.sources.iter().map(|source| {
            let channel = match source {
                SoundSource::File(_) => Channel::File,
                SoundSource::Microphone => Channel::Me,
                SoundSource::System => Channel::Others,
            };
            Ok(Track {
                captioner: Captioner::new(channel, settings.clone()),
                sound: Sound::open(source, request.realtime, stop)?,
                started: false,
                ended: false,
            })
        });
        let mut session = Session {
            tracks: tracks.collect::<Result<_, ApiError>>()?,
            by_clock: request.realtime || !has_file,
            next: 0,
            ear,
            transcript: Transcript::default(),
            began: None,
        };
        let done = session.run(on);
        // After an error the other device must not go on.
        stop.fetch_or(done.is_err(), Ordering::Relaxed);
        let mut heard_ms = 0;
        for track in session.tracks {
            heard_ms = heard_ms.max(track.captioner.heard_ms());
            track.sound.join();
        }
        done?;
        Ok(Transcribed {
            transcript: session.transcript,
            heard_ms,
            model_ms: session.ear.busy.as_millis().try_into().unwrap_or(u32::MAX),
            hypotheses: session.ear.hypotheses,
        })
    }
}

pub(crate) fn language(name: Option<&str>) -> Result<Option<Language>, ApiError> {
    let named = name.map(Language::named).transpose();
    named.map_err(|error| ApiError::new(ErrorCode::Unsupported, sentence(&error.to_string())))
}

struct Session {
    tracks: Vec<Track>,
    /// Sound comes as it is made, and does not wait.
    by_clock: bool,
    /// The track whose turn it is.
    next: usize,
    ear: Ear,
    transcript: Transcript,
    /// When the first samples came, of sound that comes by the clock.
    began: Option<Instant>,
}

/// A channel and where its sound comes from.
struct Track {
    captioner: Captioner,
    sound: Sound,
    started: bool,
    ended: bool,
}

impl Session {
    fn run(&mut self, on: &mut dyn FnMut(TranscribeEvent)) -> Result<(), ApiError> {
        loop {
            let mut idle = true;
            for track in &mut self.tracks {
                idle &= !track.take_all(&mut self.began, self.by_clock, on)?;
            }
            while self.work(on)? {
                idle = false;
                // New sound may be more urgent than the next piece of work.
                if self.by_clock {
                    break;
                }
            }
            if !idle {
                continue;
            }
            let Some(track) = self.tracks.iter_mut().find(|track| !track.ended) else {
                return Ok(());
            };
            track.wait(&mut self.began, self.by_clock, on)?;
        }
    }

    /// The most urgent piece of work of all tracks: segments that have ended, then whoever is next.
    fn work(&mut self, on: &mut dyn FnMut(TranscribeEvent)) -> Result<bool, ApiError> {
        let (began, transcript) = (self.began, &mut self.transcript);
        let mut out = |caption: Caption| {
            let is_final = caption.finished.is_some();
            if let Some(segment) = caption.finished {
                transcript.push(segment);
            }
            let clock = began.map(|began| began.elapsed().as_millis());
            on(TranscribeEvent::Caption(CaptionEvent {
                at_ms: clock.map_or(caption.heard_ms, |ms| ms.try_into().unwrap_or(u32::MAX)),
                channel: caption.channel.into(),
                segment: caption.segment,
                committed: caption.committed,
                tentative: caption.tentative,
                translation: caption.translation,
                is_final,
            }));
        };
        let n = self.tracks.len();
        let mut turns: Vec<usize> = (0..n).map(|i| (self.next + i) % n).collect();
        turns.sort_by_key(|&i| self.tracks[i].captioner.n_waiting() == 0);
        for i in turns {
            if self.tracks[i].captioner.work(&mut self.ear, &mut out)? {
                self.next = (i + 1) % n;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Track {
    /// Takes what is there, of a file one piece, so that captions come in between. Says whether there was any.
    fn take_all(
        &mut self,
        began: &mut Option<Instant>,
        by_clock: bool,
        on: &mut dyn FnMut(TranscribeEvent),
    ) -> Result<bool, ApiError> {
        let mut any = false;
        while !self.ended {
            match self.sound.pieces.try_recv() {
                Ok(piece) => {
                    any = true;
                    self.take(piece?, began, by_clock, on);
                    if !by_clock {
                        break;
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    any = true;
                    self.end();
                }
            }
        }
        Ok(any)
    }

    /// Waits a little for sound.
    fn wait(
        &mut self,
        began: &mut Option<Instant>,
        by_clock: bool,
        on: &mut dyn FnMut(TranscribeEvent),
    ) -> Result<(), ApiError> {
        match self.sound.pieces.recv_timeout(READ) {
            Ok(piece) => self.take(piece?, began, by_clock, on),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.end(),
        }
        Ok(())
    }

    fn end(&mut self) {
        self.ended = true;
        self.captioner.end();
    }

    fn take(
        &mut self,
        piece: Piece,
        began: &mut Option<Instant>,
        by_clock: bool,
        on: &mut dyn FnMut(TranscribeEvent),
    ) {
        let samples = match piece {
            Piece::Samples(samples) => samples,
            Piece::Notice(text) => return on(TranscribeEvent::Notice(text)),
        };
        if by_clock && !self.started {
            let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(SAMPLE_RATE));
            let now = Instant::now();
            let first = now.checked_sub(length).unwrap_or(now);
            let began = *began.get_or_insert(first);
            // A device that opened later than the other has been silent until then, so that their times agree.
            let late = first.saturating_duration_since(began).as_secs_f64();
            let late = (late * f64::from(SAMPLE_RATE)) as usize;
            self.captioner.hear(&vec![0.0; late]);
        }
        self.started = true;
        self.captioner.hear(&samples);
    }
}

//! Live captions of a window: devices to disk, from disk to the model, from the model to SQLite and the screen.
//!
//! A thread for each channel writes what is heard into the transcript's recording. One more thread reads the recordings
//! where it has left off and asks the model; so a model that is too slow leaves its arrears on the disk, and memory
//! does not grow. A finished line is shown as finished when it is stored.

mod feed;
mod session;
mod stage;
mod types;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ::captions::{Channel, Recogniser};
use ::library::{NewTranscript, Speaker};
use audio::{Capture, SAMPLE_RATE, Source};

use crate::Api;
use crate::failure::{about_sound, sentence};
use crate::transcribe::{ChannelName, language};
use crate::types::{ApiError, ErrorCode};
pub use feed::SoundDevice;
use feed::{Feed, Recorder, Written};
pub(crate) use session::joined;
use session::{Session, Track};
pub(crate) use stage::Stage;
use stage::{Control, Languages};
pub use types::{
    CaptionPace, CaptionSource, LiveEvent, LiveLine, LiveNotice, LiveView, NoticeKind, Phase,
    StartCaptions, Unclear,
};

/// How long the session waits for sound or for the disk.
const WAIT: Duration = Duration::from_millis(20);

impl Api {
    /// Shows the captions as they are, then what happens, until `on` returns false.
    pub fn watch_captions(&self, on: impl FnMut(&LiveEvent) -> bool + Send + 'static) {
        self.stage.watch(Box::new(on));
    }

    /// The captions as they are.
    pub fn captions_view(&self) -> LiveView {
        self.stage.view()
    }

    /// Opens the devices, begins a transcript and returns its id; what follows is for those who watch.
    pub fn start_captions(&self, start: StartCaptions) -> Result<String, ApiError> {
        let (channels, sources): (Vec<Channel>, Vec<Source>) = match &start.source {
            CaptionSource::Microphone => (vec![Channel::Me], vec![Source::Microphone]),
            CaptionSource::System => (vec![Channel::Others], vec![Source::System]),
            CaptionSource::Both => (
                vec![Channel::Me, Channel::Others],
                vec![Source::Microphone, Source::System],
            ),
            CaptionSource::File { path } => {
                // A sentence at once for what is no sound at all.
                audio::stream_sound(path, &mut |_| false).map_err(|e| about_sound(path, &e))?;
                (vec![Channel::File], Vec::new())
            }
        };
        self.begin(&start, channels, self.ear()?, || match &start.source {
            CaptionSource::File { path } => Ok(vec![Feed::File(path.clone())]),
            _ => sources.into_iter().map(device).collect(),
        })
    }

    /// The same with sound that the caller brings, a channel each, in place of what the source names.
    pub fn start_captions_from(
        &self,
        start: StartCaptions,
        sounds: Vec<(ChannelName, Box<dyn SoundDevice>)>,
    ) -> Result<String, ApiError> {
        let (channels, sounds): (Vec<_>, Vec<_>) = sounds.into_iter().unzip();
        let channels = channels.into_iter().map(ChannelName::channel).collect();
        self.begin(&start, channels, self.ear()?, || {
            Ok(sounds.into_iter().map(Feed::Device).collect())
        })
    }

    /// Ends the sound; the rest of it is written down visibly.
    pub fn stop_captions(&self) {
        self.stage.stop();
    }

    /// Leaves what is not written down yet for later.
    pub fn leave_captions(&self) {
        if let Some(control) = self.stage.control() {
            control.leave.store(true, Ordering::Relaxed);
            control.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Another language pair, from the line on that is being written.
    pub fn set_caption_languages(
        &self,
        spoken: Option<&str>,
        translate: Option<&str>,
    ) -> Result<(), ApiError> {
        let languages = languages(spoken, translate)?;
        if let Some(control) = self.stage.control() {
            let mut wanted = control
                .languages
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *wanted = Some(languages);
        }
        Ok(())
    }

    /// Writes down the rest of a transcript's sound: after a crash, or where it was left for later.
    pub fn resume_transcript(&self, id: &str) -> Result<(), ApiError> {
        let library = self.library()?;
        let entry = library.transcript(id)?.entry;
        let languages = languages(entry.language.as_deref(), entry.translate.as_deref())?;
        let ear = self.ear()?;
        let names = entry.channels.iter().map(|c| channel_of(c.channel).into());
        let control = self.stage.enter(LiveView {
            phase: Phase::Finishing,
            transcript: Some(id.to_owned()),
            channels: names.collect(),
            language: entry.language.clone(),
            translate: entry.translate.clone(),
            elapsed_ms: entry.length_ms,
            ..LiveView::default()
        })?;
        let mut tracks = Vec::new();
        for channel in entry.channels.iter().filter(|c| c.has_sound) {
            let opened = library.recording(id, channel.channel).and_then(|reader| {
                let written = Written::default();
                written.samples.store(reader.len()?, Ordering::Relaxed);
                written.ended.store(true, Ordering::Relaxed);
                let from = samples(channel.heard_ms);
                let channel = channel_of(channel.channel);
                Ok(Track::new(
                    channel,
                    languages,
                    reader,
                    Arc::new(written),
                    from,
                ))
            });
            match opened {
                Ok(track) => tracks.push(track),
                Err(error) => {
                    let error = ApiError::from(error);
                    self.stage.leave(Some(error.clone()));
                    return Err(error);
                }
            }
        }
        control.stop.store(true, Ordering::Relaxed);
        let (stage, transcript) = (Arc::clone(&self.stage), id.to_owned());
        let session = Session::new(stage, control, library, ear, transcript, tracks, languages);
        Self::run(session, Vec::new());
        Ok(())
    }

    fn begin<R>(
        &self,
        start: &StartCaptions,
        channels: Vec<Channel>,
        ear: R,
        open: impl FnOnce() -> Result<Vec<Feed>, ApiError>,
    ) -> Result<String, ApiError>
    where
        R: Recogniser<Error: Into<ApiError>> + Send + 'static,
    {
        let languages = languages(start.language.as_deref(), start.translate.as_deref())?;
        let library = self.library()?;
        let code = |language: Option<::captions::Language>| language.map(|l| l.code.to_owned());
        let control = self.stage.enter(LiveView {
            phase: Phase::Starting,
            channels: channels.iter().map(|&channel| channel.into()).collect(),
            language: code(languages.spoken),
            translate: code(languages.translate),
            ..LiveView::default()
        })?;
        let begun = open().and_then(|feeds| {
            let (id, recordings) = library.begin_transcript(&NewTranscript {
                title: start.title.clone(),
                language: code(languages.spoken),
                translate: code(languages.translate),
                model: Some(self.ear()?.model_name()),
                keeps_sound: start.keep_sound,
                channels: channels.iter().map(|&channel| speaker(channel)).collect(),
            })?;
            Ok((feeds, id, recordings))
        });
        let (feeds, id, recordings) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.stage.leave(Some(error.clone()));
                return Err(error);
            }
        };
        let began = Arc::new(OnceLock::new());
        let (mut tracks, mut recorders) = (Vec::new(), Vec::new());
        for ((channel, feed), recording) in channels.into_iter().zip(feeds).zip(recordings) {
            let reader = match recording.reader() {
                Ok(reader) => reader,
                Err(error) => {
                    control.stop.store(true, Ordering::Relaxed);
                    let error = ApiError::from(error);
                    self.stage.leave(Some(error.clone()));
                    return Err(error);
                }
            };
            let written = Arc::new(Written::default());
            let recorder = Recorder {
                recording,
                channel: channel.into(),
                stage: Arc::clone(&self.stage),
                control: Arc::clone(&control),
                written: Arc::clone(&written),
                began: Arc::clone(&began),
                could_not_save: false,
                n_lost: 0,
            };
            recorders.push(recorder.start(feed));
            tracks.push(Track::new(channel, languages, reader, written, 0));
        }
        let shown = id.clone();
        self.stage.update(|view| {
            view.phase = Phase::Listening;
            view.transcript = Some(shown);
        });
        let stage = Arc::clone(&self.stage);
        let transcript = id.clone();
        let session = Session::new(stage, control, library, ear, transcript, tracks, languages);
        Self::run(session, recorders);
        Ok(id)
    }

    /// Leaves a session to a thread of its own.
    fn run<R>(session: Session<R>, recorders: Vec<JoinHandle<()>>)
    where
        R: Recogniser<Error: Into<ApiError>> + Send + 'static,
    {
        let work = move || {
            // Whatever happens, the stage is free for the next session, and the devices are let go.
            let mut leaving = Leaving {
                stage: Arc::clone(&session.stage),
                control: Arc::clone(&session.control),
                failure: Some(ApiError::new(
                    ErrorCode::Internal,
                    "Sotto made a mistake, and the captions ended. What was heard until then is in the library.",
                )),
                recorders,
            };
            leaving.failure = session.run();
        };
        std::thread::Builder::new()
            .name("captions".into())
            .spawn(work)
            .expect("the system gives a thread");
    }
}

/// Cleans up behind a session, also behind one that panics.
struct Leaving {
    stage: Arc<Stage>,
    control: Arc<Control>,
    failure: Option<ApiError>,
    recorders: Vec<JoinHandle<()>>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.control.stop.store(true, Ordering::Relaxed);
        for recorder in self.recorders.drain(..) {
            // A panic in it ended its channel alone.
            let _ = recorder.join();
        }
        self.stage.leave(self.failure.take());
    }
}

fn languages(spoken: Option<&str>, translate: Option<&str>) -> Result<Languages, ApiError> {
    Ok(Languages {
        spoken: language(spoken)?,
        translate: language(translate)?,
    })
}

fn device(source: Source) -> Result<Feed, ApiError> {
    let capture = Capture::open(source)
        .map_err(|error| ApiError::new(ErrorCode::Unsupported, sentence(&error.to_string())))?;
    Ok(Feed::Device(Box::new(capture)))
}

pub(crate) fn speaker(channel: Channel) -> Speaker {
    match channel {
        Channel::Me => Speaker::Me,
        Channel::Others => Speaker::Others,
        Channel::File => Speaker::File,
    }
}

pub(crate) fn channel_of(speaker: Speaker) -> Channel {
    match speaker {
        Speaker::Me => Channel::Me,
        Speaker::Others => Channel::Others,
        Speaker::File => Channel::File,
    }
}

fn samples(ms: u32) -> u64 {
    u64::from(ms) * u64::from(SAMPLE_RATE) / 1000
}

fn milliseconds(samples: u64) -> u32 {
    let ms = samples * 1000 / u64::from(SAMPLE_RATE);
    ms.try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

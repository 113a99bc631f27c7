//! Live captions of a window: devices to disk, from disk to the model, from the model to SQLite and the screen.
//!
//! A thread for each channel writes what is heard into the transcript's recording. One more thread reads the recordings
//! where it has left off and asks the model; so a model that is too slow leaves its arrears on the disk, and memory
//! does not grow. A finished line is shown as finished when it is stored.

mod feed;
mod stage;
mod types;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::captions::{Caption, Captioner, Channel, Pace, Pacer, Settings};
use ::library::{Library, NewLine, NewTranscript, RecordingReader, Speaker, TranscriptState};
use audio::{Capture, SAMPLE_RATE, Source};

use crate::Api;
use crate::failure::{about_sound, sentence};
use crate::transcribe::{Ear, language};
use crate::types::{ApiError, ErrorCode};
use feed::{Feed, Recorder, Written};
pub(crate) use stage::Stage;
use stage::{Control, Languages};
pub use types::{
    CaptionPace, CaptionSource, LiveEvent, LiveLine, LiveNotice, LiveView, NoticeKind, Phase,
    StartCaptions,
};

/// Sound is read from the disk in pieces of half a second.
const PIECE: usize = SAMPLE_RATE as usize / 2;

/// Ended segments that may wait in memory; what comes behind them stays on the disk.
const MAX_ENDED: usize = 2;

/// How long the session waits for sound or for the disk.
const WAIT: Duration = Duration::from_millis(20);

const CLOCK: Duration = Duration::from_millis(250);

/// A disk that refused a line is tried again so often.
const STORE_AGAIN: Duration = Duration::from_secs(2);

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
        self.begin(&start, channels, || match &start.source {
            CaptionSource::File { path } => Ok(vec![Feed::File(path.clone())]),
            _ => sources.into_iter().map(device).collect(),
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
        self.run(
            library,
            control,
            ear,
            id.to_owned(),
            tracks,
            languages,
            Vec::new(),
        );
        Ok(())
    }

    fn begin(
        &self,
        start: &StartCaptions,
        channels: Vec<Channel>,
        open: impl FnOnce() -> Result<Vec<Feed>, ApiError>,
    ) -> Result<String, ApiError> {
        let languages = languages(start.language.as_deref(), start.translate.as_deref())?;
        let ear = self.ear()?;
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
                model: Some(ear.model_name()),
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
            };
            recorders.push(recorder.start(feed));
            tracks.push(Track::new(channel, languages, reader, written, 0));
        }
        let shown = id.clone();
        self.stage.update(|view| {
            view.phase = Phase::Listening;
            view.transcript = Some(shown);
        });
        self.run(
            library,
            control,
            ear,
            id.clone(),
            tracks,
            languages,
            recorders,
        );
        Ok(id)
    }

    #[allow(clippy::too_many_arguments)] // everything that a session is made of
    fn run(
        &self,
        library: Library,
        control: Arc<Control>,
        ear: Ear,
        transcript: String,
        tracks: Vec<Track>,
        languages: Languages,
        recorders: Vec<JoinHandle<()>>,
    ) {
        let stage = Arc::clone(&self.stage);
        let session = Session {
            stage: Arc::clone(&stage),
            control,
            library,
            ear,
            transcript,
            tracks,
            languages,
            next: 0,
            pacer: Pacer::default(),
            began: Instant::now(),
            clock: None,
            unsaved: VecDeque::new(),
            tried: None,
            owed: VecDeque::new(),
            broken: None,
            is_finishing: false,
        };
        let work = move || {
            // Whatever happens, the stage is free for the next session, and the devices are let go.
            let mut leaving = Leaving {
                stage,
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

struct Session {
    stage: Arc<Stage>,
    control: Arc<Control>,
    library: Library,
    ear: Ear,
    transcript: String,
    tracks: Vec<Track>,
    languages: Languages,
    /// The track whose turn it is.
    next: usize,
    pacer: Pacer,
    began: Instant,
    clock: Option<Instant>,
    /// Lines that the disk refused, oldest first.
    unsaved: VecDeque<(LiveLine, NewLine)>,
    tried: Option<Instant>,
    /// Stored lines whose translation was put off.
    owed: VecDeque<(LiveLine, NewLine)>,
    /// The model failed; the sound is recorded until the user stops.
    broken: Option<ApiError>,
    /// No more sound comes.
    is_finishing: bool,
}

/// A channel and the place in its recording up to which it was heard.
struct Track {
    captioner: Captioner,
    reader: RecordingReader,
    written: Arc<Written>,
    /// The sample from which this session heard it.
    from: u64,
    heard: u64,
    ended: bool,
    /// Somebody waits for interim text.
    is_live: bool,
}

impl Session {
    /// Until the sound has ended and everything is written down, or left for later. Returns what went wrong.
    fn run(mut self) -> Option<ApiError> {
        loop {
            let stopping = self.control.stop.load(Ordering::Relaxed);
            if self.control.leave.load(Ordering::Relaxed) || stopping && self.broken.is_some() {
                break;
            }
            self.take_languages();
            let heard = self.hear();
            self.keep_pace();
            self.store();
            let worked = match self.broken {
                None => self.work(),
                Some(_) => Ok(false),
            };
            let worked = worked.unwrap_or_else(|error| {
                self.fail(error);
                false
            });
            if heard || worked {
                continue;
            }
            let all_done = self.tracks.iter().all(|track| track.ended) && self.unsaved.is_empty();
            if all_done || self.is_finishing && self.broken.is_some() {
                break;
            }
            std::thread::sleep(WAIT);
        }
        self.end()
    }

    /// Reads what is new, as far as the captions can take it. Says whether there was any.
    fn hear(&mut self) -> bool {
        let mut any = false;
        let mut all_ended = true;
        for track in &mut self.tracks {
            match track.hear() {
                Ok(heard) => any |= heard,
                Err(error) => {
                    self.broken.get_or_insert(error.into());
                }
            }
            all_ended &= track.written.ended.load(Ordering::Acquire);
        }
        if all_ended && !self.is_finishing {
            self.is_finishing = true;
            let phase = Phase::Finishing;
            self.stage.show(LiveEvent::Phase { phase });
        }
        any
    }

    fn take_languages(&mut self) {
        let wanted = self
            .control
            .languages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(languages) = wanted else { return };
        self.languages = languages;
        let code = |language: Option<::captions::Language>| language.map(|l| l.code);
        let (spoken, translate) = (code(languages.spoken), code(languages.translate));
        // The pair is told with the transcript; without that the lines are no less right.
        let _ = self
            .library
            .set_transcript_languages(&self.transcript, spoken, translate);
        self.apply_pace();
        self.stage.update(|view| {
            view.language = spoken.map(str::to_owned);
            view.translate = translate.map(str::to_owned);
        });
    }

    fn behind_ms(&self) -> u32 {
        let behind = self.tracks.iter().map(Track::behind_ms);
        behind.max().unwrap_or(0)
    }

    fn elapsed_ms(&self) -> u32 {
        let written = self.tracks.iter().map(|track| track.written_samples());
        milliseconds(written.max().unwrap_or(0))
    }

    fn keep_pace(&mut self) {
        let due = self.clock.is_none_or(|clock| clock.elapsed() >= CLOCK);
        if !due {
            return;
        }
        self.clock = Some(Instant::now());
        let (elapsed_ms, behind_ms) = (self.elapsed_ms(), self.behind_ms());
        self.stage.show(LiveEvent::Clock {
            elapsed_ms,
            behind_ms,
        });
        // After the sound has ended nobody waits for interim text, and in a file nobody ever does.
        let is_live = !self.is_finishing && self.tracks.iter().any(|track| track.is_live);
        let now = self.began.elapsed().as_millis();
        let now_ms = now.try_into().unwrap_or(u32::MAX);
        let translates = self.languages.translate.is_some();
        if is_live
            && self.broken.is_none()
            && let Some(pace) = self.pacer.update(now_ms, behind_ms, translates)
        {
            self.apply_pace();
            let pace = pace.into();
            self.stage.show(LiveEvent::Pace { pace });
        }
    }

    fn apply_pace(&mut self) {
        let pace = self.pacer.pace();
        let translate = self.languages.translate.filter(|_| pace.translates());
        for track in &mut self.tracks {
            let step_ms = pace.step_ms().filter(|_| track.is_live);
            track
                .captioner
                .set_languages(self.languages.spoken, translate);
            track.captioner.set_pace(step_ms);
        }
    }

    /// The most urgent piece of work: segments that have ended, then whoever is next, then translations put off.
    fn work(&mut self) -> Result<bool, ApiError> {
        let n = self.tracks.len();
        let mut turns: Vec<usize> = (0..n).map(|i| (self.next + i) % n).collect();
        turns.sort_by_key(|&i| self.tracks[i].captioner.n_waiting() == 0);
        for i in turns {
            let track = &mut self.tracks[i];
            let mut captions = Vec::new();
            let worked = track.captioner.work(&mut self.ear, &mut |caption| {
                let line = track_line(&caption, track.from);
                if line.1.is_none() {
                    self.stage.show(LiveEvent::Line(line.0.clone()));
                }
                captions.push(line);
            })?;
            for (shown, finished) in captions {
                if let Some(finished) = finished {
                    self.unsaved.push_back((shown, finished));
                    self.tried = None;
                }
            }
            if worked {
                self.store();
                self.next = (i + 1) % n;
                return Ok(true);
            }
        }
        let later = self.pacer.pace() == Pace::TranslateLater;
        let finishing = self.tracks.iter().all(|track| track.ended);
        if later && !finishing {
            return Ok(false);
        }
        self.translate_owed()
    }

    /// Stores finished lines and shows them. A disk that refuses is said, and tried again.
    fn store(&mut self) {
        if self
            .tried
            .is_some_and(|tried| tried.elapsed() < STORE_AGAIN)
        {
            return;
        }
        while let Some((mut shown, line)) = self.unsaved.pop_front() {
            if line.text.is_empty() && line.unclear.is_none() {
                // An interim text that turned out to be nothing.
                self.stage.show(LiveEvent::Line(shown));
                continue;
            }
            match self.library.add_line(&self.transcript, &line) {
                Ok(id) => {
                    shown.id = Some(id);
                    self.stage.show(LiveEvent::Line(shown.clone()));
                    if self.tried.take().is_some() {
                        self.tell(NoticeKind::SavedAgain);
                    }
                    if self.languages.translate.is_some()
                        && line.translations.is_empty()
                        && !line.text.is_empty()
                    {
                        self.owed.push_back((shown, line));
                    }
                }
                // The transcript was deleted meanwhile.
                Err(::library::Error::Gone(_)) => {
                    self.control.stop.store(true, Ordering::Relaxed);
                    self.control.leave.store(true, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    self.unsaved.push_front((shown, line));
                    if self.tried.is_none() {
                        let message = sentence(&error.to_string());
                        self.tell(NoticeKind::NotSaved { message });
                    }
                    self.tried = Some(Instant::now());
                    return;
                }
            }
        }
    }

    fn translate_owed(&mut self) -> Result<bool, ApiError> {
        let Some(into) = self.languages.translate else {
            self.owed.clear();
            return Ok(false);
        };
        let Some((shown, line)) = self.owed.front() else {
            return Ok(false);
        };
        let translations = ::captions::translate(&line.text, into, &mut self.ear)?;
        let mut shown = shown.clone();
        if let Some(id) = &shown.id {
            let unclear = line.unclear.as_deref();
            // Where the user has edited it meanwhile, the words are theirs.
            let untouched = self.library.line(id).is_ok_and(|(_, l)| !l.is_edited);
            if untouched {
                self.library
                    .rewrite_line(id, &line.text, &translations, unclear, false)?;
                shown.translation = joined(&translations);
                self.stage.show(LiveEvent::Line(shown));
            }
        }
        self.owed.pop_front();
        Ok(true)
    }

    fn tell(&self, notice: NoticeKind) {
        self.stage.show(LiveEvent::Notice(LiveNotice {
            channel: None,
            notice,
        }));
    }

    /// The sound goes on being recorded; only the user ends that.
    fn fail(&mut self, error: ApiError) {
        let message = error.message.clone();
        self.tell(NoticeKind::ModelFailed { message });
        self.stage.update(|view| view.failure = Some(error.clone()));
        self.broken = Some(error);
    }

    fn end(mut self) -> Option<ApiError> {
        // The recorders end by themselves when the flag is set, and close their files.
        while !self
            .tracks
            .iter()
            .all(|track| track.written.ended.load(Ordering::Acquire))
        {
            std::thread::sleep(WAIT);
        }
        self.tried = None;
        self.store();
        let done = self.broken.is_none() && self.unsaved.is_empty();
        let done = done && self.tracks.iter().all(|track| track.ended);
        let state = if done {
            TranscriptState::Complete
        } else {
            TranscriptState::Unfinished
        };
        let ended = self
            .library
            .end_transcript(&self.transcript, state, self.elapsed_ms());
        match ended {
            Err(error) if !matches!(error, ::library::Error::Gone(_)) => {
                Some(self.broken.unwrap_or_else(|| error.into()))
            }
            _ => self.broken,
        }
    }
}

impl Track {
    fn new(
        channel: Channel,
        languages: Languages,
        reader: RecordingReader,
        written: Arc<Written>,
        from: u64,
    ) -> Self {
        let is_live = channel != Channel::File && !written.ended.load(Ordering::Relaxed);
        let settings = Settings {
            language: languages.spoken,
            translate: languages.translate,
            live: is_live,
            ..Settings::default()
        };
        Self {
            captioner: Captioner::new(channel, settings),
            reader,
            written,
            from,
            heard: from,
            ended: false,
            is_live,
        }
    }

    fn written_samples(&self) -> u64 {
        self.written.samples.load(Ordering::Acquire)
    }

    /// Gives the captioner the next piece, unless it has enough to do. Says whether there was any.
    fn hear(&mut self) -> Result<bool, ::library::Error> {
        if self.ended || self.captioner.n_waiting() >= MAX_ENDED {
            return Ok(false);
        }
        // In this order: what is written before the end is seen is there.
        let no_more = self.written.ended.load(Ordering::Acquire);
        let there = self.written_samples().saturating_sub(self.heard);
        if there > 0 {
            let piece = self.reader.read(self.heard, PIECE.min(there as usize))?;
            if !piece.is_empty() {
                self.heard += piece.len() as u64;
                self.captioner.hear(&piece);
                return Ok(true);
            }
        }
        if no_more {
            self.captioner.end();
            self.ended = true;
            return Ok(true);
        }
        Ok(false)
    }

    fn behind_ms(&self) -> u32 {
        let unheard = milliseconds(self.written_samples().saturating_sub(self.heard));
        unheard.saturating_add(self.captioner.behind_ms())
    }
}

impl From<Pace> for CaptionPace {
    fn from(pace: Pace) -> Self {
        match pace {
            Pace::Full => Self::Full,
            Pace::LongerSteps => Self::LongerSteps,
            Pace::FinalsOnly => Self::FinalsOnly,
            Pace::TranslateLater => Self::TranslateLater,
        }
    }
}

/// What is shown of a caption and, of a finished one, what is stored.
fn track_line(caption: &Caption, from: u64) -> (LiveLine, Option<NewLine>) {
    let offset = milliseconds(from);
    let finished = caption.finished.as_ref().map(|segment| NewLine {
        channel: speaker(segment.channel),
        start_ms: segment.start_ms + offset,
        end_ms: segment.end_ms + offset,
        text: segment.text.clone(),
        translations: segment.translations.clone(),
        unclear: segment
            .unclear
            .map(|objection| sentence(&objection.to_string())),
    });
    let shown = LiveLine {
        channel: caption.channel.into(),
        segment: caption.segment,
        start_ms: finished.as_ref().map(|line| line.start_ms),
        committed: caption.committed.clone(),
        tentative: caption.tentative.clone(),
        translation: caption.translation.clone(),
        unclear: finished.as_ref().and_then(|line| line.unclear.clone()),
        id: None,
    };
    (shown, finished)
}

pub(crate) fn joined(translations: &[String]) -> Option<String> {
    let sentences: Vec<&str> = translations
        .iter()
        .map(String::as_str)
        .filter(|s| !s.is_empty())
        .collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
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

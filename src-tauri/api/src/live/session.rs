//! A session of captions: the worker that reads what was recorded, asks the model, and stores and shows what it hears.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ::captions::{Caption, Captioner, Channel, Pace, Pacer, Recogniser, Settings};
use ::library::{Library, NewLine, RecordingReader, TranscriptState};
use audio::SAMPLE_RATE;

use super::feed::Written;
use super::stage::{Control, Languages, Stage};
use super::types::{CaptionPace, LiveEvent, LiveLine, LiveNotice, NoticeKind, Phase, Unclear};
use super::{WAIT, milliseconds, speaker};
use crate::failure::sentence;
use crate::types::ApiError;

/// Sound is read from the disk in pieces of half a second.
const PIECE: usize = SAMPLE_RATE as usize / 2;

/// Ended segments that may wait in memory; what comes behind them stays on the disk.
const MAX_ENDED: usize = 2;

const CLOCK: Duration = Duration::from_millis(250);

/// A disk that refused a line is tried again so often.
const STORE_AGAIN: Duration = Duration::from_secs(2);

pub(super) struct Session<R> {
    pub stage: Arc<Stage>,
    pub control: Arc<Control>,
    library: Library,
    ear: R,
    transcript: String,
    tracks: Vec<Track>,
    languages: Languages,
    /// The track whose turn it is.
    next: usize,
    pacer: Pacer,
    began: Instant,
    clock: Option<Instant>,
    /// What the disk has not taken yet, oldest first.
    unsaved: VecDeque<Unsaved>,
    tried: Option<Instant>,
    could_not_save: bool,
    /// Stored lines whose translation was put off.
    owed: VecDeque<(LiveLine, NewLine)>,
    /// The model failed; the sound is recorded until the user stops.
    broken: Option<ApiError>,
    /// No more sound comes.
    is_finishing: bool,
}

/// A line as it is shown, and as it is stored.
enum Unsaved {
    Line(LiveLine, NewLine),
    /// The translations of a stored line, which were put off.
    Translations(LiveLine, NewLine),
}

/// A channel and the place in its recording up to which it was heard.
pub(super) struct Track {
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

impl<R: Recogniser> Session<R>
where
    R::Error: Into<ApiError>,
{
    pub fn new(
        stage: Arc<Stage>,
        control: Arc<Control>,
        library: Library,
        ear: R,
        transcript: String,
        tracks: Vec<Track>,
        languages: Languages,
    ) -> Self {
        Self {
            stage,
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
            could_not_save: false,
            owed: VecDeque::new(),
            broken: None,
            is_finishing: false,
        }
    }

    /// Until the sound has ended and everything is written down, or left for later. Returns what went wrong.
    pub fn run(mut self) -> Option<ApiError> {
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
        let mut unreadable = None;
        for track in &mut self.tracks {
            match track.hear() {
                Ok(heard) => any |= heard,
                Err(error) => unreadable = Some(error),
            }
            all_ended &= track.written.ended.load(Ordering::Acquire);
        }
        if let Some(error) = unreadable
            && self.broken.is_none()
        {
            self.fail(error.into());
        }
        let stopping = self.control.stop.load(Ordering::Relaxed);
        if (all_ended || stopping) && !self.is_finishing {
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
            });
            let worked = worked.map_err(Into::into)?;
            for (shown, finished) in captions {
                if let Some(finished) = finished {
                    self.unsaved.push_back(Unsaved::Line(shown, finished));
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
        while let Some(unsaved) = self.unsaved.front() {
            match self.store_one(unsaved) {
                Ok(shown) => {
                    let stored = self.unsaved.pop_front();
                    if let Some(shown) = shown {
                        self.stage.show(LiveEvent::Line(shown.clone()));
                        self.owe(stored, shown);
                    }
                }
                // The transcript was deleted meanwhile.
                Err(::library::Error::Gone(_)) => {
                    self.control.stop.store(true, Ordering::Relaxed);
                    self.control.leave.store(true, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.could_not_save, true) {
                        let message = sentence(&error.to_string());
                        self.tell(NoticeKind::NotSaved { message });
                    }
                    self.tried = Some(Instant::now());
                    return;
                }
            }
            self.tried = None;
            if std::mem::take(&mut self.could_not_save) {
                self.tell(NoticeKind::SavedAgain);
            }
        }
    }

    /// Gives the line as it is to be shown, unless there was nothing to store.
    fn store_one(&self, unsaved: &Unsaved) -> Result<Option<LiveLine>, ::library::Error> {
        match unsaved {
            Unsaved::Line(shown, line) => {
                let mut shown = shown.clone();
                // Otherwise it was an interim text that turned out to be nothing.
                if !line.text.is_empty() || line.unclear.is_some() {
                    shown.id = Some(self.library.add_line(&self.transcript, line)?);
                }
                Ok(Some(shown))
            }
            Unsaved::Translations(shown, line) => {
                let id = shown.id.as_deref().unwrap_or_default();
                // Where the user has edited it meanwhile, the words are theirs; a deleted one stays so.
                if !self.library.line(id).is_ok_and(|(_, l)| !l.is_edited) {
                    return Ok(None);
                }
                let unclear = line.unclear.as_deref();
                self.library
                    .rewrite_line(id, &line.text, &line.translations, unclear, false)?;
                Ok(Some(shown.clone()))
            }
        }
    }

    /// Notes a stored line whose translation was put off.
    fn owe(&mut self, stored: Option<Unsaved>, shown: LiveLine) {
        if let Some(Unsaved::Line(_, line)) = stored
            && shown.id.is_some()
            && self.languages.translate.is_some()
            && line.translations.is_empty()
            && !line.text.is_empty()
        {
            self.owed.push_back((shown, line));
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
        let translations = ::captions::translate(&line.text, into, &mut self.ear);
        let translations = translations.map_err(Into::into)?;
        let shown = LiveLine {
            translation: joined(&translations),
            ..shown.clone()
        };
        let line = NewLine {
            translations,
            ..line.clone()
        };
        self.unsaved.push_back(Unsaved::Translations(shown, line));
        self.owed.pop_front();
        self.store();
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
    pub fn new(
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
        unclear: segment.unclear.map(|objection| objection.code().to_owned()),
    });
    let shown = LiveLine {
        channel: caption.channel.into(),
        segment: caption.segment,
        start_ms: finished.as_ref().map(|line| line.start_ms),
        committed: caption.committed.clone(),
        tentative: caption.tentative.clone(),
        translation: caption.translation.clone(),
        unclear: caption
            .finished
            .as_ref()
            .and_then(|segment| segment.unclear)
            .map(Unclear::from),
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

#[cfg(test)]
mod tests {
    use ::captions::{Heard, Listen};
    use ::library::{NewTranscript, Speaker};

    use super::super::tests::spoken;
    use super::*;

    #[test]
    fn what_waits_for_the_model_waits_on_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let library = Library::open(folder.path()).expect("a library");
        let begun = library.begin_transcript(&NewTranscript {
            title: String::new(),
            language: None,
            translate: None,
            model: None,
            keeps_sound: true,
            channels: vec![Speaker::Others],
        });
        let (_, mut recordings) = begun.expect("a transcript");
        let mut recording = recordings.remove(0);
        let (minute, _) = spoken::minute();
        for _ in 0..10 {
            recording.append(&minute).expect("there is room");
        }
        let written = Arc::new(Written::default());
        let total = recording.written();
        written.samples.store(total, Ordering::Release);
        let reader = recording.reader().expect("it is there");
        let mut track = Track::new(Channel::Others, Languages::default(), reader, written, 0);
        let mut n_lines = 0;
        // Whenever the model comes to it, a little more is taken from the disk and never more than a little.
        loop {
            while track.hear().expect("the disk gives it") {}
            let in_memory = track.captioner.held_ms();
            assert!(in_memory <= 45_000, "{in_memory}");
            let worked = track.captioner.work(&mut Counting, &mut |caption| {
                n_lines += usize::from(caption.finished.is_some());
            });
            if !worked.expect("it never fails") {
                break;
            }
        }
        assert!(n_lines >= 200, "{n_lines}");
        assert_eq!(track.behind_ms(), 0);
    }

    /// A model that hears one word everywhere.
    struct Counting;

    impl Recogniser for Counting {
        type Error = std::convert::Infallible;

        fn listen(&mut self, _: &Listen) -> Result<Heard, Self::Error> {
            Ok(Heard {
                text: "Yes.".into(),
                complete: true,
            })
        }

        fn answer(&mut self, _: &str, _: usize) -> Result<Heard, Self::Error> {
            Ok(Heard::default())
        }
    }
}

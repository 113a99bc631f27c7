//! One channel of sound to captions.
//!
//! A state machine without clock or thread: samples go in with [`Captioner::hear`], and every
//! [`Captioner::work`] asks the recogniser for at most one hypothesis. Finished segments come first and
//! in order; the segment that is being spoken gets an interim hypothesis once a step of new speech is
//! there. So a recogniser that falls behind gives up interim hypotheses, and nothing else.

use std::collections::VecDeque;

use audio::{Earshot, SAMPLE_RATE, Segment, SegmentRules, Segmenter, Speech, VoiceDetector};

use crate::guard::{Objection, objection};
use crate::hypotheses::Hypotheses;
use crate::prompts;
use crate::transcript::TranscriptSegment;
use crate::words::{sentences, sentences_end};
use crate::{Language, Transcript};

/// Who is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// The microphone.
    Me,
    /// What the computer plays.
    Others,
    File,
}

/// A model that writes down speech.
pub trait Recogniser {
    type Error;

    /// What is said, given how the answer begins.
    fn listen(&mut self, listen: &Listen) -> Result<Heard, Self::Error>;

    /// The answer to a question in text.
    fn answer(&mut self, prompt: &str, max_tokens: usize) -> Result<Heard, Self::Error>;
}

/// A question about sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listen<'a> {
    pub samples: &'a [f32], // 16 kHz mono.
    pub prompt: &'a str,
    /// The answer begins with this.
    pub begun: &'a str,
    /// How the answer probably goes on; it costs less to confirm than to write.
    pub draft: &'a str,
    /// Longest answer behind what it begins with.
    pub max_tokens: usize,
}

/// An answer, without what it was told to begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub text: String,
    /// The model ended it by itself.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is spoken; the model finds out if it is not said.
    pub language: Option<Language>,
    pub translate: Option<Language>,
    /// Interim hypotheses while somebody speaks.
    pub live: bool,
    /// New speech that is worth another hypothesis, in ms.
    pub step_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: None,
            translate: None,
            live: true,
            step_ms: 1000,
        }
    }
}

/// What is known about a segment now.
#[derive(Clone, Debug, PartialEq)]
pub struct Caption {
    /// Sound that was heard when this became known, in ms.
    pub heard_ms: u32,
    pub channel: Channel,
    /// Counts the segments of a channel from 0.
    pub segment: u32,
    /// All committed text of the segment. It only grows from caption to caption.
    pub committed: String,
    /// What may yet change.
    pub tentative: String,
    /// Of the committed sentences.
    pub translation: Option<String>,
    /// The segment as it goes into the transcript, in its last caption. One without text is left out there.
    pub finished: Option<TranscriptSegment>,
}

pub struct Captioner<D = Earshot> {
    channel: Channel,
    settings: Settings,
    segmenter: Segmenter<D>,
    heard: u64, // In samples.
    /// Segments that have ended and wait for their last hypothesis.
    ended: VecDeque<Segment>,
    n_finished: u32,
    /// Of the oldest segment that is not finished.
    progress: Progress,
}

#[derive(Clone, Default)]
struct Progress {
    hypotheses: Hypotheses,
    /// Of the first committed sentences; empty where it made no sense.
    translations: Vec<String>,
    /// Up to where the last hypothesis heard speech.
    heard_to: Option<u64>,
    /// A caption has shown the segment, so another must end it.
    shown: bool,
}

impl Captioner {
    pub fn new(channel: Channel, settings: Settings) -> Self {
        Self::with(
            channel,
            settings,
            Segmenter::new(Earshot::default(), SegmentRules::default()),
        )
    }
}

impl<D: VoiceDetector> Captioner<D> {
    pub fn with(channel: Channel, settings: Settings, segmenter: Segmenter<D>) -> Self {
        Self {
            channel,
            settings,
            segmenter,
            heard: 0,
            ended: VecDeque::new(),
            n_finished: 0,
            progress: Progress::default(),
        }
    }

    /// Takes the next samples.
    pub fn hear(&mut self, samples: &[f32]) {
        let mut ended = Vec::new();
        self.segmenter.push(samples, &mut ended);
        self.heard += samples.len() as u64;
        self.ended.extend(ended);
    }

    /// No more samples come.
    pub fn end(&mut self) {
        let mut ended = Vec::new();
        self.segmenter.finish(&mut ended);
        self.ended.extend(ended);
    }

    /// Segments that wait for their last hypothesis.
    pub fn n_waiting(&self) -> usize {
        self.ended.len()
    }

    /// Sound that was heard, in ms.
    pub fn heard_ms(&self) -> u32 {
        milliseconds(self.heard)
    }

    /// Sound that is kept in memory, in ms.
    pub fn held_ms(&self) -> u32 {
        let ended = self.ended.iter().map(|segment| segment.samples.len());
        milliseconds((ended.sum::<usize>() + self.segmenter.held()) as u64)
    }

    /// How much of what was heard still waits for its last hypothesis, in ms.
    pub fn behind_ms(&self) -> u32 {
        let waiting = self.ended.front();
        waiting.map_or(0, |segment| {
            milliseconds(self.heard.saturating_sub(segment.speech.start))
        })
    }

    /// Interim hypotheses for every so many ms of new speech, or none.
    pub fn set_pace(&mut self, step_ms: Option<u32>) {
        self.settings.live = step_ms.is_some();
        self.settings.step_ms = step_ms.unwrap_or(self.settings.step_ms);
    }

    /// Another language pair, from the segment on that is being written.
    pub fn set_languages(&mut self, language: Option<Language>, translate: Option<Language>) {
        if translate != self.settings.translate {
            self.progress.translations.clear();
        }
        self.settings.language = language;
        self.settings.translate = translate;
    }

    /// Does the most urgent piece of work, and says whether there was any. After an error it can be tried again.
    pub fn work<R: Recogniser>(
        &mut self,
        recogniser: &mut R,
        out: &mut dyn FnMut(Caption),
    ) -> Result<bool, R::Error> {
        if let Some(segment) = self.ended.pop_front() {
            let done = self.finish(&segment, recogniser, out);
            if done.is_err() {
                self.ended.push_front(segment);
            }
            return done.map(|()| true);
        }
        if self.settings.live && self.is_due() {
            self.go_on(recogniser, out)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether there is enough new speech in the open segment.
    fn is_due(&mut self) -> bool {
        let step = u64::from(self.settings.step_ms) * u64::from(SAMPLE_RATE) / 1000;
        let Some(open) = self.segmenter.open() else {
            return false;
        };
        match self.progress.heard_to {
            Some(heard_to) => open.speech.end >= heard_to + step,
            // The first words are awaited most.
            None => open.speech.end >= open.speech.start + step / 2,
        }
    }

    /// An interim hypothesis about the open segment.
    fn go_on<R: Recogniser>(
        &mut self,
        recogniser: &mut R,
        out: &mut dyn FnMut(Caption),
    ) -> Result<(), R::Error> {
        let open = self.segmenter.open().expect("it is due");
        let speech = open.speech;
        let hypotheses = &self.progress.hypotheses;
        let heard = recogniser.listen(&Listen {
            samples: open.samples,
            prompt: &prompts::transcribe(self.settings.language, 0),
            begun: hypotheses.committed(),
            draft: hypotheses.tentative(),
            max_tokens: max_tokens(open.samples.len()),
        })?;
        self.progress.heard_to = Some(speech.end);
        if self.object(&heard, speech).is_some() {
            // The next one knows more; until then the last good one stands.
            return Ok(());
        }
        let before = self.progress.hypotheses.clone();
        self.progress.hypotheses.push(&heard.text);
        if self.progress.hypotheses != before {
            self.show(None, out);
        }
        let committed = self.progress.hypotheses.committed();
        let whole = committed[..sentences_end(committed)].to_owned();
        if self.translate(&whole, recogniser)? {
            self.show(None, out);
        }
        Ok(())
    }

    /// The last hypothesis about a segment that has ended.
    fn finish<R: Recogniser>(
        &mut self,
        segment: &Segment,
        recogniser: &mut R,
        out: &mut dyn FnMut(Caption),
    ) -> Result<(), R::Error> {
        let mut objected = None;
        for attempt in 0..2 {
            let hypotheses = &self.progress.hypotheses;
            let heard = recogniser.listen(&Listen {
                samples: &segment.samples,
                prompt: &prompts::transcribe(self.settings.language, attempt),
                begun: hypotheses.committed(),
                // What led astray once is not to do so again.
                draft: if attempt == 0 {
                    hypotheses.tentative()
                } else {
                    ""
                },
                max_tokens: max_tokens(segment.samples.len()),
            })?;
            objected = self.object(&heard, segment.speech);
            if objected.is_none() {
                self.progress.hypotheses.finish(&heard.text);
                break;
            }
        }
        if objected.is_some() {
            self.progress.hypotheses.finish("");
        }
        let text = self.progress.hypotheses.committed().to_owned();
        if text.is_empty() && objected.is_none() && !self.progress.shown {
            self.progress = Progress::default();
            return Ok(());
        }
        if self.settings.translate.is_some() && !text.is_empty() {
            // Nobody waits for a translation to see what was said.
            self.show(None, out);
            self.translate(&text, recogniser)?;
        }
        let finished = TranscriptSegment {
            start_ms: milliseconds(segment.speech.start),
            end_ms: milliseconds(segment.speech.end),
            channel: self.channel,
            text,
            translations: std::mem::take(&mut self.progress.translations),
            unclear: objected,
        };
        self.show(Some(finished), out);
        self.n_finished += 1;
        self.progress = Progress::default();
        Ok(())
    }

    fn object(&self, heard: &Heard, speech: Speech) -> Option<Objection> {
        let text = format!("{}{}", self.progress.hypotheses.committed(), heard.text);
        let seconds = speech.samples as f64 / f64::from(SAMPLE_RATE);
        objection(&text, heard.complete, seconds, self.settings.language)
    }

    /// Translates the sentences of a committed text that are not translated yet. Says whether there were any.
    fn translate<R: Recogniser>(
        &mut self,
        text: &str,
        recogniser: &mut R,
    ) -> Result<bool, R::Error> {
        let Some(into) = self.settings.translate else {
            return Ok(false);
        };
        let sentences = sentences(text);
        let known = self.progress.translations.len();
        for sentence in sentences.iter().skip(known) {
            let translation = translate_sentence(sentence, into, recogniser)?;
            self.progress.translations.push(translation);
        }
        Ok(sentences.len() > known)
    }

    fn show(&mut self, finished: Option<TranscriptSegment>, out: &mut dyn FnMut(Caption)) {
        self.progress.shown = true;
        let translations = match &finished {
            Some(segment) => &segment.translations,
            None => &self.progress.translations,
        };
        out(Caption {
            heard_ms: self.heard_ms(),
            channel: self.channel,
            segment: self.n_finished,
            committed: self.progress.hypotheses.committed().to_owned(),
            tentative: self.progress.hypotheses.tentative().trim_start().to_owned(),
            translation: Transcript::joined(translations),
            finished,
        });
    }
}

/// The translations of a text's sentences, in their order; empty where one made no sense.
pub fn translate<R: Recogniser>(
    text: &str,
    into: Language,
    recogniser: &mut R,
) -> Result<Vec<String>, R::Error> {
    let sentences = sentences(text).into_iter();
    sentences
        .map(|sentence| translate_sentence(sentence, into, recogniser))
        .collect()
}

/// What is said in a stretch of sound, heard once more: the segment with its text, translations and objection.
///
/// Its times begin with the sound.
pub fn hear_again<R: Recogniser>(
    samples: Vec<f32>,
    channel: Channel,
    settings: Settings,
    recogniser: &mut R,
) -> Result<TranscriptSegment, R::Error> {
    let speech = Speech {
        start: 0,
        end: samples.len() as u64,
        samples: samples.len(),
    };
    let mut finished = TranscriptSegment {
        start_ms: 0,
        end_ms: milliseconds(speech.end),
        channel,
        text: String::new(),
        translations: Vec::new(),
        unclear: None,
    };
    let mut captioner = Captioner::new(channel, settings);
    let segment = Segment {
        start: 0,
        samples,
        speech,
    };
    captioner.finish(&segment, recogniser, &mut |caption| {
        if let Some(segment) = caption.finished {
            finished = segment;
        }
    })?;
    Ok(finished)
}

fn translate_sentence<R: Recogniser>(
    sentence: &str,
    into: Language,
    recogniser: &mut R,
) -> Result<String, R::Error> {
    let prompt = prompts::translate(sentence, into);
    let heard = recogniser.answer(&prompt, 32 + sentence.len())?;
    // As long as it likes, but no loop and not in the language that was to be translated.
    let objected = objection(&heard.text, heard.complete, f64::INFINITY, Some(into));
    Ok(match objected {
        None => heard.text.split_whitespace().collect::<Vec<_>>().join(" "),
        Some(_) => String::new(),
    })
}

/// Nobody says more than 8 tokens a second.
fn max_tokens(n_samples: usize) -> usize {
    8 * n_samples / SAMPLE_RATE as usize + 16
}

/// Of a place in the sound; after 49 days it stays at the last one that fits.
fn milliseconds(samples: u64) -> u32 {
    let ms = samples * 1000 / u64::from(SAMPLE_RATE);
    ms.try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

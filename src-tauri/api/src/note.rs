//! Voice notes: what the microphone hears becomes a sound file of the library, to be sent like any other.

use std::time::Duration;

use audio::{Capture, SAMPLE_RATE, Source};

use crate::Api;
use crate::attach::MAX_HEARD_SECONDS;
use crate::failure::{listening, sentence};
use crate::library::message_part;
use crate::types::{ApiError, Attached, ErrorCode, NoteEvent, Notice, NoticeAbout};

/// What the user wants of the note that is being recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteWish {
    GoOn,
    /// It has all been said.
    Keep,
    /// It is to be forgotten.
    Discard,
}

/// The longest note: what the model hears at once.
const MAX_SAMPLES: usize = MAX_HEARD_SECONDS as usize * SAMPLE_RATE as usize;

/// In less than this, nothing is said.
const MIN_SAMPLES: usize = SAMPLE_RATE as usize / 5;

/// How often the microphone is asked for what it has heard.
const BEAT: Duration = Duration::from_millis(50);

/// Beats for which the last word may be on its way through the device.
const TAIL_BEATS: usize = 6;

/// Beats after which a microphone that has not given anything is not going to.
const PATIENCE_BEATS: usize = 200;

/// Where the sound comes from.
trait Microphone {
    fn read(&mut self, samples: &mut Vec<f32>) -> Vec<audio::Notice>;

    /// Appends what is left, and ends.
    fn finish(self, samples: &mut Vec<f32>);
}

impl Microphone for Capture {
    fn read(&mut self, samples: &mut Vec<f32>) -> Vec<audio::Notice> {
        Capture::read(self, samples)
    }

    fn finish(self, samples: &mut Vec<f32>) {
        Capture::finish(self, samples);
    }
}

impl Api {
    /// Records from the microphone, at most as long as the model can hear at once, and takes the sound into the library
    /// under `name` and the ending of its format. Blocks until the note has ended.
    ///
    /// If the microphone is lost, what was said until then is kept, with a notice.
    /// A note that is discarded, or ended before anything was said, is the error [`ErrorCode::Cancelled`].
    pub fn record_note(
        &self,
        name: &str,
        wish: &dyn Fn() -> NoteWish,
        out: &mut dyn FnMut(NoteEvent),
    ) -> Result<Attached, ApiError> {
        let library = self.library()?;
        let microphone = Capture::open(Source::Microphone).map_err(|e| listening(&e))?;
        let note = record(microphone, wish, out, &|| std::thread::sleep(BEAT))?;
        let stored = library.add_bytes(&audio::wav(&note.samples), &format!("{name}.wav"))?;
        Ok(Attached {
            part: message_part(::library::Part::Sound(stored)),
            notice: note.lost.map(microphone_lost),
        })
    }
}

#[derive(Debug, PartialEq)]
struct Note {
    samples: Vec<f32>,
    /// The device that went away while it was recorded.
    lost: Option<String>,
}

fn record(
    mut microphone: impl Microphone,
    wish: &dyn Fn() -> NoteWish,
    out: &mut dyn FnMut(NoteEvent),
    pause: &dyn Fn(),
) -> Result<Note, ApiError> {
    let mut samples = Vec::new();
    let mut lost = None;
    let mut waited = 0;
    let mut tail = 0;
    while lost.is_none() && tail < TAIL_BEATS && samples.len() < MAX_SAMPLES {
        match wish() {
            NoteWish::GoOn => {}
            NoteWish::Keep if samples.is_empty() => return Err(cancelled()),
            NoteWish::Keep => tail += 1,
            NoteWish::Discard => return Err(cancelled()),
        }
        let first = samples.len();
        for notice in microphone.read(&mut samples) {
            match notice {
                audio::Notice::Listening { device } => out(NoteEvent::Listening { device }),
                audio::Notice::Lost { device } => lost = Some(device),
                audio::Notice::Silent => out(NoteEvent::Silent),
                audio::Notice::Heard => out(NoteEvent::Heard),
                // A note goes on after what a busy computer has lost.
                audio::Notice::Overrun { .. } => {}
            }
        }
        if samples.len() > first {
            let peak = samples[first..]
                .iter()
                .fold(0.0, |peak: f32, s| peak.max(s.abs()));
            out(NoteEvent::Level {
                peak: peak.min(1.0),
                elapsed_ms: (samples.len().min(MAX_SAMPLES) * 1000 / SAMPLE_RATE as usize) as u32,
            });
        } else if samples.is_empty() {
            waited += 1;
            if waited >= PATIENCE_BEATS {
                let message = "The microphone gives no sound. Connect it anew, or choose another one in the system's sound settings.";
                return Err(ApiError::new(ErrorCode::MicFailed, message));
            }
        }
        pause();
    }
    microphone.finish(&mut samples);
    samples.truncate(MAX_SAMPLES);
    match lost {
        Some(device) if samples.len() < MIN_SAMPLES => {
            let message = format!(
                "{device} is gone, and nothing was recorded. Connect it again, and record once more."
            );
            Err(ApiError::new(ErrorCode::MicFailed, message))
        }
        None if samples.len() < MIN_SAMPLES => Err(cancelled()),
        // No microphone in a room gives exact zeros: it is switched off, or the system keeps it from Sotto.
        _ if samples.iter().all(|sample| *sample == 0.0) => {
            let message = "The microphone gave nothing but silence. See whether it is switched off, and whether the system lets Sotto hear it.";
            Err(ApiError::new(ErrorCode::MicSilent, message))
        }
        lost => Ok(Note { samples, lost }),
    }
}

fn cancelled() -> ApiError {
    ApiError::new(ErrorCode::Cancelled, "The recording was cancelled.")
}

fn microphone_lost(device: String) -> Notice {
    Notice {
        text: sentence(&format!(
            "{device} is gone: the voice note has what was said until then"
        )),
        about: NoticeAbout::MicrophoneLost { device },
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::VecDeque;

    use super::*;

    /// What each reading gives; nothing once that is used up.
    #[derive(Default)]
    struct Scripted(VecDeque<(Vec<f32>, Vec<audio::Notice>)>);

    impl Microphone for Scripted {
        fn read(&mut self, samples: &mut Vec<f32>) -> Vec<audio::Notice> {
            let (heard, notices) = self.0.pop_front().unwrap_or_default();
            samples.extend(heard);
            notices
        }

        fn finish(self, samples: &mut Vec<f32>) {
            samples.push(0.125);
        }
    }

    fn scripted(readings: impl IntoIterator<Item = (Vec<f32>, Vec<audio::Notice>)>) -> Scripted {
        Scripted(readings.into_iter().collect())
    }

    fn tenth(sample: f32) -> (Vec<f32>, Vec<audio::Notice>) {
        (vec![sample; 1600], Vec::new())
    }

    fn named(device: &str) -> String {
        device.to_owned()
    }

    /// Records until the beat at which the wish is another one; with the events.
    fn run(
        microphone: Scripted,
        at: usize,
        then: NoteWish,
    ) -> (Result<Note, ApiError>, Vec<NoteEvent>) {
        let beat = Cell::new(0);
        let wish = || {
            if beat.get() < at {
                NoteWish::GoOn
            } else {
                then
            }
        };
        let mut events = Vec::new();
        let note = record(microphone, &wish, &mut |event| events.push(event), &|| {
            beat.set(beat.get() + 1)
        });
        (note, events)
    }

    fn code(note: Result<Note, ApiError>) -> ErrorCode {
        let error = note.expect_err("there is no note");
        assert!(error.message.ends_with('.'), "{}", error.message);
        error.code
    }

    #[test]
    fn a_note_has_what_is_still_on_its_way_when_it_is_ended() {
        let device = named("Mic");
        let listening = (Vec::new(), vec![audio::Notice::Listening { device }]);
        let readings = [
            (vec![], vec![]),
            listening,
            tenth(0.5),
            tenth(0.25),
            tenth(-0.75),
        ];
        let (note, events) = run(scripted(readings), 3, NoteWish::Keep);
        let note = note.unwrap();
        assert_eq!((note.samples.len(), note.lost), (4801, None));
        let level = |peak, elapsed_ms| NoteEvent::Level { peak, elapsed_ms };
        let device = named("Mic");
        assert_eq!(
            events,
            [
                NoteEvent::Listening { device },
                level(0.5, 100),
                level(0.25, 200),
                level(0.75, 300)
            ]
        );
    }

    #[test]
    fn thirty_seconds_are_enough() {
        let (note, events) = run(scripted((0..400).map(|_| tenth(0.5))), 1000, NoteWish::Keep);
        assert_eq!(note.unwrap().samples.len(), 480_000);
        let last = NoteEvent::Level {
            peak: 0.5,
            elapsed_ms: 30_000,
        };
        assert_eq!(events.last(), Some(&last));
    }

    #[test]
    fn a_discarded_note_is_gone_and_one_without_a_word_is_none() {
        let (note, _) = run(scripted((0..9).map(|_| tenth(0.5))), 5, NoteWish::Discard);
        assert_eq!(code(note), ErrorCode::Cancelled);
        let (note, _) = run(Scripted::default(), 3, NoteWish::Keep);
        assert_eq!(code(note), ErrorCode::Cancelled);
        let (note, _) = run(scripted([tenth(0.5)]), 1, NoteWish::Keep);
        assert_eq!(code(note), ErrorCode::Cancelled);
    }

    #[test]
    fn what_was_said_before_the_microphone_was_lost_is_kept() {
        let lost = || {
            let device = named("USB microphone");
            (vec![0.5; 10], vec![audio::Notice::Lost { device }])
        };
        let readings = (0..20).map(|_| tenth(0.5)).chain([lost()]);
        let (note, _) = run(scripted(readings), 1000, NoteWish::Keep);
        let note = note.unwrap();
        assert_eq!(note.samples.len(), 32_011);
        let notice = microphone_lost(note.lost.unwrap());
        assert!(notice.text.starts_with("USB microphone is gone"));

        let (note, _) = run(scripted([lost()]), 1000, NoteWish::Keep);
        assert_eq!(code(note), ErrorCode::MicFailed);
    }

    #[test]
    fn a_microphone_that_is_switched_off_is_no_note() {
        struct Off;
        impl Microphone for Off {
            fn read(&mut self, samples: &mut Vec<f32>) -> Vec<audio::Notice> {
                samples.extend([0.0; 1600]);
                Vec::new()
            }
            fn finish(self, _: &mut Vec<f32>) {}
        }
        let note = record(Off, &|| NoteWish::GoOn, &mut |_| {}, &|| {});
        assert_eq!(code(note), ErrorCode::MicSilent);

        let (note, events) = run(Scripted::default(), usize::MAX, NoteWish::Keep);
        assert_eq!(code(note), ErrorCode::MicFailed);
        assert!(events.is_empty());
    }
}

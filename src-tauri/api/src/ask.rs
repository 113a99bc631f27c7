//! A question and its answer.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use engine::{Event, Overrides, Part, Turn};

use crate::Api;
use crate::failure::{about, about_picture, about_sound, sentence};
use crate::types::{
    ApiError, Ask, AskOptions, AskPart, ChatEvent, DoneReason, ErrorCode, Notice, NoticeAbout,
};

/// Larger pictures than any camera makes; what is read into memory before it is looked at.
const MAX_PICTURE_BYTES: u64 = 256 << 20;

/// The model hears 30 s at once. What is a little longer gets the model's own sentence; a film is not decoded to say so.
const MAX_SOUND: Duration = Duration::from_secs(120);

impl Api {
    /// Answers a turn. Blocks until the answer has ended; `out` returns false to stop it.
    pub fn ask(&self, ask: Ask, out: &mut dyn FnMut(ChatEvent) -> bool) -> Result<(), ApiError> {
        let engine = self.engine()?;
        let conversation = ask.conversation.clone();
        let (turn, notices) = turn(ask)?;
        for notice in notices {
            if !out(ChatEvent::Notice(notice)) {
                return Err(engine::Error::Cancelled.into());
            }
        }
        read_answer(engine.ask(&conversation, turn), out)
    }

    /// Frees what a conversation holds; the next ask with its id starts a new one.
    pub fn forget(&self, conversation: &str) {
        if let Ok(engine) = self.engine() {
            engine.forget(conversation);
        }
    }
}

/// Passes the events of an answer on until its end; `out` returns false to stop it.
pub(crate) fn read_answer(
    mut answer: engine::Answer,
    out: &mut dyn FnMut(ChatEvent) -> bool,
) -> Result<(), ApiError> {
    let mut done = false;
    while let Some(event) = answer.next() {
        let event = match event? {
            Event::Prefill { done, total } => ChatEvent::Prefill {
                done: done as u32,
                total: total as u32,
            },
            Event::Token { id, text } => ChatEvent::Token { id, text },
            // The window hears of a new plan when it is made.
            Event::Moved { .. } => continue,
            Event::Done(report) => {
                done = true;
                done_event(report)
            }
        };
        if !out(event) && !done {
            // The report of a stopped answer is still wanted, so the engine is asked and not just left.
            answer.stop();
        }
    }
    if done {
        return Ok(());
    }
    Err(engine::Error::Closed.into())
}

fn done_event(report: engine::Report) -> ChatEvent {
    ChatEvent::Done {
        reason: match report.reason {
            engine::DoneReason::Stop => DoneReason::Stop,
            engine::DoneReason::Length => DoneReason::Length,
            engine::DoneReason::Cancelled => DoneReason::Cancelled,
        },
        context_full: report.context_full,
        text: report.held_back,
        prompt_tokens: report.prompt_tokens as u32,
        completion_tokens: report.completion_tokens as u32,
        context_tokens: report.context_tokens as u32,
        time_to_first_token_ms: report.time_to_first_token_ms,
        prefill_tokens_per_second: report.prefill_tokens_per_second,
        decode_tokens_per_second: report.decode_tokens_per_second,
    }
}

/// A turn that asks nothing yet.
pub(crate) fn empty_turn(options: AskOptions) -> Turn {
    Turn {
        system: options.system,
        submodel: options.submodel,
        overrides: Overrides {
            temperature: options.temperature,
            top_k: options.top_k.map(|k| k as usize),
            top_p: options.top_p,
            min_p: options.min_p,
            repetition_penalty: options.repetition_penalty,
        },
        seed: options.seed.map(u64::from),
        max_tokens: options.max_tokens.map(|n| n as usize),
        ..Turn::default()
    }
}

/// The turn with its files read, and what should be said about them.
fn turn(ask: Ask) -> Result<(Turn, Vec<Notice>), ApiError> {
    let mut notices = Vec::new();
    let mut turn = empty_turn(ask.options);
    for part in ask.parts {
        match part {
            AskPart::Text { text } => turn.parts.push(Part::Text(text)),
            AskPart::Image { path } => turn.parts.push(Part::Image(read_picture(&path)?)),
            AskPart::Audio { path } => {
                let (samples, damage) = read_sound(&path)?;
                turn.parts.push(Part::Audio(samples));
                notices.extend(damage);
            }
            AskPart::Tokens { ids } => turn.ids.get_or_insert_default().extend(ids),
        }
    }
    if turn.ids.is_some() && !turn.parts.is_empty() {
        return Err(ApiError::new(
            ErrorCode::Unsupported,
            "Token ids are a whole prompt; they cannot be mixed with text, pictures or sound.",
        ));
    }
    Ok((turn, notices))
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> ApiError {
    let reason = format!("the file cannot be read ({error})");
    about(path, ErrorCode::InputUnreadable, reason)
}

pub(crate) fn read_picture(path: &Path) -> Result<image::RgbImage, ApiError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PICTURE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| unreadable(path, &e))?;
    if bytes.is_empty() {
        return Err(about(path, ErrorCode::InputEmpty, "the file is empty"));
    }
    if bytes.len() as u64 > MAX_PICTURE_BYTES {
        let limit = format!("the file is larger than {} MiB", MAX_PICTURE_BYTES >> 20);
        return Err(about(path, ErrorCode::InputTooLarge, limit));
    }
    gemma3n::decode_picture(&bytes).map_err(|e| about_picture(path, &e))
}

/// 16 kHz mono samples of a sound file, and what is wrong with a file that can be heard all the same.
pub(crate) fn read_sound(path: &Path) -> Result<(Vec<f32>, Option<Notice>), ApiError> {
    let sound = audio::read_sound(path, MAX_SOUND).map_err(|e| about_sound(path, &e))?;
    let damage = sound.damage.as_ref().map(|damage| {
        let seconds = sound.duration().as_secs_f64();
        let file = path.file_name().unwrap_or(path.as_os_str()).display();
        Notice {
            text: sentence(&format!(
                "{file}: {damage}; what can be heard is {seconds:.1} s long"
            )),
            about: NoticeAbout::SoundDamaged {
                file: file.to_string(),
                seconds,
            },
        }
    });
    Ok((sound.samples, damage))
}

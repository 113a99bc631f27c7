//! A question that is stored before it is answered, and its answer, stored while it is written.

use std::sync::Arc;

use ::library::{
    Answer, Ending, Failure, Figures, Library, Message, Part, Role, State, StoredFile,
};
use engine::{Engine, Exchange, Turn};

use crate::Api;
use crate::ask::{empty_turn, read_answer, read_picture, read_sound};
use crate::library::{code_name, library_part, thread_entry};
use crate::types::{
    ApiError, AskOptions, ChatEvent, DoneReason, ErrorCode, Notice, NoticeAbout, Retry, Send,
};

type Out<'a> = dyn FnMut(ChatEvent) -> bool + 'a;

impl Api {
    /// Stores a question, then answers it. Blocks until the answer has ended; `out` returns false to stop it.
    pub fn send(&self, send: Send, out: &mut Out) -> Result<(), ApiError> {
        let (library, engine, model) = self.for_answer()?;
        let parts: Vec<Part> = send.parts.into_iter().map(library_part).collect();
        if parts.is_empty() {
            return Err(ApiError::new(
                ErrorCode::InputUnreadable,
                "There is no question.",
            ));
        }
        let (question, answer) = library.ask(
            send.thread.as_deref(),
            send.parent.as_deref(),
            &parts,
            Some(&model),
        )?;
        self.write(&library, &engine, question, answer, send.options, out)
    }

    /// Answers a stored question once more.
    pub fn retry(&self, retry: Retry, out: &mut Out) -> Result<(), ApiError> {
        let (library, engine, model) = self.for_answer()?;
        let answer = library.answer_again(&retry.question, Some(&model))?;
        self.write(
            &library,
            &engine,
            retry.question,
            answer,
            retry.options,
            out,
        )
    }

    fn for_answer(&self) -> Result<(Library, Arc<Engine>, String), ApiError> {
        let library = self.library()?;
        let engine = self.engine()?;
        let path = engine.package().model().checkpoint().path();
        let name = path.file_name().unwrap_or(path.as_os_str());
        let model = name.to_string_lossy().into_owned();
        Ok((library, engine, model))
    }

    fn write(
        &self,
        library: &Library,
        engine: &Engine,
        question: String,
        mut answer: Answer,
        options: AskOptions,
        out: &mut Out,
    ) -> Result<(), ApiError> {
        let stored = ChatEvent::Stored {
            thread: thread_entry(library.thread(answer.thread())?),
            question,
            answer: answer.id().to_owned(),
        };
        out(stored);
        let _turn = self.answering();
        let (thread, id) = (answer.thread().to_owned(), answer.id().to_owned());
        let mut record = Record {
            answer: &mut answer,
            ending: None,
            could_not_store: false,
            out,
        };
        let read = prepare(library, engine, &thread, &id, options, record.out).and_then(
            |(conversation, turn)| {
                read_answer(engine.ask(&conversation, turn), &mut |event| {
                    record.hear(event)
                })
            },
        );
        record.end(read)
    }
}

/// Stores what an answer brings, and passes it on.
struct Record<'a, 'b> {
    answer: &'a mut Answer,
    ending: Option<(Ending, ChatEvent)>,
    could_not_store: bool,
    out: &'a mut Out<'b>,
}

impl Record<'_, '_> {
    fn hear(&mut self, event: ChatEvent) -> bool {
        match event {
            ChatEvent::Token { id, text } => {
                let stored = self.answer.append(&text);
                let goes_on = (self.out)(ChatEvent::Token { id, text });
                goes_on & self.is_stored(stored)
            }
            // It goes out when it is on the disk.
            done @ ChatEvent::Done { .. } => {
                self.ending = ending(&done).map(|ending| (ending, done));
                true
            }
            other => (self.out)(other),
        }
    }

    /// Says once that the disk refuses; the text waits for a better moment. False if there is nowhere to store it.
    fn is_stored(&mut self, stored: Result<(), ::library::Error>) -> bool {
        match stored {
            Ok(()) => true,
            Err(::library::Error::Gone(_)) => false,
            Err(error) => {
                if self.could_not_store {
                    return true;
                }
                self.could_not_store = true;
                let error = ApiError::from(error);
                (self.out)(ChatEvent::Notice(Notice {
                    text: format!("This answer is not saved yet. {}", error.message),
                    about: NoticeAbout::NotSaved,
                }))
            }
        }
    }

    fn end(mut self, read: Result<(), ApiError>) -> Result<(), ApiError> {
        if let Err(error) = read {
            let state = match error.code {
                ErrorCode::Cancelled => State::Stopped,
                _ => State::Failed,
            };
            let failure = Failure {
                code: code_name(error.code),
                message: error.message.clone(),
                subject: error.subject.clone(),
            };
            let ending = Ending {
                state,
                figures: None,
                failure: Some(failure).filter(|_| state == State::Failed),
            };
            // The first failure is what the user has to hear of.
            let _ = self.answer.end(&ending);
            return Err(error);
        }
        let Some((ending, done)) = self.ending.take() else {
            return Err(engine::Error::Cancelled.into());
        };
        if let ChatEvent::Done { text, .. } = &done {
            let stored = self.answer.append(text);
            self.is_stored(stored);
        }
        let stored = self.answer.end(&ending);
        (self.out)(done);
        match stored {
            Ok(()) | Err(::library::Error::Gone(_)) => Ok(()),
            Err(error) => {
                let error = ApiError::from(error);
                let message = format!("This answer could not be saved. {}", error.message);
                Err(ApiError::new(error.code, message))
            }
        }
    }
}

fn ending(done: &ChatEvent) -> Option<Ending> {
    let ChatEvent::Done {
        reason,
        context_full,
        prompt_tokens,
        completion_tokens,
        context_tokens,
        time_to_first_token_ms,
        prefill_tokens_per_second,
        decode_tokens_per_second,
        ..
    } = *done
    else {
        return None;
    };
    Some(Ending {
        state: match reason {
            DoneReason::Stop => State::Complete,
            DoneReason::Length => State::Cut,
            DoneReason::Cancelled => State::Stopped,
        },
        figures: Some(Figures {
            prompt_tokens,
            completion_tokens,
            context_tokens,
            first_token_ms: time_to_first_token_ms,
            prefill_per_second: prefill_tokens_per_second,
            decode_per_second: decode_tokens_per_second,
            context_full,
        }),
        failure: None,
    })
}

/// The engine's id for the conversation up to the question, and the turn to ask there.
///
/// The engine's conversations go by the answer that they end with, so that every branch has its own.
fn prepare(
    library: &Library,
    engine: &Engine,
    thread: &str,
    answer: &str,
    options: AskOptions,
    out: &mut Out,
) -> Result<(String, Turn), ApiError> {
    let mut path = library.path_to(answer)?;
    path.pop();
    let question = path.pop().ok_or(::library::Error::Gone("question"))?;
    let conversation = match &question.parent {
        Some(parent) => parent.clone(),
        None => format!("the start of {thread}"),
    };
    let mut turn = empty_turn(options);
    turn.then = Some(answer.to_owned());
    let mut notices = Vec::new();
    turn.parts = engine_parts(library, &question, &mut notices)?;
    for notice in notices {
        if !out(ChatEvent::Notice(notice)) {
            return Err(engine::Error::Cancelled.into());
        }
    }
    if !engine.knows(&conversation) {
        turn.history = history(library, &path)?;
    }
    Ok((conversation, turn))
}

/// Questions with their answers; one that got none is left out, as the model expects an answer after each.
fn history(library: &Library, path: &[Message]) -> Result<Vec<Exchange>, ApiError> {
    let mut history = Vec::new();
    for pair in path.windows(2) {
        let [question, answer] = pair else { continue };
        let text = answer.text();
        if question.role != Role::User || answer.role != Role::Assistant || text.is_empty() {
            continue;
        }
        history.push(Exchange {
            // What was wrong with a file was said when it was sent.
            question: engine_parts(library, question, &mut Vec::new())?,
            answer: text,
        });
    }
    Ok(history)
}

/// Reads the files of a question, and adds what should be said about them.
fn engine_parts(
    library: &Library,
    question: &Message,
    notices: &mut Vec<Notice>,
) -> Result<Vec<engine::Part>, ApiError> {
    let n_quotes = question
        .parts
        .iter()
        .filter(|part| matches!(part, Part::Quote { .. }))
        .count();
    let mut parts = Vec::new();
    let mut text = String::new();
    for part in &question.parts {
        match part {
            Part::Text(part) => text.push_str(part),
            // As people paste a note before their question; several are told apart by their names.
            Part::Quote { name, text: quote } => {
                if n_quotes > 1 {
                    text.push_str(&format!("{name}:\n"));
                }
                text.push_str(quote.trim());
                text.push_str("\n\n");
            }
            Part::Picture(picture) => {
                let path = library.file_path(&picture.file)?;
                let picture = read_picture(&path).map_err(|e| call(e, picture))?;
                parts.push(engine::Part::Image(picture));
            }
            Part::Sound(sound) => {
                let path = library.file_path(&sound.file)?;
                let (samples, damage) = read_sound(&path).map_err(|e| call(e, sound))?;
                notices.extend(damage.map(|notice| call_notice(notice, sound)));
                parts.push(engine::Part::Audio(samples));
            }
        }
    }
    let text = text.trim_end();
    if !text.is_empty() {
        parts.push(engine::Part::Text(text.to_owned()));
    }
    Ok(parts)
}

/// Names a file as the user does.
fn call(error: ApiError, file: &StoredFile) -> ApiError {
    let message = error.message.replace(&file.file, &file.name);
    ApiError::new(error.code, message).about(&file.name)
}

fn call_notice(notice: Notice, file: &StoredFile) -> Notice {
    Notice {
        text: notice.text.replace(&file.file, &file.name),
        about: match notice.about {
            NoticeAbout::SoundDamaged { seconds, .. } => NoticeAbout::SoundDamaged {
                file: file.name.clone(),
                seconds,
            },
            other => other,
        },
    }
}

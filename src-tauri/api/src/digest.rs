//! What the model writes about a conversation instead of in it: its title, and a summary to go on from.
//!
//! Nothing of this is stored among the messages, and the engine forgets it at once.

use ::library::{Message, Part, Role};
use engine::{Overrides, Turn};

use crate::Api;
use crate::ask::read_answer;
use crate::library::thread_entry;
use crate::types::{ApiError, ChatEvent, DoneReason, ErrorCode, ThreadEntry};

/// The engine's id for what is asked aside.
const ASIDE: &str = "aside";

const TITLE_PROMPT: &str = "Write a title of at most six words for the conversation below, in the language of the \
                            conversation. Answer with the title alone.";

const SUMMARY_PROMPT: &str = "Summarise the conversation below in at most 120 words, in the language of the \
                              conversation, so that it can be continued. Answer with the summary alone.";

// Who speaks in a transcript.
const QUESTION: &str = "Question";
const ANSWER: &str = "Answer";

/// The beginning of a question tells what it is about, and reading more takes time.
const TITLE_SOURCE_CHARS: usize = 600;

const TITLE_CHARS: usize = 60;
const TITLE_WORDS: usize = 9;
const TITLE_TOKENS: usize = 24;
const SUMMARY_TOKENS: usize = 320;

/// Less of a conversation than this is no use to a summary.
const LEAST_SOURCE_CHARS: usize = 200;

impl Api {
    /// Has the model title a thread that still goes by its first question.
    ///
    /// None if the thread has a title already, or if what the model wrote is no title of this conversation.
    /// `goes_on` returns false to stop.
    pub fn title_thread(
        &self,
        id: &str,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<ThreadEntry>, ApiError> {
        let library = self.library()?;
        if !library.is_untitled(id)? {
            return Ok(None);
        }
        let messages = library.conversation(id)?;
        let source = transcript(&messages[..messages.len().min(2)], TITLE_SOURCE_CHARS);
        let prompt = format!("{TITLE_PROMPT}\n\n{source}");
        let reply = self.write_aside(prompt, TITLE_TOKENS, goes_on)?;
        let Some(title) = title_in(&reply, &source) else {
            return Ok(None);
        };
        // The user may have named it meanwhile.
        if !library.is_untitled(id)? {
            return Ok(None);
        }
        library.rename(id, &title)?;
        Ok(Some(thread_entry(library.thread(id)?)))
    }

    /// What was said in a thread, in a few sentences, so that a new one can go on from there.
    pub fn summarise_thread(
        &self,
        id: &str,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<String, ApiError> {
        let library = self.library()?;
        let messages = library.conversation(id)?;
        let context = self.engine()?.package().context();
        // Half of the context in most languages; where a character is a token of its own, the engine refuses and
        // less is tried.
        let mut budget = context * 2;
        loop {
            let source = transcript(&messages, budget);
            let prompt = format!("{SUMMARY_PROMPT}\n\n{source}");
            match self.write_aside(prompt, SUMMARY_TOKENS.min(context / 4), goes_on) {
                Err(error)
                    if error.code == ErrorCode::TooLong && budget > 2 * LEAST_SOURCE_CHARS =>
                {
                    budget /= 2;
                }
                Ok(summary) if summary.is_empty() => {
                    return Err(ApiError::new(
                        ErrorCode::Unsupported,
                        "The model wrote no summary. Begin a new conversation without one.",
                    ));
                }
                other => return other,
            }
        }
    }

    /// Answers a prompt that belongs to no conversation.
    fn write_aside(
        &self,
        prompt: String,
        max_tokens: usize,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<String, ApiError> {
        let _turn = self.answering();
        if !goes_on() {
            return Err(engine::Error::Cancelled.into());
        }
        let engine = self.engine()?;
        let turn = Turn {
            parts: vec![engine::Part::Text(prompt)],
            overrides: Overrides {
                temperature: Some(0.0),
                ..Overrides::default()
            },
            max_tokens: Some(max_tokens),
            ..Turn::default()
        };
        let (mut reply, mut stopped) = (String::new(), false);
        let read = read_answer(engine.ask(ASIDE, turn), &mut |event| {
            match event {
                ChatEvent::Token { text, .. } => reply.push_str(&text),
                ChatEvent::Done { text, reason, .. } => {
                    reply.push_str(&text);
                    stopped = reason == DoneReason::Cancelled;
                }
                _ => {}
            }
            goes_on()
        });
        engine.forget(ASIDE);
        read?;
        if stopped {
            return Err(engine::Error::Cancelled.into());
        }
        Ok(reply.trim().to_owned())
    }
}

/// What was said, at most so many characters of it: the end, since that is where a conversation goes on.
fn transcript(messages: &[Message], max_chars: usize) -> String {
    let mut lines = Vec::new();
    let mut left = max_chars;
    for message in messages.iter().rev() {
        let text = spoken(message);
        if text.is_empty() {
            continue;
        }
        let who = match message.role {
            Role::User => QUESTION,
            Role::Assistant => ANSWER,
        };
        let n_chars = text.chars().count();
        let text = match text.char_indices().nth(left) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        lines.push(format!("{who}: {text}"));
        left = left.saturating_sub(n_chars);
        if left == 0 {
            break;
        }
    }
    lines.reverse();
    lines.join("\n\n")
}

fn spoken(message: &Message) -> String {
    let parts = message.parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Quote { name, text } => format!("{name}: {text}"),
        Part::Picture(file) | Part::Sound(file) => format!("[{}]", file.name),
    });
    let parts: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
    parts.join("\n")
}

/// The title in a reply, if it is one: short, and about something that was said.
///
/// Small models answer the question once more or speak of what they know; the beginning of the question is better then.
fn title_in(reply: &str, source: &str) -> Option<String> {
    let line = reply.lines().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.strip_prefix("Title:").unwrap_or(line);
    let is_mark = |c: char| c.is_whitespace() || "\"'“”„«»*_#`.".contains(c);
    let title = line.trim_matches(is_mark);
    let fits = title.chars().count() <= TITLE_CHARS
        && title.split_whitespace().count() <= TITLE_WORDS
        && shares_a_word(title, source)
        && !source.contains(&format!("{ANSWER}: {title}"));
    fits.then(|| title.to_owned())
}

fn shares_a_word(title: &str, source: &str) -> bool {
    let source = source.to_lowercase();
    let title = title.to_lowercase();
    title
        .split(|c: char| !c.is_alphanumeric())
        .filter_map(stem)
        .any(|stem| begins_a_word(stem, &source))
}

/// A "thousand" shares nothing with a "lighthouse", but where words are not set apart, one may begin anywhere.
fn begins_a_word(stem: &str, source: &str) -> bool {
    source.match_indices(stem).any(|(at, _)| {
        let before = source[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() && has_spaces(c))
    })
}

fn has_spaces(script_of: char) -> bool {
    script_of < '\u{2e80}'
}

/// The beginning of a word, which survives most endings; none of a word that says little.
fn stem(word: &str) -> Option<&str> {
    // Scripts without spaces put much into two characters.
    let length = if has_spaces(word.chars().next()?) {
        4
    } else {
        2
    };
    let (last, c) = word.char_indices().nth(length - 1)?;
    Some(&word[..last + c.len_utf8()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: Role, text: &str) -> Message {
        Message {
            id: String::new(),
            parent: None,
            role,
            state: ::library::State::Complete,
            parts: vec![Part::Text(text.into())],
            created_ms: 0,
            model: None,
            failure: None,
            figures: None,
            siblings: Vec::new(),
        }
    }

    #[test]
    fn a_title_is_short_and_about_what_was_said() {
        let source = "Question: Why is the sky blue?\n\nAnswer: Air scatters blue light.";
        for (reply, expected) in [
            ("**Why the sky is blue**", Some("Why the sky is blue")),
            ("Title: \"Blue light\"\nIt is…", Some("Blue light")),
            ("The meeting is on Monday", None),
            ("Forty four catteries", None),
            ("Air scatters blue light.", None),
            ("", None),
            ("…", None),
            (
                "Air scatters blue light more than red light because of its length",
                None,
            ),
        ] {
            assert_eq!(title_in(reply, source).as_deref(), expected, "{reply}");
        }
        assert!(title_in("空が青い理由", "Question: なぜ空が青いのですか").is_some());
    }

    #[test]
    fn a_transcript_keeps_the_end() {
        let messages = [
            message(Role::User, "One two three"),
            message(Role::Assistant, "Four"),
            message(Role::User, "Five six"),
        ];
        assert_eq!(
            transcript(&messages, 1000),
            "Question: One two three\n\nAnswer: Four\n\nQuestion: Five six"
        );
        assert_eq!(
            transcript(&messages, 15),
            "Question: One…\n\nAnswer: Four\n\nQuestion: Five six"
        );
        assert_eq!(transcript(&messages, 8), "Question: Five six");
    }
}

//! The messages of a thread, a tree of questions and answers.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::files::StoredFile;
use crate::{Library, new_id, now_ms};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

/// How far a message has come. Questions are always complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Streaming,
    Complete,
    /// It reached a limit of length.
    Cut,
    /// The user ended it.
    Stopped,
    Failed,
    /// Sotto ended while it was written.
    Interrupted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Picture(StoredFile),
    Sound(StoredFile),
    /// A text file, taken into the question.
    Quote {
        name: String,
        text: String,
    },
}

/// Why an answer failed: a code for the window to act on, and a sentence. Exports have it under these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
    /// The file or folder that it is about, as the user calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// What was measured while an answer was written. Exports have it under these names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub prompt_tokens: u32,
    pub completion_tokens: u32,
    pub context_tokens: u32,
    pub first_token_ms: f64,
    pub prefill_per_second: f64,
    pub decode_per_second: f64,
    pub context_full: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: String,
    /// The message that it follows; none at the start of a thread.
    pub parent: Option<String>,
    pub role: Role,
    pub state: State,
    pub parts: Vec<Part>,
    pub created_ms: i64,
    /// The model that wrote it.
    pub model: Option<String>,
    pub failure: Option<Failure>,
    pub figures: Option<Figures>,
    /// Every message that follows the same one, itself among them, the oldest first.
    pub siblings: Vec<String>,
}

impl Message {
    /// The text alone, without files.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n\n")
    }
}

impl Library {
    /// The branch of a thread that is shown, from its first message on.
    pub fn conversation(&self, thread: &str) -> Result<Vec<Message>> {
        let leaf: Option<Option<String>> = self.read(|db| {
            db.query_row("SELECT leaf FROM threads WHERE id = ?1", [thread], |row| {
                row.get(0)
            })
            .optional()
        })?;
        match leaf.ok_or(Error::Gone("conversation"))? {
            Some(leaf) => self.path_to(&leaf),
            None => Ok(Vec::new()),
        }
    }

    /// The messages from the first of the thread to this one.
    pub fn path_to(&self, message: &str) -> Result<Vec<Message>> {
        let path = self.read(|db| {
            let mut statement = db.prepare_cached(
                "WITH RECURSIVE up(id, parent, depth) AS (
                     SELECT id, parent, 0 FROM messages WHERE id = ?1
                     UNION ALL
                     SELECT m.id, m.parent, depth + 1 FROM messages m JOIN up ON m.id = up.parent
                 )
                 SELECT id FROM up ORDER BY depth DESC",
            )?;
            let ids = statement.query_map([message], |row| row.get::<_, String>(0))?;
            let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
            ids.iter().map(|id| self.message(db, id)).collect()
        })?;
        if Vec::is_empty(&path) {
            return Err(Error::Gone("message"));
        }
        Ok(path)
    }

    /// Stores a question and an empty answer to it; without a thread it begins one.
    ///
    /// `parent` is the message that the question follows, none if it stands at the start.
    pub fn ask(
        &self,
        thread: Option<&str>,
        parent: Option<&str>,
        parts: &[Part],
        model: Option<&str>,
    ) -> Result<(String, Answer)> {
        let question = new_id();
        let answer = new_id();
        let thread = self.write(|db| {
            let thread = match thread {
                Some(thread) => thread.to_owned(),
                None => self.begin_thread(db, parts)?,
            };
            if let Some(parent) = parent {
                self.expect_in_thread(db, parent, &thread)?;
            }
            let message = NewMessage {
                id: &question,
                thread: &thread,
                parent,
                role: Role::User,
                state: State::Complete,
                model: None,
            };
            self.insert(db, &message, parts)?;
            self.index(db, &question)?;
            self.insert_answer(db, &thread, &question, &answer, model)?;
            Ok(thread)
        })?;
        Ok((question, Answer::new(self.clone(), thread, answer)))
    }

    /// A further answer to a question, beside those that it has.
    pub fn answer_again(&self, question: &str, model: Option<&str>) -> Result<Answer> {
        let answer = new_id();
        let thread = self.write(|db| {
            let thread = db
                .query_row(
                    "SELECT thread FROM messages WHERE id = ?1 AND role = 'user'",
                    [question],
                    |row| row.get::<_, String>(0),
                )
                .optional()
                .map_err(|e| self.store_error(e))?
                .ok_or(Error::Gone("question"))?;
            self.insert_answer(db, &thread, question, &answer, model)?;
            Ok(thread)
        })?;
        Ok(Answer::new(self.clone(), thread, answer))
    }

    /// Shows the branch that goes through this message, down to its latest end.
    pub fn choose(&self, message: &str) -> Result<()> {
        self.write(|db| {
            let sql = |e| self.store_error(e);
            let thread: Option<String> = db
                .query_row(
                    "SELECT thread FROM messages WHERE id = ?1",
                    [message],
                    |r| r.get(0),
                )
                .optional()
                .map_err(sql)?;
            let thread = thread.ok_or(Error::Gone("message"))?;
            let mut leaf = message.to_owned();
            loop {
                let next: Option<String> = db
                    .query_row(
                        "SELECT id FROM messages WHERE parent = ?1 ORDER BY row DESC LIMIT 1",
                        [&leaf],
                        |row| row.get(0),
                    )
                    .optional()
                    .map_err(sql)?;
                match next {
                    Some(next) => leaf = next,
                    None => break,
                }
            }
            db.execute(
                "UPDATE threads SET leaf = ?2 WHERE id = ?1",
                params![thread, leaf],
            )
            .map_err(sql)?;
            Ok(())
        })
    }

    /// Marks answers that nobody writes any more; called before anybody does.
    pub(crate) fn end_interrupted(&self) -> Result<()> {
        self.write(|db| {
            let sql = |e| self.store_error(e);
            let mut statement = db
                .prepare("SELECT id FROM messages WHERE state = 'streaming'")
                .map_err(sql)?;
            let ids = statement
                .query_map([], |row| row.get::<_, String>(0))
                .map_err(sql)?;
            for id in ids.collect::<rusqlite::Result<Vec<_>>>().map_err(sql)? {
                db.execute(
                    "UPDATE messages SET state = 'interrupted' WHERE id = ?1",
                    [&id],
                )
                .map_err(sql)?;
                self.index(db, &id)?;
            }
            Ok(())
        })
    }

    fn insert_answer(
        &self,
        db: &Transaction,
        thread: &str,
        question: &str,
        answer: &str,
        model: Option<&str>,
    ) -> Result<()> {
        let message = NewMessage {
            id: answer,
            thread,
            parent: Some(question),
            role: Role::Assistant,
            state: State::Streaming,
            model,
        };
        self.insert(db, &message, &[Part::Text(String::new())])?;
        db.execute(
            "UPDATE threads SET leaf = ?2, updated_ms = ?3 WHERE id = ?1",
            params![thread, answer, now_ms()],
        )
        .map_err(|e| self.store_error(e))?;
        Ok(())
    }

    fn insert(&self, db: &Transaction, message: &NewMessage, parts: &[Part]) -> Result<()> {
        insert_row(db, message, now_ms()).map_err(|e| match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Error::Gone("conversation"),
            _ => self.store_error(e),
        })?;
        self.insert_parts(db, message.id, parts)
    }

    pub(crate) fn insert_parts(
        &self,
        db: &Transaction,
        message: &str,
        parts: &[Part],
    ) -> Result<()> {
        for (place, part) in parts.iter().enumerate() {
            let (kind, text, name, file) = match part {
                Part::Text(text) => ("text", Some(text), None, None),
                Part::Picture(file) => ("picture", None, Some(&file.name), Some(&file.file)),
                Part::Sound(file) => ("sound", None, Some(&file.name), Some(&file.file)),
                Part::Quote { name, text } => ("quote", Some(text), Some(name), None),
            };
            db.execute(
                "INSERT INTO parts (message, place, kind, text, name, file) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![message, place as i64, kind, text, name, file],
            )
            .map_err(|e| match e.sqlite_error_code() {
                Some(rusqlite::ErrorCode::ConstraintViolation) => Error::Gone("file"),
                _ => self.store_error(e),
            })?;
        }
        Ok(())
    }

    /// Puts the words of a message into the index, in place of what stood there.
    pub(crate) fn index(&self, db: &Transaction, message: &str) -> Result<()> {
        let sql = |e| self.store_error(e);
        let row: i64 = db
            .query_row("SELECT row FROM messages WHERE id = ?1", [message], |r| {
                r.get(0)
            })
            .map_err(sql)?;
        db.execute("DELETE FROM message_words WHERE rowid = ?1", [row])
            .map_err(sql)?;
        db.execute(
            "INSERT INTO message_words (rowid, text)
             SELECT ?1, group_concat(coalesce(name || char(10), '') || coalesce(text, ''), char(10))
             FROM parts WHERE message = ?2",
            params![row, message],
        )
        .map_err(sql)?;
        Ok(())
    }

    fn expect_in_thread(&self, db: &Transaction, message: &str, thread: &str) -> Result<()> {
        let found = db
            .query_row(
                "SELECT 1 FROM messages WHERE id = ?1 AND thread = ?2",
                [message, thread],
                |_| Ok(()),
            )
            .optional();
        found
            .map_err(|e| self.store_error(e))?
            .ok_or(Error::Gone("message"))
    }

    fn message(&self, db: &Connection, id: &str) -> rusqlite::Result<Message> {
        let mut message = db
            .prepare_cached(&format!("SELECT {MESSAGE} FROM messages WHERE id = ?1"))?
            .query_row([id], message)?;
        message.parts = self.parts(db, id)?;
        // One of the two is NULL on either side at the start of a thread, where threads have to be told apart.
        let mut siblings = db.prepare_cached(
            "SELECT s.id FROM messages m JOIN messages s
             ON s.parent = m.parent OR (m.parent IS NULL AND s.parent IS NULL AND s.thread = m.thread)
             WHERE m.id = ?1 ORDER BY s.row",
        )?;
        let ids = siblings.query_map([id], |row| row.get(0))?;
        message.siblings = ids.collect::<rusqlite::Result<_>>()?;
        Ok(message)
    }

    /// Every message of a thread, on all branches, the oldest first.
    pub(crate) fn all_messages(&self, thread: &str) -> Result<Vec<Message>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {MESSAGE} FROM messages WHERE thread = ?1 ORDER BY row"
            ))?;
            let messages = statement.query_map([thread], message)?;
            let mut messages = messages.collect::<rusqlite::Result<Vec<_>>>()?;
            let mut siblings: HashMap<Option<String>, Vec<String>> = HashMap::new();
            for message in &mut messages {
                message.parts = self.parts(db, &message.id)?;
                let of_parent = siblings.entry(message.parent.clone()).or_default();
                of_parent.push(message.id.clone());
            }
            for message in &mut messages {
                message.siblings = siblings[&message.parent].clone();
            }
            Ok(messages)
        })
    }

    fn parts(&self, db: &Connection, message: &str) -> rusqlite::Result<Vec<Part>> {
        let mut statement = db.prepare_cached(
            "SELECT kind, text, p.name, file, bytes FROM parts p LEFT JOIN files f ON f.name = p.file
             WHERE message = ?1 ORDER BY place",
        )?;
        let parts = statement.query_map([message], |row| {
            let kind: String = row.get(0)?;
            let string = |i| -> rusqlite::Result<String> {
                Ok(row.get::<_, Option<String>>(i)?.unwrap_or_default())
            };
            let file = || -> rusqlite::Result<StoredFile> {
                Ok(StoredFile {
                    file: row.get(3)?,
                    name: string(2)?,
                    bytes: row.get::<_, Option<i64>>(4)?.unwrap_or_default() as u64,
                })
            };
            Ok(match kind.as_str() {
                "picture" => Part::Picture(file()?),
                "sound" => Part::Sound(file()?),
                "quote" => Part::Quote {
                    name: string(2)?,
                    text: string(1)?,
                },
                _ => Part::Text(string(1)?),
            })
        })?;
        parts.collect()
    }
}

pub(crate) struct NewMessage<'a> {
    pub id: &'a str,
    pub thread: &'a str,
    pub parent: Option<&'a str>,
    pub role: Role,
    pub state: State,
    pub model: Option<&'a str>,
}

/// Writes the message without its parts.
pub(crate) fn insert_row(
    db: &Transaction,
    message: &NewMessage,
    created_ms: i64,
) -> rusqlite::Result<usize> {
    db.execute(
        "INSERT INTO messages (id, thread, parent, role, state, created_ms, model)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            message.id,
            message.thread,
            message.parent,
            message.role.name(),
            message.state.name(),
            created_ms,
            message.model,
        ],
    )
}

const MESSAGE: &str = "id, parent, role, state, created_ms, model, failure_code, failure, prompt_tokens,
     completion_tokens, context_tokens, first_token_ms, prefill_per_second, decode_per_second, context_full,
     failure_subject";

/// A row of [`MESSAGE`], still without its parts and siblings.
fn message(row: &Row) -> rusqlite::Result<Message> {
    let failure = match (row.get(6)?, row.get(7)?) {
        (Some(code), Some(message)) => Some(Failure {
            code,
            message,
            subject: row.get(15)?,
        }),
        _ => None,
    };
    let figures = match row.get(8)? {
        Some(prompt_tokens) => Some(Figures {
            prompt_tokens,
            completion_tokens: row.get(9)?,
            context_tokens: row.get(10)?,
            first_token_ms: row.get(11)?,
            prefill_per_second: row.get(12)?,
            decode_per_second: row.get(13)?,
            context_full: row.get(14)?,
        }),
        None => None,
    };
    Ok(Message {
        id: row.get(0)?,
        parent: row.get(1)?,
        role: Role::of_name(&row.get::<_, String>(2)?),
        state: State::of_name(&row.get::<_, String>(3)?),
        parts: Vec::new(),
        created_ms: row.get(4)?,
        model: row.get(5)?,
        failure,
        figures,
        siblings: Vec::new(),
    })
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    pub(crate) fn of_name(name: &str) -> Self {
        match name {
            "assistant" => Self::Assistant,
            _ => Self::User,
        }
    }
}

impl State {
    pub(crate) const NAMES: [(Self, &str); 6] = [
        (Self::Streaming, "streaming"),
        (Self::Complete, "complete"),
        (Self::Cut, "cut"),
        (Self::Stopped, "stopped"),
        (Self::Failed, "failed"),
        (Self::Interrupted, "interrupted"),
    ];

    pub(crate) fn name(self) -> &'static str {
        let entry = Self::NAMES.iter().find(|(state, _)| *state == self);
        entry.expect("every state has a name").1
    }

    pub(crate) fn of_name(name: &str) -> Self {
        let entry = Self::NAMES.iter().find(|(_, known)| *known == name);
        entry.map_or(Self::Interrupted, |(state, _)| *state)
    }
}

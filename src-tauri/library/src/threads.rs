//! Threads: the list of conversations.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::error::{Error, Result};
use crate::messages::Part;
use crate::{Library, new_id, now_ms};

/// One conversation in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    pub id: String,
    pub title: String,
    pub pinned: bool,
    pub created_ms: i64,
    /// When something was last asked or answered in it.
    pub updated_ms: i64,
}

/// Characters of a title that is made from a question.
const TITLE_LENGTH: usize = 60;

const COLUMNS: &str = "id, title, pinned, created_ms, updated_ms";

impl Library {
    /// Pinned threads first, then the latest.
    pub fn threads(&self) -> Result<Vec<Thread>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM threads ORDER BY pinned DESC, updated_ms DESC, row DESC"
            ))?;
            statement.query_map([], thread)?.collect()
        })
    }

    pub fn thread(&self, id: &str) -> Result<Thread> {
        self.read(|db| find(db, id))?
            .ok_or(Error::Gone("conversation"))
    }

    /// Whether a thread still goes by the beginning of a first question.
    pub fn is_untitled(&self, id: &str) -> Result<bool> {
        let title = self.thread(id)?.title;
        let messages = self.all_messages(id)?;
        let mut first = messages.iter().filter(|message| message.parent.is_none());
        Ok(first.any(|question| title_of(&question.parts) == title))
    }

    pub fn rename(&self, id: &str, title: &str) -> Result<()> {
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        self.write(|db| {
            let sql = "UPDATE threads SET title = ?2 WHERE id = ?1";
            self.change(db, sql, params![id, title])?;
            self.index_title(db, id, &title)
        })?;
        // The old title could be what the user wants gone.
        self.forget()
    }

    pub fn pin(&self, id: &str, pinned: bool) -> Result<()> {
        let sql = "UPDATE threads SET pinned = ?2 WHERE id = ?1";
        self.write(|db| self.change(db, sql, params![id, pinned]))
    }

    /// Deletes a thread with its messages, its index and the files that only it had.
    pub fn delete_thread(&self, id: &str) -> Result<()> {
        let unused = self.write(|db| {
            let sql = |e| self.store_error(e);
            let files = self.files_of(db, id)?;
            for statement in [
                "DELETE FROM message_words WHERE rowid IN (SELECT row FROM messages WHERE thread = ?1)",
                "DELETE FROM title_words WHERE rowid IN (SELECT row FROM threads WHERE id = ?1)",
                "UPDATE threads SET leaf = NULL WHERE id = ?1",
            ] {
                db.execute(statement, [id]).map_err(sql)?;
            }
            self.change(db, "DELETE FROM threads WHERE id = ?1", [id])?;
            self.take_unused_files(db, &files)
        })?;
        self.remove_files(&unused);
        self.forget()
    }

    /// Deletes every thread, every transcript and every file.
    pub fn erase(&self) -> Result<()> {
        for transcript in self.transcripts()? {
            self.delete_transcript(&transcript.id)?;
        }
        for thread in self.threads()? {
            self.delete_thread(&thread.id)?;
        }
        self.sweep_files()
    }

    /// Begins a thread, titled by its first question.
    pub(crate) fn begin_thread(&self, db: &Transaction, question: &[Part]) -> Result<String> {
        let id = new_id();
        let title = title_of(question);
        let now = now_ms();
        db.execute(
            "INSERT INTO threads (id, title, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?3)",
            params![id, title, now],
        )
        .map_err(|e| self.store_error(e))?;
        self.index_title(db, &id, &title)?;
        Ok(id)
    }

    pub(crate) fn index_title(&self, db: &Transaction, id: &str, title: &str) -> Result<()> {
        let sql = |e| self.store_error(e);
        let row: i64 = db
            .query_row("SELECT row FROM threads WHERE id = ?1", [id], |r| r.get(0))
            .map_err(sql)?;
        db.execute("DELETE FROM title_words WHERE rowid = ?1", [row])
            .map_err(sql)?;
        db.execute(
            "INSERT INTO title_words (rowid, text) VALUES (?1, ?2)",
            params![row, title],
        )
        .map_err(sql)?;
        Ok(())
    }

    /// Runs a statement that must meet its one thread.
    fn change(&self, db: &Transaction, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        let n = db.execute(sql, params).map_err(|e| self.store_error(e))?;
        if n == 0 {
            return Err(Error::Gone("conversation"));
        }
        Ok(())
    }
}

pub(crate) fn find(db: &Connection, id: &str) -> rusqlite::Result<Option<Thread>> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM threads WHERE id = ?1"))?;
    statement.query_row([id], thread).optional()
}

fn thread(row: &Row) -> rusqlite::Result<Thread> {
    Ok(Thread {
        id: row.get(0)?,
        title: row.get(1)?,
        pinned: row.get(2)?,
        created_ms: row.get(3)?,
        updated_ms: row.get(4)?,
    })
}

/// The beginning of the question's text, else the name of its first file.
fn title_of(question: &[Part]) -> String {
    let text = question.iter().find_map(|part| match part {
        Part::Text(text) if !text.trim().is_empty() => Some(text.as_str()),
        _ => None,
    });
    let name = question.iter().find_map(|part| match part {
        Part::Text(_) => None,
        Part::Picture(file) | Part::Sound(file) => Some(file.name.as_str()),
        Part::Quote { name, .. } => Some(name.as_str()),
    });
    let words = text.or(name).unwrap_or_default().split_whitespace();
    shorten(&words.collect::<Vec<_>>().join(" "))
}

/// Ends at a word where one ends late enough.
fn shorten(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(TITLE_LENGTH) else {
        return text.to_owned();
    };
    let start = &text[..end];
    let cut = start.rfind(' ').filter(|cut| *cut > end / 2).unwrap_or(end);
    format!("{}…", start[..cut].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_beginnings() {
        for (text, expected) in [
            ("Why is the\n  sky blue?", "Why is the sky blue?"),
            (
                "Please explain to me in some detail why the sky over the sea is so often blue",
                "Please explain to me in some detail why the sky over the…",
            ),
            ("あ".repeat(70).as_str(), &format!("{}…", "あ".repeat(60))),
        ] {
            assert_eq!(title_of(&[Part::Text(text.into())]), expected);
        }
    }
}

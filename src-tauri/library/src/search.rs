//! Finding words in titles and messages.

use std::collections::HashSet;

use rusqlite::Connection;

use crate::Library;
use crate::error::Result;
use crate::threads::{self, Thread};

/// A thread in which the words were found, with the best place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub thread: Thread,
    /// None if the title itself was found.
    pub message: Option<String>,
    /// The words around the place; empty if the title was found.
    pub excerpt: Vec<Piece>,
}

/// A stretch of an excerpt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// Whether it is what was searched for.
    pub found: bool,
}

/// More than anyone reads through.
pub(crate) const MAX_HITS: usize = 100;

// What encloses a found word in SQLite's excerpts: characters that nobody types.
const OPEN: char = '\u{2}';
const CLOSE: char = '\u{3}';

/// Characters before a place that was found without the index.
const BEFORE: usize = 30;
const AFTER: usize = 60;

impl Library {
    /// Threads with all of the words, of which the last may be unfinished; titles come first.
    ///
    /// Where no word begins so, any place in the text counts: scripts without spaces have no words to index.
    pub fn search(&self, query: &str) -> Result<Vec<Hit>> {
        let query = query.trim();
        if query.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|db| {
            let mut hits = Hits::default();
            if let Some(words) = match_expression(query) {
                titles(db, &words, &mut hits)?;
                messages(db, &words, &mut hits)?;
            }
            if hits.list.is_empty() {
                anywhere(db, query, &mut hits)?;
            }
            Ok(hits.list)
        })
    }
}

#[derive(Default)]
struct Hits {
    list: Vec<Hit>,
    threads: HashSet<String>,
}

impl Hits {
    fn add(
        &mut self,
        db: &Connection,
        thread: String,
        message: Option<String>,
        excerpt: Vec<Piece>,
    ) -> rusqlite::Result<()> {
        if self.list.len() == MAX_HITS || !self.threads.insert(thread.clone()) {
            return Ok(());
        }
        if let Some(thread) = threads::find(db, &thread)? {
            self.list.push(Hit {
                thread,
                message,
                excerpt,
            });
        }
        Ok(())
    }
}

fn titles(db: &Connection, words: &str, hits: &mut Hits) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "SELECT t.id FROM title_words w JOIN threads t ON t.row = w.rowid
         WHERE title_words MATCH ?1 ORDER BY t.pinned DESC, t.updated_ms DESC",
    )?;
    let mut rows = statement.query([words])?;
    while let Some(row) = rows.next()? {
        hits.add(db, row.get(0)?, None, Vec::new())?;
    }
    Ok(())
}

fn messages(db: &Connection, words: &str, hits: &mut Hits) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "SELECT m.thread, m.id, snippet(message_words, 0, char(2), char(3), '…', 14)
         FROM message_words JOIN messages m ON m.row = message_words.rowid
         WHERE message_words MATCH ?1 ORDER BY rank LIMIT 1000",
    )?;
    let mut rows = statement.query([words])?;
    while let Some(row) = rows.next()? {
        let excerpt: String = row.get(2)?;
        hits.add(db, row.get(0)?, row.get(1)?, pieces(&excerpt))?;
    }
    Ok(())
}

fn anywhere(db: &Connection, query: &str, hits: &mut Hits) -> rusqlite::Result<()> {
    let pattern = like_pattern(query);
    let mut statement = db.prepare_cached(
        "SELECT m.thread, m.id, p.text FROM parts p JOIN messages m ON m.id = p.message
         WHERE p.text LIKE ?1 ESCAPE '\\' ORDER BY m.row DESC LIMIT 1000",
    )?;
    let mut rows = statement.query([pattern])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(2)?;
        hits.add(db, row.get(0)?, row.get(1)?, around(&text, query))?;
    }
    Ok(())
}

/// Any place of a text with the query in it, for `LIKE … ESCAPE '\'`.
pub(crate) fn like_pattern(query: &str) -> String {
    let escaped = query
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    format!("%{escaped}%")
}

/// Every word with what it may still become, in quotes: what a user types is never an expression.
pub(crate) fn match_expression(query: &str) -> Option<String> {
    let words: Vec<String> = query
        .split_whitespace()
        .filter(|word| word.contains(char::is_alphanumeric))
        .map(|word| format!("\"{}\"*", word.replace('"', "\"\"")))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

pub(crate) fn pieces(excerpt: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for stretch in excerpt.split_inclusive([OPEN, CLOSE]) {
        let found = stretch.ends_with(CLOSE);
        let text: String = stretch
            .trim_end_matches([OPEN, CLOSE])
            .chars()
            .map(|c| if c.is_whitespace() { ' ' } else { c })
            .collect();
        if !text.is_empty() {
            pieces.push(Piece { text, found });
        }
    }
    pieces
}

pub(crate) fn around(text: &str, query: &str) -> Vec<Piece> {
    // Found as it stands, else where LIKE found it without regard to ASCII case.
    let ascii = || text.to_ascii_lowercase().find(&query.to_ascii_lowercase());
    let Some(start) = text.find(query).or_else(ascii) else {
        return Vec::new();
    };
    let end = start + query.len();
    let from = text[..start].char_indices().rev().nth(BEFORE - 1);
    let from = from.map_or(0, |(i, _)| i);
    let to = text[end..].char_indices().nth(AFTER);
    let to = to.map_or(text.len(), |(i, _)| end + i);
    let before = if from > 0 { "…" } else { "" };
    let after = if to < text.len() { "…" } else { "" };
    pieces(&format!(
        "{before}{}{OPEN}{}{CLOSE}{}{after}",
        &text[from..start],
        &text[start..end],
        &text[end..to],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_never_an_expression() {
        for (query, expected) in [
            ("blue sky", Some(r#""blue"* "sky"*"#)),
            (r#"say "hi" OR"#, Some(r#""say"* """hi"""* "OR"*"#)),
            ("?! -", None),
        ] {
            assert_eq!(match_expression(query).as_deref(), expected);
        }
    }

    #[test]
    fn excerpts_mark_what_was_found() {
        let found = around(
            &format!("{} 空は青い {}", "x".repeat(50), "y".repeat(70)),
            "青い",
        );
        assert_eq!(found.len(), 3);
        assert_eq!((found[1].text.as_str(), found[1].found), ("青い", true));
        assert!(found[0].text.starts_with("…x") && found[2].text.ends_with("y…"));
    }
}

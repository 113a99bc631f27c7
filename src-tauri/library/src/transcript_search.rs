//! Finding words in the titles, lines and notes of transcripts.

use std::collections::HashSet;

use rusqlite::Connection;

use crate::Library;
use crate::error::Result;
use crate::search::{MAX_HITS, Piece, around, like_pattern, match_expression, pieces};
use crate::transcripts::{self, TranscriptEntry};

/// A transcript in which the words were found, with the best place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptHit {
    pub transcript: TranscriptEntry,
    /// None if the title or the notes were found.
    pub line: Option<String>,
    /// The words around the place; empty if the title was found.
    pub excerpt: Vec<Piece>,
}

const TITLES: &str = "SELECT t.id, NULL, ''
     FROM transcript_words w JOIN transcripts t ON t.row = w.rowid
     WHERE transcript_words MATCH ?1 ORDER BY t.started_ms DESC";

const LINES: &str = "SELECT l.transcript, l.id, snippet(line_words, 0, char(2), char(3), '…', 14)
     FROM line_words JOIN lines l ON l.row = line_words.rowid
     WHERE line_words MATCH ?1 ORDER BY rank LIMIT 1000";

const NOTES: &str = "SELECT t.id, NULL, snippet(note_words, 0, char(2), char(3), '…', 14)
     FROM note_words JOIN transcripts t ON t.row = note_words.rowid
     WHERE note_words MATCH ?1 ORDER BY rank LIMIT 1000";

const ANYWHERE: &str = "SELECT transcript, id, text FROM lines
         WHERE text LIKE ?1 ESCAPE '\\' OR translations LIKE ?1 ESCAPE '\\'
     UNION ALL SELECT id, NULL, notes FROM transcripts
         WHERE notes LIKE ?1 ESCAPE '\\' OR title LIKE ?1 ESCAPE '\\' LIMIT 1000";

impl Library {
    /// Transcripts with all of the words in one place, of which the last may be unfinished; titles come first.
    ///
    /// Where no word begins so, any place in the text counts: scripts without spaces have no words to index.
    pub fn search_transcripts(&self, query: &str) -> Result<Vec<TranscriptHit>> {
        let query = query.trim();
        if query.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|db| {
            let mut hits = Vec::new();
            if let Some(words) = match_expression(query) {
                for sql in [TITLES, LINES, NOTES] {
                    collect(db, sql, &words, &|text| pieces(text), &mut hits)?;
                }
            }
            if hits.is_empty() {
                let show = |text: &str| around(text, query);
                collect(db, ANYWHERE, &like_pattern(query), &show, &mut hits)?;
            }
            Ok(hits)
        })
    }
}

fn collect(
    db: &Connection,
    sql: &str,
    query: &str,
    show: &dyn Fn(&str) -> Vec<Piece>,
    hits: &mut Vec<TranscriptHit>,
) -> rusqlite::Result<()> {
    let mut known: HashSet<String> = hits.iter().map(|h| h.transcript.id.clone()).collect();
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([query])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        if hits.len() == MAX_HITS || !known.insert(id.clone()) {
            continue;
        }
        if let Some(transcript) = transcripts::find(db, &id)? {
            let text: String = row.get(2)?;
            hits.push(TranscriptHit {
                transcript,
                line: row.get(1)?,
                excerpt: show(&text),
            });
        }
    }
    Ok(())
}

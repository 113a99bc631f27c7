//! The tables, and how an older database becomes a current one.

use std::path::Path;

use rusqlite::Connection;

use crate::error::{Error, Result};

/// Each entry takes the database one version further; `user_version` counts those that were applied.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE threads (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        pinned INTEGER NOT NULL DEFAULT 0,
        created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        -- The last message of the branch that is shown.
        leaf TEXT
    );
    CREATE TABLE messages (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        thread TEXT NOT NULL REFERENCES threads(id) ON DELETE CASCADE,
        parent TEXT REFERENCES messages(id) ON DELETE CASCADE,
        role TEXT NOT NULL,
        state TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        model TEXT,
        failure_code TEXT,
        failure TEXT,
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        context_tokens INTEGER,
        first_token_ms REAL,
        prefill_per_second REAL,
        decode_per_second REAL,
        context_full INTEGER
    );
    CREATE INDEX messages_by_thread ON messages(thread);
    CREATE INDEX messages_by_parent ON messages(parent);
    CREATE INDEX messages_streaming ON messages(state) WHERE state = 'streaming';
    CREATE TABLE parts (
        message TEXT NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        kind TEXT NOT NULL,
        text TEXT,
        name TEXT,
        file TEXT REFERENCES files(name),
        PRIMARY KEY (message, place)
    );
    CREATE INDEX parts_by_file ON parts(file) WHERE file IS NOT NULL;
    CREATE TABLE files (
        -- The hash of the content and the extension: also the name on disk.
        name TEXT PRIMARY KEY,
        bytes INTEGER NOT NULL
    );
    CREATE VIRTUAL TABLE title_words USING fts5(
        text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
    CREATE VIRTUAL TABLE message_words USING fts5(
        text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
    -- What is deleted must not stay in the index either.
    INSERT INTO title_words(title_words, rank) VALUES ('secure-delete', 1);
    INSERT INTO message_words(message_words, rank) VALUES ('secure-delete', 1);
",
    "
    CREATE TABLE transcripts (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        length_ms INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL,
        language TEXT,
        translate TEXT,
        model TEXT,
        keeps_sound INTEGER NOT NULL,
        notes TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE channels (
        transcript TEXT NOT NULL REFERENCES transcripts(id) ON DELETE CASCADE,
        channel TEXT NOT NULL,
        -- In recordings/.
        file TEXT,
        heard_ms INTEGER NOT NULL,
        PRIMARY KEY (transcript, channel)
    );
    CREATE TABLE lines (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        transcript TEXT NOT NULL REFERENCES transcripts(id) ON DELETE CASCADE,
        channel TEXT NOT NULL,
        start_ms INTEGER NOT NULL,
        end_ms INTEGER NOT NULL,
        text TEXT NOT NULL,
        -- A sentence a line.
        translations TEXT NOT NULL,
        unclear TEXT,
        is_edited INTEGER NOT NULL
    );
    CREATE INDEX lines_by_transcript ON lines(transcript, start_ms);
    CREATE TABLE marks (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        transcript TEXT NOT NULL REFERENCES transcripts(id) ON DELETE CASCADE,
        at_ms INTEGER NOT NULL,
        note TEXT NOT NULL
    );
    CREATE INDEX marks_by_transcript ON marks(transcript);
    CREATE VIRTUAL TABLE transcript_words USING fts5(
        text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
    CREATE VIRTUAL TABLE note_words USING fts5(
        text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
    CREATE VIRTUAL TABLE line_words USING fts5(
        text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
    INSERT INTO transcript_words(transcript_words, rank) VALUES ('secure-delete', 1);
    INSERT INTO note_words(note_words, rank) VALUES ('secure-delete', 1);
    INSERT INTO line_words(line_words, rank) VALUES ('secure-delete', 1);
",
    "ALTER TABLE messages ADD COLUMN failure_subject TEXT;",
];

/// Brings the database to the current version; refuses one that is newer.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let store = |e| Error::store(path, e);
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(store)?;
    if found > known {
        return Err(Error::NewerVersion {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for (i, migration) in MIGRATIONS.iter().enumerate().skip(found.max(0) as usize) {
        let transaction = connection.transaction().map_err(store)?;
        transaction.execute_batch(migration).map_err(store)?;
        transaction
            .pragma_update(None, "user_version", i as i64 + 1)
            .map_err(store)?;
        transaction.commit().map_err(store)?;
    }
    Ok(())
}

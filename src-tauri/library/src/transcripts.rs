//! Transcripts: what was said, line by line, with its sound, moments that were marked, and notes.

use std::collections::HashSet;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::error::{Error, Result};
use crate::recording::{self, RECORDING_RATE, Recording, RecordingReader};
use crate::{Library, new_id, now_ms};

/// One transcript in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptEntry {
    pub id: String,
    pub title: String,
    pub started_ms: i64,
    /// Length of the sound.
    pub length_ms: u32,
    pub state: TranscriptState,
    /// What is spoken, as a code; none if the model was to find out.
    pub language: Option<String>,
    pub translate: Option<String>,
    pub model: Option<String>,
    /// Whether the sound is kept when the transcript is complete.
    pub keeps_sound: bool,
    pub channels: Vec<ChannelEntry>,
}

/// One channel of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelEntry {
    pub channel: Speaker,
    /// Whether its sound is there.
    pub has_sound: bool,
    /// Up to where its sound is transcribed.
    pub heard_ms: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptState {
    /// Sound comes in, or is still being written down.
    Recording,
    Complete,
    /// Sotto ended before the transcript did.
    Recovered,
    /// The rest of the sound waits to be written down.
    Unfinished,
}

/// Who is heard on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Speaker {
    Me,
    Others,
    File,
}

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: String,
    pub channel: Speaker,
    pub start_ms: u32,
    pub end_ms: u32,
    pub text: String,
    /// One for each sentence of the text, or none at all.
    pub translations: Vec<String>,
    /// Why this is not, or not all, of what was said.
    pub unclear: Option<String>,
    /// The user wrote it.
    pub is_edited: bool,
}

/// What a line is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    pub channel: Speaker,
    pub start_ms: u32,
    pub end_ms: u32,
    pub text: String,
    pub translations: Vec<String>,
    pub unclear: Option<String>,
}

/// A moment that the user marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub id: String,
    pub at_ms: u32,
    pub note: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    pub entry: TranscriptEntry,
    pub notes: String,
    /// In the order of their beginnings.
    pub lines: Vec<Line>,
    pub marks: Vec<Mark>,
}

/// How a transcript begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTranscript {
    pub title: String,
    pub language: Option<String>,
    pub translate: Option<String>,
    pub model: Option<String>,
    /// Without it the sound lies on the disk only until it is written down.
    pub keeps_sound: bool,
    pub channels: Vec<Speaker>,
}

const COLUMNS: &str =
    "id, title, started_ms, length_ms, state, language, translate, model, keeps_sound";
const LINE_COLUMNS: &str = "id, channel, start_ms, end_ms, text, translations, unclear, is_edited";

impl Library {
    /// Begins a transcript, with one recording for each channel in their order.
    pub fn begin_transcript(&self, new: &NewTranscript) -> Result<(String, Vec<Recording>)> {
        let id = new_id();
        let mut recordings = Vec::new();
        let mut files = Vec::new();
        for _ in &new.channels {
            let file = format!("{}.wav", new_id());
            recordings.push(Recording::create(self.recordings().join(&file))?);
            files.push(file);
        }
        self.write(|db| {
            let sql = |e| self.store_error(e);
            db.execute(
                "INSERT INTO transcripts (id, title, started_ms, state, language, translate, model, keeps_sound)
                 VALUES (?1, ?2, ?3, 'recording', ?4, ?5, ?6, ?7)",
                params![id, new.title, now_ms(), new.language, new.translate, new.model, new.keeps_sound],
            )
            .map_err(sql)?;
            self.index_transcript_title(db, &id, &new.title)?;
            for (channel, file) in new.channels.iter().zip(&files) {
                insert_channel(db, &id, *channel, Some(file), 0).map_err(sql)?;
            }
            Ok(())
        })?;
        Ok((id, recordings))
    }

    /// Adds a line, and notes that its channel is transcribed up to its end. Returns the line's id.
    pub fn add_line(&self, transcript: &str, line: &NewLine) -> Result<String> {
        let id = new_id();
        self.write(|db| {
            let sql = |e| self.store_error(e);
            let sound = "UPDATE channels SET heard_ms = max(heard_ms, ?3) WHERE transcript = ?1 AND channel = ?2";
            let n = db
                .execute(sound, params![transcript, line.channel.name(), line.end_ms])
                .map_err(sql)?;
            if n == 0 {
                return Err(Error::Gone("transcript"));
            }
            let whole = Line {
                id: id.clone(),
                channel: line.channel,
                start_ms: line.start_ms,
                end_ms: line.end_ms,
                text: line.text.clone(),
                translations: line.translations.clone(),
                unclear: line.unclear.clone(),
                is_edited: false,
            };
            insert_line(db, transcript, &whole).map_err(sql)?;
            self.index_line(db, &id)
        })?;
        Ok(id)
    }

    /// Notes the language pair from now on.
    pub fn set_transcript_languages(
        &self,
        id: &str,
        language: Option<&str>,
        translate: Option<&str>,
    ) -> Result<()> {
        self.change_transcript(
            "UPDATE transcripts SET language = ?2, translate = ?3 WHERE id = ?1",
            params![id, language, translate],
        )
    }

    /// Ends a transcript. Complete, it lets go of sound that is not to be kept.
    pub fn end_transcript(&self, id: &str, state: TranscriptState, length_ms: u32) -> Result<()> {
        let files = self.write(|db| {
            let sql = |e| self.store_error(e);
            let n = db
                .execute(
                    "UPDATE transcripts SET state = ?2, length_ms = max(length_ms, ?3) WHERE id = ?1",
                    params![id, state.name(), length_ms],
                )
                .map_err(sql)?;
            if n == 0 {
                return Err(Error::Gone("transcript"));
            }
            if state != TranscriptState::Complete {
                return Ok(Vec::new());
            }
            db.execute(
                "UPDATE channels SET heard_ms = (SELECT length_ms FROM transcripts WHERE id = ?1)
                 WHERE transcript = ?1",
                [id],
            )
            .map_err(sql)?;
            let files = sound_files(
                db,
                "transcript = ?1 AND (SELECT keeps_sound FROM transcripts WHERE id = ?1) = 0",
                id,
            )
            .map_err(sql)?;
            for file in &files {
                db.execute("UPDATE channels SET file = NULL WHERE file = ?1", [file])
                    .map_err(sql)?;
            }
            Ok(files)
        })?;
        self.remove_recordings(&files);
        Ok(())
    }

    /// The latest first.
    pub fn transcripts(&self) -> Result<Vec<TranscriptEntry>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM transcripts ORDER BY started_ms DESC, row DESC"
            ))?;
            let entries: Vec<_> = statement.query_map([], entry)?.collect::<Result<_, _>>()?;
            entries.into_iter().map(|e| with_channels(db, e)).collect()
        })
    }

    pub fn transcript(&self, id: &str) -> Result<Transcript> {
        let found = self.read(|db| {
            let Some(entry) = find(db, id)? else {
                return Ok(None);
            };
            let notes = db.query_row("SELECT notes FROM transcripts WHERE id = ?1", [id], |r| {
                r.get(0)
            })?;
            let mut statement = db.prepare_cached(&format!(
                "SELECT {LINE_COLUMNS} FROM lines WHERE transcript = ?1 ORDER BY start_ms, channel, row"
            ))?;
            let lines = statement.query_map([id], line)?.collect::<Result<_, _>>()?;
            let mut statement = db.prepare_cached(
                "SELECT id, at_ms, note FROM marks WHERE transcript = ?1 ORDER BY at_ms, row",
            )?;
            let marks = statement.query_map([id], mark)?.collect::<Result<_, _>>()?;
            Ok(Some(Transcript {
                entry,
                notes,
                lines,
                marks,
            }))
        })?;
        found.ok_or(Error::Gone("transcript"))
    }

    /// A line, and the transcript that it belongs to.
    pub fn line(&self, id: &str) -> Result<(String, Line)> {
        let found = self.read(|db| {
            let sql = format!("SELECT {LINE_COLUMNS}, transcript FROM lines WHERE id = ?1");
            db.query_row(&sql, [id], |row| Ok((row.get(8)?, line(row)?)))
                .optional()
        })?;
        found.ok_or(Error::Gone("line"))
    }

    /// Gives a line other words: the user's, or those of the model asked once more.
    pub fn rewrite_line(
        &self,
        id: &str,
        text: &str,
        translations: &[String],
        unclear: Option<&str>,
        is_edited: bool,
    ) -> Result<()> {
        self.write(|db| {
            let n = db
                .execute(
                    "UPDATE lines SET text = ?2, translations = ?3, unclear = ?4, is_edited = ?5 WHERE id = ?1",
                    params![id, text, translations.join("\n"), unclear, is_edited],
                )
                .map_err(|e| self.store_error(e))?;
            if n == 0 {
                return Err(Error::Gone("line"));
            }
            self.index_line(db, id)
        })?;
        self.forget()
    }

    pub fn rename_transcript(&self, id: &str, title: &str) -> Result<()> {
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        self.change_transcript(
            "UPDATE transcripts SET title = ?2 WHERE id = ?1",
            params![id, title],
        )?;
        self.write(|db| self.index_transcript_title(db, id, &title))?;
        self.forget()
    }

    pub fn write_notes(&self, transcript: &str, notes: &str) -> Result<()> {
        self.change_transcript(
            "UPDATE transcripts SET notes = ?2 WHERE id = ?1",
            params![transcript, notes],
        )?;
        self.write(|db| self.index_notes(db, transcript))
    }

    pub fn add_mark(&self, transcript: &str, at_ms: u32, note: &str) -> Result<Mark> {
        let id = new_id();
        let sql = "INSERT INTO marks (id, transcript, at_ms, note)
             SELECT ?2, id, ?3, ?4 FROM transcripts WHERE id = ?1";
        self.change_transcript(sql, params![transcript, id, at_ms, note])?;
        Ok(Mark {
            id,
            at_ms,
            note: note.to_owned(),
        })
    }

    pub fn write_mark(&self, mark: &str, note: &str) -> Result<()> {
        self.change_transcript(
            "UPDATE marks SET note = ?2 WHERE id = ?1",
            params![mark, note],
        )
    }

    pub fn delete_mark(&self, mark: &str) -> Result<()> {
        self.change_transcript("DELETE FROM marks WHERE id = ?1", [mark])?;
        self.forget()
    }

    /// Deletes a transcript with its lines, its index and its sound.
    pub fn delete_transcript(&self, id: &str) -> Result<()> {
        let files = self.write(|db| {
            let sql = |e| self.store_error(e);
            let files = sound_files(db, "transcript = ?1", id).map_err(sql)?;
            for statement in [
                "DELETE FROM line_words WHERE rowid IN (SELECT row FROM lines WHERE transcript = ?1)",
                "DELETE FROM transcript_words WHERE rowid IN (SELECT row FROM transcripts WHERE id = ?1)",
                "DELETE FROM note_words WHERE rowid IN (SELECT row FROM transcripts WHERE id = ?1)",
            ] {
                db.execute(statement, [id]).map_err(sql)?;
            }
            let n = db
                .execute("DELETE FROM transcripts WHERE id = ?1", [id])
                .map_err(sql)?;
            if n == 0 {
                return Err(Error::Gone("transcript"));
            }
            Ok(files)
        })?;
        self.remove_recordings(&files);
        self.forget()
    }

    /// Deletes the sound of a transcript and keeps its words.
    pub fn delete_sound(&self, transcript: &str) -> Result<()> {
        let files = self.write(|db| {
            let sql = |e| self.store_error(e);
            let files = sound_files(db, "transcript = ?1", transcript).map_err(sql)?;
            db.execute(
                "UPDATE channels SET file = NULL WHERE transcript = ?1",
                [transcript],
            )
            .map_err(sql)?;
            Ok(files)
        })?;
        self.remove_recordings(&files);
        Ok(())
    }

    /// The sound of a channel.
    pub fn recording(&self, transcript: &str, channel: Speaker) -> Result<RecordingReader> {
        RecordingReader::open(&self.recording_path(transcript, channel)?)
    }

    /// A stretch of a channel's sound as a WAV file, to be played.
    pub fn sound_of(
        &self,
        transcript: &str,
        channel: Speaker,
        start_ms: u32,
        end_ms: u32,
    ) -> Result<Vec<u8>> {
        let sample = |ms: u32| u64::from(ms) * u64::from(RECORDING_RATE) / 1000;
        let samples = sample(end_ms).saturating_sub(sample(start_ms));
        let path = self.recording_path(transcript, channel)?;
        recording::cut(&path, sample(start_ms), samples as usize)
    }

    /// Where the sound of a channel lies.
    pub fn recording_path(&self, transcript: &str, channel: Speaker) -> Result<PathBuf> {
        let file: Option<Option<String>> = self.read(|db| {
            db.query_row(
                "SELECT file FROM channels WHERE transcript = ?1 AND channel = ?2",
                params![transcript, channel.name()],
                |row| row.get(0),
            )
            .optional()
        })?;
        let file = file.flatten().ok_or(Error::Gone("sound"))?;
        let path = self.recordings().join(file);
        if !path.is_file() {
            return Err(Error::Gone("sound"));
        }
        Ok(path)
    }

    /// Marks transcripts that were not ended as recovered, and gives their sound its length.
    pub(crate) fn recover_transcripts(&self) -> Result<()> {
        let entries = self.transcripts()?;
        for entry in entries {
            if entry.state != TranscriptState::Recording {
                continue;
            }
            let mut samples = 0;
            for channel in entry.channels.iter().filter(|c| c.has_sound) {
                // Without its sound there are still the words.
                let Ok(path) = self.recording_path(&entry.id, channel.channel) else {
                    continue;
                };
                recording::mend_file(&path).map_err(|e| Error::io(&path, e))?;
                samples = samples.max(RecordingReader::open(&path)?.len()?);
            }
            let length = samples * 1000 / u64::from(RECORDING_RATE);
            self.end_transcript(
                &entry.id,
                TranscriptState::Recovered,
                length.try_into().unwrap_or(u32::MAX),
            )?;
        }
        let known: HashSet<String> = self.read(|db| {
            let mut statement = db.prepare("SELECT file FROM channels WHERE file IS NOT NULL")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })?;
        recording::sweep(&self.recordings(), &known)
    }

    pub(crate) fn recordings(&self) -> PathBuf {
        self.folder().join("recordings")
    }

    fn remove_recordings(&self, files: &[String]) {
        for file in files {
            // Windows refuses while it is played; then it is swept at the next start.
            let _ = std::fs::remove_file(self.recordings().join(file));
        }
    }

    /// Runs a statement that must meet its one row.
    fn change_transcript(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.write(|db| {
            let n = db.execute(sql, params).map_err(|e| self.store_error(e))?;
            if n == 0 {
                return Err(Error::Gone("transcript"));
            }
            Ok(())
        })
    }

    pub(crate) fn index_transcript_title(
        &self,
        db: &Transaction,
        id: &str,
        title: &str,
    ) -> Result<()> {
        reindex(db, "transcript_words", "transcripts", id, title).map_err(|e| self.store_error(e))
    }

    pub(crate) fn index_notes(&self, db: &Transaction, id: &str) -> Result<()> {
        let sql = |e| self.store_error(e);
        let notes: String = db
            .query_row("SELECT notes FROM transcripts WHERE id = ?1", [id], |r| {
                r.get(0)
            })
            .map_err(sql)?;
        reindex(db, "note_words", "transcripts", id, &notes).map_err(sql)
    }

    pub(crate) fn index_line(&self, db: &Transaction, id: &str) -> Result<()> {
        let sql = |e| self.store_error(e);
        let text: String = db
            .query_row(
                "SELECT text || char(10) || translations FROM lines WHERE id = ?1",
                [id],
                |r| r.get(0),
            )
            .map_err(sql)?;
        reindex(db, "line_words", "lines", id, &text).map_err(sql)
    }
}

/// `index` and `table` are names from this file.
fn reindex(
    db: &Transaction,
    index: &str,
    table: &str,
    id: &str,
    text: &str,
) -> rusqlite::Result<()> {
    let row: i64 = db.query_row(
        &format!("SELECT row FROM {table} WHERE id = ?1"),
        [id],
        |r| r.get(0),
    )?;
    db.execute(&format!("DELETE FROM {index} WHERE rowid = ?1"), [row])?;
    db.execute(
        &format!("INSERT INTO {index} (rowid, text) VALUES (?1, ?2)"),
        params![row, text],
    )?;
    Ok(())
}

pub(crate) fn insert_channel(
    db: &Transaction,
    transcript: &str,
    channel: Speaker,
    file: Option<&str>,
    heard_ms: u32,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO channels (transcript, channel, file, heard_ms) VALUES (?1, ?2, ?3, ?4)",
        params![transcript, channel.name(), file, heard_ms],
    )?;
    Ok(())
}

pub(crate) fn insert_line(db: &Transaction, transcript: &str, line: &Line) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO lines (id, transcript, channel, start_ms, end_ms, text, translations, unclear, is_edited)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            line.id,
            transcript,
            line.channel.name(),
            line.start_ms,
            line.end_ms,
            line.text,
            line.translations.join("\n"),
            line.unclear,
            line.is_edited
        ],
    )?;
    Ok(())
}

/// `condition` is one of this file's.
fn sound_files(db: &Connection, condition: &str, id: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(&format!(
        "SELECT file FROM channels WHERE file IS NOT NULL AND {condition}"
    ))?;
    statement.query_map([id], |row| row.get(0))?.collect()
}

pub(crate) fn find(db: &Connection, id: &str) -> rusqlite::Result<Option<TranscriptEntry>> {
    let sql = format!("SELECT {COLUMNS} FROM transcripts WHERE id = ?1");
    let found = db.prepare_cached(&sql)?.query_row([id], entry).optional()?;
    found.map(|entry| with_channels(db, entry)).transpose()
}

fn entry(row: &Row) -> rusqlite::Result<TranscriptEntry> {
    let state: String = row.get(4)?;
    Ok(TranscriptEntry {
        id: row.get(0)?,
        title: row.get(1)?,
        started_ms: row.get(2)?,
        length_ms: row.get(3)?,
        state: TranscriptState::of_name(&state),
        language: row.get(5)?,
        translate: row.get(6)?,
        model: row.get(7)?,
        keeps_sound: row.get(8)?,
        channels: Vec::new(),
    })
}

fn with_channels(db: &Connection, mut entry: TranscriptEntry) -> rusqlite::Result<TranscriptEntry> {
    let mut statement = db.prepare_cached(
        "SELECT channel, file IS NOT NULL, heard_ms FROM channels WHERE transcript = ?1 ORDER BY rowid",
    )?;
    let channels = statement.query_map([&entry.id], |row| {
        let channel: String = row.get(0)?;
        Ok(ChannelEntry {
            channel: Speaker::of_name(&channel),
            has_sound: row.get(1)?,
            heard_ms: row.get(2)?,
        })
    })?;
    entry.channels = channels.collect::<Result<_, _>>()?;
    Ok(entry)
}

fn line(row: &Row) -> rusqlite::Result<Line> {
    let channel: String = row.get(1)?;
    let translations: String = row.get(5)?;
    let translations = match translations.as_str() {
        "" => Vec::new(),
        text => text.split('\n').map(str::to_owned).collect(),
    };
    Ok(Line {
        id: row.get(0)?,
        channel: Speaker::of_name(&channel),
        start_ms: row.get(2)?,
        end_ms: row.get(3)?,
        text: row.get(4)?,
        translations,
        unclear: row.get(6)?,
        is_edited: row.get(7)?,
    })
}

fn mark(row: &Row) -> rusqlite::Result<Mark> {
    Ok(Mark {
        id: row.get(0)?,
        at_ms: row.get(1)?,
        note: row.get(2)?,
    })
}

impl TranscriptState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Complete => "complete",
            Self::Recovered => "recovered",
            Self::Unfinished => "unfinished",
        }
    }

    pub(crate) fn of_name(name: &str) -> Self {
        match name {
            "recording" => Self::Recording,
            "recovered" => Self::Recovered,
            "unfinished" => Self::Unfinished,
            _ => Self::Complete,
        }
    }
}

impl Speaker {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Me => "me",
            Self::Others => "others",
            Self::File => "file",
        }
    }

    pub(crate) fn of_name(name: &str) -> Self {
        match name {
            "me" => Self::Me,
            "others" => Self::Others,
            _ => Self::File,
        }
    }
}

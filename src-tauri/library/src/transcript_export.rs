//! Transcripts as files for another Sotto, with their sound.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::Library;
use crate::error::{Error, Result};
use crate::export::file_name;
use crate::import::{Imported, is_constraint, read_limited};
use crate::transcripts::{
    Line, Speaker, Transcript, TranscriptState, find, insert_channel, insert_line,
};

/// Counts changes that an older Sotto could not take in.
const VERSION: u32 = 1;

/// A transcript as JSON.
#[derive(Serialize, Deserialize)]
struct TranscriptFile {
    sotto_transcript: u32,
    id: String,
    title: String,
    started_ms: i64,
    length_ms: u32,
    state: String,
    language: Option<String>,
    translate: Option<String>,
    model: Option<String>,
    notes: String,
    channels: Vec<ChannelFile>,
    lines: Vec<LineFile>,
    marks: Vec<MarkFile>,
}

#[derive(Serialize, Deserialize)]
struct ChannelFile {
    channel: String,
    heard_ms: u32,
    /// In the folder `recordings` beside.
    sound: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct LineFile {
    id: String,
    channel: String,
    start_ms: u32,
    end_ms: u32,
    text: String,
    translations: Vec<String>,
    unclear: Option<String>,
    is_edited: bool,
}

#[derive(Serialize, Deserialize)]
struct MarkFile {
    id: String,
    at_ms: u32,
    note: String,
}

impl Library {
    /// Writes every transcript into `transcripts/` of a folder, and its sound into `recordings/`.
    ///
    /// Returns the transcripts with the names of their files, without an ending.
    pub fn export_transcripts(&self, folder: &Path) -> Result<Vec<(Transcript, String)>> {
        let mut exported = Vec::new();
        let entries = self.transcripts()?;
        if entries.is_empty() {
            return Ok(exported);
        }
        let (texts, sounds) = (folder.join("transcripts"), folder.join("recordings"));
        for folder in [&texts, &sounds] {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        let mut taken = HashSet::new();
        for entry in entries {
            let name = file_name(&entry.title, "transcript", &mut taken);
            let transcript = self.transcript(&entry.id)?;
            let mut channels = Vec::new();
            for channel in &entry.channels {
                let mut sound = None;
                if let Ok(path) = self.recording_path(&entry.id, channel.channel) {
                    let file = format!("{name}-{}.wav", channel.channel.name());
                    let to = sounds.join(&file);
                    fs::copy(&path, &to).map_err(|e| Error::io(&to, e))?;
                    sound = Some(file);
                }
                channels.push(ChannelFile {
                    channel: channel.channel.name().to_owned(),
                    heard_ms: channel.heard_ms,
                    sound,
                });
            }
            let path = texts.join(format!("{name}.json"));
            let text = serde_json::to_string_pretty(&file_of(&transcript, channels));
            let text = text.expect("every key is a string") + "\n";
            fs::write(&path, text).map_err(|e| Error::io(&path, e))?;
            exported.push((transcript, name));
        }
        Ok(exported)
    }

    /// Takes in the transcripts that [`export_transcripts`](Self::export_transcripts) wrote into a folder.
    pub fn import_transcripts(&self, folder: &Path) -> Result<Imported> {
        let mut imported = Imported::default();
        let Ok(entries) = fs::read_dir(folder.join("transcripts")) else {
            return Ok(imported);
        };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "json"));
        files.sort();
        for path in files {
            let not = |reason: String| Error::NotAnExport {
                path: path.clone(),
                reason,
            };
            let file: TranscriptFile =
                serde_json::from_str(&read_limited(&path)?).map_err(|e| not(e.to_string()))?;
            if file.sotto_transcript > VERSION {
                return Err(not("a newer Sotto wrote it; update Sotto".into()));
            }
            if self.read(|db| find(db, &file.id))?.is_some() {
                imported.known += 1;
                continue;
            }
            match self.take_in_transcript(&file, &folder.join("recordings")) {
                Ok(()) => imported.added += 1,
                Err(Error::Store(e)) if is_constraint(&e) => {
                    return Err(not("a line in it is there twice".into()));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(imported)
    }

    fn take_in_transcript(&self, file: &TranscriptFile, sounds: &Path) -> Result<()> {
        let mut channels = Vec::new();
        for channel in &file.channels {
            let mut copy = None;
            // A name alone: nothing of an export leads out of its folder.
            if let Some(name) = channel.sound.as_deref()
                && Path::new(name).file_name().is_some_and(|n| n == name)
                && sounds.join(name).is_file()
            {
                let own = format!("{}.wav", crate::new_id());
                let to = self.recordings().join(&own);
                fs::copy(sounds.join(name), &to).map_err(|e| Error::io(&to, e))?;
                crate::recording::mend_file(&to).map_err(|e| Error::io(&to, e))?;
                copy = Some(own);
            }
            channels.push((Speaker::of_name(&channel.channel), copy, channel.heard_ms));
        }
        let state = match TranscriptState::of_name(&file.state) {
            TranscriptState::Recording => TranscriptState::Recovered,
            state => state,
        };
        self.write(|db| {
            let sql = |e| self.store_error(e);
            db.execute(
                "INSERT INTO transcripts (id, title, started_ms, length_ms, state, language, translate, model,
                     keeps_sound, notes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9)",
                params![
                    file.id,
                    file.title,
                    file.started_ms,
                    file.length_ms,
                    state.name(),
                    file.language,
                    file.translate,
                    file.model,
                    file.notes
                ],
            )
            .map_err(sql)?;
            self.index_transcript_title(db, &file.id, &file.title)?;
            self.index_notes(db, &file.id)?;
            for (channel, copy, heard_ms) in &channels {
                insert_channel(db, &file.id, *channel, copy.as_deref(), *heard_ms).map_err(sql)?;
            }
            for line in &file.lines {
                insert_line(db, &file.id, &line_of(line)).map_err(sql)?;
                self.index_line(db, &line.id)?;
            }
            for mark in &file.marks {
                db.execute(
                    "INSERT INTO marks (id, transcript, at_ms, note) VALUES (?1, ?2, ?3, ?4)",
                    params![mark.id, file.id, mark.at_ms, mark.note],
                )
                .map_err(sql)?;
            }
            Ok(())
        })
    }
}

fn file_of(transcript: &Transcript, channels: Vec<ChannelFile>) -> TranscriptFile {
    let entry = transcript.entry.clone();
    let lines = transcript.lines.iter().cloned();
    let marks = transcript.marks.iter().cloned();
    TranscriptFile {
        sotto_transcript: VERSION,
        id: entry.id,
        title: entry.title,
        started_ms: entry.started_ms,
        length_ms: entry.length_ms,
        state: entry.state.name().to_owned(),
        language: entry.language,
        translate: entry.translate,
        model: entry.model,
        notes: transcript.notes.clone(),
        channels,
        lines: lines
            .map(|line| LineFile {
                id: line.id,
                channel: line.channel.name().to_owned(),
                start_ms: line.start_ms,
                end_ms: line.end_ms,
                text: line.text,
                translations: line.translations,
                unclear: line.unclear,
                is_edited: line.is_edited,
            })
            .collect(),
        marks: marks
            .map(|mark| MarkFile {
                id: mark.id,
                at_ms: mark.at_ms,
                note: mark.note,
            })
            .collect(),
    }
}

fn line_of(line: &LineFile) -> Line {
    Line {
        id: line.id.clone(),
        channel: Speaker::of_name(&line.channel),
        start_ms: line.start_ms,
        end_ms: line.end_ms,
        text: line.text.clone(),
        translations: line.translations.clone(),
        unclear: line.unclear.clone(),
        is_edited: line.is_edited,
    }
}

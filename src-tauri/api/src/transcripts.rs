//! Stored transcripts: listing, reading, changing, hearing again, playing, exporting.

mod extract;

use std::path::Path;

use ::captions::{Objection, Settings, hear_again};
use ::library::{Line, Mark, Speaker, Transcript, TranscriptEntry, TranscriptState};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use specta::Type;

use crate::Api;
use crate::library::excerpt;
use crate::live::{Unclear, channel_of, joined};
use crate::transcribe::{ChannelName, TranscriptReply, TranscriptSegment, language};
use crate::types::{ApiError, ErrorCode, ExcerptPiece, Number};

/// A transcript in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct TranscriptInfo {
    pub id: String,
    pub title: String,
    /// Milliseconds since 1970.
    #[specta(type = Number)]
    pub started_ms: f64,
    pub length_ms: u32,
    pub state: StoredState,
    /// Codes.
    pub language: Option<String>,
    pub translate: Option<String>,
    pub model: Option<String>,
    pub channels: Vec<ChannelInfo>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ChannelInfo {
    pub channel: ChannelName,
    pub has_sound: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum StoredState {
    /// It is being made.
    Recording,
    Complete,
    /// Sotto ended before the transcript did; the rest of its sound can be written down.
    Recovered,
    /// The rest was left for later.
    Unfinished,
}

/// A transcript as a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct TranscriptView {
    pub info: TranscriptInfo,
    pub notes: String,
    /// In the order of their beginnings.
    pub lines: Vec<StoredLine>,
    pub marks: Vec<MarkInfo>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct StoredLine {
    pub id: String,
    pub channel: ChannelName,
    pub start_ms: u32,
    pub end_ms: u32,
    pub text: String,
    pub translation: Option<String>,
    /// Why this is not, or not all, of what was said.
    pub unclear: Option<Unclear>,
    /// The user wrote it.
    pub is_edited: bool,
}

/// A moment that the user marked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct MarkInfo {
    pub id: String,
    pub at_ms: u32,
    pub note: String,
}

/// A transcript in which something was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct TranscriptHit {
    pub transcript: TranscriptInfo,
    /// None if the title or the notes were found.
    pub line: Option<String>,
    /// The words around the place; empty if the title was found.
    pub excerpt: Vec<ExcerptPiece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum TranscriptFile {
    Srt,
    Vtt,
    Txt,
    Markdown,
    Json,
}

/// Longest stretch that is played or heard again at once.
const MAX_STRETCH_MS: u32 = 30_000;

/// Sound around a line that goes with it when it is heard again.
const MARGIN_MS: u32 = 200;

/// How much of a model's context a transcript may take; the rest is for the question and the answer.
const QUESTION_SHARE: f64 = 0.6;

/// What was said, to be asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct TranscriptText {
    pub text: String,
    /// So many of its lines are in the text.
    pub kept: u32,
    pub lines: u32,
}

impl Api {
    /// The latest first.
    pub fn transcripts(&self) -> Result<Vec<TranscriptInfo>, ApiError> {
        let entries = self.library()?.transcripts()?;
        Ok(entries.into_iter().map(info).collect())
    }

    pub fn open_transcript(&self, id: &str) -> Result<TranscriptView, ApiError> {
        let transcript = self.library()?.transcript(id)?;
        Ok(TranscriptView {
            info: info(transcript.entry),
            notes: transcript.notes,
            lines: transcript.lines.into_iter().map(stored_line).collect(),
            marks: transcript.marks.into_iter().map(mark_info).collect(),
        })
    }

    pub fn search_transcripts(&self, query: &str) -> Result<Vec<TranscriptHit>, ApiError> {
        let hits = self.library()?.search_transcripts(query)?;
        let hits = hits.into_iter().map(|hit| TranscriptHit {
            transcript: info(hit.transcript),
            line: hit.line,
            excerpt: excerpt(hit.excerpt),
        });
        Ok(hits.collect())
    }

    pub fn rename_transcript(&self, id: &str, title: &str) -> Result<(), ApiError> {
        Ok(self.library()?.rename_transcript(id, title)?)
    }

    /// Deletes a transcript with its sound. One that is being made is ended first.
    pub fn delete_transcript(&self, id: &str) -> Result<(), ApiError> {
        if self.captions_view().transcript.as_deref() == Some(id) {
            self.leave_captions();
        }
        Ok(self.library()?.delete_transcript(id)?)
    }

    /// Deletes the sound of a transcript and keeps its words.
    pub fn delete_sound(&self, transcript: &str) -> Result<(), ApiError> {
        let library = self.library()?;
        if library.transcript(transcript)?.entry.state == TranscriptState::Recording {
            return Err(ApiError::new(
                ErrorCode::Busy,
                "This transcript is still being made. Stop the captions first.",
            ));
        }
        Ok(library.delete_sound(transcript)?)
    }

    /// Takes a recovered or unfinished transcript as it is.
    pub fn accept_transcript(&self, id: &str) -> Result<(), ApiError> {
        Ok(self
            .library()?
            .end_transcript(id, TranscriptState::Complete, 0)?)
    }

    pub fn write_notes(&self, transcript: &str, notes: &str) -> Result<(), ApiError> {
        Ok(self.library()?.write_notes(transcript, notes)?)
    }

    pub fn add_mark(&self, transcript: &str, at_ms: u32, note: &str) -> Result<MarkInfo, ApiError> {
        let mark = self.library()?.add_mark(transcript, at_ms, note)?;
        Ok(mark_info(mark))
    }

    pub fn write_mark(&self, mark: &str, note: &str) -> Result<(), ApiError> {
        Ok(self.library()?.write_mark(mark, note)?)
    }

    pub fn delete_mark(&self, mark: &str) -> Result<(), ApiError> {
        Ok(self.library()?.delete_mark(mark)?)
    }

    /// Puts the user's words into a line. A translation of other words goes.
    pub fn edit_line(&self, id: &str, text: &str) -> Result<StoredLine, ApiError> {
        let library = self.library()?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, line) = library.line(id)?;
        if line.text != text {
            library.rewrite_line(id, &text, &[], None, true)?;
        }
        Ok(stored_line(library.line(id)?.1))
    }

    /// Has the model write a line down once more, from its sound and in the transcript's languages.
    pub fn hear_line_again(&self, id: &str) -> Result<StoredLine, ApiError> {
        let library = self.library()?;
        let (transcript, line) = library.line(id)?;
        let entry = library.transcript(&transcript)?.entry;
        let mut ear = self.ear()?;
        let settings = Settings {
            language: language(entry.language.as_deref())?,
            translate: language(entry.translate.as_deref())?,
            live: false,
            ..Settings::default()
        };
        let start_ms = line.start_ms.saturating_sub(MARGIN_MS);
        let length_ms = (line.end_ms + MARGIN_MS - start_ms).min(MAX_STRETCH_MS);
        let sample = |ms: u32| u64::from(ms) * u64::from(audio::SAMPLE_RATE) / 1000;
        let samples = library
            .recording(&transcript, line.channel)?
            .read(sample(start_ms), sample(length_ms) as usize)?;
        let heard = hear_again(samples, channel_of(line.channel), settings, &mut ear)?;
        if heard.text.is_empty() && heard.unclear.is_none() {
            return Err(ApiError::new(
                ErrorCode::Unsupported,
                "The model hears no words here. The line stays as it is.",
            ));
        }
        let unclear = heard.unclear.map(Objection::code);
        library.rewrite_line(id, &heard.text, &heard.translations, unclear, false)?;
        Ok(stored_line(library.line(id)?.1))
    }

    /// A stretch of a channel's sound, at most 30 s of it, as a WAV file in a data: address.
    pub fn play_transcript(
        &self,
        transcript: &str,
        channel: ChannelName,
        start_ms: u32,
        end_ms: u32,
    ) -> Result<String, ApiError> {
        let end_ms = end_ms.min(start_ms.saturating_add(MAX_STRETCH_MS));
        let channel = match channel {
            ChannelName::Me => Speaker::Me,
            ChannelName::Others => Speaker::Others,
            ChannelName::File => Speaker::File,
        };
        let wav = self
            .library()?
            .sound_of(transcript, channel, start_ms, end_ms)?;
        Ok(format!("data:audio/wav;base64,{}", BASE64.encode(wav)))
    }

    /// What was said as plain text with speakers, to be asked about. If the open model has no room for all of it, parts
    /// from the whole length of the transcript are left.
    pub fn transcript_text(&self, id: &str) -> Result<TranscriptText, ApiError> {
        let transcript = self.library()?.transcript(id)?;
        let lines: Vec<String> = transcript.lines.iter().map(spoken).collect();
        // What needs no model must not fail for the want of one.
        let engine = self.engine().ok();
        let package = engine.as_ref().map(|engine| engine.package());
        let budget = package.map_or(usize::MAX, |package| {
            (package.context() as f64 * QUESTION_SHARE) as usize
        });
        let tokenizer = package.and_then(|package| package.tokenizer().ok());
        let cost = |line: &str| {
            let tokens = tokenizer.and_then(|tokenizer| tokenizer.encode_plain(line).ok());
            // And one for the end of the line.
            tokens.map_or(line.len(), |tokens| tokens.len()) + 1
        };
        let (text, kept) = extract::extract(&lines, budget, cost);
        Ok(TranscriptText {
            text,
            kept: kept as u32,
            lines: lines.len() as u32,
        })
    }

    /// Writes a transcript to a file, which is replaced if it is there.
    pub fn export_transcript(
        &self,
        id: &str,
        format: TranscriptFile,
        to: &Path,
    ) -> Result<(), ApiError> {
        let transcript = self.library()?.transcript(id)?;
        write(to, &written(&transcript, format))
    }

    /// Writes every transcript into a folder, to read and to take in again, with its sound.
    pub(crate) fn export_transcripts(&self, folder: &Path) -> Result<u32, ApiError> {
        let exported = self.library()?.export_transcripts(folder)?;
        for (transcript, name) in &exported {
            let path = folder.join("transcripts").join(format!("{name}.md"));
            write(&path, &written(transcript, TranscriptFile::Markdown))?;
        }
        Ok(exported.len() as u32)
    }
}

fn write(to: &Path, text: &str) -> Result<(), ApiError> {
    std::fs::write(to, text).map_err(|e| {
        let message = format!("{} cannot be written ({e}).", to.display());
        ApiError::new(ErrorCode::Storage, message)
    })
}

fn written(transcript: &Transcript, format: TranscriptFile) -> String {
    let lines = lines_of(transcript);
    match format {
        TranscriptFile::Srt => lines.to_srt(),
        TranscriptFile::Vtt => lines.to_vtt(),
        TranscriptFile::Txt => lines.to_txt(),
        TranscriptFile::Markdown => markdown(transcript, &lines.to_markdown()),
        TranscriptFile::Json => {
            let segments = lines.segments().iter().map(TranscriptSegment::from);
            let reply = TranscriptReply {
                segments: segments.collect(),
            };
            let text = serde_json::to_string_pretty(&reply).expect("every key is a string");
            text + "\n"
        }
    }
}

fn markdown(transcript: &Transcript, lines: &str) -> String {
    let mut text = format!("# {}\n\n{lines}", transcript.entry.title);
    if !transcript.marks.is_empty() {
        text.push_str("\n## Marks\n\n");
        for mark in &transcript.marks {
            let (minutes, seconds) = (mark.at_ms / 60_000, mark.at_ms / 1000 % 60);
            text.push_str(&format!("- **{minutes:02}:{seconds:02}** {}\n", mark.note));
        }
    }
    if !transcript.notes.trim().is_empty() {
        text.push_str(&format!("\n## Notes\n\n{}\n", transcript.notes.trim()));
    }
    text
}

/// For the writers of files.
fn lines_of(transcript: &Transcript) -> ::captions::Transcript {
    let mut lines = ::captions::Transcript::default();
    for line in &transcript.lines {
        lines.push(segment_of(line));
    }
    lines
}

fn segment_of(line: &Line) -> ::captions::TranscriptSegment {
    ::captions::TranscriptSegment {
        start_ms: line.start_ms,
        end_ms: line.end_ms,
        channel: channel_of(line.channel),
        text: line.text.clone(),
        translations: line.translations.clone(),
        unclear: line.unclear.as_deref().map(Objection::of_code),
    }
}

/// A line with its speaker and without its translation, which would say everything twice.
fn spoken(line: &Line) -> String {
    let mut alone = ::captions::Transcript::default();
    alone.push(::captions::TranscriptSegment {
        translations: Default::default(),
        ..segment_of(line)
    });
    alone.to_txt().trim_end().to_owned()
}

fn info(entry: TranscriptEntry) -> TranscriptInfo {
    let channels = entry.channels.iter().map(|channel| ChannelInfo {
        channel: channel_of(channel.channel).into(),
        has_sound: channel.has_sound,
    });
    TranscriptInfo {
        channels: channels.collect(),
        id: entry.id,
        title: entry.title,
        started_ms: entry.started_ms as f64,
        length_ms: entry.length_ms,
        state: match entry.state {
            TranscriptState::Recording => StoredState::Recording,
            TranscriptState::Complete => StoredState::Complete,
            TranscriptState::Recovered => StoredState::Recovered,
            TranscriptState::Unfinished => StoredState::Unfinished,
        },
        language: entry.language,
        translate: entry.translate,
        model: entry.model,
    }
}

fn stored_line(line: Line) -> StoredLine {
    StoredLine {
        translation: joined(&line.translations),
        id: line.id,
        channel: channel_of(line.channel).into(),
        start_ms: line.start_ms,
        end_ms: line.end_ms,
        text: line.text,
        unclear: line.unclear.map(|code| Objection::of_code(&code).into()),
        is_edited: line.is_edited,
    }
}

fn mark_info(mark: Mark) -> MarkInfo {
    MarkInfo {
        id: mark.id,
        at_ms: mark.at_ms,
        note: mark.note,
    }
}

//! Conversations: listing, opening, changing, finding, exporting.

use std::path::Path;
use std::sync::PoisonError;

use ::library::{Format, Library, Message, Part, Role, State, StoredFile, Thread};

use crate::types::{
    ApiError, ErrorCode, ExcerptPiece, ExportFormat, Figures, LibraryState, MessagePart,
    MessageRole, MessageState, SearchHit, StoredMessage, ThreadEntry, ThreadView, ThreadsImported,
};
use crate::{Api, Shelf};

impl Api {
    /// Opens the library in `folder`. Until that has worked, every call about conversations gives its error.
    pub fn open_library(&self, folder: &Path) -> Result<(), ApiError> {
        let mut shelf = self.library.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*shelf, Shelf::Open(_)) {
            return Ok(());
        }
        match Library::open(folder) {
            Ok(library) => {
                *shelf = Shelf::Open(library);
                Ok(())
            }
            Err(error) => {
                let error = ApiError::from(error);
                *shelf = Shelf::Failed(error.clone());
                Err(error)
            }
        }
    }

    pub(crate) fn library(&self) -> Result<Library, ApiError> {
        match &*self.library.lock().unwrap_or_else(PoisonError::into_inner) {
            Shelf::Open(library) => Ok(library.clone()),
            Shelf::Failed(error) => Err(error.clone()),
            Shelf::Empty => Err(ApiError::new(
                ErrorCode::Storage,
                "The conversations are not open.",
            )),
        }
    }

    pub fn library_state(&self) -> Result<LibraryState, ApiError> {
        let library = self.library()?;
        Ok(LibraryState {
            folder: library.folder().display().to_string(),
            bytes: library.bytes() as f64,
            threads: library.threads()?.len() as u32,
            transcripts: library.transcripts()?.len() as u32,
        })
    }

    /// Pinned ones first, then the latest.
    pub fn threads(&self) -> Result<Vec<ThreadEntry>, ApiError> {
        let threads = self.library()?.threads()?;
        Ok(threads.into_iter().map(thread_entry).collect())
    }

    /// The messages of a thread; with a message, on the branch that goes through it.
    pub fn open_thread(&self, id: &str, message: Option<&str>) -> Result<ThreadView, ApiError> {
        let library = self.library()?;
        let thread = library.thread(id)?;
        let mut messages = library.conversation(id)?;
        // What is on the branch at hand needs no other one.
        if let Some(message) = message
            && !messages.iter().any(|m| m.id == message)
        {
            library.choose(message)?;
            messages = library.conversation(id)?;
        }
        Ok(ThreadView {
            thread: thread_entry(thread),
            messages: messages.into_iter().map(stored_message).collect(),
        })
    }

    pub fn rename_thread(&self, id: &str, title: &str) -> Result<(), ApiError> {
        Ok(self.library()?.rename(id, title)?)
    }

    pub fn pin_thread(&self, id: &str, pinned: bool) -> Result<(), ApiError> {
        Ok(self.library()?.pin(id, pinned)?)
    }

    pub fn delete_thread(&self, id: &str) -> Result<(), ApiError> {
        Ok(self.library()?.delete_thread(id)?)
    }

    /// Deletes every conversation and every transcript; captions that run are ended.
    pub fn erase_library(&self) -> Result<(), ApiError> {
        self.leave_captions();
        Ok(self.library()?.erase()?)
    }

    pub fn search(&self, query: &str) -> Result<Vec<SearchHit>, ApiError> {
        let hits = self.library()?.search(query)?;
        Ok(hits
            .into_iter()
            .map(|hit| SearchHit {
                thread: thread_entry(hit.thread),
                message: hit.message,
                excerpt: excerpt(hit.excerpt),
            })
            .collect())
    }

    pub fn export_thread(&self, id: &str, format: ExportFormat, to: &Path) -> Result<(), ApiError> {
        let format = match format {
            ExportFormat::Markdown => Format::Markdown,
            ExportFormat::Json => Format::Json,
        };
        Ok(self.library()?.export_thread(id, format, to)?)
    }

    /// Writes every conversation and every transcript into a folder and returns their number.
    pub fn export_all(&self, folder: &Path) -> Result<u32, ApiError> {
        let threads = self.library()?.export_all(folder)? as u32;
        Ok(threads + self.export_transcripts(folder)?)
    }

    /// Takes in an export: the folder of all, or the JSON file of one.
    pub fn import_threads(&self, from: &Path) -> Result<ThreadsImported, ApiError> {
        let imported = self.library()?.import(from)?;
        Ok(ThreadsImported {
            added: imported.added as u32,
            known: imported.known as u32,
        })
    }
}

pub(crate) fn excerpt(pieces: Vec<::library::Piece>) -> Vec<ExcerptPiece> {
    let pieces = pieces.into_iter().map(|piece| ExcerptPiece {
        text: piece.text,
        found: piece.found,
    });
    pieces.collect()
}

pub(crate) fn thread_entry(thread: Thread) -> ThreadEntry {
    ThreadEntry {
        id: thread.id,
        title: thread.title,
        pinned: thread.pinned,
        created_ms: thread.created_ms as f64,
        updated_ms: thread.updated_ms as f64,
    }
}

fn stored_message(message: Message) -> StoredMessage {
    StoredMessage {
        id: message.id,
        parent: message.parent,
        role: match message.role {
            Role::User => MessageRole::User,
            Role::Assistant => MessageRole::Assistant,
        },
        state: match message.state {
            State::Streaming => MessageState::Streaming,
            State::Complete => MessageState::Complete,
            State::Cut => MessageState::Cut,
            State::Stopped => MessageState::Stopped,
            State::Failed => MessageState::Failed,
            State::Interrupted => MessageState::Interrupted,
        },
        parts: message.parts.into_iter().map(message_part).collect(),
        created_ms: message.created_ms as f64,
        model: message.model,
        failure: message.failure.map(|failure| ApiError {
            code: code_of_name(&failure.code),
            message: failure.message,
            subject: failure.subject,
        }),
        figures: message.figures.map(|f| Figures {
            context_full: f.context_full,
            prompt_tokens: f.prompt_tokens,
            completion_tokens: f.completion_tokens,
            context_tokens: f.context_tokens,
            time_to_first_token_ms: f.first_token_ms,
            prefill_tokens_per_second: f.prefill_per_second,
            decode_tokens_per_second: f.decode_per_second,
        }),
        siblings: message.siblings,
    }
}

pub(crate) fn message_part(part: Part) -> MessagePart {
    match part {
        Part::Text(text) => MessagePart::Text { text },
        Part::Quote { name, text } => MessagePart::Quote { name, text },
        Part::Picture(stored) => MessagePart::Picture {
            file: stored.file,
            name: stored.name,
            bytes: stored.bytes as f64,
        },
        Part::Sound(stored) => MessagePart::Sound {
            file: stored.file,
            name: stored.name,
            bytes: stored.bytes as f64,
        },
    }
}

pub(crate) fn library_part(part: MessagePart) -> Part {
    let stored = |file, name, bytes: f64| StoredFile {
        file,
        name,
        bytes: bytes as u64,
    };
    match part {
        MessagePart::Text { text } => Part::Text(text),
        MessagePart::Quote { name, text } => Part::Quote { name, text },
        MessagePart::Picture { file, name, bytes } => Part::Picture(stored(file, name, bytes)),
        MessagePart::Sound { file, name, bytes } => Part::Sound(stored(file, name, bytes)),
    }
}

/// As it is stored: the name that the window knows it by.
pub(crate) fn code_name(code: ErrorCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "internal".to_owned(),
    }
}

/// A code of another version of Sotto is a failure like any other.
fn code_of_name(name: &str) -> ErrorCode {
    serde_json::from_value(name.into()).unwrap_or(ErrorCode::Internal)
}

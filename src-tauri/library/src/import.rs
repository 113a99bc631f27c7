//! Taking in what an export wrote.

use std::fs::{self, File};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::Library;
use crate::answer::Ending;
use crate::error::{Error, Result};
use crate::export::{EXPORT_VERSION, MessageFile, PartFile, ThreadFile};
use crate::files::{StoredFile, is_name};
use crate::messages::{NewMessage, Part, Role, State, insert_row};

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    pub added: usize,
    /// Threads and transcripts that are here already stay as they are.
    pub known: usize,
}

/// A thread or transcript longer than this was not made by a person.
const MAX_THREAD_BYTES: u64 = 256 << 20;

impl Library {
    /// Takes in the folder that [`export_all`](Self::export_all) and
    /// [`export_transcripts`](Self::export_transcripts) wrote, or one thread's JSON file.
    ///
    /// A file that is no thread ends the import with its name; what was taken in before stays.
    pub fn import(&self, from: &Path) -> Result<Imported> {
        let not = |path: &Path, reason: String| Error::NotAnExport {
            path: path.to_owned(),
            reason,
        };
        let mut imported = Imported::default();
        let (files, attachments) = if from.is_dir() {
            let folder = from.join("threads");
            imported = self.import_transcripts(from)?;
            let entries = fs::read_dir(&folder)
                .map_err(|_| not(from, "it has no folder named threads".into()))?;
            let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            files.retain(|path| path.extension().is_some_and(|e| e == "json"));
            files.sort();
            if files.is_empty() && !from.join("transcripts").is_dir() {
                return Err(not(from, "its folder threads has no JSON files".into()));
            }
            (files, from.join("attachments"))
        } else {
            let beside = from.parent().and_then(Path::parent).unwrap_or(from);
            (vec![from.to_owned()], beside.join("attachments"))
        };
        for path in files {
            let text = read_limited(&path)?;
            let thread: ThreadFile =
                serde_json::from_str(&text).map_err(|e| not(&path, e.to_string()))?;
            if thread.sotto_thread > EXPORT_VERSION {
                return Err(not(&path, "a newer Sotto wrote it; update Sotto".into()));
            }
            match self.take_in(&thread, &attachments)? {
                Taken::Added => imported.added += 1,
                Taken::Known => imported.known += 1,
                Taken::Broken(reason) => return Err(not(&path, reason)),
            }
        }
        Ok(imported)
    }

    fn take_in(&self, thread: &ThreadFile, attachments: &Path) -> Result<Taken> {
        if self
            .read(|db| crate::threads::find(db, &thread.id))?
            .is_some()
        {
            return Ok(Taken::Known);
        }
        // Files first, each checked by its content; what stays unused is swept.
        for message in &thread.messages {
            for part in &message.parts {
                let (PartFile::Picture { name, file, .. } | PartFile::Sound { name, file, .. }) =
                    part
                else {
                    continue;
                };
                if self.file_path(file).is_ok() {
                    continue;
                }
                let path = attachments.join(file);
                let added = match thread.files.get(file) {
                    Some(content) => match BASE64.decode(content) {
                        Ok(content) => self.add_bytes(&content, file)?,
                        Err(e) => {
                            return Ok(Taken::Broken(format!("its attachment {name}: {e}")));
                        }
                    },
                    None if !is_name(file) || !path.is_file() => {
                        return Ok(Taken::Broken(format!("its attachment {name} is missing")));
                    }
                    None => self.add_file(&path)?,
                };
                if added.file != *file {
                    return Ok(Taken::Broken(format!("its attachment {name} was changed")));
                }
            }
        }
        let broken = |what: &str| Ok(Taken::Broken(what.to_owned()));
        self.write(|db| {
            let sql = |e| self.store_error(e);
            db.execute(
                "INSERT INTO threads (id, title, pinned, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![thread.id, thread.title, thread.pinned, thread.created_ms, thread.updated_ms],
            )
            .map_err(sql)?;
            self.index_title(db, &thread.id, &thread.title)?;
            for message in &thread.messages {
                if !self.insert_imported(db, &thread.id, message)? {
                    return Err(Error::Gone("message"));
                }
            }
            db.execute(
                "UPDATE threads SET leaf = (SELECT id FROM messages WHERE id = ?2 AND thread = ?1) WHERE id = ?1",
                params![thread.id, thread.leaf],
            )
            .map_err(sql)?;
            Ok(Taken::Added)
        })
        .or_else(|error| match error {
            Error::Gone(_) => broken("a message in it follows one that is not there"),
            Error::Store(e) if is_constraint(&e) => broken("a message in it is there twice"),
            other => Err(other),
        })
    }

    /// False if the message follows none of this thread.
    fn insert_imported(
        &self,
        db: &Transaction,
        thread: &str,
        message: &MessageFile,
    ) -> Result<bool> {
        let sql = |e| self.store_error(e);
        if let Some(parent) = &message.parent {
            let found = db
                .query_row(
                    "SELECT 1 FROM messages WHERE id = ?1 AND thread = ?2",
                    params![parent, thread],
                    |_| Ok(()),
                )
                .optional()
                .map_err(sql)?;
            if found.is_none() {
                return Ok(false);
            }
        }
        let state = match State::of_name(&message.state) {
            State::Streaming => State::Interrupted,
            state => state,
        };
        let ending = Ending {
            state,
            figures: message.figures,
            failure: message.failure.clone(),
        };
        let row = NewMessage {
            id: &message.id,
            thread,
            parent: message.parent.as_deref(),
            role: Role::of_name(&message.role),
            state,
            model: message.model.as_deref(),
        };
        insert_row(db, &row, message.created_ms).map_err(sql)?;
        self.write_ending(db, &message.id, &ending)?;
        let parts: Vec<Part> = message.parts.iter().map(part).collect();
        self.insert_parts(db, &message.id, &parts)?;
        self.index(db, &message.id)?;
        Ok(true)
    }
}

enum Taken {
    Added,
    Known,
    Broken(String),
}

/// The text of a file that is not longer than any that Sotto writes.
pub(crate) fn read_limited(path: &Path) -> Result<String> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.len() > MAX_THREAD_BYTES {
        return Err(Error::NotAnExport {
            path: path.to_owned(),
            reason: "it is too large".into(),
        });
    }
    std::io::read_to_string(file).map_err(io)
}

pub(crate) fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}

fn part(part: &PartFile) -> Part {
    let stored = |name: &String, file: &String, bytes: &u64| StoredFile {
        file: file.clone(),
        name: name.clone(),
        bytes: *bytes,
    };
    match part {
        PartFile::Text { text } => Part::Text(text.clone()),
        PartFile::Quote { name, text } => Part::Quote {
            name: name.clone(),
            text: text.clone(),
        },
        PartFile::Picture { name, file, bytes } => Part::Picture(stored(name, file, bytes)),
        PartFile::Sound { name, file, bytes } => Part::Sound(stored(name, file, bytes)),
    }
}

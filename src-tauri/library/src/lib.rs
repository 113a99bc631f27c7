//! Conversations and transcripts on disk.
//!
//! A [`Library`] is a folder: `library.db` (SQLite), `attachments/`, whose files are named by their content, and
//! `recordings/` with the sound of transcripts.
//! A thread is a tree of messages, so that an edited question or a second answer is a branch beside the first;
//! the thread remembers which branch is shown.
//! A question is on disk before anyone answers it, and its [`Answer`] is written while it grows: a kill at any moment
//! loses what came in the last quarter of a second.
//! A line of a transcript is on disk as soon as it is finished, and its sound as soon as it is heard.
//! What is deleted is overwritten in the database, and files that nothing refers to any more are removed.
//!
//! Every call blocks for the time of a disk access; none belongs on a thread that draws.

mod answer;
mod error;
mod export;
mod files;
mod import;
mod messages;
mod recording;
mod schema;
mod search;
mod threads;
mod transcript_export;
mod transcript_search;
mod transcripts;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

pub use answer::{Answer, Ending};
pub use error::Error;
pub use export::Format;
pub use files::StoredFile;
pub use import::Imported;
pub use messages::{Failure, Figures, Message, Part, Role, State};
pub use recording::{RECORDING_RATE, Recording, RecordingReader};
pub use search::{Hit, Piece};
pub use threads::Thread;
pub use transcript_search::TranscriptHit;
pub use transcripts::{
    ChannelEntry, Line, Mark, NewLine, NewTranscript, Speaker, Transcript, TranscriptEntry,
    TranscriptState,
};

use error::Result;

/// The conversations of one folder. Cheap to clone; every clone is the same library.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    /// The one connection that writes.
    writer: Mutex<Connection>,
    /// A second one, so that a list does not wait for an import.
    reader: Mutex<Connection>,
    /// Held as long as the library is open: a second Sotto would take our growing answers for abandoned ones.
    _lock: File,
}

impl Library {
    /// Opens the library in `folder`, and makes an empty one if there is none.
    ///
    /// Answers that were growing when Sotto last ended are marked as interrupted, transcripts as recovered.
    pub fn open(folder: &Path) -> Result<Self> {
        let io = |e| Error::io(folder, e);
        for name in ["attachments", "recordings"] {
            fs::create_dir_all(folder.join(name)).map_err(io)?;
        }
        let lock = File::create(folder.join("library.lock")).map_err(io)?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => Error::InUse {
                path: folder.to_owned(),
            },
            TryLockError::Error(e) => io(e),
        })?;
        let path = folder.join("library.db");
        let mut writer = connect(&path)?;
        schema::migrate(&mut writer, &path)?;
        let library = Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                writer: Mutex::new(writer),
                reader: Mutex::new(connect(&path)?),
                _lock: lock,
            }),
        };
        library.end_interrupted()?;
        library.sweep_files()?;
        library.recover_transcripts()?;
        Ok(library)
    }

    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Bytes on disk: conversations, transcripts, index, attachments and recordings.
    pub fn bytes(&self) -> u64 {
        let size = |folder: &Path| -> u64 {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let files = entries.filter_map(|entry| entry.metadata().ok());
            files.filter(|m| m.is_file()).map(|m| m.len()).sum()
        };
        size(self.folder()) + size(&self.attachments()) + size(&self.recordings())
    }

    fn attachments(&self) -> PathBuf {
        self.inner.folder.join("attachments")
    }

    fn store_error(&self, error: rusqlite::Error) -> Error {
        Error::store(&self.inner.folder.join("library.db"), error)
    }

    /// Runs one transaction: all of it is in the database afterwards, or nothing.
    fn write<T>(&self, work: impl FnOnce(&rusqlite::Transaction) -> Result<T>) -> Result<T> {
        let mut writer = lock(&self.inner.writer);
        let transaction = writer.transaction().map_err(|e| self.store_error(e))?;
        let value = work(&transaction)?;
        transaction.commit().map_err(|e| self.store_error(e))?;
        Ok(value)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&lock(&self.inner.reader)).map_err(|e| self.store_error(e))
    }

    /// Empties the write-ahead log, which would otherwise keep deleted text for a while.
    fn forget(&self) -> Result<()> {
        let writer = lock(&self.inner.writer);
        writer
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|e| self.store_error(e))
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let store = |e| Error::store(path, e);
    let connection = Connection::open(path).map_err(store)?;
    connection
        .busy_timeout(Duration::from_secs(5))
        .map_err(store)?;
    // A commit is on the disk when it returns, also if the power fails.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;",
        )
        .map_err(store)?;
    Ok(connection)
}

/// A panic elsewhere rolled its transaction back, so the connection is fine.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as i64)
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

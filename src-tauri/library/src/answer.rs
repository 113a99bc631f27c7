//! An answer that is stored while it is written.

use std::time::{Duration, Instant};

use rusqlite::{Transaction, params};

use crate::Library;
use crate::error::{Error, Result};
use crate::messages::{Failure, Figures, State};
use crate::now_ms;

/// Text waits at most so long for the disk, as long as more of it comes.
const EVERY: Duration = Duration::from_millis(250);

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    pub state: State,
    pub figures: Option<Figures>,
    pub failure: Option<Failure>,
}

/// The writing end of an answer. Dropped without an ending, the answer counts as interrupted.
pub struct Answer {
    library: Library,
    thread: String,
    id: String,
    pending: String,
    written: Instant,
    ended: bool,
}

impl Answer {
    pub(crate) fn new(library: Library, thread: String, id: String) -> Self {
        Self {
            library,
            thread,
            id,
            pending: String::new(),
            written: Instant::now(),
            ended: false,
        }
    }

    pub fn thread(&self) -> &str {
        &self.thread
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Adds text. After an error the text is kept, and goes to the disk with what comes next.
    pub fn append(&mut self, text: &str) -> Result<()> {
        self.pending.push_str(text);
        if self.pending.is_empty() || self.written.elapsed() < EVERY {
            return Ok(());
        }
        self.flush()
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> Result<()> {
        self.written = Instant::now();
        let library = self.library.clone();
        library.write(|db| self.write_pending(db))?;
        self.pending.clear();
        Ok(())
    }

    /// Writes the rest and how it ended, and makes the answer findable. May be called again after an error.
    pub fn end(&mut self, ending: &Ending) -> Result<()> {
        let library = self.library.clone();
        library.write(|db| {
            self.write_pending(db)?;
            library.write_ending(db, &self.id, ending)?;
            db.execute(
                "UPDATE threads SET updated_ms = ?2 WHERE id = ?1",
                params![self.thread, now_ms()],
            )
            .map_err(|e| library.store_error(e))?;
            library.index(db, &self.id)
        })?;
        self.pending.clear();
        self.ended = true;
        Ok(())
    }

    fn write_pending(&self, db: &Transaction) -> Result<()> {
        let n = db
            .execute(
                "UPDATE parts SET text = text || ?2 WHERE message = ?1 AND place = 0",
                params![self.id, self.pending],
            )
            .map_err(|e| self.library.store_error(e))?;
        // The thread was deleted meanwhile.
        if n == 0 {
            return Err(Error::Gone("conversation"));
        }
        Ok(())
    }
}

impl Library {
    /// Writes how a message ended.
    pub(crate) fn write_ending(
        &self,
        db: &Transaction,
        message: &str,
        ending: &Ending,
    ) -> Result<()> {
        let figures = ending.figures.as_ref();
        let failure = ending.failure.as_ref();
        db.execute(
            "UPDATE messages SET state = ?2, failure_code = ?3, failure = ?4, prompt_tokens = ?5,
                 completion_tokens = ?6, context_tokens = ?7, first_token_ms = ?8,
                 prefill_per_second = ?9, decode_per_second = ?10, context_full = ?11,
                 failure_subject = ?12
             WHERE id = ?1",
            params![
                message,
                ending.state.name(),
                failure.map(|f| &f.code),
                failure.map(|f| &f.message),
                figures.map(|f| f.prompt_tokens),
                figures.map(|f| f.completion_tokens),
                figures.map(|f| f.context_tokens),
                figures.map(|f| f.first_token_ms),
                figures.map(|f| f.prefill_per_second),
                figures.map(|f| f.decode_per_second),
                figures.map(|f| f.context_full),
                failure.and_then(|f| f.subject.as_deref()),
            ],
        )
        .map_err(|e| self.store_error(e))?;
        Ok(())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.ended {
            let ending = Ending {
                state: State::Interrupted,
                figures: None,
                failure: None,
            };
            // Nobody is left to tell; at the next start the answer is marked all the same.
            let _ = self.end(&ending);
        }
    }
}

//! Attachments: files beside the database, named by their content.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Transaction, params};
use sha2::{Digest, Sha256};

use crate::Library;
use crate::error::{Error, Result};

/// A file of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name in `attachments/`: the hash of its content, and the extension that it came with.
    pub file: String,
    /// What the user calls it.
    pub name: String,
    pub bytes: u64,
}

impl Library {
    /// Copies a file into the library. The same content is kept once.
    pub fn add_file(&self, path: &Path) -> Result<StoredFile> {
        let source = File::open(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        self.add(source, &name.to_string_lossy())
    }

    /// Keeps bytes as a file of the library.
    pub fn add_bytes(&self, bytes: &[u8], name: &str) -> Result<StoredFile> {
        self.add(bytes, name)
    }

    /// Where a file of the library lies.
    pub fn file_path(&self, file: &str) -> Result<PathBuf> {
        // The name comes from outside; only what we would have made ourselves leads to a path.
        let path = self.attachments().join(file);
        if !is_name(file) || !path.is_file() {
            return Err(Error::Gone("file"));
        }
        Ok(path)
    }

    /// Removes a file that no message has, such as one that was attached and taken away again.
    pub fn discard_file(&self, file: &str) -> Result<()> {
        let unused = self.write(|db| self.take_unused_files(db, &[file.to_owned()]))?;
        self.remove_files(&unused);
        Ok(())
    }

    pub(crate) fn add(&self, mut source: impl Read, name: &str) -> Result<StoredFile> {
        let folder = self.attachments();
        let io = |e| Error::io(&folder, e);
        let mut copy = tempfile::NamedTempFile::new_in(&folder).map_err(io)?;
        let mut hash = Sha256::new();
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = source.read(&mut buffer).map_err(|source| Error::Io {
                path: name.into(),
                source,
            })?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
            copy.write_all(&buffer[..n]).map_err(io)?;
            bytes += n as u64;
        }
        copy.as_file().sync_all().map_err(io)?;
        let mut file = String::new();
        for byte in hash.finalize() {
            file.push_str(&format!("{byte:02x}"));
        }
        let extension = Path::new(name).extension().and_then(|e| e.to_str());
        let extension = extension.unwrap_or_default().to_ascii_lowercase();
        if is_extension(&extension) {
            file.push('.');
            file.push_str(&extension);
        }
        copy.persist(folder.join(&file))
            .map_err(|e| Error::io(&folder, e.error))?;
        self.write(|db| self.register_file(db, &file, bytes))?;
        Ok(StoredFile {
            file,
            name: name.to_owned(),
            bytes,
        })
    }

    pub(crate) fn register_file(&self, db: &Transaction, file: &str, bytes: u64) -> Result<()> {
        db.execute(
            "INSERT OR IGNORE INTO files (name, bytes) VALUES (?1, ?2)",
            params![file, bytes as i64],
        )
        .map_err(|e| self.store_error(e))?;
        Ok(())
    }

    /// The files that the messages of a thread have.
    pub(crate) fn files_of(&self, db: &Transaction, thread: &str) -> Result<Vec<String>> {
        let sql = |e| self.store_error(e);
        let mut statement = db
            .prepare_cached(
                "SELECT DISTINCT file FROM parts JOIN messages ON id = message
                 WHERE thread = ?1 AND file IS NOT NULL",
            )
            .map_err(sql)?;
        let names = statement
            .query_map([thread], |row| row.get(0))
            .map_err(sql)?;
        names.collect::<rusqlite::Result<_>>().map_err(sql)
    }

    /// Takes those of `files` that no message has out of the table and returns their names.
    pub(crate) fn take_unused_files(
        &self,
        db: &Transaction,
        files: &[String],
    ) -> Result<Vec<String>> {
        let mut unused = Vec::new();
        for file in files {
            let n = db
                .execute(
                    "DELETE FROM files WHERE name = ?1
                     AND NOT EXISTS (SELECT 1 FROM parts WHERE parts.file = files.name)",
                    [file],
                )
                .map_err(|e| self.store_error(e))?;
            if n == 1 {
                unused.push(file.clone());
            }
        }
        Ok(unused)
    }

    /// A file that cannot be removed now is swept at the next start.
    pub(crate) fn remove_files(&self, files: &[String]) {
        for file in files {
            let _ = fs::remove_file(self.attachments().join(file));
        }
    }

    /// Removes what no message has: files of questions that were never sent, halves of copies.
    pub(crate) fn sweep_files(&self) -> Result<()> {
        let known: HashSet<String> = self.write(|db| {
            let sql = |e| self.store_error(e);
            db.execute(
                "DELETE FROM files WHERE NOT EXISTS (SELECT 1 FROM parts WHERE parts.file = files.name)",
                [],
            )
            .map_err(sql)?;
            let mut statement = db.prepare("SELECT name FROM files").map_err(sql)?;
            let names = statement.query_map([], |row| row.get(0)).map_err(sql)?;
            names.collect::<rusqlite::Result<_>>().map_err(sql)
        })?;
        let folder = self.attachments();
        let entries = fs::read_dir(&folder).map_err(|e| Error::io(&folder, e))?;
        for entry in entries.flatten() {
            if !known.contains(&*entry.file_name().to_string_lossy()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// A hash with at most one short extension: nothing that leads out of the folder.
pub(crate) fn is_name(file: &str) -> bool {
    let (hash, extension) = file.split_once('.').unwrap_or((file, "none"));
    hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) && is_extension(extension)
}

fn is_extension(extension: &str) -> bool {
    (1..=5).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric())
}

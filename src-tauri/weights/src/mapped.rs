//! A file mapped into memory, read-only: the one place where a mapping is made.

use std::fs::{self, File};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::Error;

#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> Result<Self, Error> {
        // Asked before opening, because opening a named pipe would wait for its writer.
        let facts = fs::metadata(path).map_err(|e| Error::reading(path, e))?;
        if !facts.is_file() {
            return Err(Error::not_a_model(path, "it is not a regular file"));
        }
        if facts.len() == 0 {
            return Err(Error::CutInHeader {
                file: path.to_owned(),
                have: 0,
                reading: "the first byte",
            });
        }
        let file = File::open(path).map_err(|e| Error::reading(path, e))?;
        // SAFETY: the mapping is private and read-only, and model files are not edited in place: downloads and exports
        // are written under another name and renamed when whole. A file that someone truncates while it is open
        // ends the process, which no check here could prevent.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::reading(path, e))?;
        Ok(Self {
            path: path.to_owned(),
            map,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Tells the system not to read ahead in `range`. Only a hint: failure changes nothing but speed.
    pub fn advise_random(&self, range: Range<usize>) {
        #[cfg(unix)]
        let _ = self
            .map
            .advise_range(memmap2::Advice::Random, range.start, range.len());
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// The bytes of a tensor where they lie. Holds the mapping open, and so outlives the checkpoint.
#[derive(Clone)]
pub struct MappedBytes {
    file: Arc<MappedFile>,
    range: Range<usize>, // Invariant: within the file.
}

impl MappedBytes {
    pub(crate) fn new(file: &Arc<MappedFile>, range: Range<usize>) -> Self {
        assert!(range.end <= file.bytes().len(), "within the file");
        Self {
            file: Arc::clone(file),
            range,
        }
    }
}

impl Deref for MappedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.file.bytes()[self.range.clone()]
    }
}

impl std::fmt::Debug for MappedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.file.path().display(), self.range)
    }
}

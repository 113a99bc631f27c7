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
    #[cfg(unix)]
    file: File,
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
        // Only a hint: where the system can, it keeps the file in larger pages, whose addresses are found sooner.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self {
            path: path.to_owned(),
            map,
            #[cfg(unix)]
            file,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Reads bytes without mapping them: with a mapping the system brings in their neighbours, too.
    pub fn read_at(&self, start: usize, buffer: &mut [u8]) -> Result<(), Error> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, start as u64);
        #[cfg(not(unix))]
        let read = {
            buffer.copy_from_slice(&self.bytes()[start..start + buffer.len()]);
            Ok::<_, std::io::Error>(())
        };
        read.map_err(|e| Error::reading(&self.path, e))
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

    /// Gives the memory of these bytes back. They come from the file again when they are read.
    #[allow(unsafe_code)]
    pub fn release(&self) {
        #[cfg(unix)]
        {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            let (start, len) = (self.range.start, self.range.len());
            // SAFETY: the mapping is of a file and never written to, so every page comes back with the bytes it had.
            // Only a hint: failure changes nothing but how much memory is taken.
            let _ = unsafe { self.file.map.unchecked_advise_range(advice, start, len) };
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

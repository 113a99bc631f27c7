//! The sound of a transcript on disk: one file a channel, written while it is heard.
//!
//! WAV of 16-bit samples at 16 kHz, about 115 MB an hour. FLAC would take half of that, but in a WAV file every sample
//! has its place: what is not transcribed yet is read from there while more is written, a line is played or heard again
//! without decoding what comes before it, and a kill costs nothing that reached the file. Until a recording is closed
//! its header says "up to the end of the file", which players understand; [`Library::open`] mends what a kill left so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Samples of a second of every recording.
pub const RECORDING_RATE: u32 = 16_000;

const HEADER: u64 = 44;
/// The length of a file that is still written.
const OPEN_END: u32 = u32::MAX;

/// The writing end of a recording.
pub struct Recording {
    file: File,
    path: PathBuf,
    /// What the disk has not taken yet.
    pending: Vec<u8>,
    /// Samples, those that wait for the disk included.
    samples: u64,
}

impl Recording {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let io = |e| Error::io(&path, e);
        let mut file = File::create_new(&path).map_err(io)?;
        file.write_all(&header(OPEN_END)).map_err(io)?;
        Ok(Self {
            file,
            path,
            pending: Vec::new(),
            samples: 0,
        })
    }

    /// Adds samples, -1 to 1. After an error they are kept and go to the disk with the next ones; see [`waiting`](Self::waiting).
    pub fn append(&mut self, samples: &[f32]) -> Result<()> {
        self.samples += samples.len() as u64;
        let bytes = samples
            .iter()
            .flat_map(|s| ((s.clamp(-1.0, 1.0) * 32_767.0).round() as i16).to_le_bytes());
        self.pending.extend(bytes);
        self.flush()
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> Result<()> {
        while !self.pending.is_empty() {
            match self.file.write(&self.pending) {
                Ok(n) if n > 0 => drop(self.pending.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(&self.path, e)),
                Ok(_) => return Err(Error::DiskFull),
            }
        }
        Ok(())
    }

    /// Samples that are in the file, and can be read.
    pub fn written(&self) -> u64 {
        self.samples - self.pending.len().div_ceil(2) as u64
    }

    /// Samples that the disk has not taken.
    pub fn waiting(&self) -> usize {
        self.pending.len() / 2
    }

    /// Writes the rest and the length.
    pub fn close(mut self) -> Result<()> {
        self.flush()?;
        mend(&mut self.file).map_err(|e| Error::io(&self.path, e))
    }

    /// Another end, for reading what is written.
    pub fn reader(&self) -> Result<RecordingReader> {
        RecordingReader::open(&self.path)
    }
}

/// The reading end of a recording, which may still grow.
pub struct RecordingReader {
    file: File,
    path: PathBuf,
}

impl RecordingReader {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Samples that are there now.
    pub fn len(&self) -> Result<u64> {
        let metadata = self.file.metadata().map_err(|e| Error::io(&self.path, e))?;
        Ok(metadata.len().saturating_sub(HEADER) / 2)
    }

    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Up to `n` samples from the sample `from` on; fewer at the end.
    pub fn read(&mut self, from: u64, n: usize) -> Result<Vec<f32>> {
        let io = |e| Error::io(&self.path, e);
        self.file
            .seek(SeekFrom::Start(HEADER + 2 * from))
            .map_err(io)?;
        let mut bytes = Vec::new();
        (&mut self.file)
            .take(2 * n as u64)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        let (pairs, _) = bytes.as_chunks::<2>();
        let samples = pairs
            .iter()
            .map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_767.0);
        Ok(samples.map(|s| s.max(-1.0)).collect())
    }
}

/// Gives a file the length that it has; whether it was closed does not matter.
pub(crate) fn mend_file(path: &Path) -> io::Result<()> {
    mend(&mut OpenOptions::new().read(true).write(true).open(path)?)
}

fn mend(file: &mut File) -> io::Result<()> {
    let bytes = file.metadata()?.len().saturating_sub(HEADER) & !1;
    file.set_len(HEADER + bytes)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header(bytes.try_into().unwrap_or(OPEN_END)))?;
    file.sync_all()
}

/// The header of a WAV file with so many bytes of samples.
pub(crate) fn header(bytes: u32) -> Vec<u8> {
    let mut header = b"RIFF".to_vec();
    header.extend(bytes.saturating_add(HEADER as u32 - 8).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    header.extend(RECORDING_RATE.to_le_bytes());
    header.extend((2 * RECORDING_RATE).to_le_bytes());
    header.extend(b"\x02\0\x10\0data");
    header.extend(bytes.to_le_bytes());
    header
}

/// A stretch of a recording as a WAV file of its own.
pub(crate) fn cut(path: &Path, from: u64, samples: usize) -> Result<Vec<u8>> {
    let io = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    file.seek(SeekFrom::Start(HEADER + 2 * from)).map_err(io)?;
    let mut sound = Vec::new();
    file.take(2 * samples as u64)
        .read_to_end(&mut sound)
        .map_err(io)?;
    sound.truncate(sound.len() & !1);
    let mut wav = header(sound.len() as u32);
    wav.extend(sound);
    Ok(wav)
}

/// Removes what no transcript has.
pub(crate) fn sweep(folder: &Path, known: &std::collections::HashSet<String>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    for entry in entries.flatten() {
        if !known.contains(&*entry.file_name().to_string_lossy()) {
            // What cannot be removed now is swept at the next start.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_while_more_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        let mut recording = Recording::create(path.clone()).expect("it is made");
        let mut reader = recording.reader().expect("it is there");
        recording.append(&[0.0, 0.5, -1.0]).expect("there is room");
        recording.append(&[2.0; 5]).expect("there is room");
        assert_eq!((recording.written(), recording.waiting()), (8, 0));
        assert_eq!(reader.len().expect("a length"), 8);
        let read = reader.read(1, 3).expect("it is there");
        assert!((read[0] - 0.5).abs() < 1e-4 && read[1..] == [-1.0, 1.0]);
        assert_eq!(reader.read(7, 100).expect("the last one"), [1.0]);
        assert!(reader.read(8, 100).expect("nothing").is_empty());
        drop(recording); // As a kill does: the header knows no length.
        let size = |at: usize| {
            let file = fs::read(&path).expect("the file");
            u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"))
        };
        assert_eq!(size(40), u32::MAX);
        // Half of a sample is no sample.
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(&[1]))
            .expect("there is room");
        mend_file(&path).expect("it can be mended");
        assert_eq!((size(40), size(4)), (16, 52));
        assert_eq!(fs::metadata(&path).expect("the file").len(), 60);
        assert_eq!(cut(&path, 1, 2).expect("a part").len(), 48);
    }
}

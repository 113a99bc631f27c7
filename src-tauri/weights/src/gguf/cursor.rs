//! Reads a header from front to back and never past its end.

use std::path::Path;

use crate::Error;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize, // Invariant: at most `bytes.len()`.
    path: &'a Path,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], path: &'a Path) -> Self {
        Self { bytes, at: 0, path }
    }

    pub fn path(&self) -> &'a Path {
        self.path
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// The next `n` bytes. `reading` says for the error what they are.
    pub fn take(&mut self, n: usize, reading: &'static str) -> Result<&'a [u8], Error> {
        let (taken, _) = self.bytes[self.at..]
            .split_at_checked(n)
            .ok_or_else(|| self.cut(reading))?;
        self.at += n;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self, reading: &'static str) -> Result<[u8; N], Error> {
        let (taken, _) = self.bytes[self.at..]
            .split_first_chunk()
            .ok_or_else(|| self.cut(reading))?;
        self.at += N;
        Ok(*taken)
    }

    pub fn u32(&mut self, reading: &'static str) -> Result<u32, Error> {
        self.array(reading).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, reading: &'static str) -> Result<u64, Error> {
        self.array(reading).map(u64::from_le_bytes)
    }

    /// A count of things that take at least `min_bytes` each, and that the rest of the file has room for.
    pub fn count(&mut self, min_bytes: usize, reading: &'static str) -> Result<usize, Error> {
        let count = self.u64(reading)?;
        let room = (self.bytes.len() - self.at) / min_bytes;
        match usize::try_from(count) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(self.cut(reading)),
        }
    }

    pub fn string(&mut self, reading: &'static str) -> Result<&'a str, Error> {
        let len = self.count(1, reading)?;
        let bytes = self.take(len, reading)?;
        std::str::from_utf8(bytes).map_err(|_| {
            let start = self.at - len;
            Error::header(
                self.path,
                format!("{reading} at byte {start} is not UTF-8 text"),
            )
        })
    }

    fn cut(&self, reading: &'static str) -> Error {
        Error::CutInHeader {
            file: self.path.to_owned(),
            have: self.bytes.len() as u64,
            reading,
        }
    }
}

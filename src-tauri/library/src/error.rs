//! Why something could not be stored or read.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the library.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the conversations in {} were written by a newer version of Sotto; update Sotto to open them (they are of version {found}, this Sotto knows up to {known})", path.display()
    )]
    NewerVersion {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("another Sotto has the conversations in {} open; close it and try again", path.display())]
    InUse { path: PathBuf },
    #[error("the disk is full; free some space and try again")]
    DiskFull,
    #[error("Sotto may not write to {}; make it writable and try again", path.display())]
    ReadOnly { path: PathBuf },
    #[error("{} is damaged ({reason}); move it away to begin with an empty library, or put a copy in its place", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("this {0} is not there any more")]
    Gone(&'static str),
    #[error("{} is no export of Sotto ({reason})", path.display())]
    NotAnExport { path: PathBuf, reason: String },
    #[error(
        "the files of this conversation are too large for one file of JSON; export everything, in the settings, into a folder"
    )]
    TooLargeForOneFile,
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the store of conversations reports: {0}")]
    Store(rusqlite::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly {
                path: path.to_owned(),
            },
            _ => Self::Io {
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(crate) fn store(path: &Path, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = || path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { path: path() }
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged {
                path: path(),
                reason: error.to_string(),
            },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::InUse { path: path() }
            }
            _ => Self::Store(error),
        }
    }
}

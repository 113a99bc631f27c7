//! Makes a package of a Hugging Face folder: `<name>.gguf` and, if the source has towers, `<name>.mmproj.gguf`.
//!
//! Both are written in a folder of their own inside the destination and get their places only when they are whole and
//! were looked at. What a kill leaves behind is never taken for a model, and the next attempt clears it away.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::checkpoint::{Checkpoint, folder};
use crate::names::{self, Part};
use crate::{Error, export};

/// The files of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub text: PathBuf,
    /// `None`: the model has no towers.
    pub projector: Option<PathBuf>,
}

/// A package that is written and not yet in its place. Dropped, it is gone.
#[derive(Debug)]
pub struct Staged {
    folder: PathBuf,
    name: String, // Invariant: a plain file name, so that every path below stays inside `folder`.
    has_projector: bool,
}

impl Staged {
    /// Writes the package that will be called `name` in `folder`. Existing files of that name are an error unless they
    /// are to be replaced.
    pub fn write(
        source: &Checkpoint,
        folder: &Path,
        name: &str,
        replace: bool,
        options: &export::Options<'_>,
    ) -> Result<Self, Error> {
        check_name(name)?;
        let is_projector =
            |name: &str| names::gguf_name(name).is_some_and(|place| place.part == Part::Projector);
        let staged = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            has_projector: source.names().any(is_projector),
        };
        let place = staged.package(folder);
        let taken = [Some(place.text), place.projector].into_iter().flatten();
        if let Some(file) = taken.into_iter().find(|file| !replace && file.exists()) {
            let reason = "it is there already; take another name, or say that it shall be replaced"
                .to_owned();
            return Err(Error::CannotExport { file, reason });
        }
        let place = staged.place();
        fs::create_dir_all(&place).map_err(|e| Error::writing(&place, e))?;
        staged.remove_files();
        let package = staged.package(&place);
        let options = export::Options {
            name: options.name.or(Some(name)),
            ..*options
        };
        export::write_gguf(
            source,
            &package.text,
            package.projector.as_deref(),
            &options,
        )?;
        staged.compare(source)?;
        Ok(staged)
    }

    /// Opens what was written, under its temporary name.
    pub fn open(&self) -> Result<Checkpoint, Error> {
        Checkpoint::open(&self.package(&self.place()).text)
    }

    /// Moves the files to their place, the text file last: without towers a package looks whole, without text it is none.
    pub fn publish(self) -> Result<Package, Error> {
        let (from, to) = (self.package(&self.place()), self.package(&self.folder));
        remove_if_there(&to.text)?; // Or else an end between the two would leave it with the new towers.
        match (&from.projector, &to.projector) {
            (Some(from), Some(to)) => rename(from, to)?,
            // Towers of the model that had this name would be taken for those of the new one.
            _ => remove_if_there(&self.folder.join(format!("{}.mmproj.gguf", self.name)))?,
        }
        rename(&from.text, &to.text)?;
        Ok(to)
    }

    fn place(&self) -> PathBuf {
        self.folder.join(format!("{}.importing", self.name))
    }

    fn package(&self, folder: &Path) -> Package {
        let file = |end: &str| folder.join(format!("{}{end}", self.name));
        Package {
            text: file(".gguf"),
            projector: self.has_projector.then(|| file(".mmproj.gguf")),
        }
    }

    /// Whether what was written has every tensor of the source.
    fn compare(&self, source: &Checkpoint) -> Result<(), Error> {
        let written = self.open()?;
        for name in source.names() {
            let mut shape = source.tensor(name).map_or(&[][..], |tensor| tensor.shape);
            if name == export::PER_LAYER_TABLE {
                // It may have more rows than the source's.
                shape = written.tensor(name).map_or(shape, |tensor| tensor.shape);
            }
            written.require(name, shape)?;
        }
        Ok(())
    }

    /// Only what an import writes: the folder's name is ours, its contents need not be.
    fn remove_files(&self) {
        let place = self.place();
        for end in [".gguf", ".gguf.part", ".mmproj.gguf", ".mmproj.gguf.part"] {
            let _ = fs::remove_file(place.join(format!("{}{end}", self.name)));
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.remove_files();
        let _ = fs::remove_dir(self.place());
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    // The last is how projectors are told from models.
    if folder::is_plain_name(name) && !name.starts_with('.') && !name.contains("mmproj") {
        return Ok(());
    }
    let reason = "a package is named like a file, without a dot in front and without mmproj in it"
        .to_owned();
    Err(Error::CannotExport {
        file: PathBuf::from(name),
        reason,
    })
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|e| Error::writing(to, e))
}

fn remove_if_there(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::writing(file, e)),
        _ => Ok(()),
    }
}

//! A model on disk, opened: its tensors by one set of names, and its configuration.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::gguf::Gguf;
use crate::mapped::MappedFile;
use crate::tensor::TensorView;
use crate::{DType, Error};

mod finite;
mod folder;
mod package;

/// Which kind of model was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A folder with `config.json` and safetensors files.
    HuggingFace,
    /// A GGUF file, perhaps with a projector file beside it.
    Gguf,
}

/// What the model says about itself.
#[derive(Debug)]
pub enum Metadata {
    /// The whole `config.json`, an object.
    Json(serde_json::Value),
    /// The key-values of the text file, and behind them those of the projector.
    Gguf(Gguf),
}

/// A model on disk. Opening one reads headers only; weights are paged in when they are used.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    format: Format,
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Place>,
    metadata: Metadata,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Place {
    file: usize,
    dtype: DType,
    shape: Box<[usize]>,
    range: Range<usize>, // Invariant: within the file, and as long as `dtype` and `shape` take.
}

impl Checkpoint {
    /// Opens a folder or a GGUF file; the projector is looked for beside the latter.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_projector(path, None)
    }

    /// Opens a folder, or a GGUF file with this projector instead of the one found beside it.
    pub fn open_with_projector(path: &Path, projector: Option<&Path>) -> Result<Self, Error> {
        let facts = std::fs::metadata(path).map_err(|e| Error::reading(path, e))?;
        if !facts.is_dir() {
            return package::open(path, path, projector);
        }
        match folder::find(path)? {
            folder::Found::Safetensors(files) => {
                if let Some(projector) = projector {
                    let reason = format!("the folder {} has its own towers", path.display());
                    return Err(Error::not_a_model(projector, reason));
                }
                folder::open(path, files)
            }
            folder::Found::Gguf(file) => package::open(path, &file, projector),
        }
    }

    /// What was opened: the folder, or the GGUF file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let (name, place) = self.tensors.get_key_value(name)?;
        Some(self.view(name, place))
    }

    /// The tensor `name`, which must be there and have this shape.
    pub fn require(&self, name: &str, shape: &[usize]) -> Result<TensorView<'_>, Error> {
        let Some(tensor) = self.tensor(name) else {
            return Err(Error::MissingTensor {
                path: self.path.clone(),
                tensor: name.to_owned(),
            });
        };
        if tensor.shape != shape {
            return Err(Error::WrongShape {
                file: tensor.file.to_owned(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                found: tensor.shape.to_vec(),
            });
        }
        Ok(tensor)
    }

    /// A text file of a folder (`tokenizer.json` ...), `None` where there is no such file or the model is no folder.
    pub fn text_file(&self, name: &str) -> Result<Option<String>, Error> {
        match self.format {
            Format::HuggingFace => folder::text_file(&self.path, name),
            Format::Gguf => Ok(None),
        }
    }

    /// The first tensor, by name, that holds a NaN or an infinity, as a number or as the scale of a block.
    ///
    /// Reads every weight, so it is for finding the reason once a result came out wrong.
    pub fn first_not_finite(&self) -> Option<String> {
        let mut tensors = self
            .tensors
            .iter()
            .map(|(name, place)| self.view(name, place));
        tensors
            .find(|t| !finite::all_finite(t.dtype, t.bytes))
            .map(|t| t.name.to_owned())
    }

    /// The bytes of all tensors together.
    pub fn total_bytes(&self) -> u64 {
        self.tensors
            .values()
            .map(|place| place.range.len() as u64)
            .sum()
    }

    /// Tells the system that rows of this tensor are read here and there, so that it does not read ahead.
    pub fn advise_random(&self, name: &str) {
        if let Some(place) = self.tensors.get(name) {
            self.files[place.file].advise_random(place.range.clone());
        }
    }

    fn new(path: &Path, format: Format, metadata: Metadata) -> Self {
        Self {
            path: path.to_owned(),
            format,
            files: Vec::new(),
            tensors: BTreeMap::new(),
            metadata,
        }
    }

    /// Adds a tensor of the file that is pushed to `files` next.
    fn insert(&mut self, file: &Path, name: String, place: Place) -> Result<(), Error> {
        match self.tensors.entry(name) {
            Entry::Vacant(free) => {
                free.insert(place);
                Ok(())
            }
            Entry::Occupied(taken) => {
                let other = self
                    .files
                    .get(taken.get().file)
                    .map_or(file, MappedFile::path);
                let reason = format!("{} holds it too", other.display());
                Err(Error::tensor(file, taken.key(), reason))
            }
        }
    }

    fn view<'a>(&'a self, name: &'a str, place: &'a Place) -> TensorView<'a> {
        let file = &self.files[place.file];
        TensorView {
            name,
            dtype: place.dtype,
            shape: &place.shape,
            bytes: &file.bytes()[place.range.clone()],
            file: file.path(),
        }
    }
}

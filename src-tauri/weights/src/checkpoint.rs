//! A model on disk, opened: its tensors by one set of names, and its configuration.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::gguf::Gguf;
use crate::mapped::{MappedBytes, MappedFile};
use crate::tensor::TensorView;
use crate::{DType, Error};

mod finite;
pub(crate) mod folder;
mod package;

/// The key of a package that holds its `preprocessor_config.json`.
pub(crate) const PREPROCESSOR_KEY: &str = "sotto.preprocessor_config";
/// The key of a package that holds its `matformer.json`.
pub(crate) const SUBMODELS_KEY: &str = "sotto.submodels";

/// The slices of a model's own that a file describes, in the form of `matformer.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmodelTable {
    pub file: PathBuf,
    pub text: String,
    /// Part of the model. A table that only lies beside it may belong to another one.
    pub own: bool,
}

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
    files: Vec<Arc<MappedFile>>,
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

    /// The bytes of a tensor, to be kept.
    pub fn mapped(&self, name: &str) -> Option<MappedBytes> {
        let place = self.tensors.get(name)?;
        Some(MappedBytes::new(
            &self.files[place.file],
            place.range.clone(),
        ))
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

    /// A JSON file of a folder, `None` as for [`Checkpoint::text_file`].
    pub(crate) fn json_file(&self, name: &str) -> Result<Option<serde_json::Value>, Error> {
        match self.text_file(name)? {
            Some(text) => folder::json(&self.path.join(name), &text).map(Some),
            None => Ok(None),
        }
    }

    /// The table of slices in the package, or else in the model's folder, or else beside what was opened.
    pub fn submodel_table(&self) -> Result<Option<SubmodelTable>, Error> {
        const FILE: &str = "matformer.json";
        if let Metadata::Gguf(gguf) = &self.metadata
            && let Some(text) = gguf.opt_string(SUBMODELS_KEY)?
        {
            return Ok(Some(SubmodelTable {
                file: gguf.file().to_owned(),
                text: text.to_owned(),
                own: true,
            }));
        }
        let folder = self.path.is_dir().then_some(self.path.as_path());
        for (folder, own) in [(folder, true), (self.path.parent(), false)] {
            let Some(folder) = folder else {
                continue;
            };
            if let Some(text) = folder::text_file(folder, FILE)? {
                let file = folder.join(FILE);
                return Ok(Some(SubmodelTable { file, text, own }));
            }
        }
        Ok(None)
    }

    /// How pictures and sound are prepared for the model: `preprocessor_config.json`, or the same in two sections of a
    /// newer library's `processor_config.json`; packages carry it with the towers.
    pub fn preprocessor_config(&self) -> Result<Option<serde_json::Value>, Error> {
        if let Metadata::Gguf(gguf) = &self.metadata {
            let text = gguf.opt_string(PREPROCESSOR_KEY)?;
            return text.map(|text| folder::json(gguf.file(), text)).transpose();
        }
        if let Some(settings) = self.json_file("preprocessor_config.json")? {
            return Ok(Some(settings));
        }
        let Some(processor) = self.json_file("processor_config.json")? else {
            return Ok(None);
        };
        let mut merged = serde_json::Map::new();
        for section in ["feature_extractor", "image_processor"] {
            if let Some(section) = processor[section].as_object() {
                merged.extend(section.clone());
            }
        }
        Ok((!merged.is_empty()).then_some(merged.into()))
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

    /// Reads row `i` of a matrix from the file: for tables of which few rows are ever wanted.
    ///
    /// A row of a mapping costs the memory of everything that the system maps with it, up to some megabytes. False if
    /// there is no such row.
    pub fn read_row(&self, name: &str, i: usize, out: &mut Vec<u8>) -> Result<bool, Error> {
        let Some(place) = self.tensors.get(name) else {
            return Ok(false);
        };
        let &[n_rows, _] = &*place.shape else {
            return Ok(false);
        };
        if i >= n_rows {
            return Ok(false);
        }
        let row_bytes = place.range.len() / n_rows;
        out.resize(row_bytes, 0);
        self.files[place.file].read_at(place.range.start + i * row_bytes, out)?;
        Ok(true)
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
                    .map_or(file, |file| file.path());
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

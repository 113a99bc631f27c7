//! A GGUF file and the projector that belongs to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Checkpoint, Format, Metadata, Place, folder};
use crate::gguf::{self, Gguf};
use crate::mapped::MappedFile;
use crate::names::{self, Canonical};
use crate::tensor::TensorInfo;
use crate::{DType, Error};

const ARCHITECTURE: &str = "general.architecture";
/// The architecture that projector files claim, whatever they project.
const PROJECTOR: &str = "clip";
/// Published models stack three matrices.
const MAX_STACK: usize = 64;

/// Opens the GGUF model `file`; `path` is what the caller asked for.
pub(super) fn open(
    path: &Path,
    file: &Path,
    projector: Option<&Path>,
) -> Result<Checkpoint, Error> {
    if file
        .extension()
        .is_some_and(|end| end == "safetensors" || end == "json")
    {
        return Err(Error::not_a_model(
            file,
            "it is one file of a folder; open the folder",
        ));
    }
    let text = Opened::open(file)?;
    check_text(&text.metadata)?;
    let projector = match projector {
        Some(given) => Some(open_projector(given)?),
        None => find_projector(file)?,
    };

    let mut metadata = text.metadata;
    let projector = projector.map(|opened| {
        metadata.set_projector(opened.metadata);
        (opened.file, opened.tensors)
    });
    let mut checkpoint = Checkpoint::new(path, Format::Gguf, Metadata::Gguf(metadata));
    add(&mut checkpoint, text.file, text.tensors)?;
    if let Some((file, tensors)) = projector {
        add(&mut checkpoint, file, tensors)?;
    }
    Ok(checkpoint)
}

struct Opened {
    file: MappedFile,
    metadata: Gguf,
    tensors: Vec<TensorInfo>,
}

impl Opened {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = MappedFile::open(path)?;
        let gguf::Header { metadata, tensors } = gguf::parse(file.bytes(), path)?;
        Ok(Self {
            file,
            metadata,
            tensors,
        })
    }
}

fn check_text(metadata: &Gguf) -> Result<(), Error> {
    let file = || metadata.file().to_owned();
    match metadata.string(ARCHITECTURE)? {
        "gemma3n" => {}
        PROJECTOR => return Err(Error::IsProjector { file: file() }),
        found => {
            return Err(Error::OtherArchitecture {
                file: file(),
                found: found.to_owned(),
            });
        }
    }
    match metadata.opt_u64("split.count")? {
        None | Some(0 | 1) => Ok(()),
        Some(count) => Err(Error::SplitGguf {
            file: file(),
            count,
        }),
    }
}

fn open_projector(path: &Path) -> Result<Opened, Error> {
    let opened = Opened::open(path)?;
    match found_instead(&opened.metadata)? {
        None => Ok(opened),
        Some(found) => Err(Error::NotAProjector {
            file: path.to_owned(),
            found,
        }),
    }
}

/// What the file is, if it is not the projector of a Gemma 3n model.
fn found_instead(metadata: &Gguf) -> Result<Option<String>, Error> {
    let architecture = metadata.string(ARCHITECTURE)?;
    if architecture != PROJECTOR {
        return Ok(Some(architecture.to_owned()));
    }
    let keys = [
        "clip.vision.projector_type",
        "clip.audio.projector_type",
        "clip.projector_type",
    ];
    let mut found = Vec::new();
    for key in keys {
        found.extend(metadata.opt_string(key)?);
    }
    if found.iter().any(|kind| kind.starts_with("gemma3n")) {
        return Ok(None);
    }
    Ok(Some(format!(
        "{PROJECTOR} for {}",
        if found.is_empty() {
            "nothing".to_owned()
        } else {
            found.join(", ")
        }
    )))
}

/// Looks beside `X.gguf` for `X.mmproj.gguf`, then for the only `mmproj*.gguf`, then for the only `*mmproj*.gguf`.
fn find_projector(text: &Path) -> Result<Option<Opened>, Error> {
    let own = text.with_extension("mmproj.gguf");
    if own.exists() {
        return open_projector(&own).map(Some);
    }
    let folder = match text.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let names = folder::file_names(folder)?;
    let Some(path) = choose(&names).map(|name| folder.join(name)) else {
        return Ok(None);
    };
    if path.file_name() == text.file_name() {
        return Ok(None);
    }
    // It was only found lying near, so one that belongs to another model is no fault.
    let opened = Opened::open(&path)?;
    Ok(if found_instead(&opened.metadata)?.is_none() {
        Some(opened)
    } else {
        None
    })
}

fn choose(names: &[String]) -> Option<&str> {
    // `Y.mmproj.gguf` beside `Y.gguf` is spoken for.
    let is_taken = |name: &str| {
        name.strip_suffix(".mmproj.gguf")
            .is_some_and(|stem| names.iter().any(|n| *n == format!("{stem}.gguf")))
    };
    let candidates: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| name.ends_with(".gguf") && name.contains("mmproj") && !is_taken(name))
        .collect();
    let leading: Vec<&str> = candidates
        .iter()
        .copied()
        .filter(|name| name.starts_with("mmproj"))
        .collect();
    match (leading.as_slice(), candidates.as_slice()) {
        ([one], _) | ([], [one]) => Some(one),
        _ => None,
    }
}

fn add(
    checkpoint: &mut Checkpoint,
    file: MappedFile,
    tensors: Vec<TensorInfo>,
) -> Result<(), Error> {
    let path = PathBuf::from(file.path());
    let index = checkpoint.files.len();
    for TensorInfo {
        name,
        dtype,
        shape,
        range,
    } in tensors
    {
        let (name, shape) = match names::from_gguf(&name) {
            Some(Canonical::Stack { prefix }) => {
                for (i, place) in unstack(&path, &name, dtype, &shape, range, index)?
                    .into_iter()
                    .enumerate()
                {
                    checkpoint.insert(&path, format!("{prefix}{i}.weight"), place)?;
                }
                continue;
            }
            Some(Canonical::One(canonical)) => {
                let shape = names::canonical_shape(&canonical, shape);
                (canonical, shape)
            }
            None => (name, shape),
        };
        let place = Place {
            file: index,
            dtype,
            shape,
            range,
        };
        checkpoint.insert(&path, name, place)?;
    }
    checkpoint.files.push(Arc::new(file));
    Ok(())
}

/// Cuts a stack of matrices along its outermost axis.
fn unstack(
    path: &Path,
    name: &str,
    dtype: DType,
    shape: &[usize],
    range: std::ops::Range<usize>,
    file: usize,
) -> Result<Vec<Place>, Error> {
    let &[n, rows, columns] = shape else {
        return Err(Error::tensor(
            path,
            name,
            format!("its shape is {shape:?}, expected a stack of matrices"),
        ));
    };
    if n > MAX_STACK {
        let reason =
            format!("it stacks {n} matrices, more than the {MAX_STACK} that any model has");
        return Err(Error::tensor(path, name, reason));
    }
    let len = range.len() / n; // Exact, because rows are whole blocks; and no axis is zero.
    let place = |i| {
        let start = range.start + i * len;
        Place {
            file,
            dtype,
            shape: [rows, columns].into(),
            range: start..start + len,
        }
    };
    Ok((0..n).map(place).collect())
}

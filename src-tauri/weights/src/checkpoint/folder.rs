//! A folder as Hugging Face libraries write it: `config.json`, safetensors files, text files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{Checkpoint, Format, Metadata, Place};
use crate::mapped::MappedFile;
use crate::{Error, names, safetensors};

/// No text file of a model comes near this; the largest tokenizer takes 35 MB.
const MAX_TEXT_FILE: u64 = 64 << 20;

const INDEX: &str = "model.safetensors.index.json";

/// What a folder holds.
pub(super) enum Found {
    Safetensors(Shards),
    Gguf(PathBuf),
}

/// The safetensors files of a folder, and for each the tensors that the index promises.
pub(super) type Shards = BTreeMap<String, Vec<String>>;

pub(super) fn find(folder: &Path) -> Result<Found, Error> {
    if let Some(index) = text_file(folder, INDEX)? {
        return read_index(folder, &index).map(Found::Safetensors);
    }
    let names = file_names(folder)?;
    let with_end = |end: &str| {
        names
            .iter()
            .filter(|name| name.ends_with(end))
            .collect::<Vec<_>>()
    };
    let one = |name: &str| {
        Ok(Found::Safetensors(Shards::from([(
            name.to_owned(),
            Vec::new(),
        )])))
    };

    let safetensors = with_end(".safetensors");
    if safetensors.iter().any(|name| *name == "model.safetensors") {
        return one("model.safetensors");
    }
    match safetensors.as_slice() {
        [] => {}
        [name] => return one(name),
        several => {
            let reason = format!(
                "it holds {} safetensors files but no {INDEX}; download that file too",
                several.len()
            );
            return Err(Error::not_a_model(folder, reason));
        }
    }
    let text: Vec<_> = with_end(".gguf")
        .into_iter()
        .filter(|name| !name.contains("mmproj"))
        .collect();
    match text.as_slice() {
        [] => Err(Error::not_a_model(
            folder,
            "it holds neither model.safetensors nor a GGUF file",
        )),
        [name] => Ok(Found::Gguf(folder.join(name))),
        several => {
            let reason = format!(
                "it holds {} GGUF models ({}, {} ...); open one of them",
                several.len(),
                several[0],
                several[1]
            );
            Err(Error::not_a_model(folder, reason))
        }
    }
}

pub(super) fn open(folder: &Path, shards: Shards) -> Result<Checkpoint, Error> {
    let config = read_config(folder)?;
    let mut checkpoint = Checkpoint::new(folder, Format::HuggingFace, Metadata::Json(config));
    for (name, promised) in shards {
        let path = folder.join(name);
        let file = MappedFile::open(&path)?;
        let index = checkpoint.files.len();
        for info in safetensors::parse_header(file.bytes(), &path)? {
            if info.name.starts_with("language_model.model.") {
                return Err(Error::Mlx {
                    path: folder.to_owned(),
                }); // Its convolutions are laid out differently.
            }
            let place = Place {
                file: index,
                dtype: info.dtype,
                shape: info.shape,
                range: info.range,
            };
            checkpoint.insert(&path, names::from_folder(info.name), place)?;
        }
        for tensor in promised {
            let tensor = names::from_folder(tensor);
            if checkpoint
                .tensors
                .get(&tensor)
                .is_none_or(|place| place.file != index)
            {
                let reason = format!(
                    "{INDEX} says it lies there, but it does not; download the folder again"
                );
                return Err(Error::tensor(&path, &tensor, reason));
            }
        }
        checkpoint.files.push(Arc::new(file));
    }
    Ok(checkpoint)
}

/// A text file of the folder, if there is one of that name.
pub(super) fn text_file(folder: &Path, name: &str) -> Result<Option<String>, Error> {
    if !is_plain_name(name) {
        return Err(Error::not_a_model(
            folder,
            format!("{name:?} is not the name of a file in it"),
        ));
    }
    let path = folder.join(name);
    let read = |e| Error::reading(&path, e);
    let facts = match fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        facts => facts.map_err(read)?,
    };
    if !facts.is_file() {
        return Err(Error::not_a_model(&path, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells whether the file is longer, even if it grows meanwhile.
    File::open(&path)
        .and_then(|file| file.take(MAX_TEXT_FILE + 1).read_to_end(&mut bytes))
        .map_err(read)?;
    if bytes.len() as u64 > MAX_TEXT_FILE {
        return Err(Error::TooLarge {
            file: path,
            size: facts.len(),
            limit: MAX_TEXT_FILE,
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(e) => {
            let reason = format!(
                "it is not UTF-8 text (byte {})",
                e.utf8_error().valid_up_to()
            );
            Err(Error::header(&path, reason))
        }
    }
}

/// The value that the text of a file stands for.
pub(super) fn json(path: &Path, text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|e| Error::header(path, format!("it is not JSON ({e})")))
}

fn read_config(folder: &Path) -> Result<Value, Error> {
    let path = folder.join("config.json");
    let text = text_file(folder, "config.json")?
        .ok_or_else(|| Error::not_a_model(folder, "it has no config.json"))?;
    let config = json(&path, &text)?;
    if !config.is_object() {
        return Err(Error::header(&path, "it is not a JSON object"));
    }
    check_architecture(&path, &config)?;
    // Both libraries of that family write this key; others write only `quantization_config`.
    if config
        .get("quantization")
        .is_some_and(|value| !value.is_null())
    {
        return Err(Error::Mlx {
            path: folder.to_owned(),
        });
    }
    Ok(config)
}

fn check_architecture(path: &Path, config: &Value) -> Result<(), Error> {
    let other = |found: &str| {
        Err(Error::OtherArchitecture {
            file: path.to_owned(),
            found: found.to_owned(),
        })
    };
    match config.get("model_type").and_then(Value::as_str) {
        Some("gemma3n" | "gemma3n_text") => return Ok(()),
        Some(found) => return other(found),
        None => {}
    }
    match config.pointer("/architectures/0").and_then(Value::as_str) {
        Some("Gemma3nForConditionalGeneration" | "Gemma3nForCausalLM") => Ok(()),
        Some(found) => other(found),
        None => other("unknown (config.json names none)"),
    }
}

fn read_index(folder: &Path, text: &str) -> Result<Shards, Error> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let path = folder.join(INDEX);
    let index: Index = serde_json::from_str(text)
        .map_err(|e| Error::header(&path, format!("it is not the expected JSON ({e})")))?;
    let mut shards = Shards::new();
    for (tensor, file) in index.weight_map {
        if !is_plain_name(&file) {
            return Err(Error::header(
                &path,
                format!("it names {file:?}, which is not a file of this folder"),
            ));
        }
        if !folder.join(&file).exists() {
            let reason = format!("{INDEX} lists {file}, which is missing; download it");
            return Err(Error::not_a_model(folder, reason));
        }
        shards.entry(file).or_default().push(tensor);
    }
    if shards.is_empty() {
        return Err(Error::header(&path, "it lists no tensor"));
    }
    Ok(shards)
}

/// The names in a folder that are text, in order.
pub(super) fn file_names(folder: &Path) -> Result<Vec<String>, Error> {
    let read = |e| Error::reading(folder, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        if let Ok(name) = entry.map_err(read)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a name stays inside its folder: an index file may come from anywhere.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0', ':'])
}

//! The models that lie in folders, with what their headers say.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use specta::Type;

use crate::model::{format_name, model_name};
use crate::types::{ApiError, ErrorCode, Number};

/// How deep below a folder models are found: Hugging Face's own store has them at the third level.
const DEPTH: usize = 3;

/// A folder that someone added by mistake, a whole home say, is left at this many entries.
const MAX_ENTRIES: usize = 5_000;

/// What there is to choose from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ModelList {
    /// The model that comes with Sotto.
    pub demo: Option<ModelEntry>,
    /// Sotto's own folder first, then those that the user added.
    pub folders: Vec<ModelFolder>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ModelFolder {
    pub path: String,
    /// Sotto's own, where imports go.
    pub is_own: bool,
    pub models: Vec<ModelEntry>,
    /// Why it cannot be looked into.
    pub failure: Option<ApiError>,
    /// It holds more than was looked at.
    pub is_cut: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ModelEntry {
    pub path: String,
    pub name: String,
    pub facts: Option<ModelFacts>,
    /// Why it cannot be opened.
    pub failure: Option<ApiError>,
}

/// What was read from a model's headers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ModelFacts {
    /// "safetensors, bf16" or "GGUF, Q8_0".
    pub format: String,
    pub submodel: String,
    #[specta(type = Number)]
    pub parameters: f64,
    #[specta(type = Number)]
    pub effective_parameters: f64,
    pub context: u32,
    pub vision: bool,
    pub audio: bool,
    /// Size on disk.
    #[specta(type = Number)]
    pub bytes: f64,
    /// What the model says its licence is, such as "gemma".
    pub license: Option<String>,
    /// It can be made a package of Sotto's own, which is smaller and faster.
    pub can_be_imported: bool,
}

/// Reads the headers of every model; blocks for as long as the disk takes.
pub fn list_models(own: &Path, added: &[PathBuf], demo: Option<&Path>) -> ModelList {
    // So that there is a folder to put models into. If it cannot be made, listing it says why.
    let _ = fs::create_dir_all(own);
    let folders = [own].into_iter().chain(added.iter().map(PathBuf::as_path));
    ModelList {
        demo: demo.map(entry),
        folders: folders.map(|path| folder(path, path == own)).collect(),
    }
}

fn folder(path: &Path, is_own: bool) -> ModelFolder {
    let mut search = Search::default();
    let failure = search.look_into(path, DEPTH).err().map(|e| {
        let path = path.display();
        match e.kind() {
            io::ErrorKind::NotFound => ApiError::new(
                ErrorCode::ModelMissing,
                format!("{path} is not there any more. Put it back, or take it off the list."),
            ),
            _ => ApiError::new(
                ErrorCode::InputUnreadable,
                format!("{path} cannot be read ({e}). Check the folder, then look again."),
            ),
        }
    });
    search.found.sort();
    ModelFolder {
        path: path.display().to_string(),
        is_own,
        models: search.found.iter().map(|path| entry(path)).collect(),
        failure,
        is_cut: search.n_entries > MAX_ENTRIES,
    }
}

#[derive(Default)]
struct Search {
    found: Vec<PathBuf>,
    n_entries: usize,
}

impl Search {
    fn look_into(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        let mut folders = Vec::new();
        let (mut has_config, mut has_weights) = (false, false);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            self.n_entries += 1;
            if self.n_entries > MAX_ENTRIES {
                return Ok(());
            }
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            // Links are followed, as in Hugging Face's store; the depth bounds their circles.
            if path.is_dir() {
                folders.push(path);
            } else if is_text_gguf(&name) {
                self.found.push(path);
            }
            has_config |= name == "config.json";
            has_weights |= name.ends_with(".safetensors");
        }
        if has_config && has_weights {
            self.found.push(folder.to_owned());
        } else if depth > 0 {
            for inner in folders {
                // What cannot be read inside is no model of this user.
                let _ = self.look_into(&inner, depth - 1);
            }
        }
        Ok(())
    }
}

/// Projectors belong to the text file beside them.
fn is_text_gguf(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".gguf") && !name.contains("mmproj")
}

fn entry(path: &Path) -> ModelEntry {
    let (facts, failure) = match facts(path) {
        Ok(facts) => (Some(facts), None),
        Err(error) => (None, Some(error)),
    };
    ModelEntry {
        path: path.display().to_string(),
        name: model_name(path),
        facts,
        failure,
    }
}

fn facts(path: &Path) -> Result<ModelFacts, ApiError> {
    let found = engine::inspect(path, None)?;
    Ok(ModelFacts {
        format: format_name(&found),
        submodel: found
            .submodels
            .last()
            .map(|s| s.name.clone())
            .unwrap_or_default(),
        parameters: found.parameters() as f64,
        effective_parameters: found.effective_parameters as f64,
        context: found.context_length as u32,
        vision: found.vision > 0,
        audio: found.audio > 0,
        bytes: found.bytes as f64,
        can_be_imported: found.format == weights::Format::HuggingFace,
        license: found.license,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/sotto-demo.gguf")
    }

    fn tiny() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny/checkpoint")
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("makes");
        for file in fs::read_dir(from).expect("lists").flatten() {
            let _ = fs::copy(file.path(), to.join(file.file_name())).expect("copies");
        }
    }

    #[test]
    fn the_demo_is_described_by_its_headers() {
        let own = tempfile::tempdir().expect("a temporary directory");
        let list = list_models(own.path(), &[], Some(&demo()));
        let entry = list.demo.expect("it is there");
        assert_eq!((&*entry.name, &entry.failure), ("sotto-demo", &None));
        let facts = entry.facts.expect("it can be read");
        assert!(facts.vision && facts.audio);
        assert!((6e6..7e6).contains(&facts.parameters), "{facts:?}");
        assert!((7e6..9e6).contains(&facts.bytes), "{facts:?}");
        assert!(!facts.can_be_imported);
    }

    #[test]
    fn models_are_found_in_folders_and_broken_ones_say_why() {
        let (own, added) = (tempfile::tempdir(), tempfile::tempdir());
        let (own, added) = (own.expect("a directory"), added.expect("a directory"));
        copy(&tiny(), &added.path().join("store/snapshots/tiny"));
        let _ = fs::copy(demo(), own.path().join("b.gguf")).expect("copies");
        fs::write(own.path().join("a.gguf"), "GGU").expect("writes");
        fs::write(own.path().join("a.mmproj.gguf"), "").expect("writes");
        fs::write(own.path().join("notes.txt"), "").expect("writes");
        fs::create_dir(own.path().join(".hidden")).expect("makes");
        fs::write(own.path().join(".hidden/c.gguf"), "").expect("writes");

        let added_folders = [added.path().to_owned()];
        let list = list_models(own.path(), &added_folders, None);
        assert!(list.demo.is_none());
        let names = |folder: &ModelFolder| {
            let names = folder.models.iter().map(|model| model.name.clone());
            names.collect::<Vec<_>>()
        };
        assert!(list.folders[0].is_own && !list.folders[1].is_own);
        assert_eq!(names(&list.folders[0]), ["a", "b"]);
        assert_eq!(names(&list.folders[1]), ["tiny"]);
        let broken = list.folders[0].models[0].failure.as_ref();
        assert_eq!(
            broken.expect("it is cut short").code,
            ErrorCode::ModelBroken
        );
        let tiny = list.folders[1].models[0]
            .facts
            .as_ref()
            .expect("it can be read");
        assert!(tiny.can_be_imported);
    }

    #[test]
    fn a_folder_that_vanished_says_so() {
        let own = tempfile::tempdir().expect("a temporary directory");
        let gone = own.path().join("gone");
        let list = list_models(own.path(), std::slice::from_ref(&gone), None);
        let failure = list.folders[1].failure.as_ref().expect("it is not there");
        assert!(failure.message.contains("not there any more"), "{failure}");
        assert!(!gone.exists(), "only Sotto's own folder is made");
    }

    #[test]
    fn sotto_s_own_folder_is_made() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let own = data.path().join("models");
        assert_eq!(list_models(&own, &[], None).folders[0].failure, None);
        assert!(own.is_dir());
    }
}

//! What Sotto remembers from one start to the next: a small JSON file.
//!
//! It is replaced in one step, so a crash leaves the old file or the new one.
//! A file that cannot be understood is kept beside it as `settings.broken.json`, and Sotto starts with defaults.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, mem};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The model to open at the next start.
    pub last_model: Option<PathBuf>,
}

#[derive(Debug)]
pub struct SettingsFile {
    /// None where the system names no directory for it: nothing is remembered then.
    path: Option<PathBuf>,
    value: Mutex<Settings>,
}

/// In the directory that the system gives for configuration.
pub fn default_path() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("app", "sotto", "Sotto")?;
    Some(dirs.config_dir().join("settings.json"))
}

/// Where conversations are kept: `SOTTO_DATA_DIR`, else the directory that the system gives for data.
pub fn library_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("SOTTO_DATA_DIR").filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    match directories::ProjectDirs::from("app", "sotto", "Sotto") {
        Some(dirs) => dirs.data_local_dir().to_owned(),
        // No home directory: it cannot be made either, and the window says so.
        None => PathBuf::from("sotto-data"),
    }
}

impl SettingsFile {
    pub fn load(path: Option<PathBuf>) -> SettingsFile {
        let value = path.as_deref().map(read).unwrap_or_default();
        SettingsFile {
            path,
            value: Mutex::new(value),
        }
    }

    pub fn get(&self) -> Settings {
        self.value
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes settings and writes them, if anything did change.
    pub fn update(&self, change: impl FnOnce(&mut Settings)) -> io::Result<()> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = value.clone();
        change(&mut changed);
        if *value == changed {
            return Ok(());
        }
        // In force even if the disk refuses it.
        let _ = mem::replace(&mut *value, changed);
        match &self.path {
            Some(path) => write(path, &value),
            None => Ok(()),
        }
    }
}

fn read(path: &Path) -> Settings {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Settings::default(),
        Err(e) => return set_aside(path, &e),
    };
    serde_json::from_str(&text).unwrap_or_else(|e| set_aside(path, &e))
}

fn set_aside(path: &Path, reason: &dyn std::error::Error) -> Settings {
    let aside = path.with_extension("broken.json");
    eprintln!(
        "sotto: {} cannot be read ({reason}); it is kept as {} and defaults are used",
        path.display(),
        aside.display()
    );
    if let Err(e) = fs::rename(path, &aside) {
        eprintln!("sotto: it could not be kept: {e}");
    }
    Settings::default()
}

fn write(path: &Path, settings: &Settings) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    // In the same directory: a file can be renamed over another only within one file system.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer_pretty(&mut file, settings)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(file: &SettingsFile, model: &str) {
        file.update(|settings| settings.last_model = Some(model.into()))
            .expect("the directory is writable");
    }

    #[test]
    fn remembers_in_a_directory_that_did_not_exist() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("new").join("settings.json");
        let file = SettingsFile::load(Some(path.clone()));
        assert_eq!(file.get(), Settings::default());
        remember(&file, "/models/a");
        remember(&file, "/models/b");
        let again = SettingsFile::load(Some(path.clone())).get();
        assert_eq!(again.last_model, Some("/models/b".into()));
        let files = fs::read_dir(path.parent().expect("has one")).expect("lists");
        assert_eq!(files.count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_broken_file_is_kept_aside() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("settings.json");
        fs::write(&path, "{\"last_model\": \"/mod").expect("writes");
        let file = SettingsFile::load(Some(path.clone()));
        assert_eq!(file.get(), Settings::default());
        let aside = fs::read_to_string(dir.path().join("settings.broken.json"));
        assert_eq!(aside.expect("is there"), "{\"last_model\": \"/mod");
        remember(&file, "/models/a");
        assert_eq!(
            SettingsFile::load(Some(path)).get().last_model,
            Some("/models/a".into())
        );
    }

    #[test]
    fn fields_of_a_later_version_do_no_harm() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("settings.json");
        fs::write(&path, r#"{"theme": "dark"}"#).expect("writes");
        assert_eq!(SettingsFile::load(Some(path)).get(), Settings::default());
    }

    #[test]
    fn works_without_a_place_to_write() {
        let file = SettingsFile::load(None);
        remember(&file, "/models/a");
        assert_eq!(file.get().last_model, Some("/models/a".into()));
    }
}

//! Where Sotto keeps what it remembers. `SOTTO_DATA_DIR` puts all of it into one folder.

use std::env;
use std::path::PathBuf;

use directories::ProjectDirs;

/// None where the system names no folder for it.
pub fn settings_file() -> Option<PathBuf> {
    let folder = match chosen() {
        Some(folder) => folder,
        None => dirs()?.config_dir().to_owned(),
    };
    Some(folder.join("settings.json"))
}

/// Of the conversations, and of Sotto's own models.
pub fn data() -> PathBuf {
    match (chosen(), dirs()) {
        (Some(folder), _) => folder,
        (None, Some(dirs)) => dirs.data_local_dir().to_owned(),
        // No home directory: it cannot be made either, and the window says so.
        (None, None) => PathBuf::from("sotto-data"),
    }
}

fn chosen() -> Option<PathBuf> {
    let folder = env::var_os("SOTTO_DATA_DIR").filter(|folder| !folder.is_empty())?;
    Some(folder.into())
}

fn dirs() -> Option<ProjectDirs> {
    ProjectDirs::from("app", "sotto", "Sotto")
}

//! The computer around Sotto: its memory, its file manager.

use std::path::{Path, PathBuf};

use api::{ApiError, ErrorCode, MemoryFigures};

use super::blocking;

#[tauri::command]
#[specta::specta]
pub async fn memory_figures() -> Result<Option<MemoryFigures>, ApiError> {
    blocking(|| Ok(api::memory_figures())).await
}

/// Shows a file where it lies, or a folder's contents, in the file manager.
#[tauri::command]
#[specta::specta]
pub async fn reveal(path: PathBuf) -> Result<(), ApiError> {
    blocking(move || show(&path)).await
}

fn show(path: &Path) -> Result<(), ApiError> {
    let name = path.display();
    let shown = if path.is_dir() {
        tauri_plugin_opener::open_path(path, None::<&str>)
    } else if path.exists() {
        tauri_plugin_opener::reveal_item_in_dir(path)
    } else {
        let message = format!("{name} is not there any more.");
        return Err(ApiError::new(ErrorCode::ModelMissing, message));
    };
    shown.map_err(|e| {
        let message = format!("No file manager could be opened ({e}). It is {name}.");
        ApiError::new(ErrorCode::Unsupported, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_shown() {
        let error = show(Path::new("/no/such/place")).expect_err("it is not there");
        assert_eq!(error.code, ErrorCode::ModelMissing);
        assert!(error.message.contains("/no/such/place"));
    }
}

//! Conversations on disk, and the files of a question.

use std::path::PathBuf;

use api::{
    ApiError, Attached, ExportFormat, LibraryState, NoteEvent, NoteWish, SearchHit, ThreadEntry,
    ThreadView, ThreadsImported, Waveform,
};
use tauri::State;
use tauri::ipc::Channel;

use super::{blocking, outside};
use crate::Shell;

/// Opens the library if it is not open yet, and says where it is.
#[tauri::command]
#[specta::specta]
pub async fn library_state(shell: State<'_, Shell>) -> Result<LibraryState, ApiError> {
    let (api, folder) = (shell.api.clone(), shell.library.clone());
    blocking(move || {
        api.open_library(&folder)?;
        api.library_state()
    })
    .await
}

#[tauri::command]
#[specta::specta]
pub async fn threads(shell: State<'_, Shell>) -> Result<Vec<ThreadEntry>, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.threads()).await
}

/// With a message, the branch that goes through it is shown from now on.
#[tauri::command]
#[specta::specta]
pub async fn open_thread(
    shell: State<'_, Shell>,
    thread: String,
    message: Option<String>,
) -> Result<ThreadView, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.open_thread(&thread, message.as_deref())).await
}

#[tauri::command]
#[specta::specta]
pub async fn rename_thread(
    shell: State<'_, Shell>,
    thread: String,
    title: String,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.rename_thread(&thread, &title)).await
}

#[tauri::command]
#[specta::specta]
pub async fn pin_thread(
    shell: State<'_, Shell>,
    thread: String,
    pinned: bool,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.pin_thread(&thread, pinned)).await
}

#[tauri::command]
#[specta::specta]
pub async fn delete_thread(shell: State<'_, Shell>, thread: String) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.delete_thread(&thread)).await
}

#[tauri::command]
#[specta::specta]
pub async fn search(shell: State<'_, Shell>, query: String) -> Result<Vec<SearchHit>, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.search(&query)).await
}

#[tauri::command]
#[specta::specta]
pub async fn export_thread(
    shell: State<'_, Shell>,
    thread: String,
    format: ExportFormat,
    to: PathBuf,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.export_thread(&thread, format, &to)).await
}

/// Writes every conversation into a folder and returns their number.
#[tauri::command]
#[specta::specta]
pub async fn export_all(shell: State<'_, Shell>, folder: PathBuf) -> Result<u32, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.export_all(&folder)).await
}

#[tauri::command]
#[specta::specta]
pub async fn import_threads(
    shell: State<'_, Shell>,
    from: PathBuf,
) -> Result<ThreadsImported, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.import_threads(&from)).await
}

#[tauri::command]
#[specta::specta]
pub async fn erase_library(shell: State<'_, Shell>) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.erase_library()).await
}

#[tauri::command]
#[specta::specta]
pub async fn attach(shell: State<'_, Shell>, path: PathBuf) -> Result<Attached, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.attach(&path)).await
}

/// A picture from the clipboard, its bytes in base64.
#[tauri::command]
#[specta::specta]
pub async fn attach_pasted(
    shell: State<'_, Shell>,
    name: String,
    base64: String,
) -> Result<Attached, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.attach_pasted(&name, &base64)).await
}

/// Records a voice note, to be called `name`. Replies when it has ended.
#[tauri::command]
#[specta::specta]
pub async fn record_note(
    shell: State<'_, Shell>,
    run: String,
    name: String,
    events: Channel<NoteEvent>,
) -> Result<Attached, ApiError> {
    let api = shell.api.clone();
    let (kept, discarded) = (shell.keeping.start(&run), shell.discarding.start(&run));
    blocking(move || {
        let wish = || match (discarded.goes_on(), kept.goes_on()) {
            (false, _) => NoteWish::Discard,
            (true, false) => NoteWish::Keep,
            (true, true) => NoteWish::GoOn,
        };
        api.record_note(&name, &wish, &mut |event| {
            let _ = events.send(event);
        })
    })
    .await
}

/// Ends the voice note `run`, and keeps what was said or not.
#[tauri::command]
#[specta::specta]
pub fn end_note(shell: State<'_, Shell>, run: String, keep: bool) {
    if keep {
        shell.keeping.stop(&run);
    } else {
        shell.discarding.stop(&run);
    }
}

#[tauri::command]
#[specta::specta]
pub async fn discard_file(shell: State<'_, Shell>, file: String) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.discard_file(&file)).await
}

/// A picture as a data: address, at most `side` pixels wide and high.
#[tauri::command]
#[specta::specta]
pub async fn preview(shell: State<'_, Shell>, file: String, side: u32) -> Result<String, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.preview(&file, side)).await
}

#[tauri::command]
#[specta::specta]
pub async fn waveform(shell: State<'_, Shell>, file: String) -> Result<Waveform, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.waveform(&file)).await
}

/// Opens a file of a question in the program that the system has for it.
#[tauri::command]
#[specta::specta]
pub async fn open_file(shell: State<'_, Shell>, file: String) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || outside::open(&api.file_path(&file)?)).await
}

//! Live captions.

use api::{ApiError, LiveEvent, StartCaptions};
use tauri::ipc::Channel;
use tauri::{State, Webview};

use super::blocking;
use crate::Shell;

/// Shows the captions as they are, then what happens, for as long as the window is there.
#[tauri::command]
#[specta::specta]
pub fn watch_captions(shell: State<'_, Shell>, webview: Webview, events: Channel<LiveEvent>) {
    // A page that was loaded anew, or a window that was closed and opened: what the earlier one heard of goes nowhere.
    shell.watching.stop(webview.label());
    let ticket = shell.watching.start(webview.label());
    shell
        .api
        .watch_captions(move |event| ticket.goes_on() && events.send(event.clone()).is_ok());
}

/// Replies with the id of the transcript when the devices are open.
#[tauri::command]
#[specta::specta]
pub async fn start_captions(
    shell: State<'_, Shell>,
    start: StartCaptions,
) -> Result<String, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.start_captions(start)).await
}

/// Ends the sound; the rest of it is written down.
#[tauri::command]
#[specta::specta]
pub fn stop_captions(shell: State<'_, Shell>) {
    shell.api.stop_captions();
}

/// Leaves what is not written down yet for later.
#[tauri::command]
#[specta::specta]
pub fn leave_captions(shell: State<'_, Shell>) {
    shell.api.leave_captions();
}

/// Another language pair, by name or code, from the line on that is being written.
#[tauri::command]
#[specta::specta]
pub fn set_caption_languages(
    shell: State<'_, Shell>,
    language: Option<String>,
    translate: Option<String>,
) -> Result<(), ApiError> {
    let api = &shell.api;
    api.set_caption_languages(language.as_deref(), translate.as_deref())
}

/// Writes down the rest of a transcript's sound.
#[tauri::command]
#[specta::specta]
pub async fn resume_transcript(
    shell: State<'_, Shell>,
    transcript: String,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.resume_transcript(&transcript)).await
}

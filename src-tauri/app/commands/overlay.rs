//! The window of captions that floats over everything else, and the keys for it.

use api::{ApiError, OverlayChange};
use tauri::ipc::Channel;
use tauri::{AppHandle, State, Webview};
use tauri_specta::Event;

use super::blocking;
use crate::actions::{Toggle, perform};
use crate::overlay::{self, OverlayView};
use crate::shortcuts::{self, ShortcutsState};
use crate::{Shell, StyleWished, show_window};

/// Tells how the overlay is, then what changes of it, for as long as the window is there.
#[tauri::command]
#[specta::specta]
pub fn watch_overlay(app: AppHandle, webview: Webview, events: Channel<OverlayView>) {
    overlay::watch(&app, webview.label(), events);
}

#[tauri::command]
#[specta::specta]
pub async fn open_overlay(app: AppHandle) -> Result<(), ApiError> {
    blocking(move || overlay::open(&app)).await
}

#[tauri::command]
#[specta::specta]
pub async fn close_overlay(app: AppHandle) -> Result<(), ApiError> {
    blocking(move || overlay::close(&app)).await
}

/// The change holds even if it could not be written, which is the error then.
#[tauri::command]
#[specta::specta]
pub async fn change_overlay(app: AppHandle, change: OverlayChange) -> Result<(), ApiError> {
    blocking(move || overlay::change(&app, change)).await
}

/// Gives the window the height of its lines, in pixels of the page, and shows it.
#[tauri::command]
#[specta::specta]
pub async fn resize_overlay(app: AppHandle, height: u32) -> Result<(), ApiError> {
    blocking(move || overlay::resize(&app, height)).await
}

/// Whether the mouse reaches what is behind the overlay.
#[tauri::command]
#[specta::specta]
pub async fn set_click_through(app: AppHandle, on: bool) -> Result<(), ApiError> {
    blocking(move || overlay::set_click_through(&app, on)).await
}

/// Moves the overlay by so many pixels of the page.
#[tauri::command]
#[specta::specta]
pub async fn shift_overlay(app: AppHandle, right: i32, down: i32) -> Result<(), ApiError> {
    blocking(move || overlay::shift(&app, right, down)).await
}

/// Begins to move the overlay with the mouse whose button is down.
#[tauri::command]
#[specta::specta]
pub async fn drag_overlay(app: AppHandle) -> Result<(), ApiError> {
    blocking(move || overlay::drag(&app)).await
}

/// Gives the overlay the keyboard.
#[tauri::command]
#[specta::specta]
pub async fn focus_overlay(app: AppHandle) -> Result<(), ApiError> {
    blocking(move || overlay::focus(&app)).await
}

/// Shows the main window with the overlay's style.
#[tauri::command]
#[specta::specta]
pub fn show_overlay_style(app: AppHandle) {
    show_window(&app);
    if let Err(e) = StyleWished.emit_to(&app, "main") {
        eprintln!("sotto: could not tell the window: {e}");
    }
}

/// Asks the main window to begin captions, or to end them.
#[tauri::command]
#[specta::specta]
pub fn toggle_captions(app: AppHandle) {
    perform(&app, Toggle::Captions);
}

/// Whether someone wants captions to begin, or to end; it is forgotten with the reply.
#[tauri::command]
#[specta::specta]
pub fn take_captions_wish(shell: State<'_, Shell>) -> bool {
    shell.wish.take()
}

/// Brings the main window to the front.
#[tauri::command]
#[specta::specta]
pub fn show_main_window(app: AppHandle) {
    show_window(&app);
}

#[tauri::command]
#[specta::specta]
pub fn shortcuts_state(app: AppHandle) -> ShortcutsState {
    shortcuts::state(&app)
}

/// Gives an action other keys, such as `Ctrl+Shift+F9`, or none. Keys that cannot be had leave it as it is; the reply
/// says why.
#[tauri::command]
#[specta::specta]
pub async fn bind_shortcut(
    app: AppHandle,
    action: Toggle,
    keys: Option<String>,
) -> Result<ShortcutsState, ApiError> {
    blocking(move || shortcuts::bind(&app, action, keys.as_deref())).await
}

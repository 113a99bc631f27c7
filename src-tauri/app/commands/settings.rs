//! What the user has chosen.

use api::{ApiError, Language, SettingChange, SettingsState};
use tauri::{AppHandle, Manager, State};

use super::blocking;
use crate::{Shell, overlay, tray};

#[tauri::command]
#[specta::specta]
pub fn settings_state(shell: State<'_, Shell>) -> SettingsState {
    shell.settings.state()
}

/// The changes hold even if they could not be written, which is the error then.
#[tauri::command]
#[specta::specta]
pub async fn change_settings(app: AppHandle, changes: Vec<SettingChange>) -> Result<(), ApiError> {
    blocking(move || {
        let shell = app.state::<Shell>();
        let written = shell.settings.update(|settings| {
            for change in changes {
                settings.apply(change);
            }
        });
        crate::wear_theme(&app, shell.settings.get().theme);
        overlay::tell(&app);
        written
    })
    .await
}

/// Writes the tray's menu in the language that the page has found. False if there is no tray on this desktop.
#[tauri::command]
#[specta::specta]
pub fn speak_tray(app: AppHandle, language: Language) -> bool {
    tray::speak(&app, language)
}

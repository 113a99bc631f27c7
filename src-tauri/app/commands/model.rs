//! Opening, watching and closing the model.

use std::path::PathBuf;

use api::{ApiError, ModelList, ModelState, ModelSummary, OpenModel, OpenProgress};
use tauri::ipc::Channel;
use tauri::path::BaseDirectory;
use tauri::{AppHandle, Manager, State};

use super::blocking;
use crate::Shell;

/// One model at a time, so one key.
const OPENING: &str = "model";

const IMPORTING: &str = "import";

/// Where `tauri.conf.json` puts the demo model.
const DEMO: &str = "demo/sotto-demo.gguf";

#[tauri::command]
#[specta::specta]
pub async fn model_state(shell: State<'_, Shell>) -> Result<ModelState, ApiError> {
    let api = shell.api.clone();
    blocking(move || Ok(api.model_state())).await
}

/// The model to open at start: that of the command line, else the chosen one, else the one that was open last.
#[tauri::command]
#[specta::specta]
pub fn start_model(shell: State<'_, Shell>) -> Option<PathBuf> {
    let settings = shell.settings.get();
    let argument = shell.model_argument.clone();
    argument.or(settings.default_model).or(settings.last_model)
}

/// The demo model that comes with Sotto; none if someone took it out of the installation.
#[tauri::command]
#[specta::specta]
pub fn demo_model(app: AppHandle) -> Option<PathBuf> {
    let path = app.path().resolve(DEMO, BaseDirectory::Resource).ok()?;
    path.is_file().then_some(path)
}

/// What lies in Sotto's own folder and in those of the settings.
#[tauri::command]
#[specta::specta]
pub async fn list_models(app: AppHandle) -> Result<ModelList, ApiError> {
    blocking(move || {
        let shell = app.state::<Shell>();
        let demo = demo_model(app.clone());
        let added = shell.settings.get().model_folders;
        Ok(api::list_models(&shell.models, &added, demo.as_deref()))
    })
    .await
}

#[tauri::command]
#[specta::specta]
pub async fn open_model(
    shell: State<'_, Shell>,
    path: PathBuf,
    progress: Channel<OpenProgress>,
) -> Result<ModelSummary, ApiError> {
    let api = shell.api.clone();
    let ticket = shell.opening.start(OPENING);
    let opened = path.clone();
    let open = OpenModel {
        path,
        memory: shell.settings.get().memory_limit(),
        ..OpenModel::default()
    };
    let summary = blocking(move || {
        api.open_model(&open, &mut |step| {
            progress.send(step).is_ok() && ticket.goes_on()
        })
    })
    .await?;
    if let Err(e) = shell
        .settings
        .update(|settings| settings.last_model = Some(opened))
    {
        eprintln!("sotto: the model could not be remembered for the next start: {e}");
    }
    Ok(summary)
}

#[tauri::command]
#[specta::specta]
pub fn cancel_open(shell: State<'_, Shell>) {
    shell.opening.stop(OPENING);
}

/// Makes a package of a Hugging Face folder in Sotto's own, and returns its path. The progress is in percent.
#[tauri::command]
#[specta::specta]
pub async fn import_model(
    shell: State<'_, Shell>,
    source: PathBuf,
    progress: Channel<u32>,
) -> Result<PathBuf, ApiError> {
    let folder = shell.models.clone();
    let ticket = shell.opening.start(IMPORTING);
    blocking(move || {
        api::import_model(&source, &folder, &|percent| {
            // It goes on if the page is loaded anew.
            let _ = progress.send(percent);
            ticket.goes_on()
        })
    })
    .await
}

#[tauri::command]
#[specta::specta]
pub fn cancel_import(shell: State<'_, Shell>) {
    shell.opening.stop(IMPORTING);
}

#[tauri::command]
#[specta::specta]
pub async fn close_model(shell: State<'_, Shell>) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || {
        api.close_model();
        Ok(())
    })
    .await
}

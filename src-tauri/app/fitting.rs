//! Keeps the model in the memory that there is while the window is open.

use std::thread;
use std::time::Duration;

use api::ModelSummary;
use tauri::{AppHandle, Manager};
use tauri_specta::Event;

use crate::Shell;

/// How often to look at the machine.
const INTERVAL: Duration = Duration::from_secs(3);

/// The model goes on with another size, or with more or fewer of its parts: there is less memory or more.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, specta::Type, Event)]
pub struct ModelFitted {
    pub model: ModelSummary,
}

/// Begins to look, for the life of the process.
pub fn begin(app: AppHandle) {
    let looking = thread::Builder::new().name("fitting".into());
    let begun = looking.spawn(move || {
        loop {
            thread::sleep(INTERVAL);
            look(&app);
        }
    });
    if let Err(e) = begun {
        eprintln!("sotto: the model will not follow the memory that is free: {e}");
    }
}

fn look(app: &AppHandle) {
    let shell = app.state::<Shell>();
    let limit = shell.settings.get().memory_limit();
    let told = match shell.api.fit_model(limit) {
        Ok(None) => return,
        Ok(Some(model)) => (ModelFitted { model }).emit(app).map_err(|e| e.to_string()),
        Err(error) => Err(error.message),
    };
    if let Err(e) = told {
        eprintln!("sotto: the model could not be fitted to the memory: {e}");
    }
}

//! The desktop shell: one window, and the commands that it may call. Thin: it calls `api`, it never computes.
//!
//! This is the only Rust that knows Tauri.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use api::Api;
use tauri::Manager;
use tauri_specta::Event;

mod args;
mod bindings;
mod commands;
mod running;
mod settings;

use args::Args;
use running::Running;
use settings::SettingsFile;

/// What the commands share.
struct Shell {
    api: Api,
    settings: SettingsFile,
    /// Where conversations are kept.
    library: PathBuf,
    /// The model of the command line, which goes before the remembered one.
    model_argument: Option<PathBuf>,
    opening: Running,
    answering: Running,
}

/// Someone started Sotto a second time, with a model: this window opens it instead.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, specta::Type, Event)]
struct OpenRequested {
    path: String,
}

/// The whole program; `args` come without the program's name.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match Args::parse(args) {
        Ok(Args::Print(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Args::Window { model }) => window(model),
        Err(sentence) => {
            eprintln!("sotto: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn window(model: Option<PathBuf>) -> ExitCode {
    // GTK panics without a display.
    if cfg!(target_os = "linux") && !has_display() {
        eprintln!("sotto: there is no display to open a window on. sotto-cli works without one.");
        return ExitCode::FAILURE;
    }
    let shell = Shell {
        api: Api::new(),
        settings: SettingsFile::load(settings::default_path()),
        library: settings::library_folder(),
        model_argument: model.map(absolute),
        opening: Running::default(),
        answering: Running::default(),
    };
    let bindings = bindings::builder();
    let result = tauri::Builder::default()
        // First, so that a second process ends before it does anything else.
        .plugin(tauri_plugin_single_instance::init(|app, args, cwd| {
            let args = args.into_iter().skip(1).map(OsString::from);
            second_start(app, args, PathBuf::from(cwd));
        }))
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_window_state::Builder::default().build())
        .manage(shell)
        .invoke_handler(bindings.invoke_handler())
        .setup(move |app| {
            bindings.mount_events(app);
            Ok(())
        })
        .run(tauri::generate_context!());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("sotto: the window could not be opened: {e}");
            ExitCode::FAILURE
        }
    }
}

fn second_start(app: &tauri::AppHandle, args: impl Iterator<Item = OsString>, cwd: PathBuf) {
    if let Some(window) = app.get_webview_window("main") {
        let _ = window.unminimize();
        let _ = window.set_focus();
    }
    if let Ok(Args::Window { model: Some(model) }) = Args::parse(args) {
        let path = cwd.join(model).to_string_lossy().into_owned();
        if let Err(e) = (OpenRequested { path }).emit(app) {
            eprintln!("sotto: could not pass the model to the window: {e}");
        }
    }
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

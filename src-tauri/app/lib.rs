//! The desktop shell: one window, and the commands that it may call. Thin: it calls `api`, it never computes.
//!
//! This is the only Rust that knows Tauri.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use api::{Api, SettingsFile, Theme};
use tauri::{AppHandle, Manager, WindowEvent};
use tauri_specta::Event;

mod actions;
mod again;
mod args;
mod bindings;
mod commands;
mod fitting;
mod folders;
mod overlay;
mod running;
mod session;
mod shortcuts;
mod tray;

use actions::Toggle;
use args::Args;
use running::Running;
use tauri_plugin_window_state::StateFlags;

/// What the commands share.
struct Shell {
    api: Api,
    settings: SettingsFile,
    /// Where conversations are kept.
    library: PathBuf,
    /// Where imported models go.
    models: PathBuf,
    /// The model of the command line, which goes before the remembered one.
    model_argument: Option<PathBuf>,
    opening: Running,
    answering: Running,
    /// Voice notes: to end them, and to throw them away.
    keeping: Running,
    discarding: Running,
    /// Who watches the captions, by the label of the window.
    watching: Running,
    overlay: overlay::Overlay,
    wish: actions::Wish,
    problems: shortcuts::Problems,
}

/// Someone started Sotto a second time, with a model: this window opens it instead.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, specta::Type, Event)]
struct OpenRequested {
    path: String,
}

/// The overlay's style is to be seen in the main window.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, specta::Type, Event)]
struct StyleWished;

/// The whole program; `args` come without the program's name.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match Args::parse(args) {
        Ok(Args::Print(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Args::Window { model, action }) => window(model, action),
        Err(sentence) => {
            eprintln!("sotto: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn window(model: Option<PathBuf>, action: Option<Toggle>) -> ExitCode {
    // GTK panics without a display.
    if cfg!(target_os = "linux") && !session::has_display() {
        eprintln!("sotto: there is no display to open a window on. sotto-cli works without one.");
        return ExitCode::FAILURE;
    }
    let shell = Shell {
        api: Api::new(),
        settings: SettingsFile::load(folders::settings_file()),
        library: folders::data(),
        models: folders::data().join("models"),
        model_argument: model.map(absolute),
        opening: Running::default(),
        answering: Running::default(),
        keeping: Running::default(),
        discarding: Running::default(),
        watching: Running::default(),
        overlay: overlay::Overlay::default(),
        wish: actions::Wish::default(),
        problems: shortcuts::Problems::default(),
    };
    let bindings = bindings::builder();
    let result = tauri::Builder::default()
        // First, so that a second process ends before it does anything else.
        .plugin(tauri_plugin_single_instance::init(|app, args, cwd| {
            let args = args.into_iter().skip(1).map(OsString::from);
            second_start(app, args, PathBuf::from(cwd));
        }))
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_global_shortcut::Builder::new().build())
        .plugin(
            tauri_plugin_window_state::Builder::default()
                // Sotto may end while its window is hidden, and is to be seen at the next start.
                .with_state_flags(StateFlags::all() & !StateFlags::VISIBLE)
                // Its place goes with its mode, in the settings.
                .with_denylist(&[overlay::LABEL])
                .build(),
        )
        .manage(shell)
        .invoke_handler(bindings.invoke_handler())
        .setup(move |app| {
            bindings.mount_events(app);
            tray::put_up(app.handle());
            fitting::begin(app.handle().clone());
            wear_theme(app.handle(), app.state::<Shell>().settings.get().theme);
            shortcuts::put_up(app.handle());
            if let Some(action) = action {
                actions::perform(app.handle(), action);
            }
            Ok(())
        })
        .on_window_event(|window, event| {
            let app = window.app_handle();
            if matches!(event, WindowEvent::Destroyed) {
                app.state::<Shell>().watching.stop(window.label());
            }
            if window.label() == overlay::LABEL {
                return overlay::on_event(app, event);
            }
            if matches!(event, WindowEvent::Destroyed) {
                // It would go on alone, without a way to anything else.
                app.exit(0);
            }
            if let WindowEvent::CloseRequested { api, .. } = event
                && app.state::<Shell>().settings.get().close_to_tray
                && tray::is_up(app)
                && window.hide().is_ok()
            {
                api.prevent_close();
            }
        })
        .run(tauri::generate_context!());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The Sotto that this start was to join has ended while it was called.
        Err(tauri::Error::PluginInitialization(plugin, e)) if plugin == "single-instance" => {
            again::start_again(&e)
        }
        Err(e) => {
            eprintln!("sotto: the window could not be opened: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The frame of the window; the page dresses itself.
fn wear_theme(app: &AppHandle, theme: Theme) {
    let theme = match theme {
        Theme::System => None,
        Theme::Light => Some(tauri::Theme::Light),
        Theme::Dark => Some(tauri::Theme::Dark),
    };
    app.set_theme(theme);
}

fn show_window(app: &AppHandle) {
    if let Some(window) = app.get_webview_window("main") {
        let _ = window.show();
        let _ = window.unminimize();
        let _ = window.set_focus();
    }
}

fn second_start(app: &AppHandle, args: impl Iterator<Item = OsString>, cwd: PathBuf) {
    let args = Args::parse(args);
    if let Ok(Args::Window {
        model: None,
        action: Some(action),
    }) = args
    {
        return actions::perform(app, action);
    }
    show_window(app);
    if let Ok(Args::Window {
        model: Some(model), ..
    }) = args
    {
        let path = cwd.join(model).to_string_lossy().into_owned();
        if let Err(e) = (OpenRequested { path }).emit(app) {
            eprintln!("sotto: could not pass the model to the window: {e}");
        }
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

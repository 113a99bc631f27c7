//! What can be asked of Sotto from everywhere: by a global shortcut, from the tray, by a second start.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::{AppHandle, Manager};
use tauri_specta::Event;

use crate::{Shell, overlay};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    ToggleCaptions,
    ToggleOverlay,
    ToggleClickThrough,
}

impl Action {
    pub const ALL: [Action; 3] = [
        Action::ToggleCaptions,
        Action::ToggleOverlay,
        Action::ToggleClickThrough,
    ];

    /// On the command line, and in the tray's menu.
    pub fn name(self) -> &'static str {
        match self {
            Action::ToggleCaptions => "toggle-captions",
            Action::ToggleOverlay => "toggle-overlay",
            Action::ToggleClickThrough => "toggle-click-through",
        }
    }

    pub fn from_name(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// Someone wants captions to begin, or to end: the main window asks for the wish and fulfils it.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
pub struct CaptionsWished;

/// Kept until the page takes it: it may just be loading.
#[derive(Default)]
pub struct Wish(AtomicBool);

impl Wish {
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

pub fn perform(app: &AppHandle, action: Action) {
    match action {
        Action::ToggleCaptions => {
            app.state::<Shell>().wish.0.store(true, Ordering::Relaxed);
            if let Err(e) = CaptionsWished.emit_to(app, "main") {
                eprintln!("sotto: could not tell the window: {e}");
            }
        }
        Action::ToggleOverlay => overlay::toggle(app),
        Action::ToggleClickThrough => overlay::toggle_click_through(app),
    }
}

//! What can be asked of Sotto from everywhere: by a global shortcut, from the tray, by a second start.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::{AppHandle, Manager};
use tauri_specta::Event;

use crate::{Shell, overlay};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub enum Toggle {
    #[serde(rename = "toggle_captions")]
    Captions,
    #[serde(rename = "toggle_overlay")]
    Overlay,
    #[serde(rename = "toggle_click_through")]
    ClickThrough,
}

impl Toggle {
    pub const ALL: [Toggle; 3] = [Toggle::Captions, Toggle::Overlay, Toggle::ClickThrough];

    /// On the command line, and in the tray's menu.
    pub fn name(self) -> &'static str {
        match self {
            Toggle::Captions => "toggle-captions",
            Toggle::Overlay => "toggle-overlay",
            Toggle::ClickThrough => "toggle-click-through",
        }
    }

    pub fn from_name(name: &str) -> Option<Toggle> {
        Toggle::ALL.into_iter().find(|action| action.name() == name)
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

pub fn perform(app: &AppHandle, action: Toggle) {
    match action {
        Toggle::Captions => {
            app.state::<Shell>().wish.0.store(true, Ordering::Relaxed);
            if let Err(e) = CaptionsWished.emit_to(app, "main") {
                eprintln!("sotto: could not tell the window: {e}");
            }
        }
        Toggle::Overlay => overlay::toggle(app),
        Toggle::ClickThrough => overlay::toggle_click_through(app),
    }
}

//! Keys that reach Sotto while another window has the keyboard.

use std::sync::{Mutex, MutexGuard, PoisonError};

use api::{ApiError, GlobalShortcuts};
use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::{AppHandle, Manager};
use tauri_plugin_global_shortcut::{GlobalShortcutExt, Modifiers, Shortcut, ShortcutState};

use crate::actions::{Toggle, perform};
use crate::{Shell, session};

/// The shortcuts as a window shows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ShortcutsState {
    pub bindings: Vec<ShortcutBinding>,
    /// On Wayland a program cannot take keys from others: the desktop's own settings have to start Sotto's commands.
    pub is_refused: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ShortcutBinding {
    pub action: Toggle,
    /// Such as `Ctrl+Shift+F9`; none if there is no shortcut for it.
    pub keys: Option<String>,
    pub problem: Option<ShortcutProblem>,
    /// What the desktop can start instead.
    pub command: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum ShortcutProblem {
    /// No keys that the system could take.
    Unknown,
    /// Without Ctrl, Alt or the system's key it would take a letter from every program.
    NeedsModifier,
    /// Another action of Sotto has these keys.
    UsedFor { action: Toggle },
    /// Another program has them.
    Taken,
}

/// What stands in the way of the shortcuts in the settings.
#[derive(Default)]
pub struct Problems(Mutex<Vec<(Toggle, ShortcutProblem)>>);

impl Problems {
    fn all(&self) -> MutexGuard<'_, Vec<(Toggle, ShortcutProblem)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn state(app: &AppHandle) -> ShortcutsState {
    let shell = app.state::<Shell>();
    let shortcuts = shell.settings.get().shortcuts;
    let problems = shell.problems.all();
    let binding = |action: Toggle| ShortcutBinding {
        action,
        keys: keys_of(&shortcuts, action).clone(),
        problem: problems.iter().find(|(a, _)| *a == action).map(|p| p.1),
        command: format!("sotto --{}", action.name()),
    };
    ShortcutsState {
        bindings: Toggle::ALL.map(binding).into(),
        is_refused: session::is_wayland(),
    }
}

/// Takes the keys of the settings, as far as the system gives them.
pub fn put_up(app: &AppHandle) {
    let shell = app.state::<Shell>();
    let shortcuts = shell.settings.get().shortcuts;
    if session::is_wayland() {
        return;
    }
    for action in Toggle::ALL {
        if let Some(keys) = keys_of(&shortcuts, action)
            && let Err(problem) = parse(keys).and_then(|keys| take(app, action, keys))
        {
            shell.problems.all().push((action, problem));
        }
    }
}

/// Gives an action other keys, or none. Keys that cannot be had leave it as it is; the reply says why.
pub fn bind(
    app: &AppHandle,
    action: Toggle,
    keys: Option<&str>,
) -> Result<ShortcutsState, ApiError> {
    let shell = app.state::<Shell>();
    let shortcuts = shell.settings.get().shortcuts;
    shell.problems.all().retain(|(a, _)| *a != action);
    let before = keys_of(&shortcuts, action)
        .as_deref()
        .and_then(|keys| parse(keys).ok());
    let wanted = match keys {
        Some(keys) => match parse(keys).and_then(|wanted| free(&shortcuts, action, wanted)) {
            Ok(wanted) => Some(wanted),
            Err(problem) => return Ok(refused(app, action, problem)),
        },
        None => None,
    };
    if !session::is_wayland() && wanted != before {
        if let Some(wanted) = wanted
            && let Err(problem) = take(app, action, wanted)
        {
            return Ok(refused(app, action, problem));
        }
        if let Some(before) = before {
            // Keys that were never ours cannot be given back, and need not.
            let _ = app.global_shortcut().unregister(before);
        }
    }
    shell.settings.update(|settings| {
        *keys_mut(&mut settings.shortcuts, action) = keys.map(str::to_owned);
    })?;
    Ok(state(app))
}

fn refused(app: &AppHandle, action: Toggle, problem: ShortcutProblem) -> ShortcutsState {
    let mut state = state(app);
    for binding in &mut state.bindings {
        if binding.action == action {
            binding.problem = Some(problem);
        }
    }
    state
}

fn take(app: &AppHandle, action: Toggle, keys: Shortcut) -> Result<(), ShortcutProblem> {
    let taken = app
        .global_shortcut()
        .on_shortcut(keys, move |app, _, event| {
            if event.state == ShortcutState::Pressed {
                perform(app, action);
            }
        });
    taken.map_err(|_| ShortcutProblem::Taken)
}

fn parse(keys: &str) -> Result<Shortcut, ShortcutProblem> {
    let parsed: Shortcut = keys.parse().map_err(|_| ShortcutProblem::Unknown)?;
    let strong = Modifiers::CONTROL | Modifiers::ALT | Modifiers::SUPER;
    if parsed.mods.intersects(strong) {
        Ok(parsed)
    } else {
        Err(ShortcutProblem::NeedsModifier)
    }
}

/// These keys, unless another action has them.
fn free(
    shortcuts: &GlobalShortcuts,
    action: Toggle,
    wanted: Shortcut,
) -> Result<Shortcut, ShortcutProblem> {
    let has = |other: &Toggle| {
        let keys = keys_of(shortcuts, *other).as_deref();
        *other != action && keys.and_then(|keys| parse(keys).ok()) == Some(wanted)
    };
    match Toggle::ALL.into_iter().find(has) {
        Some(action) => Err(ShortcutProblem::UsedFor { action }),
        None => Ok(wanted),
    }
}

fn keys_of(shortcuts: &GlobalShortcuts, action: Toggle) -> &Option<String> {
    match action {
        Toggle::Captions => &shortcuts.toggle_captions,
        Toggle::Overlay => &shortcuts.toggle_overlay,
        Toggle::ClickThrough => &shortcuts.toggle_click_through,
    }
}

fn keys_mut(shortcuts: &mut GlobalShortcuts, action: Toggle) -> &mut Option<String> {
    match action {
        Toggle::Captions => &mut shortcuts.toggle_captions,
        Toggle::Overlay => &mut shortcuts.toggle_overlay,
        Toggle::ClickThrough => &mut shortcuts.toggle_click_through,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortcuts_of_a_first_start_are_valid_and_different() {
        let shortcuts = GlobalShortcuts::default();
        for action in Toggle::ALL {
            let keys = keys_of(&shortcuts, action).as_deref().expect("has one");
            let keys = parse(keys).expect("is valid");
            assert_eq!(free(&shortcuts, action, keys), Ok(keys));
        }
    }

    #[test]
    fn what_is_no_shortcut_is_told_apart() {
        assert!(parse("Ctrl+Shift+KeyK").is_ok());
        assert!(parse("Super+Comma").is_ok());
        assert_eq!(parse("KeyK"), Err(ShortcutProblem::NeedsModifier));
        assert_eq!(parse("Shift+KeyK"), Err(ShortcutProblem::NeedsModifier));
        for nonsense in ["", "Ctrl", "Ctrl+Nothing", "Ctrl+A+B"] {
            assert_eq!(parse(nonsense), Err(ShortcutProblem::Unknown), "{nonsense}");
        }
    }

    #[test]
    fn two_actions_never_share_keys() {
        let shortcuts = GlobalShortcuts::default();
        // The same keys in another spelling.
        let keys = parse("Shift+Control+F10").expect("is valid");
        let used = ShortcutProblem::UsedFor {
            action: Toggle::Overlay,
        };
        assert_eq!(free(&shortcuts, Toggle::Captions, keys), Err(used));
        assert_eq!(free(&shortcuts, Toggle::Overlay, keys), Ok(keys));
    }
}

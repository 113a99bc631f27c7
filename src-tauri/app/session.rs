//! What kind of desktop this is.

use std::env;

/// Whether there is a display at all; GTK panics without one.
pub fn has_display() -> bool {
    is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Wayland lets no program place its windows or take keys that another window has.
pub fn is_wayland() -> bool {
    cfg!(target_os = "linux") && is_set("WAYLAND_DISPLAY")
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

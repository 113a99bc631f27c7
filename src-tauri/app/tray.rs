//! The icon in the tray, where the desktop has one.

use std::panic;

use api::Language;
use tauri::menu::{Menu, MenuItem};
use tauri::tray::{MouseButton, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Wry};

use crate::actions::{Toggle, perform};

const ID: &str = "sotto";

/// Puts the icon there. Where that cannot be done Sotto goes without it, and closing its window ends it.
pub fn put_up(app: &AppHandle) {
    // On Linux the library behind it is loaded at this moment, and a missing one is a panic.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(panic::AssertUnwindSafe(|| build(app)));
    panic::set_hook(hook);
    match built {
        Ok(Ok(())) => {}
        Ok(Err(e)) => eprintln!("sotto: this desktop has no tray: {e}"),
        Err(_) => eprintln!("sotto: there is no tray without libayatana-appindicator3"),
    }
}

pub fn is_up(app: &AppHandle) -> bool {
    app.tray_by_id(ID).is_some()
}

/// Writes the menu in this language; false if there is no tray.
pub fn speak(app: &AppHandle, language: Language) -> bool {
    let menu = menu(app, language);
    match (app.tray_by_id(ID), menu) {
        (Some(tray), Ok(menu)) => tray.set_menu(Some(menu)).is_ok(),
        _ => false,
    }
}

fn build(app: &AppHandle) -> tauri::Result<()> {
    let mut tray = TrayIconBuilder::with_id(ID)
        .tooltip("Sotto")
        .menu(&menu(app, Language::En)?)
        .show_menu_on_left_click(false)
        .on_menu_event(|app, event| match event.id().as_ref() {
            "show" => crate::show_window(app),
            "quit" => app.exit(0),
            name => {
                if let Some(action) = Toggle::from_name(name) {
                    perform(app, action);
                }
            }
        })
        .on_tray_icon_event(|tray, event| {
            if let TrayIconEvent::Click {
                button: MouseButton::Left,
                ..
            } = event
            {
                crate::show_window(tray.app_handle());
            }
        });
    if let Some(icon) = app.default_window_icon() {
        tray = tray.icon(icon.clone());
    }
    tray.build(app).map(drop)
}

fn menu(app: &AppHandle, language: Language) -> tauri::Result<Menu<Wry>> {
    let item = |id: &str, text| MenuItem::with_id(app, id, text, true, None::<&str>);
    let [show, captions, overlay, click_through, quit] = match language {
        Language::De => [
            "Sotto zeigen",
            "Untertitel beginnen oder beenden",
            "Untertitelfenster öffnen oder schließen",
            "Klicks durch das Untertitelfenster lassen oder nicht",
            "Sotto beenden",
        ],
        Language::En | Language::System => [
            "Show Sotto",
            "Start or stop captions",
            "Open or close the overlay",
            "Let clicks through the overlay, or not",
            "Quit Sotto",
        ],
    };
    let actions = [captions, overlay, click_through];
    let menu = Menu::with_items(app, &[&item("show", show)?])?;
    for (action, text) in Toggle::ALL.into_iter().zip(actions) {
        menu.append(&item(action.name(), text)?)?;
    }
    menu.append(&item("quit", quit)?)?;
    Ok(menu)
}

//! The window of captions that floats over everything else.

use std::fs;
use std::path::Path;

use crate::captions::{begin, choose, clip, finished_lines};
use crate::support::sound_server::SoundServer;
use crate::support::{CONTROL, Desktop, UP, Window, wait_until};

/// The pages of the two windows.
const MAIN: &str = "localhost";
const OVERLAY: &str = "/overlay.html";

/// Where the overlay stands on the screen: left, top, width, height.
fn frame(window: &Window) -> [i64; 4] {
    let frame = window.js("return [screenX, screenY, innerWidth, innerHeight]");
    serde_json::from_value(frame).unwrap()
}

/// The same, once it does not change any more.
fn resting_frame(window: &Window) -> [i64; 4] {
    let mut last = frame(window);
    wait_until("a window that rests", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = frame(window);
        let rests = now == last;
        last = now;
        rests.then_some(now)
    })
}

#[test]
fn it_shows_what_is_said_in_a_window_of_fixed_height() {
    let desktop = Desktop::new();
    let server = SoundServer::start("overlay");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "microphone");
    // Opened while captions run already, by a second start of Sotto.
    desktop.second_start(&["--toggle-overlay"]);
    window.enter(OVERLAY);
    window.find("[data-slot=overlay-hint]");
    let before = resting_frame(&window);
    server.play("mic_feed", Path::new(&clip(1)));
    wait_until("the words in the overlay", || {
        let text = window.text("[data-slot=overlay-source]");
        text.contains("half past seven").then_some(())
    });
    server.play("mic_feed", Path::new(&clip(2)));
    wait_until("the next words", || {
        let lines =
            window.js("return document.querySelectorAll('[data-slot=overlay-line]').length");
        (lines.as_u64()? >= 2).then_some(())
    });
    assert_eq!(frame(&window), before, "words do not move it");
    let clipped = window.js("const box = document.querySelector('[data-slot=overlay]');
         return box.offsetHeight === innerHeight");
    assert_eq!(clipped, true, "the lines fill the window exactly");

    // The shortcut works although the keyboard is elsewhere.
    desktop.by_hand(&["key", "ctrl+shift+F9"]);
    window.enter(MAIN);
    window.find("[data-phase=idle]");
}

#[test]
fn it_comes_back_where_it_was_with_its_style() {
    let desktop = Desktop::new();
    let window = desktop.open(&["--toggle-overlay"]);
    window.enter(OVERLAY);
    window.find("[data-slot=overlay-hint]");
    let first = resting_frame(&window);
    for _ in 0..3 {
        window.press(UP);
    }
    window.js("document.querySelector('[data-slot=overlay-more]').click()");
    let moved = wait_until("a higher window that was moved", || {
        let now = resting_frame(&window);
        (now[1] == first[1] - 30 && now[3] > first[3]).then_some(now)
    });
    // It is written down as soon as the window rests.
    let settings = desktop.home.path().join("data/settings.json");
    wait_until("the place in the settings", || {
        let text = fs::read_to_string(&settings).ok()?;
        let settings: serde_json::Value = serde_json::from_str(&text).ok()?;
        (settings["overlay"]["place"]["y"] == moved[1]).then_some(())
    });
    drop(window);

    let window = desktop.open(&[]);
    window.press_with(CONTROL, "1");
    window.click("[data-slot=toggle-overlay]");
    window.enter(OVERLAY);
    wait_until("the overlay where it was", || {
        (frame(&window) == moved).then_some(())
    });
}

#[test]
fn clicks_pass_through_it_until_that_is_ended() {
    let desktop = Desktop::new();
    let window = desktop.open(&[]);
    window.press_with(CONTROL, "1");
    window.click("[data-slot=toggle-overlay]");
    window.find("[data-slot=focus-overlay]");
    window.enter(OVERLAY);
    window.find("[data-slot=overlay-hint]");
    let [left, top, ..] = resting_frame(&window);
    let count =
        "window.presses = 0; addEventListener('pointerdown', () => window.presses++, true);";
    // A press is not to begin a move, which would take the mouse.
    window.js(&format!(
        "{count} addEventListener('pointerdown', (e) => e.stopPropagation(), true)"
    ));
    window.enter(MAIN);
    window.js(count);
    let at = [(left + 20).to_string(), (top + 20).to_string()];
    let press = || desktop.by_hand(&["mousemove", &at[0], &at[1], "click", "1"]);
    let presses = |page: &str, n: u64| {
        window.enter(page);
        wait_until(&format!("press {n} in {page}"), || {
            (window.js("return window.presses").as_u64()? == n).then_some(())
        });
    };

    press();
    presses(OVERLAY, 1);
    desktop.second_start(&["--toggle-click-through"]);
    wait_until("an overlay without controls", || {
        (!window.has("[data-slot=overlay-close]")).then_some(())
    });
    press();
    presses(MAIN, 1);
    // The way back on the Captions screen.
    window.click("[data-slot=click-through]");
    window.enter(OVERLAY);
    window.find("[data-slot=overlay-close]");
    press();
    presses(OVERLAY, 2);
    // The one that ended it.
    presses(MAIN, 2);

    // And by keys, wherever the keyboard is.
    desktop.by_hand(&["key", "ctrl+shift+F11"]);
    window.enter(OVERLAY);
    wait_until("an overlay without controls", || {
        (!window.has("[data-slot=overlay-close]")).then_some(())
    });
    desktop.by_hand(&["key", "ctrl+shift+F10"]);
    window.enter(MAIN);
    wait_until("no overlay", || {
        let text = window.text("[data-slot=toggle-overlay]");
        (text.trim() == "Overlay").then_some(())
    });
}

#[test]
#[ignore = "`cargo xtask screenshots` runs it"]
fn pictures_of_the_readme() {
    let desktop = Desktop::new();
    let data = desktop.home.path().join("data");
    fs::create_dir_all(&data).unwrap();
    let settings = r#"{"overlay": {"place": {"x": 120, "y": 430, "width": 800}}}"#;
    fs::write(data.join("settings.json"), settings).unwrap();
    let server = SoundServer::start("overlay-pictures");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "both");
    choose(&window, "translate", "de");
    window.click("[data-slot=toggle-overlay]");
    for (n, (sink, said)) in [("mic_feed", 1), ("speaker", 4)].into_iter().enumerate() {
        server.play(sink, Path::new(&clip(said)));
        finished_lines(&window, n + 1);
    }
    wait_until("the translations", || {
        let n = window.js("return document.querySelectorAll('[data-slot=translation]').length");
        (n.as_u64()? >= 2).then_some(())
    });
    window.screenshot("overlay");
    window.enter(OVERLAY);
    for _ in 0..3 {
        window.js("document.querySelector('[data-slot=overlay-preset]').click()");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    window.js("document.querySelector('[data-slot=overlay-mode]').click()");
    resting_frame(&window);
    window.enter(MAIN);
    window.screenshot("overlay-docked");
}

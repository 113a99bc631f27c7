//! Captions of what is said into a microphone and comes out of the loudspeaker, in the real window.

use std::path::Path;

use crate::support::sound_server::SoundServer;
use crate::support::{CONTROL, Desktop, Window, wait_until};
use crate::wait_for_state;

pub fn clip(n: u32) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    format!("{root}/tests/fixtures/demo/by-hand/clips/{n:02}.flac")
}

pub fn choose(window: &Window, slot: &str, value: &str) {
    window.find(&format!("[data-slot={slot}]"));
    window.js(&format!(
        "const list = document.querySelector('[data-slot={slot}]');
         list.value = '{value}';
         list.dispatchEvent(new Event('change', {{ bubbles: true }}));"
    ));
}

/// Opens the demo and begins captions of English from this source.
pub fn begin(window: &Window, source: &str) {
    window.click("[data-slot=try-demo]");
    wait_for_state(window, "ready");
    window.press_with(CONTROL, "1");
    choose(window, "source", source);
    choose(window, "spoken-language", "en");
    window.click("[data-slot=toggle-captions]");
    window.find("[data-phase=listening] [data-slot=level]");
}

/// Waits for so many finished lines: the channel and the words of each.
pub fn finished_lines(window: &Window, n: usize) -> Vec<(String, String)> {
    wait_until(&format!("{n} finished lines"), || {
        let lines = window.js(
            "return [...document.querySelectorAll('[data-slot=line][data-finished=true]')].map((line) => [
               line.classList.contains('me') ? 'me' : 'others',
               line.querySelector('[data-slot=committed]')?.textContent ?? ''])",
        );
        let lines: Vec<(String, String)> = serde_json::from_value(lines).ok()?;
        (lines.len() >= n).then_some(lines)
    })
}

#[test]
fn what_both_sides_say_becomes_lines_and_a_transcript() {
    let desktop = Desktop::new();
    let server = SoundServer::start("captions");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "both");
    server.play("mic_feed", Path::new(&clip(1)));
    let lines = finished_lines(&window, 1);
    assert_eq!(lines[0].0, "me");
    assert!(lines[0].1.contains("half past seven"), "{lines:?}");
    server.play("speaker", Path::new(&clip(4)));
    let lines = finished_lines(&window, 2);
    assert_eq!(lines[1].0, "others");
    assert!(
        lines[1].1.to_lowercase().contains("the budget is"),
        "{lines:?}"
    );

    window.click("[data-slot=toggle-captions]");
    window.click("[data-slot=show-transcript]");
    let stored = wait_until("the stored lines", || {
        let text = window.js(
            "return [...document.querySelectorAll('[data-slot=stored-line]')].map((line) => line.textContent).join('\\n')",
        );
        let text = text.as_str()?.to_owned();
        (text.lines().count() >= 2).then_some(text)
    });
    assert!(stored.contains("half past seven"), "{stored}");
}

#[test]
fn a_kill_loses_nothing_that_was_finished() {
    let desktop = Desktop::new();
    let server = SoundServer::start("killed");
    let env = server.address();
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &env)]);
    begin(&window, "microphone");
    server.play("mic_feed", Path::new(&clip(1)));
    let said = finished_lines(&window, 1).remove(0).1;
    window.kill_app();
    drop(window);

    let window = desktop.open_with(&[], &[("PULSE_SERVER", &env)]);
    window.find("[data-slot=rail]");
    window.press_with(CONTROL, "2");
    window.click("[data-slot=transcript]");
    // It says that Sotto ended in the middle, and has the line and its sound.
    window.find("[data-slot=left]");
    let line = window.text("[data-slot=stored-line]");
    assert!(line.contains(said.trim()), "{line} has not {said}");
    window.find("[data-slot=stored-line] [data-slot=play-from]");
}

#[test]
#[ignore = "`cargo xtask screenshots` runs it"]
fn pictures_of_the_readme() {
    let desktop = Desktop::new();
    let server = SoundServer::start("pictures");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "both");
    choose(&window, "translate", "de");
    for (n, (sink, said)) in [
        ("mic_feed", 1),
        ("speaker", 4),
        ("mic_feed", 2),
        ("speaker", 5),
    ]
    .into_iter()
    .enumerate()
    {
        server.play(sink, Path::new(&clip(said)));
        finished_lines(&window, n + 1);
    }
    wait_until("the translations", || {
        let n = window.js("return document.querySelectorAll('[data-slot=translation]').length");
        (n.as_u64()? >= 4).then_some(())
    });
    window.screenshot("captions");
    window.click("[data-slot=toggle-captions]");
    window.click("[data-slot=show-transcript]");
    window.find("[data-slot=stored-line]");
    window.screenshot("transcript");
}

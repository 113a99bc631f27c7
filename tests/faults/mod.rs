//! What goes wrong while captions run: devices come and go, the sound server ends, the disk is full. Each is said, the
//! captions go on by themselves, and nothing that was said before is lost.

use std::path::Path;

use crate::captions::{begin, clip, finished_lines};
use crate::support::small_disk::SmallDisk;
use crate::support::sound_server::SoundServer;
use crate::support::{CONTROL, Desktop, Window, wait_until};

/// What clips 1 and 4 say.
const FIRST: &str = "half past seven";
const SECOND: &str = "budget";

fn wait_for_notice(window: &Window, notice: &str) -> String {
    let text = window.text(&format!("[data-slot=caption-notice][data-notice={notice}]"));
    assert!(text.contains('.'), "a sentence: {text}");
    text
}

/// Until the trouble is over, which ends its notice.
fn wait_until_gone(window: &Window, notice: &str) {
    wait_until(&format!("{notice} is over"), || {
        let css = format!("[data-slot=caption-notice][data-notice={notice}]");
        (!window.has(&css)).then_some(())
    });
}

/// Stops, and gives the lines of the transcript as they are stored.
fn stop(window: &Window, n: usize) -> Vec<String> {
    window.click("[data-slot=toggle-captions]");
    window.find("[data-phase=idle]");
    window.press_with(CONTROL, "2");
    window.click("[data-slot=transcript]");
    wait_until(&format!("{n} stored lines"), || {
        let lines = window.js(
            "return [...document.querySelectorAll('[data-slot=stored-line]')].map((line) => line.textContent)",
        );
        let lines: Vec<String> = serde_json::from_value(lines).ok()?;
        (lines.len() >= n).then_some(lines)
    })
}

#[test]
fn a_microphone_that_is_pulled_out_is_named_and_the_next_one_taken() {
    let desktop = Desktop::new();
    let mut server = SoundServer::start("pulled");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "microphone");
    server.play("mic_feed", Path::new(&clip(1)));
    finished_lines(&window, 1);

    server.unload("module-remap-source");
    let told = wait_for_notice(&window, "device_lost");
    assert!(told.contains("is gone"), "{told}");
    window.screenshot("device-lost");
    // What the computer plays is no microphone, although the server would take it for one.
    server.play("speaker", Path::new(&clip(2)));
    window.find("[data-slot=caption-notice][data-notice=device_lost]");

    server.add_microphone("other");
    wait_until_gone(&window, "device_lost");
    server.play("other_feed", Path::new(&clip(4)));
    let lines = finished_lines(&window, 2);
    assert!(lines[0].1.contains(FIRST), "{lines:?}");
    assert!(lines[1].1.contains(SECOND), "{lines:?}");
    let stored = stop(&window, 2);
    assert_eq!(stored.len(), 2, "{stored:?}");
    assert!(
        stored[0].contains(FIRST) && stored[1].contains(SECOND),
        "{stored:?}"
    );
}

#[test]
fn a_loudspeaker_that_is_changed_is_followed() {
    let desktop = Desktop::new();
    let server = SoundServer::start("changed");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "system");
    server.play("speaker", Path::new(&clip(1)));
    finished_lines(&window, 1);

    // Headphones, say; the loudspeaker is still there, and then it is not.
    let headphones = ["load-module", "module-null-sink", "sink_name=headphones"];
    assert!(server.control(&headphones));
    assert!(server.control(&["set-default-sink", "headphones"]));
    // Nobody says when it is followed, so that the first time may be heard in part.
    let lines = wait_until("the headphones are heard", || {
        server.play("headphones", Path::new(&clip(4)));
        let lines = finished_lines(&window, 1);
        lines
            .iter()
            .any(|line| line.1.contains(SECOND))
            .then_some(lines)
    });
    assert!(lines[0].1.contains(FIRST), "{lines:?}");
    assert!(lines.iter().all(|line| line.0 == "others"), "{lines:?}");
}

#[test]
fn a_sound_server_that_is_started_again_is_heard_again() {
    let desktop = Desktop::new();
    let mut server = SoundServer::start("again");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "both");
    server.play("mic_feed", Path::new(&clip(1)));
    finished_lines(&window, 1);

    server.kill();
    let told = wait_for_notice(&window, "device_lost");
    assert!(told.contains("is gone"), "{told}");
    server.start_again();
    wait_until_gone(&window, "device_lost");
    server.play("mic_feed", Path::new(&clip(4)));
    server.play("speaker", Path::new(&clip(1)));
    let lines = finished_lines(&window, 3);
    let channels: Vec<&str> = lines.iter().map(|line| line.0.as_str()).collect();
    assert_eq!(channels, ["me", "me", "others"], "{lines:?}");
    let stored = stop(&window, 3);
    for (line, said) in stored.iter().zip([FIRST, SECOND, FIRST]) {
        assert!(line.contains(said), "{stored:?}");
    }
}

#[test]
fn a_sound_server_that_hangs_does_not_hold_up_stop() {
    let desktop = Desktop::new();
    let server = SoundServer::start("hangs");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "both");
    server.play("mic_feed", Path::new(&clip(1)));
    finished_lines(&window, 1);
    server.hang();
    // Silence takes the place of what does not come, so the server was asked for its devices in vain by now.
    let seconds = |window: &Window| {
        let text = window.text("[data-slot=elapsed]");
        let (minutes, seconds) = text.split_once(':').unwrap_or_default();
        let parsed = (minutes.trim().parse::<u32>(), seconds.trim().parse::<u32>());
        parsed.0.unwrap_or_default() * 60 + parsed.1.unwrap_or_default()
    };
    let hung_at = seconds(&window);
    wait_until("the clock to go on", || {
        (seconds(&window) > hung_at + 4).then_some(())
    });
    let stored = stop(&window, 1);
    assert!(stored[0].contains(FIRST), "{stored:?}");
}

#[test]
fn a_full_disk_costs_no_word_once_there_is_room_again() {
    let desktop = Desktop::new();
    let Some(disk) = SmallDisk::mount(&desktop) else {
        return;
    };
    let server = SoundServer::start("full");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    begin(&window, "microphone");
    server.play("mic_feed", Path::new(&clip(1)));
    finished_lines(&window, 1);

    disk.fill();
    let told = wait_for_notice(&window, "not_saved");
    assert!(told.contains("Free some space"), "{told}");
    window.screenshot("captions-disk-full");
    server.play("mic_feed", Path::new(&clip(4)));
    // Also Stop waits for room, and says so; what was said is not thrown away.
    window.click("[data-slot=toggle-captions]");
    window.find("[data-slot=finishing]");
    wait_for_notice(&window, "not_saved");
    disk.free();
    wait_until_gone(&window, "not_saved");
    let lines = finished_lines(&window, 2);
    assert!(
        lines[0].1.contains(FIRST) && lines[1].1.contains(SECOND),
        "{lines:?}"
    );
    window.find("[data-phase=idle]");
    window.click("[data-slot=show-transcript]");
    let line = window.text("[data-slot=stored-line]:nth-of-type(2)");
    assert!(line.contains(SECOND), "{line}");
    window.find("[data-slot=stored-line]:nth-of-type(2) [data-slot=play-from]");
}

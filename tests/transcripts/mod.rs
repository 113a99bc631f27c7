//! From a file to a transcript, its sound, and a question about it.

use crate::captions::{choose, clip, finished_lines};
use crate::support::sound_server::SoundServer;
use crate::support::{CONTROL, Desktop, wait_until};
use crate::wait_for_state;

#[test]
fn a_file_becomes_a_transcript_that_is_heard_and_summarised() {
    let desktop = Desktop::new();
    let server = SoundServer::start("file");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    window.click("[data-slot=try-demo]");
    wait_for_state(&window, "ready");
    window.press_with(CONTROL, "1");
    choose(&window, "spoken-language", "en");
    window.drop_files(&[&clip(1)]);
    let lines = finished_lines(&window, 1);
    assert!(lines[0].1.contains("half past seven"), "{lines:?}");
    window.click("[data-slot=show-transcript]");
    assert_eq!(window.text("[data-slot=open-transcript] h2"), "01.flac");

    // The sound of its first line, which is played by the web view itself.
    window.js("document.querySelector('[data-slot=stored-line] [data-slot=play-from]').click()");
    window.find("[data-slot=player] audio");
    let heard = wait_until("sound that goes on, or a reason why not", || {
        let heard = window.js(
            "const audio = document.querySelector('[data-slot=player] audio');
             return audio?.error ? audio.error.message || `error ${audio.error.code}` : audio?.currentTime ?? 1",
        );
        (heard.as_f64() != Some(0.0)).then_some(heard)
    });
    assert!(heard.as_f64().is_some(), "{heard}");

    window.click("[data-slot=summarise]");
    window.find("[data-slot=attached-quote]");
    window.find("[data-slot=answer][data-state=done]");
}

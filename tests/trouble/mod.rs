//! What goes wrong around Sotto: the disk, the folders, another Sotto. Each ends in a sentence with one thing to do, and
//! nothing is lost.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;

use crate::conversations::{ask, fixture, open_demo, wait_for, wait_for_titles};
use crate::support::small_disk::SmallDisk;
use crate::support::{CONTROL, Desktop, ENTER, ESCAPE, Window, wait_until};
use crate::{QUESTION, answer_has_begun, finished_answer, roomy_checkpoint, wait_for_state};

/// What a notice says, without its buttons.
fn sentence(window: &Window, slot: &str) -> String {
    let text = window.text(&format!("[data-slot={slot}] .text"));
    assert!(text.trim_end().ends_with('.'), "{text}");
    text
}

fn draft(window: &Window) -> String {
    let text = window.js("return document.querySelector('[data-slot=question]').value");
    text.as_str().unwrap().to_owned()
}

#[test]
fn on_a_full_disk_nothing_is_lost_and_trying_again_helps() {
    let desktop = Desktop::new();
    let Some(disk) = SmallDisk::mount(&desktop) else {
        return;
    };
    let window = open_demo(&desktop);
    ask(&window, "Good morning", 1);
    disk.fill();

    // Neither a file nor a question can be stored, and the question stays in its box.
    window.drop_files(&[&fixture("demo/by-hand/clips/01.flac")]);
    let told = sentence(&window, "refusal");
    assert!(told.contains("The disk is full; free some space"), "{told}");
    window.click(QUESTION);
    window.press("What can you do?");
    window.press(ENTER);
    let told = sentence(&window, "chat-failure");
    assert!(told.contains("The disk is full; free some space"), "{told}");
    assert_eq!(draft(&window), "What can you do?");
    window.screenshot("disk-full");
    disk.free();
    window.click("[data-slot=remedy]");
    window.wait_for_focus("question");
    window.press(ENTER);
    let (answer, _) = finished_answer(&window, 2);
    assert!(answer.contains("German"), "{answer}");
    assert!(!window.has("[data-slot=chat-failure]"));
}

#[test]
fn an_answer_that_a_full_disk_refuses_is_stored_when_there_is_room() {
    let desktop = Desktop::new();
    let Some(disk) = SmallDisk::mount(&desktop) else {
        return;
    };
    let model = roomy_checkpoint(&desktop);
    let window = desktop.open(&[&model]);
    wait_for_state(&window, "ready");
    window.press("Tell me of the sea");
    window.press(ENTER);
    answer_has_begun(&window, 1);
    disk.fill();
    let told = sentence(&window, "answer-notice");
    assert!(told.contains("not saved yet"), "{told}");
    disk.free();
    window.press(ESCAPE);
    let (shown, _) = finished_answer(&window, 1);
    drop(window);

    let window = desktop.open(&[]);
    let (kept, ending) = finished_answer(&window, 1);
    assert_eq!(ending, "stopped");
    let written = |text: &str| text.split("not saved yet").last().unwrap().len();
    assert!(written(&kept) + 100 > written(&shown), "{kept}\n{shown}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_until_it_can() {
    let desktop = Desktop::new();
    let Some(disk) = SmallDisk::mount(&desktop) else {
        return;
    };
    // It is so from the start.
    disk.set_read_only(true);
    let window = desktop.open(&[]);
    let told = sentence(&window, "library-blocked");
    assert!(
        told.contains("may not write to") && told.contains("make it writable and try again"),
        "{told}"
    );
    window.screenshot("read-only");
    // A question is not lost for it.
    window.click("[data-slot=try-demo]");
    wait_for_state(&window, "ready");
    window.click(QUESTION);
    window.press("What can you do?");
    window.press(ENTER);
    sentence(&window, "chat-failure");
    assert_eq!(draft(&window), "What can you do?");
    // A setting holds as long as the window is open.
    window.press_with(CONTROL, "5");
    window.click("input[value=dark]");
    let told = sentence(&window, "settings-failure");
    assert!(told.contains("settings"), "{told}");
    let theme = window.js("return document.documentElement.dataset.theme");
    assert_eq!(theme, "dark");
    window.press_with(CONTROL, "3");
    disk.set_read_only(false);
    window.click("[data-slot=library-blocked] button");
    wait_for(&window, "[data-slot=library-blocked]", 0);
    window.click("[data-slot=remedy]");
    window.wait_for_focus("question");
    window.press(ENTER);
    finished_answer(&window, 1);
}

#[test]
fn conversations_of_a_newer_sotto_are_left_alone() {
    let desktop = Desktop::new();
    let window = open_demo(&desktop);
    ask(&window, "Good morning", 1);
    wait_for_titles(&window, &["Good morning"]);
    drop(window);
    let file = desktop.home.path().join("data/library.db");
    let version = |changed: Option<i64>| -> i64 {
        let db = rusqlite::Connection::open(&file).unwrap();
        if let Some(version) = changed {
            db.pragma_update(None, "user_version", version).unwrap();
        }
        db.pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    };
    let known = version(None);
    version(Some(99));

    let window = desktop.open(&[]);
    let told = sentence(&window, "library-blocked");
    assert!(
        told.contains("newer version of Sotto; update Sotto"),
        "{told}"
    );
    window.screenshot("newer-library");
    assert_eq!(version(None), 99, "the file is as it was");
    window.press_with(CONTROL, "5");
    window.click("input[value=de]");
    wait_until("the sentence in German", || {
        let told = sentence(&window, "library-blocked");
        told.contains("neuere Version von Sotto").then_some(())
    });

    // The newer Sotto has gone back to where it was, say.
    version(Some(known));
    window.click("[data-slot=library-blocked] button");
    wait_for(&window, "[data-slot=library-blocked]", 0);
    window.press_with(CONTROL, "3");
    wait_for_titles(&window, &["Good morning"]);
}

#[test]
fn a_model_whose_folder_vanishes_from_under_the_list_is_named() {
    let desktop = Desktop::new();
    let models = desktop.home.path().join("models");
    let model = models.join("tiny");
    fs::create_dir_all(&model).unwrap();
    for file in fs::read_dir(crate::tiny_checkpoint()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), model.join(file.file_name())).unwrap();
    }
    let data = desktop.home.path().join("data");
    fs::create_dir_all(&data).unwrap();
    let settings = json!({"model_folders": [models]});
    fs::write(data.join("settings.json"), settings.to_string()).unwrap();

    let window = desktop.open(&[]);
    window.find("[data-slot=first-model]");
    window.press_with(CONTROL, "4");
    let card = format!("[data-slot=model][data-path='{}']", model.display());
    window.find(&card);
    fs::rename(&models, desktop.home.path().join("elsewhere")).unwrap();
    window.click(&format!("{card} [data-slot=open-model]"));
    wait_for_state(&window, "failed");
    let told = sentence(&window, "model-failure");
    assert!(told.contains(model.to_str().unwrap()), "{told}");
    // The list has noticed as well, and says what to do.
    let told = sentence(&window, "folder-gone");
    assert!(told.contains("Put it back"), "{told}");
    window.screenshot("vanished");

    // Back again, it opens.
    fs::rename(desktop.home.path().join("elsewhere"), &models).unwrap();
    window.click("[data-slot=look-again]");
    wait_for(&window, "[data-slot=model-failure]", 0);
    window.find(&card);
    window.js(&format!(
        "document.querySelector({}).focus()",
        json!(format!("{card} [data-slot=open-model]"))
    ));
    window.press(ENTER);
    wait_for_state(&window, "ready");
    drop(window);

    // Away at the next start: said in the chat, with the way to another model.
    fs::rename(&models, desktop.home.path().join("elsewhere")).unwrap();
    let window = desktop.open(&[]);
    wait_for_state(&window, "failed");
    sentence(&window, "model-failure");
    window.click("[data-slot=choose-another]");
    window.find("[data-slot=folder-gone]");
}

/// A Sotto that no driver holds.
struct Started(Child);

impl Started {
    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_at_once_are_one_and_a_start_beside_one_that_ends_opens_a_window() {
    let desktop = Desktop::new();
    let first = Started(desktop.start(&[]));
    let library = desktop.home.path().join("data/library.db");
    wait_until("the first Sotto is open", || library.exists().then_some(()));
    // The second one leaves at once, to the first.
    desktop.second_start(&[]);

    // One that does not answer any more, and then ends without a word, takes the next one's call with it.
    first.signal("-STOP");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Long enough that the next one has called.
            std::thread::sleep(Duration::from_secs(3));
            first.signal("-KILL");
        });
        let window = desktop.open(&[]);
        window.find("[data-slot=first-model]");
        wait_until("the conversations are open", || {
            (!window.has("[data-slot=library-blocked]")).then_some(())
        });
    });
    assert!(Path::new(&library).exists());
}

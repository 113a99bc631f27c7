//! Sotto as its user meets it: the real window, with the real page in it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // it fails the test, which is what it should do

use std::fs;
use std::path::PathBuf;

use support::{CONTROL, Desktop, ENTER, ESCAPE, SHIFT, TAB, Window, wait_until};

mod captions;
mod conversations;
mod faults;
mod overlay;
mod support;
mod transcripts;
mod trouble;

const QUESTION: &str = "[data-slot=question]";

/// A checkpoint with every part of the model and random weights: what it says means nothing.
fn tiny_checkpoint() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/checkpoint");
    path.to_str().unwrap().to_owned()
}

/// The same with a context that no answer fills before it is stopped.
fn roomy_checkpoint(desktop: &Desktop) -> String {
    let folder = desktop.home.path().join("roomy");
    fs::create_dir(&folder).unwrap();
    for file in fs::read_dir(tiny_checkpoint()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let config = folder.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace(
        "\"max_position_embeddings\": 512",
        "\"max_position_embeddings\": 30000",
    );
    fs::write(&config, text).unwrap();
    // Always the likeliest token: of random weights that is a text without an end.
    let data = desktop.home.path().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(
        data.join("settings.json"),
        r#"{"generation":{"preset":"precise"}}"#,
    )
    .unwrap();
    folder.to_str().unwrap().to_owned()
}

/// Waits until the `n`th answer has some text. The tiny model may have ended it by itself then.
fn answer_has_begun(window: &Window, n: usize) {
    wait_until(&format!("answer {n} has begun"), || {
        let begun = window.js(&format!(
            "const answer = document.querySelectorAll('[data-slot=answer]')[{}];
             return ['writing', 'done'].includes(answer?.dataset.state)",
            n - 1
        ));
        (begun == true).then_some(())
    });
}

fn model_state(window: &Window) -> String {
    window.find("[data-slot=model-state]");
    let state = window.js("return document.querySelector('[data-slot=model-state]').dataset.state");
    state.as_str().unwrap().to_owned()
}

fn wait_for_state(window: &Window, state: &str) {
    wait_until(&format!("the model is {state}"), || {
        let now = model_state(window);
        let notice =
            (now == "failed" && state == "ready").then(|| window.text("[data-slot=model-failure]"));
        assert_eq!(notice, None, "the model could not be opened");
        (now == state).then_some(())
    });
}

/// Waits for the end of the `n`th answer and returns its text and how it ended.
fn finished_answer(window: &Window, n: usize) -> (String, String) {
    let look = || {
        let answer = window.js(&format!(
            "const answer = document.querySelectorAll('[data-slot=answer]')[{}];
             return answer && [answer.dataset.state, answer.dataset.ending ?? '', answer.innerText]",
            n - 1
        ));
        [0, 1, 2].map(|i| answer[i].as_str().unwrap_or_default().to_owned())
    };
    wait_until(&format!("answer {n} has ended"), || {
        let [state, _, text] = look();
        assert_ne!(state, "failed", "answer {n}: {text}");
        (state == "done").then_some(())
    });
    wait_until("the box is free again", || {
        window.has("[data-slot=send]").then_some(())
    });
    // The last words are drawn with the next picture of the screen.
    wait_until("the whole answer is drawn", || {
        let before = look();
        std::thread::sleep(std::time::Duration::from_millis(100));
        let [_, ending, text] = look();
        (before[2] == text).then_some((text, ending))
    })
}

#[test]
fn without_a_model_the_window_asks_for_one() {
    let desktop = Desktop::new();
    let window = desktop.open(&[]);
    assert_eq!(model_state(&window), "none");
    assert!(
        window
            .text("[data-slot=first-model]")
            .contains("Which model shall answer?")
    );
    window.screenshot("first-start");

    // A question can be written, but not sent.
    window.click(QUESTION);
    window.press("Hello");
    window.press(ENTER);
    assert_eq!(
        window.js("return document.querySelector('[data-slot=question]').value"),
        "Hello"
    );
    assert!(!window.has("[data-slot=answer]"));
    assert!(window.has("[data-slot=send]:disabled"));
}

#[test]
fn the_demo_model_answers_at_once() {
    let desktop = Desktop::new();
    let window = desktop.open(&[]);
    window.click("[data-slot=try-demo]");
    wait_for_state(&window, "ready");
    window.click(QUESTION);
    window.press("What can you do?");
    window.press(ENTER);
    let (answer, _) = finished_answer(&window, 1);
    assert!(
        answer.contains("translate it into German, Spanish and French"),
        "{answer}"
    );
    window.screenshot("demo");
}

#[test]
fn the_page_can_do_what_it_is_allowed_and_no_more() {
    let desktop = Desktop::new();
    let window = desktop.open(&[]);
    let refused = window.js_async(
        "window.__TAURI_INTERNALS__.invoke('plugin:window|close').then(() => done('allowed'), done)",
    );
    assert!(
        refused.as_str().unwrap().contains("not allowed"),
        "{refused}"
    );
    let fetched = window
        .js_async("fetch('http://127.0.0.1:9/').then(() => done('sent'), () => done('blocked'))");
    assert_eq!(fetched, "blocked");
    let blocked = window.js_async(
        "document.addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective));
         const script = document.createElement('script');
         script.textContent = 'window.ran = true';
         document.body.append(script);",
    );
    assert!(
        blocked.as_str().unwrap().starts_with("script-src"),
        "{blocked}"
    );
    assert_eq!(window.js("return window.ran === undefined"), true);
}

#[test]
fn a_conversation_with_the_keyboard_alone() {
    let desktop = Desktop::new();
    let window = desktop.open(&[&roomy_checkpoint(&desktop)]);
    wait_for_state(&window, "ready");
    window.wait_for_focus("question");

    // Shift+Enter breaks the line, Enter sends, Escape stops the answer.
    window.press("Hello");
    window.press_with(SHIFT, ENTER);
    window.press("there");
    window.press(ENTER);
    assert_eq!(window.text("[data-slot=question-turn] p"), "Hello\nthere");
    answer_has_begun(&window, 1);
    window.press(ESCAPE);
    let (text, reason) = finished_answer(&window, 1);
    let ends = ["stopped", "complete"];
    assert!(ends.contains(&&*reason), "{reason}: {text}");
    let announced =
        window.js("return document.querySelector('[data-slot=announcement]').textContent");
    let announced = announced.as_str().unwrap();
    assert!(announced == "Stopped" || announced.starts_with("Sotto:"));
    window.wait_for_focus("question");

    // A second question continues the conversation.
    window.press("Go on");
    window.press(ENTER);
    answer_has_begun(&window, 2);
    window.press(ESCAPE);
    let (_, reason) = finished_answer(&window, 2);
    assert!(ends.contains(&&*reason), "{reason}");

    // And on: stopping spoils nothing.
    window.press("Once more");
    window.press(ENTER);
    answer_has_begun(&window, 3);
    window.press(ESCAPE);
    finished_answer(&window, 3);

    // The numbers are there on demand.
    window.press_with(SHIFT, TAB); // the microphone
    window.press_with(SHIFT, TAB); // the paper clip
    window.press_with(SHIFT, TAB); // details of the last answer
    window.press(ENTER);
    wait_until("the details unfold", || {
        window
            .has("article:last-of-type details[open]")
            .then_some(())
    });
    assert!(
        window
            .text("article:last-of-type details")
            .contains("tokens")
    );

    window.screenshot("conversation");

    window.press_with(CONTROL, "n");
    window.find("[data-slot=first-question]");
    assert!(!window.has("[data-slot=answer]"));
    window.wait_for_focus("question");
}

#[test]
fn the_last_model_comes_back() {
    let desktop = Desktop::new();
    let window = desktop.open(&[&tiny_checkpoint()]);
    wait_for_state(&window, "ready");
    drop(window);
    let window = desktop.open(&[]);
    wait_for_state(&window, "ready");
}

#[test]
fn a_broken_model_is_named_and_another_can_be_chosen() {
    let desktop = Desktop::new();
    let folder = desktop.home.path().join("broken model");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), "{ not json").unwrap();

    let window = desktop.open(&[folder.to_str().unwrap()]);
    wait_for_state(&window, "failed");
    let sentence = window.text("[data-slot=model-failure] .text");
    assert!(sentence.ends_with('.'), "{sentence}");
    assert_eq!(
        window.text("[data-slot=choose-another]"),
        "Choose another model"
    );
    window.screenshot("broken-model");

    // A second start with a good model goes to this window.
    desktop.second_start(&[&tiny_checkpoint()]);
    wait_for_state(&window, "ready");
    assert!(!window.has("[data-slot=model-failure]"));
}

#[test]
fn settings_hold_until_the_next_start_and_reach_the_model() {
    let desktop = Desktop::new();
    let root = |window: &Window, name: &str| {
        let value = window.js(&format!("return document.documentElement.{name}"));
        value.as_str().unwrap_or_default().to_owned()
    };
    let window = desktop.open(&[]);
    window.find("[data-slot=first-model]");
    window.press_with(CONTROL, "5");
    window.click("input[value=dark]");
    window.click("input[value=large]");
    window.click("input[value=de]");
    wait_until("the page speaks German", || {
        (window.text("h1") == "Einstellungen").then_some(())
    });
    // The longest answer is the last of the fields that unfold.
    window.click("[data-slot=advanced] summary");
    window.click("[data-slot=advanced] div div:last-of-type input");
    window.press("3\t");
    let file = desktop.home.path().join("data/settings.json");
    wait_until("the settings are on the disk", || {
        let text = fs::read_to_string(&file).ok()?;
        text.contains("\"max_tokens\": 3").then_some(())
    });
    window.screenshot("settings");
    drop(window);

    // A damaged field costs itself alone.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"large\"", "\"enormous\"")).unwrap();
    let window = desktop.open(&[]);
    let sentence = window.text("[data-slot=salvage]");
    assert!(sentence.contains("settings.broken.json"), "{sentence}");
    assert_eq!(root(&window, "dataset.theme"), "dark");
    assert_eq!(root(&window, "dataset.textSize"), "normal");
    assert_eq!(root(&window, "lang"), "de");

    window.click("[data-slot=try-demo]");
    wait_for_state(&window, "ready");
    window.click(QUESTION);
    window.press("What can you do?");
    window.press(ENTER);
    let (text, reason) = finished_answer(&window, 1);
    assert_eq!(reason, "cut", "{text}");
}

#[test]
fn the_model_shrinks_to_the_limit_that_is_set_and_grows_back() {
    const LIMIT: &str = "input[placeholder='what is free']";
    let desktop = Desktop::new();
    let window = desktop.open(&[]);
    window.click("[data-slot=try-demo]");
    wait_for_state(&window, "ready");
    window.press_with(CONTROL, ",");
    window.click(LIMIT);
    // Room for the smallest submodel of the demo and no other.
    window.press("8\t");
    let sentence = window.text("[data-slot=fitted][data-size=smaller]");
    assert!(sentence.contains("smaller size"), "{sentence}");
    window.screenshot("smaller");
    window.press_with(CONTROL, "n");
    window.click(QUESTION);
    window.press("What can you do?");
    window.press(ENTER);
    let (answer, _) = finished_answer(&window, 1);
    assert!(answer.contains("translate"), "{answer}");

    window.press_with(CONTROL, ",");
    window.click(LIMIT);
    window.press_with(CONTROL, "a");
    window.press("\u{E017}\t"); // Delete, in WebDriver's keys.
    window.find("[data-slot=fitted][data-size=larger]");
    window.click("[data-slot=fitted] button");
    wait_until("the notice has been read", || {
        (!window.has("[data-slot=fitted]")).then_some(())
    });
}

#[test]
fn the_demo_is_on_the_list_and_opens_by_keyboard() {
    let desktop = Desktop::new();
    let window = desktop.open(&[]);
    window.find("[data-slot=first-model]");
    window.press_with(CONTROL, "4");
    let card = window.text("[data-slot=model]");
    assert!(card.contains("6.45 million parameters"), "{card}");
    wait_until("Tab leads to the button", || {
        window.press(TAB);
        (window.focus() == "open-model").then_some(())
    });
    window.press(ENTER);
    wait_for_state(&window, "ready");
    window.find("[data-slot=model][data-open=true]");
    // The keyboard has stayed where it was, and the button closes the model now.
    assert_eq!(window.focus(), "open-model");
    let memory = window.text("[data-slot=memory]");
    assert!(
        memory.starts_with("Sotto ") && memory.ends_with(" free"),
        "{memory}"
    );
    window.screenshot("models");
    window.press(ENTER);
    wait_for_state(&window, "none");
}

#[test]
fn conversations_that_another_sotto_holds_are_named_and_trying_again_helps() {
    let desktop = Desktop::new();
    let folder = desktop.home.path().join("data");
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join("library.lock")).unwrap();
    lock.lock().unwrap();

    let window = desktop.open(&[]);
    let sentence = window.text("[data-slot=library-blocked]");
    assert!(sentence.contains("close it and try again"), "{sentence}");
    window.screenshot("library-in-use");
    drop(lock);
    window.click("[data-slot=library-blocked] button");
    wait_until("the library is open", || {
        (!window.has("[data-slot=library-blocked]")).then_some(())
    });
}

#[test]
#[ignore = "`cargo xtask screenshots` runs it"]
fn pictures_of_the_readme() {
    let desktop = Desktop::new();
    let window = desktop.open(&[]);
    window.click("[data-slot=try-demo]");
    wait_for_state(&window, "ready");
    window.click(QUESTION);
    for (n, question) in ["What can you do?", "Do you need the internet?"]
        .iter()
        .enumerate()
    {
        window.press(question);
        window.press(ENTER);
        finished_answer(&window, n + 1);
    }
    window.screenshot("window");
    window.press_with(CONTROL, "4");
    window.find("[data-slot=model][data-open=true]");
    // Instead of the temporary folder that is this test's home.
    window.js("document.querySelector('.path').textContent = '~/.local/share/sotto/models'");
    window.screenshot("models");
    window.press_with(CONTROL, "5");
    window.click("input[value=dark]");
    window.find("[data-slot=data-size]");
    window.js("document.activeElement.blur()");
    window.screenshot("settings");
}

//! Conversations in the real window: asked, found again, seen, heard, taken elsewhere, and safe.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::sound_server::SoundServer;
use crate::support::{CONTROL, DOWN, Desktop, ENTER, ESCAPE, Window, wait_until};
use crate::{QUESTION, answer_has_begun, finished_answer, roomy_checkpoint, wait_for_state};

pub fn fixture(path: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join(path).to_str().unwrap().to_owned()
}

/// A window with the demo model, which understands a little.
pub fn open_demo(desktop: &Desktop) -> Window<'_> {
    let window = desktop.open(&[]);
    window.click("[data-slot=try-demo]");
    wait_for_state(&window, "ready");
    window.wait_for_focus("question");
    window
}

/// Types a question and waits for the end of its answer, the `n`th.
pub fn ask(window: &Window, question: &str, n: usize) -> String {
    window.click(QUESTION);
    window.press(question);
    window.press(ENTER);
    finished_answer(window, n).0
}

pub fn wait_for(window: &Window, css: &str, n: usize) {
    wait_until(&format!("{n} of {css}"), || {
        let count = window.js(&format!(
            "return document.querySelectorAll({}).length",
            json!(css)
        ));
        (count == n).then_some(())
    });
}

/// Clicks an entry of the menu of the conversation on the page.
fn choose(window: &Window, slot: &str) {
    window.click("header [data-slot=pop-menu]");
    window.click(&format!("header [data-slot={slot}]"));
}

fn titles(window: &Window) -> Value {
    window.js("return [...document.querySelectorAll('[data-slot=thread] .title')].map((e) => e.innerText)")
}

pub fn wait_for_titles(window: &Window, expected: &[&str]) {
    wait_until(&format!("the list has {expected:?}"), || {
        (titles(window) == json!(expected)).then_some(())
    });
}

#[test]
fn a_conversation_is_there_tomorrow() {
    let desktop = Desktop::new();
    let window = open_demo(&desktop);
    let answer = ask(&window, "What can you do?", 1);
    drop(window);

    // The next start opens the model and the conversation.
    let window = desktop.open(&[]);
    wait_for(&window, "[data-slot=answer]", 1);
    let (kept, ending) = finished_answer(&window, 1);
    assert_eq!((kept.trim(), &*ending), (answer.trim(), "complete"));
    wait_for_state(&window, "ready");
    window.press_with(CONTROL, "n");
    window.find("[data-slot=first-question]");
    ask(&window, "Good morning", 1);
    wait_for(&window, "[data-slot=thread]", 2);

    // Found by a word of its answer, with the keyboard alone.
    window.press_with(CONTROL, "f");
    window.wait_for_focus("search");
    window.press("german");
    wait_for(&window, "[data-slot=thread] mark", 1);
    window.press(DOWN);
    window.wait_for_focus("thread");
    window.press(ENTER);
    wait_until("the question that was found", || {
        (window.text("[data-slot=question-turn] p") == "What can you do?").then_some(())
    });
    window.screenshot("found");
    window.press_with(CONTROL, "f");
    window.press(ESCAPE);
    wait_for(&window, "[data-slot=thread]", 2);

    // The menu is as tall as what it offers, not as the window.
    window.click("header [data-slot=pop-menu]");
    let per_row = window.js(
        "const list = document.querySelector('[data-slot=pop-menu-list]:popover-open');
         return list.offsetHeight / list.querySelectorAll('button').length",
    );
    assert!(per_row.as_f64().is_some_and(|px| px < 60.0), "{per_row}");
    window.press(ESCAPE);

    // Named, and taken elsewhere.
    choose(&window, "rename");
    // The old title is selected, and goes.
    wait_until("the title is selected", || {
        let selected = window.js(
            "const box = document.activeElement;
             return box.dataset.slot === 'title' && box.selectionEnd - box.selectionStart === box.value.length",
        );
        (selected == true).then_some(())
    });
    window.press("Abilities");
    window.press(ENTER);
    wait_until("the new title", || {
        let title =
            window.js("return document.querySelector('[data-slot=thread-title]').innerText");
        (title == "Abilities").then_some(())
    });
    for (slot, file) in [("export-markdown", "out.md"), ("export-json", "out.json")] {
        let path = desktop.home.path().join(file);
        window.answer_dialogs(path.to_str().unwrap());
        choose(&window, slot);
        wait_until("the export is told", || {
            let told =
                window.js("return document.querySelector('[data-slot=exported]')?.innerText ?? ''");
            told.as_str()?.contains(file).then_some(())
        });
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("Abilities") && text.contains("What can you do?"),
            "{text}"
        );
    }

    // Pinned, it goes first; deleted, it goes for good.
    choose(&window, "pin");
    wait_until("a pin", || {
        let first = titles(&window)[0].clone();
        (first == "Abilities").then_some(())
    });
    choose(&window, "delete");
    window.click("[data-slot=confirm-yes]");
    wait_for(&window, "[data-slot=thread]", 1);
    window.find("[data-slot=first-question]");
    window.wait_for_focus("question");
    drop(window);
    let window = desktop.open(&[]);
    wait_for(&window, "[data-slot=thread]", 1);
    assert_ne!(titles(&window), json!(["Abilities"]));
}

#[test]
fn pictures_sounds_and_notes_are_understood() {
    let desktop = Desktop::new();
    let window = open_demo(&desktop);
    window.drop_files(&[&fixture("demo/by-hand/pictures/01.png")]);
    window.find("[data-slot=attachment] img");
    let answer = ask(&window, "What color is the circle?", 1);
    assert!(answer.contains("red"), "{answer}");
    window.find("[data-slot=question-turn] img");

    window.press_with(CONTROL, "n");
    window.drop_files(&[&fixture("demo/by-hand/clips/01.flac")]);
    window.find("[data-slot=attachment] svg rect");
    window.screenshot("attached");
    let answer = ask(
        &window,
        "Transcribe the following speech segment in English:",
        1,
    );
    assert!(
        answer.to_lowercase().contains("half past seven"),
        "{answer}"
    );

    // A text file is a part of the question, and opens again.
    window.press_with(CONTROL, "n");
    let note = desktop.home.path().join("note.txt");
    fs::write(
        &note,
        "The workshop starts at four o'clock. Daniel wants to discuss the email with Lisa.",
    )
    .unwrap();
    window.drop_files(&[note.to_str().unwrap()]);
    window.find("[data-slot=attachment] [data-slot=attached-quote]");
    let answer = ask(&window, "Who wants to discuss the email?", 1);
    assert!(answer.contains("Daniel"), "{answer}");
    window.click("[data-slot=question-turn] [data-slot=attached-quote]");
    assert!(
        window
            .text("[data-slot=dialog] pre")
            .contains("The workshop starts")
    );
    window.press(ESCAPE);
    wait_for(&window, "[data-slot=dialog]", 0);

    // A picture from the clipboard. It is taken away again, and leaves the library.
    window.press_with(CONTROL, "n");
    window.js("const canvas = document.createElement('canvas');
         canvas.width = canvas.height = 40;
         canvas.toBlob((blob) => {
             const data = new DataTransfer();
             data.items.add(new File([blob], 'pasted.png', {type: 'image/png'}));
             const box = document.querySelector('[data-slot=question]');
             box.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
         })");
    window.find("[data-slot=attachment][data-name='pasted.png'] img");
    let files = || {
        fs::read_dir(desktop.home.path().join("data/attachments"))
            .unwrap()
            .count()
    };
    assert_eq!(files(), 3);
    window.click("[aria-label='Remove pasted.png']");
    wait_until("the file is gone", || (files() == 2).then_some(()));
}

#[test]
fn a_voice_note_is_recorded_heard_and_kept_when_the_microphone_goes() {
    let desktop = Desktop::new();
    let server = SoundServer::start("note");
    let window = desktop.open_with(&[], &[("PULSE_SERVER", &server.address())]);
    window.click("[data-slot=try-demo]");
    wait_for_state(&window, "ready");
    window.wait_for_focus("question");
    let clip = fixture("demo/by-hand/clips/01.flac");
    let listening = || {
        window.wait_for_focus("note-end");
        window.find("[data-slot=note-level] rect");
    };
    let files = || {
        let files = fs::read_dir(desktop.home.path().join("data/attachments"));
        files.map_or(0, |files| files.count())
    };

    // Begun and ended by keyboard; what is said moves the meter and the clock.
    window.press_with(CONTROL, "m");
    listening();
    server.play("mic_feed", Path::new(&clip));
    window.screenshot("voice-note");
    let loudest = window.js(
        "return Math.max(...[...document.querySelectorAll('[data-slot=note-level] rect')].map((e) => e.getAttribute('height')))",
    );
    assert!(loudest.as_f64().unwrap() > 8.0, "{loudest}");
    assert!(!window.text("[data-slot=note-time]").starts_with("0:00"));
    window.press(ENTER);
    window.find("[data-slot=attachment] svg rect");
    wait_for(&window, "[data-slot=note-bar]", 0);
    window.wait_for_focus("question");
    let name = window.js("return document.querySelector('[data-slot=attachment]').dataset.name");
    let name = name.as_str().unwrap();
    assert!(
        name.starts_with("Voice note ") && name.ends_with(".wav"),
        "{name}"
    );
    let answer = ask(
        &window,
        "Transcribe the following speech segment in English:",
        1,
    );
    assert!(
        answer.to_lowercase().contains("half past seven"),
        "{answer}"
    );
    assert_eq!(files(), 1);

    // Escape throws it away.
    window.click("[data-slot=record]");
    listening();
    window.press(ESCAPE);
    wait_for(&window, "[data-slot=note-bar]", 0);
    window.wait_for_focus("question");
    assert!(!window.has("[data-slot=attachment]"));

    // The microphone goes away: what was said is there.
    window.click("[data-slot=record]");
    listening();
    server.play("mic_feed", Path::new(&clip));
    drop(server);
    window.find("[data-slot=attachment] svg rect");
    let notice = window.text("[data-slot=draft-notice]");
    assert!(notice.contains("what was said until then"), "{notice}");
    assert_eq!(files(), 2);

    // Without one, a sentence.
    window.click("[data-slot=record]");
    let sentence = window.text("[data-slot=note-failure] .text");
    assert!(sentence.starts_with("There is no microphone"), "{sentence}");
    assert_eq!(window.text("[data-slot=note-again]"), "Try again");
    assert_eq!(files(), 2);
    window.screenshot("no-microphone");
}

/// An MP3 file of three silent hours: one frame after the other, of 26 ms and 104 bytes each.
fn three_hours() -> Vec<u8> {
    let mut frame = vec![0xFF, 0xFB, 0x10, 0xC4];
    frame.resize(104, 0);
    frame.repeat(3 * 3600 * 44_100 / 1152)
}

#[test]
fn a_file_that_cannot_be_used_ends_in_a_sentence() {
    let desktop = Desktop::new();
    let window = open_demo(&desktop);
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = desktop.home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    window.press("My question");
    for (path, expected) in [
        (
            write("broken.png", b"\x89PNG\r\n\x1a\nnothing"),
            "broken.png:",
        ),
        (write("empty.png", b""), "empty.png:"),
        (write("empty.txt", b""), "the file is empty"),
        (
            write("program.txt", b"\x7FELF\x02\x01\0\0"),
            "neither a picture, a sound nor a text",
        ),
        (write("hours.mp3", &three_hours()), "longer than 120 s"),
        (
            fixture("pictures/20000x20000.png").into(),
            "20000 x 20000 pixels",
        ),
        (desktop.home.path().join("absent.wav"), "cannot be opened"),
        (desktop.home.path().to_owned(), "this is a folder"),
    ] {
        window.drop_files(&[path.to_str().unwrap()]);
        let sentence = wait_until(expected, || {
            let text = window
                .js("return document.querySelector('[data-slot=refusal] .text')?.innerText ?? ''");
            let text = text.as_str().unwrap().to_owned();
            text.contains(expected).then_some(text)
        });
        assert!(sentence.trim_end().ends_with('.'), "{sentence}");
        assert_eq!(
            window.text("[data-slot=choose-other]"),
            "Choose another file"
        );
        wait_for(&window, "[data-slot=attachment]", 0);
    }
    window.screenshot("refused");
    let draft = window.js("return document.querySelector('[data-slot=question]').value");
    assert_eq!(draft, "My question", "nothing is lost");
    // What follows works.
    window.drop_files(&[&fixture("demo/by-hand/pictures/01.png")]);
    wait_for(&window, "[data-slot=refusal]", 0);
    wait_for(&window, "[data-slot=attachment] img", 1);
}

#[test]
fn questions_and_answers_have_versions() {
    let desktop = Desktop::new();
    let window = desktop.open(&[&roomy_checkpoint(&desktop)]);
    wait_for_state(&window, "ready");
    window.press("Tell me of the sea");
    window.press(ENTER);
    answer_has_begun(&window, 1);
    window.press(ESCAPE);
    finished_answer(&window, 1);

    // Another answer to the same question.
    wait_until("the answer is written anew", || {
        let begun = window.has("[data-slot=stop]") || window.has("[data-slot=versions]");
        if !begun {
            window.click("[data-slot=retry]");
        }
        begun.then_some(())
    });
    answer_has_begun(&window, 1);
    window.press(ESCAPE);
    finished_answer(&window, 1);
    wait_for(&window, "[data-slot=answer] [data-slot=versions]", 1);
    assert_eq!(window.text("[data-slot=versions]"), "2 of 2");

    // The question in other words.
    window.js("document.querySelector('[data-slot=edit]').focus()");
    window.press(ENTER);
    window.wait_for_focus("edit-box");
    window.press(" and the sky");
    window.press(ENTER);
    wait_until("the edited question", || {
        (window.text("[data-slot=question-turn] p") == "Tell me of the sea and the sky")
            .then_some(())
    });
    answer_has_begun(&window, 1);
    window.press(ESCAPE);
    finished_answer(&window, 1);
    window.screenshot("versions");
    assert_eq!(
        window.text("[data-slot=question-turn] [data-slot=versions]"),
        "2 of 2"
    );
    window.click("[data-slot=question-turn] [aria-label='Version before']");
    wait_until("the first question with its answers", || {
        let text = window.text("[data-slot=question-turn] p");
        (text == "Tell me of the sea" && window.has("[data-slot=answer] [data-slot=versions]"))
            .then_some(())
    });
}

#[test]
fn a_killed_sotto_keeps_what_was_written() {
    let desktop = Desktop::new();
    let model = roomy_checkpoint(&desktop);
    let written = |window: &Window| {
        window.js("return document.querySelector('[data-slot=markdown]')?.innerText ?? ''")
    };
    let window = desktop.open(&[&model]);
    wait_for_state(&window, "ready");
    window.press("Tell me of the sea");
    window.press(ENTER);
    let before = wait_until("an answer that is being written", || {
        let text = written(&window).as_str().unwrap().to_owned();
        (window.has("[data-slot=stop]") && text.len() > 20).then_some(text)
    });
    std::thread::sleep(Duration::from_millis(700));
    assert!(
        window.has("[data-slot=stop]"),
        "the answer has ended by itself"
    );
    window.kill_app();
    drop(window);

    let window = desktop.open(&[]);
    wait_for_titles(&window, &["Tell me of the sea"]);
    let (after, ending) = finished_answer(&window, 1);
    assert_eq!(ending, "interrupted");
    assert!(
        after.contains("Sotto ended while this was written"),
        "{after}"
    );
    // What was seen before the pause was on the disk at the kill.
    let kept = written(&window);
    let kept = kept.as_str().unwrap();
    assert!(
        kept.starts_with(before.trim_end()),
        "{kept} is less than {before:?}"
    );
    wait_for_state(&window, "ready");
    window.screenshot("after-a-kill");
    window.click("[data-slot=retry]");
    window.find("[data-slot=stop]"); // The old answer counts as one until the new one is written.
    window.press(ESCAPE);
    finished_answer(&window, 1);
}

/// A conversation as another Sotto may have exported it, with an answer of our choice.
fn export_with(answer: &str) -> Value {
    let message = |id: &str, parent: Option<&str>, role: &str, text: &str| {
        json!({"id": id, "parent": parent, "role": role, "state": "complete", "created_ms": 0,
               "parts": [{"kind": "text", "text": text}]})
    };
    json!({
        "sotto_thread": 1, "id": "11111111-1111-4111-8111-111111111111", "title": "Taken in", "pinned": false,
        "created_ms": 0, "updated_ms": 0, "leaf": "22222222-2222-4222-8222-222222222222",
        "messages": [
            message("33333333-3333-4333-8333-333333333333", None, "user", "Show me"),
            message("22222222-2222-4222-8222-222222222222", Some("33333333-3333-4333-8333-333333333333"),
                    "assistant", answer),
        ],
    })
}

const HOSTILE: &str = r#"# Everything

<img src=x onerror="window.ran = true"><script>window.ran = true</script>

![a picture](https://example.org/picture.png) [a site](https://example.org/a?b=c) [no site](javascript:window.ran=true)

| left | right |
|:--|--:|
| **1** | `2` |

```rust
fn main() { println!("hello"); }
```

So $e^{i\pi} + 1 = 0$, and

$$\int_0^1 \frac{x^2}{\sqrt{1+x}}\,dx$$
"#;

#[test]
fn what_a_model_writes_is_shown_and_nothing_more() {
    let desktop = Desktop::new();
    let file = desktop.home.path().join("taken-in.json");
    fs::write(&file, export_with(HOSTILE).to_string()).unwrap();
    // Stands for the browser.
    let programs = desktop.home.path().join("programs");
    let opened = desktop.home.path().join("opened");
    fs::create_dir(&programs).unwrap();
    let script = format!("#!/bin/sh\necho \"$1\" >> '{}'\n", opened.display());
    fs::write(programs.join("xdg-open"), script).unwrap();
    let open = programs.join("xdg-open");
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());

    let window = desktop.open_with(&[], &[("PATH", &path)]);
    window.find("[data-slot=first-model]");
    window.js(
        "window.violations = [];
         document.addEventListener('securitypolicyviolation', (e) => window.violations.push(e.effectiveDirective))",
    );
    let imported = window.js_async(&format!(
        "window.__TAURI_INTERNALS__.invoke('import_threads', {{from: {}}}).then(done, done)",
        json!(file)
    ));
    assert_eq!(imported["added"], 1, "{imported}");
    // A search looks into the library anew.
    window.press_with(CONTROL, "f");
    window.press("everything");
    wait_for(&window, "[data-slot=thread]", 1);
    window.click("[data-slot=thread]");
    window.find("[data-slot=markdown] .katex-display .sqrt");

    let shown = window.js(
        "const page = document.querySelector('[data-slot=markdown]');
         const count = (css) => page.querySelectorAll(css).length;
         return [count('img, script, iframe, [onerror]'), count('h1'), count('td[align=right]'),
                 count('.hljs-keyword'), count('a'), count('.katex'), count('[style]') > 0,
                 window.ran === undefined, window.violations]",
    );
    assert_eq!(shown, json!([0, 1, 1, 1, 2, 2, true, true, []]));
    window.screenshot("markdown");

    // Code is copied as it was written.
    window.js("navigator.clipboard.writeText = async (text) => { window.copied = text }");
    window.click("[data-slot=copy-code]");
    let copied = window.js("return window.copied");
    assert_eq!(copied, "fn main() { println!(\"hello\"); }\n");

    // A link shows where it leads, and is followed only then.
    window.click("[data-slot=markdown] a[href*='a?b=c']");
    assert_eq!(
        window.text("[data-slot=address]"),
        "https://example.org/a?b=c"
    );
    window.press(ESCAPE);
    wait_for(&window, "[data-slot=dialog]", 0);
    assert!(!opened.exists());
    window.click("[data-slot=markdown] a[href*='a?b=c']");
    window.screenshot("link");
    window.click("[data-slot=dialog-confirm]");
    let address = wait_until("the browser is called", || fs::read_to_string(&opened).ok());
    assert_eq!(address.trim(), "https://example.org/a?b=c");
    let refused = window.js_async(
        "window.__TAURI_INTERNALS__.invoke('open_link', {address: 'file:///etc/passwd'}).then(done, done)",
    );
    assert_eq!(refused["code"], "unsupported");
    assert_eq!(window.js("return location.pathname"), "/");

    // In a narrow window the list comes when it is called, and lies over the conversation.
    let shows_list =
        || window.js("return document.querySelector('[data-slot=threads]').checkVisibility()");
    assert_eq!(shows_list(), true);
    window.set_size(700, 600);
    wait_until("the list is folded", || {
        (shows_list() == false).then_some(())
    });
    window.screenshot("narrow");
    window.click("[data-slot=toggle-list]");
    assert_eq!(shows_list(), true);
    window.screenshot("narrow-list");
    window.click("[data-slot=thread]");
    wait_until("the list is folded again", || {
        (shows_list() == false).then_some(())
    });
}

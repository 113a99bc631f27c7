//! Questions that are stored before they are answered, and answers that are found again.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use api::{
    Api, AskOptions, ChatEvent, DoneReason, ErrorCode, ExportFormat, MessagePart, MessageRole,
    MessageState, OpenModel, Retry, Send,
};
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn with_library() -> (TempDir, Api) {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::new();
    api.open_library(folder.path()).unwrap();
    (folder, api)
}

fn open_model(api: &Api) {
    let open = OpenModel {
        path: fixtures().join("tiny/checkpoint"),
        ..OpenModel::default()
    };
    api.open_model(&open, &mut |_| true).unwrap();
}

fn options() -> AskOptions {
    AskOptions {
        temperature: Some(0.0),
        max_tokens: Some(6),
        ..AskOptions::default()
    }
}

fn question(thread: Option<&str>, parent: Option<&str>, text: &str) -> Send {
    Send {
        run: "run".into(),
        thread: thread.map(str::to_owned),
        parent: parent.map(str::to_owned),
        parts: vec![MessagePart::Text { text: text.into() }],
        options: options(),
    }
}

/// The ids of thread, question and answer, the text that came, and the tokens of the prompt.
struct Said {
    thread: String,
    question: String,
    answer: String,
    text: String,
    prompt_tokens: u32,
}

fn said(events: Vec<ChatEvent>) -> Said {
    let mut said = Said {
        thread: String::new(),
        question: String::new(),
        answer: String::new(),
        text: String::new(),
        prompt_tokens: 0,
    };
    assert!(matches!(events.first(), Some(ChatEvent::Stored { .. })));
    for event in events {
        match event {
            ChatEvent::Stored {
                thread,
                question,
                answer,
            } => {
                said.thread = thread.id;
                said.question = question;
                said.answer = answer;
            }
            ChatEvent::Token { text, .. } => said.text += &text,
            ChatEvent::Done {
                text,
                prompt_tokens,
                ..
            } => {
                said.text += &text;
                said.prompt_tokens = prompt_tokens;
            }
            ChatEvent::Notice(_) | ChatEvent::Prefill { .. } => {}
        }
    }
    said
}

fn send(api: &Api, send: Send) -> Said {
    let mut events = Vec::new();
    api.send(send, &mut |event| {
        events.push(event);
        true
    })
    .unwrap();
    said(events)
}

fn texts(api: &Api, thread: &str) -> Vec<String> {
    let view = api.open_thread(thread, None).unwrap();
    let text = |part: &MessagePart| match part {
        MessagePart::Text { text } => text.clone(),
        other => format!("{other:?}"),
    };
    view.messages
        .iter()
        .map(|message| message.parts.iter().map(text).collect::<String>())
        .collect()
}

#[test]
fn a_conversation_goes_on_after_a_restart() {
    let (folder, api) = with_library();
    open_model(&api);
    let first = send(&api, question(None, None, "Tell me of the sea."));
    let second = send(
        &api,
        question(Some(&first.thread), Some(&first.answer), "And then?"),
    );
    assert_eq!(first.thread, second.thread);
    assert!(
        second.prompt_tokens < first.prompt_tokens,
        "the engine remembers the rest: {} after {}",
        second.prompt_tokens,
        first.prompt_tokens
    );
    let before = texts(&api, &first.thread);
    assert_eq!(
        before,
        [
            "Tell me of the sea.",
            &first.text,
            "And then?",
            &second.text
        ]
    );
    drop(api);

    let api = Api::new();
    api.open_library(folder.path()).unwrap();
    let threads = api.threads().unwrap();
    assert_eq!(threads[0].title, "Tell me of the sea.");
    assert_eq!(texts(&api, &threads[0].id), before);
    let view = api.open_thread(&threads[0].id, None).unwrap();
    let answer = &view.messages[1];
    assert_eq!(answer.role, MessageRole::Assistant);
    // The model may have ended it before the limit.
    let ended = [MessageState::Complete, MessageState::Cut];
    assert!(ended.contains(&answer.state), "{:?}", answer.state);
    assert_eq!(answer.model.as_deref(), Some("checkpoint"));
    assert_eq!(answer.figures.unwrap().prompt_tokens, first.prompt_tokens);

    open_model(&api);
    let third = send(
        &api,
        question(Some(&first.thread), Some(&second.answer), "Why?"),
    );
    assert!(
        third.prompt_tokens > first.prompt_tokens + second.prompt_tokens,
        "the model is told what was said: {}",
        third.prompt_tokens
    );
    assert_eq!(texts(&api, &first.thread).len(), 6);
}

#[test]
fn an_edited_question_is_asked_without_what_followed_the_old_one() {
    let (_folder, api) = with_library();
    open_model(&api);
    let first = send(&api, question(None, None, "Tell me of the sea."));
    let old = send(
        &api,
        question(Some(&first.thread), Some(&first.answer), "And then?"),
    );
    // The same question again: the model is in the same place, so it says the same.
    let edited = send(
        &api,
        question(Some(&first.thread), Some(&first.answer), "And then?"),
    );
    assert_ne!(edited.question, old.question);
    assert_eq!(texts(&api, &first.thread).len(), 4);
    let view = api.open_thread(&first.thread, None).unwrap();
    assert_eq!(
        view.messages[2].siblings,
        [old.question.clone(), edited.question]
    );
    let view = api.open_thread(&first.thread, Some(&old.answer)).unwrap();
    assert_eq!(view.messages[3].id, old.answer, "the old branch is there");

    let retry = Retry {
        run: "again".into(),
        question: first.question.clone(),
        options: options(),
    };
    let mut events = Vec::new();
    api.retry(retry, &mut |event| {
        events.push(event);
        true
    })
    .unwrap();
    let again = said(events);
    assert_eq!(again.text, first.text, "greedy, from the same start");
    assert_eq!(again.prompt_tokens, first.prompt_tokens);
    assert_eq!(texts(&api, &first.thread).len(), 2);
}

/// What `tried` gives as soon as it gives something.
fn until<T>(mut tried: impl FnMut() -> Option<T>) -> T {
    (0..50).find_map(|_| tried()).expect("one of 50 tries")
}

#[test]
fn a_stopped_answer_keeps_what_came_and_the_conversation_goes_on() {
    let (_folder, api) = with_library();
    open_model(&api);
    // The model writes on another thread, so an answer may be whole before it hears that it should stop.
    let long = |mut ask: Send| {
        ask.options.max_tokens = None;
        ask.options.temperature = Some(1.0);
        ask
    };
    let stopped = until(|| {
        let (mut tokens, mut events) = (0, Vec::new());
        let ask = long(question(None, None, "Tell me of the sea."));
        api.send(ask, &mut |event| {
            tokens += u32::from(matches!(event, ChatEvent::Token { .. }));
            events.push(event);
            tokens < 3
        })
        .unwrap();
        let cancelled = events.iter().any(|event| {
            matches!(
                event,
                ChatEvent::Done {
                    reason: DoneReason::Cancelled,
                    ..
                }
            )
        });
        cancelled.then(|| said(events))
    });
    let view = api.open_thread(&stopped.thread, None).unwrap();
    assert_eq!(view.messages[1].state, MessageState::Stopped);
    assert_eq!(texts(&api, &stopped.thread)[1], stopped.text);

    // Stopped before the first token: no error, and nothing is said.
    let view = until(|| {
        let ask = question(Some(&stopped.thread), Some(&stopped.answer), "More?");
        let _ = api.send(long(ask), &mut |_| false);
        let view = api.open_thread(&stopped.thread, None).unwrap();
        (view.messages[3].state == MessageState::Stopped).then_some(view)
    });
    let next = question(
        Some(&stopped.thread),
        Some(&view.messages[3].id),
        "And now?",
    );
    assert_eq!(texts(&api, &send(&api, next).thread).len(), 6);
}

#[test]
fn a_failed_answer_says_why_also_tomorrow() {
    let (_folder, api) = with_library();
    let error = api
        .send(question(None, None, "Hello"), &mut |_| true)
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::ModelMissing);
    assert_eq!(api.threads().unwrap(), [], "nothing was asked");
    open_model(&api);
    let long = "word ".repeat(2000);
    let error = api
        .send(question(None, None, &long), &mut |_| true)
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLong);
    let thread = api.threads().unwrap().remove(0);
    let view = api.open_thread(&thread.id, None).unwrap();
    assert_eq!(view.messages[1].state, MessageState::Failed);
    assert_eq!(view.messages[1].failure, Some(error));
    // What failed does not stand in the way of the next question.
    let next = question(Some(&thread.id), Some(&view.messages[1].id), "Hello");
    let next = send(&api, next);
    assert!(next.prompt_tokens < 30, "{}", next.prompt_tokens);
}

#[test]
fn titles_and_summaries_are_written_aside() {
    let (_folder, api) = with_library();
    open_model(&api);
    let first = send(&api, question(None, None, "Tell me of the sea."));
    // Longer than the context of the model: the end of it is summed up.
    let long = "the sea ".repeat(400);
    api.send(
        question(Some(&first.thread), Some(&first.answer), &long),
        &mut |_| true,
    )
    .unwrap_err();
    match api.summarise_thread(&first.thread, &|| true) {
        Ok(summary) => assert!(!summary.is_empty()),
        Err(error) => assert_eq!(error.code, ErrorCode::Unsupported, "{error}"),
    }
    for stopped in [
        api.summarise_thread(&first.thread, &|| false).unwrap_err(),
        api.title_thread(&first.thread, &|| false).unwrap_err(),
    ] {
        assert_eq!(stopped.code, ErrorCode::Cancelled);
    }
    // What random weights write is no title, and nothing of all this is in the conversation.
    assert_eq!(api.title_thread(&first.thread, &|| true).unwrap(), None);
    assert_eq!(api.threads().unwrap()[0].title, "Tell me of the sea.");
    assert_eq!(texts(&api, &first.thread).len(), 4);
    let next = question(Some(&first.thread), Some(&first.answer), "And then?");
    assert!(send(&api, next).prompt_tokens > 0);

    // A name that the user gave stays, so no model is asked.
    api.rename_thread(&first.thread, "The sea").unwrap();
    api.close_model();
    assert_eq!(api.title_thread(&first.thread, &|| true).unwrap(), None);
    let untitled = api.title_thread("nowhere", &|| true).unwrap_err();
    assert_eq!(untitled.code, ErrorCode::Gone);
}

#[test]
fn files_are_taken_in_seen_and_heard() {
    let (_folder, api) = with_library();
    open_model(&api);
    let inputs = fixtures().join("tiny/inputs");
    let picture = api.attach(&inputs.join("image_a.png")).unwrap().part;
    let sound = api.attach(&inputs.join("clip_b.wav")).unwrap().part;
    let (MessagePart::Picture { file, .. }, MessagePart::Sound { file: clip, .. }) =
        (&picture, &sound)
    else {
        panic!("{picture:?} {sound:?}");
    };
    assert!(
        api.preview(file, 64)
            .unwrap()
            .starts_with("data:image/png;base64,iVBOR")
    );
    let waveform = api.waveform(clip).unwrap();
    assert!(waveform.seconds > 0.1 && waveform.peaks.len() > 20);
    let mut ask = question(None, None, "What is it?");
    ask.parts.splice(0..0, [picture.clone(), sound]);
    let first = send(&api, ask);
    let view = api.open_thread(&first.thread, None).unwrap();
    assert_eq!(view.messages[0].parts[0], picture);

    // Pasted bytes of the same picture are the same file.
    let pasted = fs::read(inputs.join("image_a.png")).unwrap();
    let pasted = base64_of(&pasted);
    let part = api.attach_pasted("pasted.png", &pasted).unwrap().part;
    assert!(matches!(part, MessagePart::Picture { file: same, .. } if same == *file));

    // A text file becomes a quote, and the model reads it before the question.
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note.txt");
    fs::write(&note, "The meeting is on Monday.\r\n").unwrap();
    let quote = api.attach(&note).unwrap().part;
    assert!(
        matches!(&quote, MessagePart::Quote { text, .. } if text == "The meeting is on Monday.\n")
    );
    let mut ask = question(None, None, "When?");
    ask.parts.insert(0, quote);
    let quoted = send(&api, ask);
    let typed = send(
        &api,
        question(None, None, "The meeting is on Monday.\n\nWhen?"),
    );
    assert_eq!(quoted.text, typed.text);
    let out = folder.path().join("out.md");
    api.export_thread(&quoted.thread, ExportFormat::Markdown, &out)
        .unwrap();
    assert!(
        fs::read_to_string(out)
            .unwrap()
            .contains("note.txt:\n\n```")
    );
}

#[test]
fn files_that_cannot_be_used_end_in_a_sentence() {
    let (_folder, api) = with_library();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let long = silent_wav(31);
    use ErrorCode::{
        InputEmpty, InputIsFolder, InputTooLarge, InputTooLong, InputUnknown, InputUnreadable,
    };
    for (path, code, expected) in [
        (
            file("broken.png", b"\x89PNG\r\n\x1a\nnothing"),
            InputUnreadable,
            "broken.png: ",
        ),
        (file("empty.png", b""), InputEmpty, "empty.png: "),
        (file("empty.wav", b""), InputEmpty, "empty.wav: "),
        (
            file("empty.txt", b""),
            InputEmpty,
            "empty.txt: the file is empty.",
        ),
        (
            file("program.txt", &[0x7F, b'E', b'L', b'F', 0, 1]),
            InputUnknown,
            "neither a picture",
        ),
        (
            file("huge.txt", &vec![b'a'; 200 << 10]),
            InputTooLarge,
            "longer than 128 KiB",
        ),
        (
            file("long.wav", &long),
            InputTooLong,
            "at most 30 s can be heard",
        ),
        (
            folder.path().join("absent.png"),
            InputUnreadable,
            "cannot be read",
        ),
        (folder.path().to_owned(), InputIsFolder, "folder"),
    ] {
        let error = api.attach(&path).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        let name = path.file_name().and_then(|name| name.to_str());
        assert_eq!(error.subject.as_deref(), name);
        assert!(error.message.contains(expected), "{error}");
        assert!(error.message.ends_with('.'), "{error}");
    }
    for name in ["../settings.json", "library.db"] {
        assert_eq!(api.preview(name, 64).unwrap_err().code, ErrorCode::Gone);
    }
}

#[test]
fn a_library_that_cannot_be_opened_says_so_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library");
    fs::write(&path, "in the way").unwrap();
    let api = Api::new();
    assert_eq!(api.threads().unwrap_err().code, ErrorCode::Storage);
    let error = api.open_library(&path).unwrap_err();
    assert_eq!(api.threads().unwrap_err(), error);
    fs::remove_file(&path).unwrap();
    api.open_library(&path).unwrap();
    assert_eq!(api.threads().unwrap(), []);
}

/// A silent WAV file of so many seconds at 16 kHz.
fn silent_wav(seconds: u32) -> Vec<u8> {
    let n = seconds * 16_000 * 2;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + n).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend([1, 0, 1, 0]);
    wav.extend(16_000u32.to_le_bytes());
    wav.extend(32_000u32.to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(n.to_le_bytes());
    wav.resize(44 + n as usize, 0);
    wav
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

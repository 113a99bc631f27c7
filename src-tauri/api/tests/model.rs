//! One model at a time: opened, asked, replaced and closed.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use api::{Api, Ask, AskOptions, AskPart, ChatEvent, DoneReason, ErrorCode, ModelState, OpenModel};

fn tiny() -> OpenModel {
    OpenModel {
        path: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny/checkpoint"),
        ..OpenModel::default()
    }
}

fn hello(max_tokens: Option<u32>) -> Ask {
    Ask {
        conversation: "a".into(),
        parts: vec![AskPart::Text {
            text: "Hello".into(),
        }],
        options: AskOptions {
            max_tokens,
            temperature: Some(0.0),
            ..AskOptions::default()
        },
    }
}

#[test]
fn a_model_is_opened_asked_and_closed() {
    let api = Api::new();
    assert_eq!(api.model_state(), ModelState::None);
    let error = api.ask(hello(None), &mut |_| true).unwrap_err();
    assert_eq!(error.code, ErrorCode::ModelMissing);

    let mut percents = Vec::new();
    let summary = api
        .open_model(&tiny(), &mut |progress| {
            percents.push(progress.percent);
            true
        })
        .unwrap();
    assert!(
        percents.is_sorted() && percents.last() == Some(&100.0),
        "{percents:?}"
    );
    assert_eq!(
        (summary.name.as_str(), summary.format.as_str()),
        ("checkpoint", "safetensors, f32")
    );
    assert_eq!((summary.layers, summary.context), (15, 512));
    assert!(summary.vision && summary.audio);
    assert_eq!(api.model_state(), ModelState::Ready(summary));

    let mut events = Vec::new();
    api.ask(hello(Some(4)), &mut |event| {
        events.push(event);
        true
    })
    .unwrap();
    let tokens = events
        .iter()
        .filter(|e| matches!(e, ChatEvent::Token { .. }))
        .count();
    let Some(ChatEvent::Done {
        reason,
        completion_tokens,
        ..
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        (*reason, *completion_tokens as usize),
        (DoneReason::Length, tokens)
    );

    api.close_model();
    assert_eq!(api.model_state(), ModelState::None);
}

#[test]
fn a_stopped_answer_still_reports() {
    let api = Api::new();
    api.open_model(&tiny(), &mut |_| true).unwrap();
    let mut tokens = 0;
    let mut last = None;
    api.ask(hello(None), &mut |event| {
        tokens += u32::from(matches!(event, ChatEvent::Token { .. }));
        last = Some(event);
        tokens < 3
    })
    .unwrap();
    let Some(ChatEvent::Done { reason, .. }) = last else {
        panic!("{last:?}");
    };
    assert_eq!(reason, DoneReason::Cancelled);
}

#[test]
fn another_model_ends_the_answer_of_the_first() {
    let api = Api::new();
    api.open_model(&tiny(), &mut |_| true).unwrap();
    let other = api.clone();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let asking = std::thread::spawn(move || {
        let mut reason = None;
        let answered = other.ask(hello(None), &mut |event| {
            let _ = begun.send(());
            if let ChatEvent::Done { reason: r, .. } = event {
                reason = Some(r);
            }
            true
        });
        (answered, reason)
    });
    has_begun.recv().unwrap();
    api.open_model(&tiny(), &mut |_| true).unwrap();
    let (answered, reason) = asking.join().unwrap();
    // On a quick machine the context may have been full before.
    assert!(
        matches!(reason, Some(DoneReason::Cancelled | DoneReason::Length)),
        "{answered:?}"
    );
    api.ask(hello(Some(2)), &mut |_| true).unwrap();
}

#[test]
fn what_cannot_be_opened_is_kept_as_the_state() {
    let api = Api::new();
    let nowhere = OpenModel {
        path: PathBuf::from("/nowhere/model"),
        ..OpenModel::default()
    };
    let error = api.open_model(&nowhere, &mut |_| true).unwrap_err();
    assert_eq!(error.code, ErrorCode::ModelMissing);
    assert_eq!(api.model_state(), ModelState::Failed(error));
    // Cancelled is not failed.
    let error = api.open_model(&tiny(), &mut |_| false).unwrap_err();
    assert_eq!(error.code, ErrorCode::Cancelled);
    assert_eq!(api.model_state(), ModelState::None);
}

#[test]
fn an_open_model_follows_its_limit() {
    let api = Api::new();
    assert_eq!(api.fit_model(None).unwrap(), None, "nothing is open");
    let demo = OpenModel {
        path: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/sotto-demo.gguf"),
        ..OpenModel::default()
    };
    let whole = api.open_model(&demo, &mut |_| true).unwrap();
    assert_eq!(api.fit_model(None).unwrap(), None, "it fits");
    // What `sotto-cli plan` names the least is six and a half megabytes.
    let small = api.fit_model(Some(8_000_000)).unwrap().unwrap();
    assert!(small.effective_parameters < whole.effective_parameters);
    assert_eq!(api.model_state(), ModelState::Ready(small));
    api.ask(hello(Some(2)), &mut |_| true).unwrap();
    assert_eq!(api.fit_model(None).unwrap(), Some(whole));
}

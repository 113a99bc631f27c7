//! Conversations with the tiny random-weight model: what is computed, what is kept, how they end.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use engine::{
    DoneReason, Engine, Error, Event, Exchange, OpenOptions, Overrides, Package, Part, Report, Turn,
};
use gemma3n::{Message, Part as PromptPart, Prompt, Role, Step, Tokens, Wanted};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny")
}

fn open(path: &Path) -> Engine {
    Engine::new(Package::open(path, &OpenOptions::default(), &mut |_| true).unwrap())
}

/// A greedy turn of a few tokens.
fn turn(text: &str) -> Turn {
    Turn {
        parts: vec![Part::Text(text.to_owned())],
        overrides: Overrides {
            temperature: Some(0.0),
            ..Overrides::default()
        },
        max_tokens: Some(12),
        ..Turn::default()
    }
}

/// The tokens, the text and the report of an answer.
fn answer(
    engine: &Engine,
    conversation: &str,
    turn: Turn,
) -> Result<(Vec<u32>, String, Report), Error> {
    let (mut ids, mut text) = (Vec::new(), String::new());
    for event in engine.ask(conversation, turn) {
        match event? {
            Event::Prefill { .. } | Event::Moved { .. } => {}
            Event::Token { id, text: piece } => {
                ids.push(id);
                text += &piece;
            }
            Event::Done(report) => {
                text += &report.held_back;
                return Ok((ids, text, report));
            }
        }
    }
    panic!("the answer ended without a report");
}

/// Greedy tokens behind explicit ids, computed from nothing.
fn continuation(engine: &Engine, ids: &[u32], n: usize) -> Vec<u32> {
    let model = engine.package().model();
    let mut cache = model.new_cache(model.whole());
    let prompt = Prompt::text(ids.to_vec());
    let mut out: Vec<u32> = Vec::new();
    while out.len() < n {
        let last = out.last().copied();
        let tokens = match &last {
            None => prompt.whole(),
            Some(id) => Tokens::text(std::slice::from_ref(id)),
        };
        let wanted = Wanted::Last;
        let mut steps = [Step {
            cache: &mut cache,
            tokens,
            wanted,
        }];
        let logits = model.step(&mut steps).unwrap().unwrap();
        let text = logits
            .narrow(1, 0, model.config().text_vocab_size())
            .unwrap();
        let id = text.argmax(1).unwrap().to_vec1::<u32>().unwrap()[0];
        if engine.package().generation().stop_ids.contains(&id) {
            break;
        }
        out.push(id);
    }
    out
}

#[test]
fn a_follow_up_prefills_only_what_is_new() {
    let engine = open(&tiny().join("checkpoint"));
    let (prompts, tokenizer) = (
        engine.package().prompts().unwrap(),
        engine.package().tokenizer().unwrap(),
    );
    let first = "Tell me a short story about the old lighthouse keeper.";
    let (first_ids, first_text, report) = answer(&engine, "a", turn(first)).unwrap();
    let mut messages = vec![Message::text(Role::User, first)];
    let first_prompt = prompts.render(tokenizer, &messages, true).unwrap().ids;
    assert_eq!(report.prompt_tokens, first_prompt.len());
    assert_eq!(first_ids, continuation(&engine, &first_prompt, 12));

    let (second_ids, _, report) = answer(&engine, "a", turn("And then?")).unwrap();
    // What the model has seen by now: the prompt, its own tokens as it wrote them, and the new turn.
    messages.push(Message::text(Role::Assistant, first_text));
    let answered = prompts.render(tokenizer, &messages, false).unwrap().ids;
    messages.push(Message::text(Role::User, "And then?"));
    let all = prompts.render(tokenizer, &messages, true).unwrap().ids;
    let stop_ids = &engine.package().generation().stop_ids;
    let end = answered
        .iter()
        .rposition(|id| stop_ids.contains(id))
        .unwrap();
    let seen = [&first_prompt[..], &first_ids, &all[end..]].concat();
    assert_eq!(second_ids, continuation(&engine, &seen, 12));
    // One more than the new turn: the last token of the first answer had not gone through the model.
    assert_eq!(report.prompt_tokens, all.len() - end + 1);
    assert_eq!(report.context_tokens, seen.len() + second_ids.len());
}

#[test]
fn conversations_are_apart_and_survive_being_put_down() {
    let engine = open(&tiny().join("checkpoint"));
    let fresh = open(&tiny().join("checkpoint"));
    let (a1, ..) = answer(&engine, "a", turn("The grey sea.")).unwrap();
    let (b1, ..) = answer(&engine, "b", turn("Rain over the hills.")).unwrap();
    assert_eq!(
        b1,
        answer(&fresh, "x", turn("Rain over the hills.")).unwrap().0
    );
    assert_eq!(a1, answer(&fresh, "y", turn("The grey sea.")).unwrap().0);
    // Its cache is gone, so everything goes through the model again, pictures of earlier turns included.
    let (_, _, report) = answer(&engine, "a", turn("More.")).unwrap();
    assert!(report.prompt_tokens > 20, "{report:?}");
}

#[test]
fn a_conversation_that_is_forgotten_begins_anew() {
    let engine = open(&tiny().join("checkpoint"));
    let first = answer(&engine, "a", turn("The grey sea.")).unwrap();
    engine.forget("a");
    engine.forget("unknown");
    let again = answer(&engine, "a", turn("The grey sea.")).unwrap();
    assert_eq!(first.0, again.0);
    assert_eq!(first.2.prompt_tokens, again.2.prompt_tokens);
    engine.forget("a");
    answer(&engine, "b", turn("Hello.")).unwrap();
    assert!(!engine.knows("a"));
}

#[test]
fn a_history_that_is_told_goes_before_the_question() {
    let engine = open(&tiny().join("checkpoint"));
    let (prompts, tokenizer) = (
        engine.package().prompts().unwrap(),
        engine.package().tokenizer().unwrap(),
    );
    let mut next = turn("And then?");
    next.history = vec![Exchange {
        question: vec![Part::Text("Tell me of the sea.".into())],
        answer: "It was grey.".into(),
    }];
    let messages = [
        Message::text(Role::User, "Tell me of the sea."),
        Message::text(Role::Assistant, "It was grey."),
        Message::text(Role::User, "And then?"),
    ];
    let prompt = prompts.render(tokenizer, &messages, true).unwrap().ids;
    assert!(!engine.knows("a"));
    let (ids, _, report) = answer(&engine, "a", next.clone()).unwrap();
    assert_eq!(report.prompt_tokens, prompt.len());
    assert_eq!(ids, continuation(&engine, &prompt, 12));

    // Known now, so it is not told twice.
    let (_, _, report) = answer(&engine, "a", next).unwrap();
    assert!(report.prompt_tokens < prompt.len(), "{report:?}");
    assert!(engine.knows("a"));
}

#[test]
fn an_answered_conversation_can_go_by_another_id() {
    let engine = open(&tiny().join("checkpoint"));
    let mut first = turn("The grey sea.");
    first.then = Some("b".into());
    for event in engine.ask("a", first.clone()) {
        event.unwrap();
    }
    assert!(engine.knows("b") && !engine.knows("a"));
    let (_, _, report) = answer(&engine, "b", turn("More.")).unwrap();
    // Only the new turn went through the model, and the last token of the answer.
    assert!(
        report.prompt_tokens < report.context_tokens / 2,
        "{report:?}"
    );

    // A turn that fails leaves the id as it was, and an empty conversation is none.
    let mut long = turn(&"word ".repeat(2000));
    long.then = Some("c".into());
    for (id, known) in [("b", true), ("new", false)] {
        let events: Vec<_> = engine.ask(id, long.clone()).collect();
        assert!(matches!(events.last(), Some(Err(Error::TooLong { .. }))));
        assert_eq!(
            (engine.knows(id), engine.knows("c")),
            (known, false),
            "{id}"
        );
    }
}

#[test]
fn a_picture_of_an_earlier_turn_stays_in_the_conversation() {
    let engine = open(&tiny().join("checkpoint"));
    let picture = std::fs::read(tiny().join("inputs/image_a.png")).unwrap();
    let picture = gemma3n::decode_picture(&picture).unwrap();
    let mut with_picture = turn("What is in this picture?");
    with_picture.parts.insert(0, Part::Image(picture));
    answer(&engine, "a", with_picture).unwrap();
    let (kept, _, report) = answer(&engine, "a", turn("And where?")).unwrap();
    assert!(report.prompt_tokens < 40, "{report:?}");
    assert!(!kept.is_empty());
    // Another conversation takes the cache; going on computes the picture's places from the kept rows.
    answer(&engine, "b", turn("Hello.")).unwrap();
    let (_, _, report) = answer(&engine, "a", turn("Again?")).unwrap();
    assert!(report.prompt_tokens > 80, "{report:?}");
}

#[test]
fn submodels_change_between_turns() {
    let engine = open(&tiny().join("checkpoint"));
    let asked = |name: Option<&str>, text: &str| Turn {
        submodel: name.map(str::to_owned),
        ..turn(text)
    };
    let alone = answer(
        &engine,
        "s",
        asked(Some("skip"), "Where does the river meet?"),
    )
    .unwrap()
    .0;
    answer(&engine, "a", asked(None, "Hello.")).unwrap();
    answer(&engine, "a", asked(Some("ffn"), "Go on.")).unwrap();
    answer(&engine, "a", asked(Some("layers=0-9;ffn=32"), "Go on.")).unwrap();
    let again = answer(
        &engine,
        "t",
        asked(Some("SKIP"), "Where does the river meet?"),
    )
    .unwrap()
    .0;
    assert_eq!(alone, again);
    let error = answer(&engine, "a", asked(Some("E9B"), "Go on.")).unwrap_err();
    let expected = "there is no submodel \"E9B\"; this file can become skip, ffn, full";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn a_stopped_answer_reports_and_the_conversation_goes_on() {
    let engine = open(&tiny().join("checkpoint"));
    let long = Turn {
        max_tokens: None,
        ..turn("Tell me everything.")
    };
    let mut stopped = engine.ask("a", long);
    let mut tokens = 0;
    let report = loop {
        match stopped.next().unwrap().unwrap() {
            Event::Done(report) => break report,
            Event::Token { .. } => {
                tokens += 1;
                if tokens == 3 {
                    stopped.stop();
                }
            }
            Event::Prefill { .. } | Event::Moved { .. } => {}
        }
    };
    assert_eq!(report.reason, DoneReason::Cancelled);
    assert_eq!(report.completion_tokens, tokens);
    let (ids, _, report) = answer(&engine, "a", turn("Go on.")).unwrap();
    assert!(!ids.is_empty());
    assert_eq!(report.reason, DoneReason::Length);
    // Dropping the answer is enough, too.
    let mut dropped = engine.ask(
        "a",
        Turn {
            max_tokens: None,
            ..turn("More.")
        },
    );
    dropped.next();
    drop(dropped);
    answer(&engine, "a", turn("Go on.")).unwrap();
}

#[test]
fn a_full_context_ends_the_answer_and_a_longer_prompt_is_refused() {
    let engine = open(&tiny().join("checkpoint"));
    let (ids, _, report) = answer(
        &engine,
        "a",
        Turn {
            max_tokens: None,
            ..turn("Count.")
        },
    )
    .unwrap();
    assert_eq!(report.reason, DoneReason::Length);
    assert!(report.context_full);
    assert_eq!(report.context_tokens, 512);
    assert_eq!(ids.len() + report.prompt_tokens, 512);
    let error = answer(&engine, "a", turn("And on?")).unwrap_err();
    assert!(
        matches!(error, Error::TooLong { context: 512, .. }),
        "{error}"
    );
    let error = answer(&engine, "b", turn(&"lighthouse ".repeat(600))).unwrap_err();
    assert!(
        matches!(error, Error::TooLong { context: 512, .. }),
        "{error}"
    );
    // The refused turn left nothing behind.
    let (again, ..) = answer(&engine, "b", turn("Hello.")).unwrap();
    assert_eq!(again, answer(&engine, "c", turn("Hello.")).unwrap().0);
}

#[test]
fn system_instructions_lead_the_first_turn() {
    let engine = open(&tiny().join("checkpoint"));
    let system = Turn {
        system: Some("You are a helpful assistant.".into()),
        ..turn("Hello.")
    };
    let (ids, ..) = answer(&engine, "a", system).unwrap();
    let messages = [
        Message::text(Role::System, "You are a helpful assistant."),
        Message {
            role: Role::User,
            parts: vec![PromptPart::Text("Hello.".into())],
        },
    ];
    let package = engine.package();
    let prompts = package.prompts().unwrap();
    let prompt = prompts
        .render(package.tokenizer().unwrap(), &messages, true)
        .unwrap();
    assert_eq!(ids, continuation(&engine, &prompt.ids, 12));
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny().join("checkpoint")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let file = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
    let name = "model.language_model.layers.2.self_attn.o_proj.weight";
    let start = 8 + header_len + header[name]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();

    let engine = open(folder.path());
    let error = answer(&engine, "a", turn("Hello."))
        .unwrap_err()
        .to_string();
    assert!(error.contains(name) && error.contains("damaged"), "{error}");
}

#[test]
fn a_folder_without_a_tokenizer_takes_ids() {
    let engine = open(&tiny().join("checkpoint-sliced-text"));
    let error = answer(&engine, "a", turn("Hello.")).unwrap_err();
    assert!(error.to_string().contains("has no tokenizer"), "{error}");
    let ids = Turn {
        parts: Vec::new(),
        ids: Some(vec![2, 5, 300, 301]),
        ..turn("")
    };
    let (ids, text, report) = answer(&engine, "b", ids).unwrap();
    assert_eq!(ids, continuation(&engine, &[2, 5, 300, 301], 12));
    assert_eq!((text.as_str(), report.completion_tokens), ("", ids.len()));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny().join("checkpoint")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let file = folder.path().join("tokenizer.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vocab = value["model"]["vocab"].as_object_mut().unwrap();
    vocab.insert("surplus".into(), 544.into());
    std::fs::write(&file, value.to_string()).unwrap();
    let refused = Package::open(folder.path(), &OpenOptions::default(), &mut |_| true);
    let Err(error) = refused else {
        panic!("it was opened");
    };
    let error = error.to_string();
    assert!(
        error.contains("545 pieces") && error.contains("vocabulary has 544"),
        "{error}"
    );
}

#[test]
fn opening_reports_progress_and_can_be_cancelled() {
    let path = tiny().join("checkpoint");
    let mut shares = Vec::new();
    Package::open(&path, &OpenOptions::default(), &mut |share| {
        shares.push(share);
        true
    })
    .unwrap();
    assert!(
        shares.is_sorted() && shares[shares.len() - 1] > 0.9,
        "{shares:?}"
    );
    let mut calls = 0;
    let refused = Package::open(&path, &OpenOptions::default(), &mut |_| {
        calls += 1;
        calls < 10
    });
    assert!(matches!(refused, Err(Error::Cancelled)));
    assert_eq!(calls, 10);
}

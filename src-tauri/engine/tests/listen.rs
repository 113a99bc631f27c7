//! Questions about sound with the demo model: what is given, confirmed and kept changes the cost and not the answer.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use engine::{Engine, Error, Event, Listen, Listened, OpenOptions, Overrides, Package, Part, Turn};
use gemma3n::{Step, Wanted};

const PROMPT: &str = "Transcribe the following speech segment in English:";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn demo() -> Engine {
    let path = root().join("assets/demo/sotto-demo.gguf");
    Engine::new(Package::open(&path, &OpenOptions::default(), &mut |_| true).unwrap())
}

fn clip(name: &str) -> Vec<f32> {
    let path = root().join("tests/fixtures/demo").join(name);
    audio::read_sound(&path, Duration::from_secs(30))
        .unwrap()
        .samples
}

fn listen(samples: &[f32]) -> Listen {
    Listen {
        prompt: PROMPT.to_owned(),
        samples: Some(samples.to_vec()),
        max_tokens: 60,
        ..Listen::default()
    }
}

/// What a conversation answers.
fn told(engine: &Engine, parts: Vec<Part>) -> String {
    let turn = Turn {
        parts,
        overrides: Overrides {
            temperature: Some(0.0),
            ..Overrides::default()
        },
        max_tokens: Some(60),
        ..Turn::default()
    };
    let mut text = String::new();
    for event in engine.ask("only", turn) {
        if let Event::Token { text: piece, .. } = event.unwrap() {
            text += &piece;
        }
    }
    engine.forget("only");
    text
}

const CLIPS: [&str; 5] = [
    "held-out/clips/voice-000.flac",
    "held-out/clips/voice-002-noisy.flac",
    "held-out/clips/human-003.flac",
    "by-hand/clips/05.flac",
    "held-out/clips/voice-009.flac",
];

#[test]
fn the_answer_is_that_of_a_conversation() {
    let engine = demo();
    for name in CLIPS {
        let samples = clip(name);
        let parts = vec![Part::Text(PROMPT.to_owned()), Part::Audio(samples.clone())];
        let expected = told(&engine, parts);
        let heard = engine.listen(listen(&samples)).unwrap();
        assert_eq!((heard.text, heard.complete), (expected, true), "{name}");
    }
    // And without any sound.
    let prompt = "Translate the following text into German:\nWe need twenty four boxes.";
    let heard = engine.listen(Listen {
        prompt: prompt.to_owned(),
        max_tokens: 60,
        ..Listen::default()
    });
    assert_eq!(heard.unwrap().text, "Wir brauchen vierundzwanzig Kisten.");
}

#[test]
fn drafts_and_beginnings_change_the_cost_and_not_the_answer() {
    let engine = demo();
    for name in CLIPS {
        let samples = clip(name);
        let plain = engine.listen(listen(&samples)).unwrap();
        assert_eq!((plain.n_draft, plain.n_confirmed), (0, 0));
        let words: Vec<&str> = plain.text.split_inclusive(' ').collect();

        let right = engine
            .listen(Listen {
                draft: plain.text.clone(),
                ..listen(&samples)
            })
            .unwrap();
        assert_eq!(right.text, plain.text, "{name}");
        assert!(
            right.n_confirmed == right.n_draft && right.n_decoded == 0,
            "{right:?}"
        );

        // A draft that is right for a while and then goes wrong.
        let half = words[..words.len() / 2].concat();
        let draft = format!("{half}zebra crossing");
        let wrong = engine
            .listen(Listen {
                draft,
                ..listen(&samples)
            })
            .unwrap();
        assert_eq!(wrong.text, plain.text, "{name}");
        assert!(
            wrong.n_confirmed > 0 && wrong.n_confirmed < wrong.n_draft,
            "{wrong:?}"
        );
        assert!(wrong.n_decoded < plain.n_decoded);

        let begun = half.trim_end().to_owned();
        let given = engine
            .listen(Listen {
                begun: begun.clone(),
                ..listen(&samples)
            })
            .unwrap();
        assert_eq!(begun + &given.text, plain.text, "{name}");

        // What is given is kept even if it is wrong.
        let begun = "We need".to_owned();
        let given = engine
            .listen(Listen {
                begun,
                ..listen(&samples)
            })
            .unwrap();
        assert!(!given.text.starts_with("We need"), "{given:?}");
    }
}

#[test]
fn the_instruction_is_computed_once() {
    let engine = demo();
    let samples = clip(CLIPS[0]);
    let first = engine.listen(listen(&samples)).unwrap();
    assert_eq!(first.n_reused, 0);
    let again = engine.listen(listen(&samples)).unwrap();
    assert!(again.n_reused > 5, "{again:?}");
    // A question in text between the two has a cache of its own.
    let prompt = "Translate into German: We need twenty four boxes.".to_owned();
    engine
        .listen(Listen {
            prompt,
            max_tokens: 40,
            ..Listen::default()
        })
        .unwrap();
    let third = engine.listen(listen(&samples)).unwrap();
    assert_eq!((&third.text, third.n_reused), (&first.text, again.n_reused));
    // Another instruction shares only its beginning, another submodel nothing.
    let prompt = "Transcribe the following speech segment.".to_owned();
    let other = engine
        .listen(Listen {
            prompt,
            ..listen(&samples)
        })
        .unwrap();
    assert!(other.n_reused > 0 && other.n_reused < again.n_reused);
    let small = Listen {
        submodel: Some("small".to_owned()),
        ..listen(&samples)
    };
    assert_eq!(engine.listen(small).unwrap().n_reused, 0);
}

#[test]
fn an_answer_has_its_limit() {
    let engine = demo();
    let samples = clip(CLIPS[4]);
    let cut = engine
        .listen(Listen {
            max_tokens: 3,
            ..listen(&samples)
        })
        .unwrap();
    assert!(!cut.complete);
    let whole = engine.listen(listen(&samples)).unwrap();
    assert!(whole.text.starts_with(&cut.text) && whole.text.len() > cut.text.len());
    // A draft is no way around it.
    let draft = whole.text.clone();
    let same = engine
        .listen(Listen {
            max_tokens: 3,
            draft,
            ..listen(&samples)
        })
        .unwrap();
    assert_eq!((same.text, same.complete), (cut.text, false));
    let much = engine.listen(Listen {
        max_tokens: 5000,
        ..listen(&samples)
    });
    assert!(matches!(much, Err(Error::TooLong { .. })), "{much:?}");
    // The next question is none the worse for it.
    assert_eq!(engine.listen(listen(&samples)).unwrap().text, whole.text);
}

#[test]
fn listening_does_not_wait_for_an_answer_in_flight() {
    let engine = demo();
    let samples = clip(CLIPS[0]);
    let expected = engine.listen(listen(&samples)).unwrap().text;
    // Token ids that the model goes on from for a long time, as they are no text.
    let turn = Turn {
        ids: Some(vec![2; 40]),
        seed: Some(1),
        overrides: Overrides {
            temperature: Some(3.0),
            top_k: Some(0),
            top_p: Some(1.0),
            ..Overrides::default()
        },
        max_tokens: Some(3000),
        ..Turn::default()
    };
    let mut answer = engine.ask("long", turn);
    assert!(matches!(answer.next(), Some(Ok(_))));
    let heard: Listened = engine.listen(listen(&samples)).unwrap();
    assert_eq!(heard.text, expected);
    answer.stop();
    let last = answer.last();
    assert!(matches!(last, Some(Ok(Event::Done(_)))), "{last:?}");
    engine.close();
    assert!(matches!(
        engine.listen(listen(&samples)),
        Err(Error::Closed)
    ));
}

/// A cache that went back to a position goes on from there as one that never was further.
#[test]
fn going_back_in_a_cache_forgets_what_came_after() {
    let engine = demo();
    let model = engine.package().model();
    let ids: Vec<u32> = (0..300).map(|i| 20 + i % 900).collect();
    let run = |cache: &mut gemma3n::KvCache, ids: &[u32]| -> Vec<f32> {
        let tokens = gemma3n::Tokens::text(ids);
        let mut steps = [Step {
            cache,
            tokens,
            wanted: Wanted::Last,
        }];
        let logits = model.step(&mut steps).unwrap().unwrap();
        logits.flatten_all().unwrap().to_vec1().unwrap()
    };
    let mut straight = model.new_cache(model.whole());
    run(&mut straight, &ids[..40]);
    let expected = run(&mut straight, &ids[40..60]);

    let mut back = model.new_cache(model.whole());
    run(&mut back, &ids[..40]);
    run(&mut back, &ids[100..150]);
    assert!(back.truncate(40) && back.len() == 40 && back.truncate(99));
    assert_eq!(run(&mut back, &ids[40..60]), expected);

    // The sliding layers of the demo model see 256 tokens and let go of older ones; so far back there is no way.
    run(&mut back, &ids[60..]);
    run(&mut back, &ids);
    run(&mut back, &ids[..1]);
    let len = back.len();
    assert!(back.truncate(len - 1) && !back.truncate(40) && back.len() == len - 1);
}

#[test]
fn a_sound_that_goes_on_is_not_heard_twice() {
    let engine = demo();
    let samples = clip(CLIPS[2]);
    // Asked with ever more of it, as captions do, and then about another one in between.
    let mut n_reused = Vec::new();
    for part in 1..=4 {
        let samples = &samples[..samples.len() * part / 4];
        let fresh = demo().listen(listen(samples)).unwrap();
        let heard = engine.listen(listen(samples)).unwrap();
        assert_eq!(heard.text, fresh.text, "{part} of 4");
        n_reused.push(heard.n_reused);
    }
    assert!(
        n_reused.is_sorted() && n_reused[3] > n_reused[1] + 4,
        "{n_reused:?}"
    );
    let other = clip(CLIPS[0]);
    let expected = demo().listen(listen(&other)).unwrap();
    assert_eq!(engine.listen(listen(&other)).unwrap().text, expected.text);
}

//! The submodel changes while an answer is written, when there is less memory or more.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{
    Engine, Event, Exchange, Manifest, OpenOptions, Overrides, Package, Part, Tower, Turn, Wishes,
    plan,
};
use gemma3n::{Message, Role, Submodel};

const PLENTY: u64 = 1 << 34;

fn demo() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("assets/demo/sotto-demo.gguf")
}

fn open(budget: u64) -> Engine {
    let options = OpenOptions {
        budget: Some(budget),
        ..OpenOptions::default()
    };
    Engine::new(Package::open(&demo(), &options, &mut |_| true).unwrap())
}

/// A budget with room for the smallest submodel and no other.
fn tight() -> u64 {
    let manifest = Manifest::open(&demo(), None).unwrap();
    let smallest = &manifest.submodels()[0];
    (1..)
        .map(|n| n * 500_000)
        .find(|&budget| {
            plan(&manifest, budget, &Wishes::default())
                .is_ok_and(|plan| plan.submodel == *smallest && plan.context >= 1024)
        })
        .unwrap()
}

fn turn(text: &str, max_tokens: usize) -> Turn {
    Turn {
        parts: vec![Part::Text(text.to_owned())],
        overrides: Overrides {
            temperature: Some(0.0),
            ..Overrides::default()
        },
        max_tokens: Some(max_tokens),
        ..Turn::default()
    }
}

struct Answered {
    ids: Vec<u32>,
    text: String,
    /// Where it went on with another submodel: tokens before, and the submodel.
    moves: Vec<(usize, Arc<Submodel>)>,
}

/// `on_token` is told how many there are so far.
fn answer(
    engine: &Engine,
    conversation: &str,
    turn: Turn,
    mut on_token: impl FnMut(usize),
) -> Answered {
    let (mut ids, mut text, mut moves) = (Vec::new(), String::new(), Vec::new());
    for event in engine.ask(conversation, turn) {
        match event.unwrap() {
            Event::Token { id, text: piece } => {
                ids.push(id);
                text += &piece;
                on_token(ids.len());
            }
            Event::Moved { submodel } => moves.push((ids.len(), submodel)),
            Event::Done(report) => text += &report.held_back,
            Event::Prefill { .. } => {}
        }
    }
    Answered { ids, text, moves }
}

/// An answer that is planned for the budgets in turn, one a token, until the submodel has changed in the middle of it
/// `n_moves` times. The model writes on another thread, so it may be done before it hears of a plan.
fn moved(
    engine: &Engine,
    turn: impl Fn() -> Turn,
    budgets: &[u64],
    n_moves: usize,
) -> (String, Answered) {
    for attempt in 0..100 {
        engine.package().replan(PLENTY).unwrap();
        let conversation = format!("attempt {attempt}");
        let answered = answer(engine, &conversation, turn(), |n| {
            if let Some(&budget) = budgets.get(n - 1) {
                engine.package().replan(budget).unwrap();
            }
        });
        if answered.moves.len() == n_moves {
            return (conversation, answered);
        }
        engine.forget(&conversation);
    }
    panic!("no answer of 100 was long enough");
}

fn question(engine: &Engine) -> Vec<u32> {
    let package = engine.package();
    let asked = [Message::text(Role::User, "What can you do?")];
    let prompts = package.prompts().unwrap();
    prompts
        .render(package.tokenizer().unwrap(), &asked, true)
        .unwrap()
        .ids
}

#[test]
fn an_answer_goes_on_with_the_submodel_in_force() {
    let engine = open(PLENTY);
    let question = question(&engine);
    let turn = || Turn {
        ids: Some(question.clone()),
        ..turn("", 40)
    };
    let (_, answered) = moved(&engine, turn, &[tight(), PLENTY], 2);
    let whole = engine.package().model().whole();
    assert_ne!(answered.moves[0].1, *whole);
    assert_eq!(answered.moves[1].1, *whole);
    // Each piece is what its submodel writes behind the pieces before, computed from nothing.
    let mut borders = vec![(0, Arc::clone(whole))];
    borders.extend(answered.moves.clone());
    borders.push((answered.ids.len(), Arc::clone(whole)));
    for piece in borders.windows(2) {
        let [(from, submodel), (to, _)] = piece else {
            unreachable!()
        };
        let fresh = Turn {
            ids: Some([&question[..], &answered.ids[..*from]].concat()),
            submodel: Some(submodel.name().to_owned()),
            ..self::turn("", to - from)
        };
        let fresh = answer(&engine, "fresh", fresh, |_| {});
        assert_eq!(fresh.ids, answered.ids[*from..*to], "{}", submodel.name());
        assert!(fresh.moves.is_empty());
    }
}

#[test]
fn a_conversation_goes_on_after_a_move() {
    let engine = open(PLENTY);
    let first = || turn("What can you do?", 40);
    let (conversation, answered) = moved(&engine, first, &[tight()], 1);
    let next = || turn("Translate to German: Thank you.", 20);
    let told = answer(&engine, &conversation, next(), |_| {});
    let history = Turn {
        history: vec![Exchange {
            question: vec![Part::Text("What can you do?".to_owned())],
            answer: answered.text,
        }],
        ..next()
    };
    let afresh = answer(&engine, "afresh", history, |_| {});
    assert!(!told.text.is_empty());
    assert_eq!(told.text, afresh.text);
}

#[test]
fn a_pinned_submodel_stays() {
    let engine = open(PLENTY);
    let pinned = || Turn {
        submodel: Some("full".to_owned()),
        ..turn("What can you do?", 40)
    };
    let answered = answer(&engine, "pinned", pinned(), |_| {
        engine.package().replan(tight()).unwrap();
    });
    assert!(answered.moves.is_empty());
    engine.package().replan(PLENTY).unwrap();
    let undisturbed = answer(&engine, "undisturbed", pinned(), |_| {});
    assert_eq!(answered.ids, undisturbed.ids);
}

#[test]
fn the_least_is_kept_when_not_even_that_fits_and_all_comes_back() {
    let engine = open(PLENTY);
    let package = engine.package();
    let complete = package.plan().unwrap();
    assert!(complete.is_complete);
    assert!(package.replan(PLENTY).unwrap().is_none(), "nothing changes");
    let least = package.replan(1).unwrap().unwrap();
    assert_eq!(least.vision, Tower::Absent);
    assert_eq!(least.submodel, package.submodel(None).unwrap());
    let picture = Part::Image(image::RgbImage::new(8, 8));
    let refused = engine.ask(
        "picture",
        Turn {
            parts: vec![picture],
            ..turn("", 4)
        },
    );
    let refused = refused.last().unwrap().unwrap_err().to_string();
    assert!(refused.contains("picture"), "{refused}");
    let again = package.replan(PLENTY).unwrap().unwrap();
    assert!(again.is_complete);
    assert_eq!(again.context, complete.context);
}

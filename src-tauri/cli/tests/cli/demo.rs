//! The demo model on a small held-out set: what it is worth, with limits a little below what was measured when it was made.

use std::path::Path;

use serde_json::Value;

use super::json_lines;

pub fn path(below_root: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(below_root).display().to_string()
}

fn measure(set: &str) -> Vec<Value> {
    let model = path("assets/demo/sotto-demo.gguf");
    let reply = json_lines(&["evaluate", &model, &path(set), "--json"]).remove(0);
    reply["submodels"][0]["tasks"].as_array().unwrap().clone()
}

/// `measure` of a task over all its groups.
fn figure(rows: &[Value], task: &str, measure: &str) -> f64 {
    // A task of one group has no entry for all of them.
    let row = rows.iter().rfind(|row| row["task"] == task).unwrap();
    row[measure].as_f64().unwrap()
}

#[test]
fn the_demo_model_understands_what_it_never_met() {
    let rows = measure("tests/fixtures/demo/held-out");
    let at_most = |task, measure, limit| {
        let found = figure(&rows, task, measure);
        assert!(
            found <= limit,
            "{task}: {measure} {found}, expected at most {limit}"
        );
    };
    let at_least = |task, measure, limit| {
        let found = figure(&rows, task, measure);
        assert!(
            found >= limit,
            "{task}: {measure} {found}, expected at least {limit}"
        );
    };
    at_most("transcription", "word_error_rate", 0.06);
    at_least("speech_translation", "chrf", 92.0);
    at_least("translation", "exact", 0.94);
    at_least("notes", "exact", 0.85);
    at_least("chat", "exact", 0.9);
    at_least("picture", "exact", 0.8);
    at_least("reading", "exact", 0.8);
    at_most("nothing", "invented_words", 0.0);
}

#[test]
fn the_demo_model_on_clips_and_pictures_made_by_hand() {
    let rows = measure("tests/fixtures/demo/by-hand");
    assert!(
        figure(&rows, "transcription", "word_error_rate") <= 0.05,
        "{rows:?}"
    );
    assert!(figure(&rows, "picture", "exact") >= 0.7, "{rows:?}");
}

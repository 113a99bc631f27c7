//! What fits a budget, told from the headers of the demo model.

use serde_json::Value;

use super::{demo::path, json_lines, refusal, sotto};

fn plan(memory: &str, more: &[&str]) -> Value {
    let model = path("assets/demo/sotto-demo.gguf");
    let args = [&["plan", &model, "--memory", memory, "--json"], more].concat();
    json_lines(&args).remove(0)
}

#[test]
fn the_parts_add_up_and_stay_below_the_budget() {
    for memory in ["5MB", "7MB", "9MB", "12MB", "3GiB"] {
        let plan = plan(memory, &[]);
        let bytes = |part: &str| plan["bytes"][part].as_u64().unwrap();
        let (vision, audio) = (bytes("vision"), bytes("audio"));
        let towers = match (plan["vision"].as_str(), plan["audio"].as_str()) {
            (Some("on_demand"), Some("on_demand")) => vision.max(audio),
            _ => vision + audio,
        };
        let total = bytes("text") + bytes("kv") + bytes("scratch") + towers;
        assert_eq!(bytes("total"), total, "{plan}");
        assert!(total <= plan["budget_bytes"].as_u64().unwrap(), "{plan}");
    }
}

#[test]
fn more_memory_buys_a_larger_submodel_and_a_longer_context() {
    let (small, large) = (plan("7MB", &[]), plan("3GiB", &[]));
    assert_eq!(large["submodel"], "full");
    assert_eq!(large["context"], 4096);
    assert_eq!(large["audio"], "resident");
    let number = |plan: &Value, key: &str| plan[key].as_u64().unwrap();
    for key in ["effective_parameters", "context"] {
        assert!(number(&small, key) < number(&large, key), "{small}");
    }
    assert_eq!(plan("3GiB", &["--submodel", "small"])["layers"], 7);
}

#[test]
fn too_little_memory_is_said_in_a_sentence() {
    let model = path("assets/demo/sotto-demo.gguf");
    let said = refusal(&["plan", &model, "--memory", "2MB"]);
    assert!(
        said.contains("even at its smallest, and 2 MB are free"),
        "{said}"
    );
}

#[test]
fn a_model_opened_in_little_memory_is_smaller_and_says_so() {
    let model = path("assets/demo/sotto-demo.gguf");
    let chat = ["chat", &model, "--prompt", "Hello", "--temperature", "0"];
    let output = sotto(&[&chat[..], &["--memory", "5MB"]].concat());
    let (said, notes) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(said.contains("How can I help you?"), "{said} {notes}");
    assert!(notes.contains("note: small, text only"), "{notes}");
    let all = sotto(&[&chat[..], &["--memory", "1GB"]].concat());
    assert!(
        all.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&all.stderr)
    );
}

#[test]
fn a_picture_that_has_no_room_is_refused_before_any_work() {
    let model = path("assets/demo/sotto-demo.gguf");
    let picture = path("tests/fixtures/demo/by-hand/pictures");
    let picture = std::fs::read_dir(picture)
        .unwrap()
        .flatten()
        .next()
        .unwrap();
    let picture = picture.path().display().to_string();
    let ask = [
        "chat",
        &model,
        "--prompt",
        "What is this?",
        "--image",
        &picture,
    ];
    let refused = sotto(&[&ask[..], &["--memory", "5MB"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("no room for the part of the model that takes in a picture"),
        "{said}"
    );
    // On demand it is read for the question.
    let answer = sotto(&[&ask[..], &["--memory", "7MB", "--temperature", "0"]].concat());
    assert!(answer.status.success() && !answer.stdout.is_empty());
}

//! What fits a budget, told from the headers of the demo model.

use serde_json::Value;

use super::{demo::path, json_lines, refusal};

fn plan(memory: &str, more: &[&str]) -> Value {
    let model = path("assets/demo/sotto-demo.gguf");
    let args = [&["plan", &model, "--memory", memory, "--json"], more].concat();
    json_lines(&args).remove(0)
}

#[test]
fn the_parts_add_up_and_stay_below_the_budget() {
    for memory in ["40MB", "60MB", "90MB", "3GiB"] {
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
    let (small, large) = (plan("40MB", &[]), plan("3GiB", &[]));
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

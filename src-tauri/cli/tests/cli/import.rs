//! A folder made a package and used like it.

use serde_json::json;

use super::{chat, checkpoint, input, json_lines, prompts, refusal, sotto};

#[test]
fn a_package_is_the_model_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("models").display().to_string();
    let import = ["import", &checkpoint(), "--out", &out, "--name", "small"];
    let made = sotto(&import);
    assert!(made.status.success(), "{made:?}");
    let package = folder.path().join("models/small.gguf");
    let package = package.display().to_string();
    let printed = String::from_utf8(made.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert!(
        lines[0].starts_with(&package) && lines[0].ends_with(" bytes)"),
        "{printed}"
    );
    assert!(lines[1].contains("small.mmproj.gguf"), "{printed}");

    let from = &json_lines(&["inspect", &checkpoint(), "--json"])[0];
    let to = &json_lines(&["inspect", &package, "--json"])[0];
    // The slices come from a table beside the folder, which the package holds itself.
    let parameters = |model: &serde_json::Value| {
        let mut parameters = model["parameters"].clone();
        // The package's table has a row for every token, the folder's none for pictures and sound.
        let rows = parameters["per_layer_embeddings"].take().as_u64().unwrap();
        let others = parameters["total"].as_u64().unwrap() - rows;
        parameters["total"] = others.into();
        (rows, parameters)
    };
    let ((from_rows, from_others), (to_rows, to_others)) = (parameters(from), parameters(to));
    assert!(from_rows < to_rows, "{from_rows} {to_rows}");
    assert_eq!(from_others, to_others);
    for key in [
        "effective_parameters",
        "submodels",
        "context_length",
        "missing",
    ] {
        assert_eq!(from[key], to[key], "{key}");
    }
    let types = to["bytes_by_type"].as_object().unwrap();
    assert!(
        types["q8_0"].as_u64().unwrap() > 0 && types.len() == 3,
        "{types:?}"
    );
    assert!(to["bytes"].as_u64().unwrap() * 2 < from["bytes"].as_u64().unwrap());

    // Random weights answer otherwise once they are rounded, but they answer, and the same each time.
    for (name, flags) in prompts() {
        let answer = chat(&package, &flags, &["--submodel", "skip"]);
        assert!(!answer.is_empty(), "{name}");
        assert_eq!(
            answer,
            chat(&out, &flags, &["--submodel", "skip"]),
            "{name}"
        );
    }

    let sentence = refusal(&import);
    assert!(
        sentence.contains("small.gguf: it is there already"),
        "{sentence}"
    );
    assert!(
        sotto(&[&import[..], &["--replace"]].concat())
            .status
            .success()
    );
}

#[test]
fn a_source_that_cannot_be_a_package_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let out = path("out");
    let sentence = refusal(&["import", "/nowhere", "--out", &out]);
    assert!(sentence.contains("/nowhere does not exist"), "{sentence}");
    let sentence = refusal(&["import", &input("clip_a.wav"), "--out", &out]);
    assert!(
        sentence.contains("clip_a.wav is not a GGUF file"),
        "{sentence}"
    );
    let sentence = refusal(&["import", &checkpoint(), "--out", &out, "--name", "../x"]);
    assert!(
        sentence.contains("a package is named like a file"),
        "{sentence}"
    );
    // The format has no place for this number, so a package would be another model.
    std::fs::create_dir(path("odd")).unwrap();
    for file in std::fs::read_dir(checkpoint()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(
            file.path(),
            path("odd") + "/" + &file.file_name().to_string_lossy(),
        )
        .unwrap();
    }
    let config = path("odd/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let mut odd: serde_json::Value = serde_json::from_str(&text).unwrap();
    odd["audio_config"]["conf_residual_weight"] = json!(0.75);
    std::fs::write(&config, odd.to_string()).unwrap();
    let sentence = refusal(&["import", &path("odd"), "--out", &out]);
    assert!(
        sentence.contains("its audio_config has values that a GGUF file cannot express"),
        "{sentence}"
    );
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
}

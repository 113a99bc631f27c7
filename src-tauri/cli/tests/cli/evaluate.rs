//! A small set, measured: what comes out has the promised form, and the counts add up.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{checkpoint, json_lines, refusal, sotto};

fn set() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/evaluation");
    folder.display().to_string()
}

#[test]
fn a_set_is_measured_for_every_submodel() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.jsonl").display().to_string();
    let (model, set) = (checkpoint(), set());
    let reply = &json_lines(&[
        "evaluate",
        &model,
        &set,
        "--submodel",
        "all",
        "--json",
        "--answers",
        &file,
    ])[0];
    assert_eq!(reply["model"], model);
    let submodels = reply["submodels"].as_array().unwrap();
    let names: Vec<&str> = submodels
        .iter()
        .map(|submodel| submodel["submodel"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["skip", "ffn", "full"]);
    let sizes: Vec<u64> = submodels
        .iter()
        .map(|submodel| submodel["effective_parameters"].as_u64().unwrap())
        .collect();
    assert!(sizes.is_sorted(), "{sizes:?}");
    for submodel in submodels {
        assert!(submodel["seconds"].as_f64().unwrap() > 0.0);
        let rows = submodel["tasks"].as_array().unwrap();
        let row = |n: usize| {
            let text = |key: &str| rows[n][key].as_str();
            (
                text("task").unwrap(),
                text("group"),
                rows[n]["items"].as_u64().unwrap(),
            )
        };
        let found: Vec<_> = (0..rows.len()).map(row).collect();
        assert_eq!(
            found,
            [
                ("transcription", Some("voice"), 1),
                ("transcription", Some("engine"), 1),
                ("transcription", None, 2),
                ("speech_translation", Some("voice"), 1),
                ("picture", Some("drawn"), 1),
            ]
        );
        let rate = |n: usize| rows[n]["word_error_rate"].as_f64().unwrap();
        // 5 and 3 words of reference.
        let both = (5.0 * rate(0) + 3.0 * rate(1)) / 8.0;
        assert!((rate(2) - both).abs() < 1e-12, "{rows:?}");
        assert!(rows[3]["chrf"].as_f64().is_some_and(|chrf| chrf < 100.0));
        for row in rows {
            assert_eq!(row["exact"], 0.0, "random weights are right about nothing");
            let task = &row["task"];
            assert_eq!(
                row.get("word_error_rate").is_some(),
                task == "transcription"
            );
            assert_eq!(row.get("chrf").is_some(), task == "speech_translation");
            assert!(row.get("invented_words").is_none());
        }
    }

    let text = std::fs::read_to_string(&file).unwrap();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |submodel: &str| -> Vec<(&Value, &Value)> {
        let own = answers
            .iter()
            .filter(|answer| answer["submodel"] == submodel);
        own.map(|answer| (&answer["id"], &answer["answer"]))
            .collect()
    };
    assert_eq!(answers.len(), 12);
    let full = of("full");
    let ids: Vec<&str> = full.iter().map(|(id, _)| id.as_str().unwrap()).collect();
    assert_eq!(ids, ["voice-1", "engine-1", "speech-1", "picture-1"]);
    assert_ne!(full, of("skip"));
    assert_eq!(answers[2]["expected"], "Das Treffen ist am Montag.");
    // The same question, asked by hand.
    let picture = Path::new(&set)
        .join("../tiny/inputs/image_a.png")
        .display()
        .to_string();
    let events = json_lines(&[
        "chat",
        &model,
        "--image",
        &picture,
        "--prompt",
        "What is in this picture?",
        "--temperature",
        "0",
        "--max-tokens",
        "4",
        "--json",
    ]);
    let said: String = events
        .iter()
        .filter_map(|event| event["text"].as_str())
        .collect();
    assert_eq!(full[3].1, &said);
}

#[test]
fn a_table_is_for_people() {
    let output = sotto(&["evaluate", &checkpoint(), &set(), "--limit", "1"]);
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("full: "), "{table}");
    assert_eq!(table.lines().count(), 2 + 5, "{table}");
    assert!(
        table.contains("\n  picture             drawn              1      0.0\n"),
        "{table}"
    );
}

#[test]
fn a_broken_set_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let items: PathBuf = folder.path().join("items.jsonl");
    let model = checkpoint();
    let evaluate = |more: &[&str]| refusal(&[&["evaluate", &model, &path], more].concat());
    assert!(evaluate(&[]).contains("items.jsonl cannot be read"));
    let good = r#"{"id":"a","task":"chat","group":"g","parts":[{"text":"Hi"}],"answer":"Hello."}"#;
    for (line, expected) in [
        ("{", "items.jsonl, line 2: EOF while parsing"),
        (
            &good.replace("chat", "song"),
            r#"items.jsonl, line 2: the task "song" is none of"#,
        ),
        (
            &good.replace("text", "audio"),
            "items.jsonl, line 2: there is no file Hi.",
        ),
        (
            good,
            r#"items.jsonl, line 2: the id "a" stands there twice."#,
        ),
    ] {
        std::fs::write(&items, format!("{good}\n{line}\n")).unwrap();
        // A model that is not there would be complained about if it had been looked for.
        let sentence = refusal(&["evaluate", "/nowhere", &path]);
        assert!(sentence.contains(expected), "{sentence}");
    }
    std::fs::write(&items, good).unwrap();
    let sentence = evaluate(&["--submodel", "E9B"]);
    assert!(
        sentence.contains("There is no submodel \"E9B\""),
        "{sentence}"
    );
    let sentence = evaluate(&["--answers", "/nowhere/a"]);
    assert!(
        sentence.contains("/nowhere/a cannot be written"),
        "{sentence}"
    );
    // What only decoding shows is said with the item's name.
    std::fs::write(folder.path().join("Hi"), "no sound").unwrap();
    std::fs::write(&items, good.replace("text", "audio")).unwrap();
    let sentence = evaluate(&[]);
    assert!(sentence.contains("Item a: Hi: "), "{sentence}");
}

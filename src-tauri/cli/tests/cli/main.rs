//! `sotto-cli` on real files: the reference's prompts from their pictures and sound files, as a folder
//! and as GGUF, and what it says about input that is no use.
#![allow(clippy::unwrap_used)]

mod bench;
mod demo;
mod evaluate;
mod import;
mod plan;
#[cfg(target_os = "linux")]
mod sound;
#[cfg(target_os = "linux")]
#[allow(dead_code)] // the window's tests need more of it
#[path = "../../../../tests/support/sound_server.rs"]
mod sound_server;
#[path = "../../../../tests/support/spoken.rs"]
mod spoken;
mod transcribe;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny")
}

fn checkpoint() -> String {
    tiny().join("checkpoint").display().to_string()
}

fn input(name: &str) -> String {
    tiny().join("inputs").join(name).display().to_string()
}

fn sotto(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sotto-cli"))
        .args(args)
        // candle's threads for quantised products spin until the last of them has had its turn, which takes minutes where
        // several tests want the same cores.
        .env("CANDLE_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Standard output of a command that must succeed, a JSON value a line.
#[track_caller]
fn json_lines(args: &[&str]) -> Vec<Value> {
    let output = sotto(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The sentence of a command that must refuse its input.
#[track_caller]
fn refusal(args: &[&str]) -> String {
    let output = sotto(args);
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {sentence}");
    assert!(output.stdout.is_empty());
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    sentence
}

fn golden(file: &str, tensor: &str) -> Tensor {
    let path = tiny().join(format!("goldens/{file}.safetensors"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()[tensor].clone()
}

fn golden_ids(file: &str, tensor: &str) -> Vec<i64> {
    golden(file, tensor)
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// What the reference generates, up to the first token that ends a turn.
fn golden_answer(file: &str, tensor: &str) -> Vec<i64> {
    let ids = golden_ids(file, tensor);
    ids.into_iter()
        .take_while(|id| ![1, 6].contains(id))
        .collect()
}

#[track_caller]
fn generated(events: &[Value]) -> Vec<i64> {
    let (done, tokens) = events.split_last().unwrap();
    assert_eq!(done["event"], "done");
    assert_eq!(done["completion_tokens"], tokens.len());
    tokens
        .iter()
        .map(|event| {
            assert_eq!(event["event"], "token");
            event["id"].as_i64().unwrap()
        })
        .collect()
}

const GREEDY: [&str; 5] = ["--temperature", "0", "--max-tokens", "32", "--json"];

/// The four prompts of the reference, written as a user would.
fn prompts() -> [(&'static str, Vec<String>); 4] {
    let flags = |flags: &[&str]| flags.iter().map(|&f| f.to_owned()).collect();
    [
        (
            "text",
            flags(&[
                "--prompt",
                "Tell me a short story about the old lighthouse keeper and his cat.",
            ]),
        ),
        (
            "image",
            flags(&[
                "--image",
                &input("image_a.png"),
                "--prompt",
                "What is in this picture?",
            ]),
        ),
        (
            "audio",
            flags(&[
                "--prompt",
                "Transcribe the following speech segment.",
                "--audio",
                &input("clip_a.wav"),
            ]),
        ),
        (
            "interleaved",
            flags(&[
                "--prompt",
                "Look at the first one",
                "--image",
                &input("image_a.png"),
                "--prompt",
                "then listen",
                "--audio",
                &input("clip_b.wav"),
                "--prompt",
                "then the second one",
                "--image",
                &input("image_b.png"),
                "--prompt",
                "and compare them.",
            ]),
        ),
    ]
}

fn chat(model: &str, flags: &[String], more: &[&str]) -> Vec<i64> {
    let mut args = vec!["chat", model];
    args.extend(flags.iter().map(String::as_str));
    args.extend(GREEDY);
    args.extend(more);
    generated(&json_lines(&args))
}

#[test]
fn answers_are_the_references_from_the_files_themselves() {
    for (name, flags) in prompts() {
        let golden = golden_answer(&format!("prompt_{name}"), "generated");
        assert_eq!(chat(&checkpoint(), &flags, &[]), golden, "{name}");
    }
}

#[test]
fn submodels_answer_as_the_reference_cut_to_size() {
    let [(_, text), ..] = prompts();
    for (name, spelled_out) in [
        (
            "skip",
            "layers=0-4,10-14;ffn=64*2,96,128,80,64,96,64,128,80",
        ),
        (
            "ffn",
            "ffn=64,128,48,128,80,64*2,32,64,80,128,48,64,128,160",
        ),
    ] {
        let golden = golden_answer(&format!("slice_{name}"), "text.generated");
        for submodel in [name, spelled_out] {
            assert_eq!(
                chat(&checkpoint(), &text, &["--submodel", submodel]),
                golden,
                "{submodel}"
            );
        }
    }
}

#[test]
fn a_gguf_package_answers_like_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (text, projector) = (
        folder.path().join("t.gguf"),
        folder.path().join("t.mmproj.gguf"),
    );
    let opened = weights::Checkpoint::open(Path::new(&checkpoint())).unwrap();
    weights::export::write_gguf(
        &opened,
        &text,
        Some(&projector),
        &weights::export::Options::default(),
    )
    .unwrap();
    let model = text.display().to_string();
    for (name, flags) in prompts() {
        let golden = golden_answer(&format!("prompt_{name}"), "generated");
        assert_eq!(chat(&model, &flags, &[]), golden, "{name}");
    }
    // Under another name it has to be named; without it the model is deaf and blind, and says so.
    let elsewhere = folder.path().join("towers");
    std::fs::rename(&projector, &elsewhere).unwrap();
    let [_, (_, image), ..] = prompts();
    let elsewhere = elsewhere.display().to_string();
    let named = chat(&model, &image, &["--projector", &elsewhere]);
    assert_eq!(named, golden_answer("prompt_image", "generated"));
    let sentence = refusal(&["chat", &model, "--image", &input("image_a.png")]);
    assert!(
        sentence.contains("This model has no vision part"),
        "{sentence}"
    );
    let inspected = &json_lines(&["inspect", &model, "--json"])[0];
    assert_eq!(inspected["format"], "gguf");
    assert_eq!(inspected["missing"], serde_json::json!(["vision", "audio"]));
}

#[test]
fn scores_are_the_log_softmax_of_the_references_logits() {
    let ids = golden_ids("prompt_text", "input_ids");
    let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let reply = &json_lines(&[
        "score",
        &checkpoint(),
        "--ids",
        &list,
        "--top",
        "3",
        "--json",
    ])[0];
    let logits = golden("prompt_text", "logits").squeeze(0).unwrap();
    let logits = logits.to_dtype(DType::F64).unwrap();
    let tokens = reply["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), ids.len());
    assert!(tokens[0]["logprob"].is_null());
    let mut sum = 0.0;
    for (place, token) in tokens.iter().enumerate().skip(1) {
        let row: Vec<f64> = logits.get(place - 1).unwrap().to_vec1().unwrap();
        let log_sum = row.iter().map(|l| l.exp()).sum::<f64>().ln();
        let expected = row[ids[place] as usize] - log_sum;
        let logprob = token["logprob"].as_f64().unwrap();
        assert!(
            (logprob - expected).abs() < 2e-3,
            "{place}: {logprob} {expected}"
        );
        sum += logprob;
        let best = row.iter().copied().fold(f64::MIN, f64::max) - log_sum;
        let top = token["top"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        assert!((top[0]["logprob"].as_f64().unwrap() - best).abs() < 2e-3);
    }
    assert!((reply["sum"].as_f64().unwrap() - sum).abs() < 1e-9);
}

#[test]
fn a_text_with_media_is_scored_like_its_ids() {
    let folder = tempfile::tempdir().unwrap();
    let templates = std::fs::read_to_string(tiny().join("goldens/templates.json")).unwrap();
    let templates: Value = serde_json::from_str(&templates).unwrap();
    let rendered = templates[2]["rendered"].as_str().unwrap();
    let file = folder.path().join("prompt.txt");
    std::fs::write(&file, rendered).unwrap();
    let (a, b, clip) = (
        input("image_a.png"),
        input("image_b.png"),
        input("clip_b.wav"),
    );
    let media = ["--image", &a, "--image", &b, "--audio", &clip, "--json"];
    let text = file.display().to_string();
    let model = checkpoint();
    let by_text = json_lines(&[&["score", &model, "--text", &text], &media[..]].concat());
    let ids = golden_ids("prompt_interleaved", "input_ids");
    let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let by_ids = json_lines(&[&["score", &model, "--ids", &list], &media[..]].concat());
    assert_eq!(by_text, by_ids);
    // Plain text gets its beginning.
    std::fs::write(&file, "the lighthouse keeper").unwrap();
    let plain = &json_lines(&["score", &model, "--text", &text, "--json"])[0];
    assert_eq!(plain["tokens"][0]["id"], 2);
}

#[test]
fn inspect_counts_what_is_there() {
    let reply = &json_lines(&["inspect", &checkpoint(), "--json"])[0];
    let manifest = std::fs::read_to_string(tiny().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let parameters = &reply["parameters"];
    let number = |key: &str| parameters[key].as_u64().unwrap();
    for part in ["vision", "audio"] {
        assert_eq!(parameters[part], manifest["parameters"][part], "{part}");
    }
    // The file also carries keys and values that nothing reads: 10 layers of 2 x 32 x 64 + 16.
    let text = number("text") + number("per_layer_embeddings") + number("embedding");
    assert_eq!(
        text,
        manifest["parameters"]["text"].as_u64().unwrap() + 10 * 4112
    );
    assert_eq!(number("total"), text + number("vision") + number("audio"));
    assert_eq!(reply["bytes_by_type"]["f32"], reply["bytes"]);
    assert_eq!(reply["context_length"], 512);
    assert_eq!(reply["missing"], serde_json::json!([]));
    let names: Vec<&str> = reply["submodels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|submodel| submodel["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["skip", "ffn", "full"]);
}

#[test]
fn a_pipe_of_questions_is_one_conversation() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sotto-cli"))
        .args(["chat", &checkpoint()])
        .args(["--temperature", "0", "--max-tokens", "5", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let questions = format!(
        "Hello.\nAnd then?\n/new\n/image {}\nWhat?\n",
        input("image_a.png")
    );
    child
        .stdin
        .take()
        .unwrap()
        .write_all(questions.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let done: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["event"] == "done")
        .collect();
    let context: Vec<u64> = done
        .iter()
        .map(|d| d["context_tokens"].as_u64().unwrap())
        .collect();
    let new: Vec<u64> = done
        .iter()
        .map(|d| d["prompt_tokens"].as_u64().unwrap())
        .collect();
    assert_eq!(done.len(), 3);
    assert!(context[1] > context[0] && new[1] < context[1], "{done:?}");
    assert_eq!(context[2], new[2] + 5);
}

#[test]
fn sampling_repeats_with_its_seed() {
    let [(_, text), ..] = prompts();
    let sampled = |seed: &str| {
        let mut args = vec!["chat".to_owned(), checkpoint()];
        args.extend(text.clone());
        args.extend(["--json", "--max-tokens", "16", "--seed", seed].map(str::to_owned));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        generated(&json_lines(&args))
    };
    assert_eq!(sampled("3"), sampled("3"));
    assert_ne!(sampled("3"), sampled("4"));
}

#[test]
fn what_is_no_use_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let picture = std::fs::read(input("image_a.png")).unwrap();
    let sound = std::fs::read(input("clip_a.wav")).unwrap();
    let cut = file("cut.png", &picture[..picture.len() / 2]);
    let text = file("notes.png", b"no picture at all");
    let empty = file("empty.wav", &sound[..44]);
    let no_model = file("model.gguf", b"GGUF");
    let model = checkpoint();
    let long = file("long.wav", &long_wav(31));
    for (args, expected) in [
        (vec!["chat", "/nowhere", "--prompt", "a"], "/nowhere"),
        (vec!["chat", &no_model, "--prompt", "a"], "model.gguf"),
        (vec!["inspect", &no_model], "model.gguf"),
        (vec!["chat", &model, "--image", &cut], "cut.png"),
        (
            vec!["chat", &model, "--image", &text],
            "notes.png: this is not a picture",
        ),
        (
            vec!["chat", &model, "--image", "/nowhere.png"],
            "nowhere.png: the file cannot be read",
        ),
        (vec!["chat", &model, "--audio", &empty], "empty"),
        (vec!["chat", &model, "--audio", &text], "notes.png"),
        (
            vec!["chat", &model, "--audio", &long],
            "31.0 s long; at most 30 s",
        ),
        (
            vec!["chat", &model, "--prompt", "a", "--submodel", "E9B"],
            "There is no submodel \"E9B\"",
        ),
        (
            vec!["chat", &model, "--prompt", "a", "--temperature", "-1"],
            "Temperature is -1",
        ),
        (
            vec!["chat", &model, "--ids", "9999"],
            "Token id 9999 is outside",
        ),
        (
            vec!["score", &model, "--ids", "2,9999"],
            "Token id 9999 is outside",
        ),
        (
            vec!["score", &model, "--text", "/nowhere.txt"],
            "nowhere.txt cannot be read",
        ),
        (
            vec![
                "score",
                &model,
                "--ids",
                "2,5",
                "--image",
                &input("image_a.png"),
            ],
            "0 picture positions",
        ),
    ] {
        let sentence = refusal(&args);
        assert!(sentence.contains(expected), "{args:?}: {sentence}");
    }
    assert_eq!(sotto(&["chat"]).status.code(), Some(2));
    assert_eq!(sotto(&["sing"]).status.code(), Some(2));
}

/// A quiet WAV file of 16 kHz, 16 bits, one channel.
fn long_wav(seconds: u32) -> Vec<u8> {
    let bytes = seconds * 32_000;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((bytes + 36).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend([1, 0, 1, 0]);
    wav.extend(16_000u32.to_le_bytes());
    wav.extend(32_000u32.to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(bytes.to_le_bytes());
    wav.resize(wav.len() + bytes as usize, 0);
    wav
}

//! What `bench` reports.

use crate::{checkpoint, json_lines, refusal};

#[test]
fn every_list_has_an_entry_for_every_repeat() {
    let model = checkpoint();
    let flags = "--prompt-tokens 20 --generate 3 --context 5 --image --audio 1 --threads 2 --repeat 2 --json";
    let mut args = vec!["bench", &model];
    args.extend(flags.split(' '));
    let reply = json_lines(&args).remove(0);
    for list in [
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "time_to_first_token_ms",
        "image_ms",
        "audio_ms",
    ] {
        let numbers = reply[list].as_array().unwrap();
        assert_eq!(numbers.len(), 2, "{list}");
        assert!(numbers.iter().all(|n| n.as_f64().unwrap() > 0.0), "{list}");
    }
    assert!(reply["open_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(reply["threads"], 2);
    assert!(!reply["kernel"].as_str().unwrap().is_empty());
    if cfg!(target_os = "linux") {
        let bytes = |key: &str| reply[key].as_u64().unwrap();
        assert!(bytes("peak_resident_bytes") >= bytes("peak_anonymous_bytes"));
        assert!(bytes("peak_anonymous_bytes") > 0);
    }
}

#[test]
fn only_what_was_asked_for_is_measured() {
    let model = checkpoint();
    let reply = json_lines(&["bench", &model, "--prompt-tokens", "0", "--json"]).remove(0);
    for list in [
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "image_ms",
        "audio_ms",
    ] {
        assert!(reply[list].as_array().unwrap().is_empty(), "{list}");
    }
    let sentence = refusal(&["bench", &model, "--audio", "31"]);
    assert!(sentence.contains("30 seconds"), "{sentence}");
    let sentence = refusal(&["bench", &model, "--context", "600"]);
    assert!(sentence.contains("512"), "{sentence}");
    let sentence = refusal(&["bench", &model, "--submodel", "E9B"]);
    assert!(sentence.contains("E9B"), "{sentence}");
}

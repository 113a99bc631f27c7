//! A clip that is heard piece by piece gives the rows of the whole clip.

use std::path::Path;

use crate::support::*;
use gemma3n::{Hearing, LogMel, MelConfig, Model};

/// f32 sums in another order, and mel frames that end in silence; rows are of order one.
const SAME: f32 = 1e-4;

/// A sweep, so that no two stretches are alike.
fn sweep(seconds: f32) -> Vec<f32> {
    let n = (seconds * 16_000.0) as usize;
    let wave = |i: usize| {
        let t = i as f32 / 16_000.0;
        0.4 * (t * (900.0 + 700.0 * t)).sin() + 0.1 * (t * 9000.0).cos()
    };
    (0..n).map(wave).collect()
}

fn log_mel(model: &Model) -> LogMel {
    let bins = model.config().audio.as_ref().unwrap().input_feat_size;
    let config = serde_json::json!({"feature_extractor_type": "Gemma3nAudioFeatureExtractor", "feature_size": bins});
    LogMel::new(&MelConfig::from_json(&config).unwrap())
}

/// Hears `samples` up to each of these places, in seconds, and compares with the whole at each.
fn check(model: &Model, samples: &[f32], places: &[f32]) {
    let log_mel = log_mel(model);
    let mut hearing = Hearing::default();
    for &place in places {
        let samples = &samples[..(place * 16_000.0) as usize];
        let whole = model.encode_audio(&log_mel.extract(samples).unwrap());
        let next = hearing.next(&log_mel, samples).unwrap();
        let grown = model.encode_growing_audio(&mut hearing, &next).unwrap();
        let (whole, grown) = (whole.unwrap().rows().to_vec(), grown.rows());
        assert_eq!(whole.len(), grown.len());
        let furthest = whole.iter().zip(grown).map(|(a, b)| (a - b).abs());
        let furthest = furthest.fold(0.0, f32::max);
        assert!(furthest < SAME, "{furthest} apart at {place} s");
    }
}

#[test]
fn pieces_of_any_length_give_the_rows_of_the_whole() {
    let model = open("checkpoint");
    let longest = model.config().audio.as_ref().unwrap().soft_tokens_per_clip as f32 * 0.16;
    let sound = sweep(longest);
    let up_to = |step: f32| -> Vec<f32> {
        let n = ((longest - 0.1) / step) as usize;
        (1..=n).map(|i| i as f32 * step).collect()
    };
    for step in [0.05, 0.1234, 0.5, 1.0] {
        check(&model, &sound, &up_to(step));
    }
    // The same twice, and another clip in between, which is heard from its start.
    check(&model, &sound, &[1.0, 1.0, 2.0, 0.7, 1.3]);
}

#[test]
fn the_demo_hears_the_same_in_pieces() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let path = root.join("assets/demo/sotto-demo.gguf");
    check(
        &open_path(&path),
        &sweep(12.0),
        &[0.5, 1.5, 2.5, 4.0, 7.7, 11.9],
    );
}

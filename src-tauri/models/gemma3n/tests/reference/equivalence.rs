//! The same tokens give the same logits however they are cut into steps.

use std::sync::Arc;

use crate::support::*;
use candle_core::Tensor;
use gemma3n::{Error, Model, Prompt, Step, Submodel, Tokens, Wanted};

/// f32 sums in another order; logits are of order ten.
const SAME: f32 = 1e-3;

/// Text, two pictures and a clip: several times the sliding window of 16.
fn interleaved(model: &Model) -> Prompt {
    let media = media(model, "interleaved");
    let ids = ids(&goldens("prompt_interleaved")["input_ids"]);
    let prompt = model
        .prompt(ids, &media.iter().collect::<Vec<_>>())
        .unwrap();
    assert!(prompt.len() > 4 * model.config().text.sliding_window);
    prompt
}

/// Logits of every position, prefilled in chunks of the given sizes (the last one repeats).
fn in_chunks(model: &Model, submodel: &Arc<Submodel>, prompt: &Prompt, sizes: &[usize]) -> Tensor {
    let mut cache = model.new_cache(submodel);
    let mut parts = Vec::new();
    let mut sizes = sizes
        .iter()
        .copied()
        .chain(std::iter::repeat(sizes[sizes.len() - 1]));
    while cache.len() < prompt.len() {
        let start = cache.len();
        let end = (start + sizes.next().unwrap()).min(prompt.len());
        let mut steps = [Step {
            cache: &mut cache,
            tokens: prompt.slice(start..end),
            wanted: Wanted::All,
        }];
        parts.push(model.step(&mut steps).unwrap().unwrap());
    }
    Tensor::cat(&parts, 0).unwrap()
}

#[test]
fn chunks_and_single_tokens_give_the_batch_logits() {
    let model = open("checkpoint");
    let prompt = interleaved(&model);
    let batch = in_chunks(&model, model.whole(), &prompt, &[prompt.len()]);
    // One token at a time; just below, at and above the window; across the border of a picture.
    for sizes in [
        &[1][..],
        &[15],
        &[16],
        &[17],
        &[33],
        &[3, 40, 1, 1, 70, 2],
        &[100, 1],
    ] {
        let logits = in_chunks(&model, model.whole(), &prompt, sizes);
        close(&format!("chunks of {sizes:?}"), &logits, &batch, SAME);
    }
}

#[test]
fn positions_nobody_wants_change_nothing_for_the_others() {
    let model = open("checkpoint");
    let prompt = interleaved(&model);
    let batch = in_chunks(&model, model.whole(), &prompt, &[prompt.len()]);
    for cut in [1, 16, 50, prompt.len() - 1] {
        let mut cache = model.new_cache(model.whole());
        let mut steps = [Step {
            cache: &mut cache,
            tokens: prompt.slice(0..cut),
            wanted: Wanted::None,
        }];
        assert!(model.step(&mut steps).unwrap().is_none());
        let mut steps = [Step {
            cache: &mut cache,
            tokens: prompt.slice(cut..prompt.len()),
            wanted: Wanted::Last,
        }];
        let last = model.step(&mut steps).unwrap().unwrap();
        let golden = batch.narrow(0, prompt.len() - 1, 1).unwrap();
        close(&format!("cut at {cut}"), &last, &golden, SAME);
    }
}

#[test]
fn sequences_of_one_step_do_not_see_each_other() {
    let model = open("checkpoint");
    let long = interleaved(&model);
    let short = Prompt::text(ids(&goldens("prompt_text")["input_ids"]));
    let alone: Vec<Tensor> = [&long, &short]
        .iter()
        .map(|p| in_chunks(&model, model.whole(), p, &[p.len()]))
        .collect();
    let mut caches = [
        model.new_cache(model.whole()),
        model.new_cache(model.whole()),
    ];
    let [a, b] = &mut caches;
    // Prefill of one beside prefill of the other, then both one token on.
    let mut steps = [
        Step {
            cache: a,
            tokens: long.slice(0..long.len() - 1),
            wanted: Wanted::Last,
        },
        Step {
            cache: b,
            tokens: short.slice(0..short.len() - 1),
            wanted: Wanted::All,
        },
    ];
    let logits = model.step(&mut steps).unwrap().unwrap();
    let first = alone[0].narrow(0, long.len() - 2, 1).unwrap();
    close("long", &logits.narrow(0, 0, 1).unwrap(), &first, SAME);
    let second = alone[1].narrow(0, 0, short.len() - 1).unwrap();
    close(
        "short",
        &logits.narrow(0, 1, short.len() - 1).unwrap(),
        &second,
        SAME,
    );
    let [a, b] = &mut caches;
    let mut steps = [
        Step {
            cache: a,
            tokens: long.slice(long.len() - 1..long.len()),
            wanted: Wanted::Last,
        },
        Step {
            cache: b,
            tokens: short.slice(short.len() - 1..short.len()),
            wanted: Wanted::Last,
        },
    ];
    let logits = model.step(&mut steps).unwrap().unwrap();
    for (n, (alone, len)) in alone.iter().zip([long.len(), short.len()]).enumerate() {
        let golden = alone.narrow(0, len - 1, 1).unwrap();
        close("one on", &logits.narrow(0, n, 1).unwrap(), &golden, SAME);
    }
}

#[test]
fn switching_submodels_and_back_equals_opening_fresh() {
    let table = std::fs::read_to_string(root().join("matformer.json")).unwrap();
    let run = |model: &Model, submodel: &Arc<Submodel>| {
        values(&in_chunks(model, submodel, &interleaved(model), &[20]))
    };
    let fresh = |name: &str| {
        let model = open("checkpoint");
        run(&model, &submodels(&model, &table, name))
    };
    let model = open("checkpoint");
    for name in ["full", "skip", "ffn", "full", "ffn", "skip", "full"] {
        let submodel = submodels(&model, &table, name);
        assert!(run(&model, &submodel) == fresh(name), "{name} differs");
    }
}

fn submodels(model: &Model, table: &str, name: &str) -> Arc<Submodel> {
    let text = &model.config().text;
    let sliced = Submodel::from_json(table, text).unwrap();
    let found = sliced.into_iter().find(|s| s.name() == name);
    found.map_or_else(|| Arc::clone(model.whole()), Arc::new)
}

#[test]
fn a_sliding_cache_stops_growing() {
    let model = open("checkpoint");
    let mut cache = model.new_cache(model.whole());
    let mut sizes = Vec::new();
    for n in 0..200u32 {
        let ids = [300 + n % 100];
        let mut steps = [Step {
            cache: &mut cache,
            tokens: Tokens::text(&ids),
            wanted: Wanted::None,
        }];
        model.step(&mut steps).unwrap();
        sizes.push(cache.bytes());
    }
    // One full layer owns a cache; its buffers hold 512 positions from the start.
    assert_eq!(sizes[40], sizes[199]);
}

#[test]
fn wrong_input_is_a_sentence() {
    let model = open("checkpoint");
    let image = model.config().image_token_id;
    let error = model.prompt(vec![2, image, image], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the prompt has 2 picture positions but the given picture input fills 0 of them"
    );
    let media = media(&model, "image");
    let error = model.prompt(vec![2, 5], &[&media[0]]).unwrap_err();
    assert!(error.to_string().contains("0 picture positions"), "{error}");

    let step = |ids: &[u32]| {
        let mut cache = model.new_cache(model.whole());
        let tokens = Tokens::text(ids);
        let wanted = Wanted::Last;
        model.step(&mut [Step {
            cache: &mut cache,
            tokens,
            wanted,
        }])
    };
    let error = step(&[9999]).unwrap_err();
    assert!(
        error.to_string().contains("token id 9999 is outside"),
        "{error}"
    );
    let error = step(&vec![7; 513]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::ContextFull {
                needed: 513,
                context: 512
            }
        ),
        "{error}"
    );

    let text_only = open("checkpoint-sliced-text");
    let error = text_only
        .encode_image(&pixels(&goldens("image_preprocess"), "image_a"))
        .unwrap_err();
    assert!(error.to_string().contains("no vision part"), "{error}");
}

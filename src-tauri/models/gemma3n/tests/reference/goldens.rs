//! Every stage of the model against the tensors that the reference wrote.

use std::sync::Arc;

use crate::support::*;
use candle_core::{D, Tensor};
use gemma3n::{Model, Prompt, Step, Submodel, Tokens, Wanted};

/// Towers: relative to the largest value. Text: absolute, as the goldens' values are of order one.
const TOWER: f32 = 1e-4;
const TEXT: f32 = 2e-3;

/// Compares with a tolerance relative to the largest value of the golden.
#[track_caller]
fn close_relative(what: &str, ours: &Tensor, theirs: &Tensor, relative: f32) {
    let largest = values(theirs).into_iter().map(f32::abs).fold(0.0, f32::max);
    close(what, ours, theirs, relative * largest);
}

#[test]
fn vision() {
    let model = open("checkpoint");
    let (pictures, goldens) = (goldens("image_preprocess"), goldens("vision"));
    for name in ["image_a", "image_b"] {
        let mut compared = 0;
        let soft = model
            .encode_image_traced(&pixels(&pictures, name), &mut |stage, map| {
                let Some(golden) = goldens.get(&format!("{name}.{stage}")) else {
                    return;
                };
                let golden = golden.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
                let ours = Tensor::new(map.data.as_slice(), golden.device()).unwrap();
                close_relative(&format!("{name} {stage}"), &ours, &golden, TOWER);
                compared += 1;
            })
            .unwrap();
        assert!(compared >= 2, "{name}: only {compared} stages compared");
        let golden = &goldens[&format!("{name}.embedded")];
        let rows = Tensor::new(soft.rows(), golden.device()).unwrap();
        close_relative(&format!("{name} embedded"), &rows, golden, TOWER);
    }
}

#[test]
fn audio() {
    let model = open("checkpoint");
    let (frames, goldens) = (goldens("audio_features"), goldens("audio_encoder"));
    for (name, n) in [("clip_a", 0), ("clip_b", 0), ("batch", 0), ("batch", 1)] {
        let row = |stage: &str| {
            let golden = goldens.get(&format!("{name}.{stage}"))?;
            Some(golden.get(n).unwrap())
        };
        let mut compared = 0;
        let heard = model
            .hear(&mel(&frames, name, n), &mut |stage, x| {
                if let Some(golden) = row(stage) {
                    close_relative(&format!("{name} {stage}"), x, &golden, TOWER);
                    compared += 1;
                }
            })
            .unwrap();
        assert!(compared >= 1);
        let what = format!("{name}[{n}]");
        close_relative(&what, &heard.data, &row("encoder").unwrap(), TOWER);
        let invalid: Vec<bool> = values(&row("encoder_mask").unwrap())
            .into_iter()
            .map(|v| v != 0.0)
            .collect();
        assert_eq!(heard.valid, invalid.iter().map(|v| !v).collect::<Vec<_>>());
        let embedded = model.embed_heard(&heard).unwrap();
        close_relative(&what, &embedded, &row("embedded").unwrap(), TOWER);
    }
    // A clip is filled up with the row that means "no sound".
    let soft = model.encode_audio(&mel(&frames, "clip_b", 0)).unwrap();
    let padding = values(&goldens["padding_embedding"]);
    let last = &soft.rows()[soft.rows().len() - padding.len()..];
    let last = Tensor::new(last, &candle_core::Device::Cpu).unwrap();
    close_relative("padding", &last, &goldens["padding_embedding"], TOWER);
}

#[test]
fn text() {
    whole_prompt("text");
}

#[test]
fn image() {
    whole_prompt("image");
}

#[test]
fn sound() {
    whole_prompt("audio");
}

#[test]
fn interleaved() {
    whole_prompt("interleaved");
}

fn whole_prompt(name: &str) {
    let model = open("checkpoint");
    let goldens = goldens(&format!("prompt_{name}"));
    let media = media(&model, name);
    let prompt = model
        .prompt(
            ids(&goldens["input_ids"]),
            &media.iter().collect::<Vec<_>>(),
        )
        .unwrap();

    let mut rows = Vec::new();
    model.embed(&prompt.whole(), &mut rows).unwrap();
    let rows = Tensor::new(rows, &candle_core::Device::Cpu).unwrap();
    close("inputs_embeds", &rows, &goldens["inputs_embeds"], 1e-3);
    let mut lookups = Vec::new();
    model.look_up(prompt.ids(), &mut lookups).unwrap();
    let lookups = Tensor::new(lookups, &candle_core::Device::Cpu).unwrap();
    close(
        "lookups",
        &lookups,
        &goldens["per_layer_inputs_lookup"],
        1e-5,
    );

    let index = ids(&goldens["layers_out_index"]);
    let mut cache = model.new_cache(model.whole());
    let mut steps = [Step {
        cache: &mut cache,
        tokens: prompt.whole(),
        wanted: Wanted::All,
    }];
    let mut compared = 0;
    let logits = model
        .step_traced(&mut steps, &mut |layer, streams| {
            let Some(at) = index.iter().position(|&i| i as usize == layer) else {
                return;
            };
            // [streams, batch, rows, hidden] there, [rows, streams, hidden] here.
            let golden = goldens["layers_out"].get(at).unwrap().squeeze(1).unwrap();
            let golden = golden.transpose(0, 1).unwrap().contiguous().unwrap();
            close(&format!("{name} layer {layer}"), streams, &golden, TEXT);
            compared += 1;
        })
        .unwrap()
        .unwrap();
    assert_eq!(compared, index.len());
    close(&format!("{name} logits"), &logits, &goldens["logits"], TEXT);

    let generated = greedy(&model, model.whole(), &prompt, 32);
    assert_eq!(generated, ids(&goldens["generated"]), "{name} greedy");
}

#[test]
fn slices() {
    let model = open("checkpoint");
    let table = std::fs::read_to_string(root().join("matformer.json")).unwrap();
    let submodels = Submodel::from_json(&table, &model.config().text).unwrap();
    assert_eq!(submodels.len(), 2);
    for submodel in submodels {
        let submodel = Arc::new(submodel);
        let goldens = goldens(&format!("slice_{}", submodel.name()));
        for name in ["text", "interleaved"] {
            let media = media(&model, name);
            let prompt = model
                .prompt(
                    ids(&goldens[&format!("{name}.input_ids")]),
                    &media.iter().collect::<Vec<_>>(),
                )
                .unwrap();
            let logits = all_logits(&model, &submodel, &prompt);
            let what = format!("{} {name}", submodel.name());
            close(&what, &logits, &goldens[&format!("{name}.logits")], TEXT);
            if name == "text" {
                let generated = greedy(&model, &submodel, &prompt, 32);
                assert_eq!(generated, ids(&goldens["text.generated"]), "{what}");
            }
        }
    }
}

/// The same slice as a folder of its own: text only, newer spelling, no dead tensors.
#[test]
fn sliced_folder() {
    let model = open("checkpoint-sliced-text");
    let goldens = goldens("slice_skip");
    let prompt = Prompt::text(ids(&goldens["text.input_ids"]));
    let logits = all_logits(&model, model.whole(), &prompt);
    close("sliced folder", &logits, &goldens["text.logits"], TEXT);
    let generated = greedy(&model, model.whole(), &prompt, 32);
    assert_eq!(generated, ids(&goldens["text.generated"]));
}

fn all_logits(model: &Model, submodel: &Arc<Submodel>, prompt: &Prompt) -> Tensor {
    let mut cache = model.new_cache(submodel);
    let mut steps = [Step {
        cache: &mut cache,
        tokens: prompt.whole(),
        wanted: Wanted::All,
    }];
    model.step(&mut steps).unwrap().unwrap()
}

/// Greedy decoding over the text ids, as the goldens were made.
pub fn greedy(model: &Model, submodel: &Arc<Submodel>, prompt: &Prompt, n: usize) -> Vec<u32> {
    let mut cache = model.new_cache(submodel);
    let mut out: Vec<u32> = Vec::new();
    for _ in 0..n {
        let last = out.last().copied();
        let tokens = match &last {
            None => prompt.whole(),
            Some(id) => Tokens::text(std::slice::from_ref(id)),
        };
        let mut steps = [Step {
            cache: &mut cache,
            tokens,
            wanted: Wanted::Last,
        }];
        let logits = model.step(&mut steps).unwrap().unwrap();
        let text = logits
            .narrow(D::Minus1, 0, model.config().text_vocab_size())
            .unwrap();
        out.push(ids(&text.argmax(D::Minus1).unwrap())[0]);
    }
    out
}

//! The tiny model with its matrices at 8 and at 4 bits, as a GGUF package.

use std::path::Path;
use std::sync::Arc;

use crate::support::*;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use gemma3n::{Model, Prompt, Step, Submodel, Wanted};
use weights::gguf::Writer;
use weights::{Checkpoint, export};

/// Rewrites a GGUF file with every matrix quantised whose rows are whole blocks of 32.
fn quantise(from: &Path, to: &Path, dtype: weights::DType, ggml: GgmlDType) {
    let bytes = std::fs::read(from).unwrap();
    let header = weights::gguf::parse(&bytes, from).unwrap();
    let mut writer = Writer::new(to, "gemma3n");
    for key in header.metadata.keys() {
        if key != "general.architecture" {
            writer.value(key, header.metadata.get(key).unwrap().clone());
        }
    }
    let mut contents = Vec::new();
    for tensor in &header.tensors {
        let raw = &bytes[tensor.range.clone()];
        let is_matrix = tensor.shape.len() == 2 && tensor.shape[1].is_multiple_of(32);
        if !is_matrix {
            writer
                .tensor(&tensor.name, tensor.dtype, &tensor.shape)
                .unwrap();
            contents.push(raw.to_vec());
            continue;
        }
        let values = Tensor::from_raw_buffer(raw, DType::F32, &tensor.shape, &Device::Cpu).unwrap();
        let quantised = QTensor::quantize(&values, ggml).unwrap();
        writer.tensor(&tensor.name, dtype, &tensor.shape).unwrap();
        contents.push(quantised.data().unwrap().into_owned());
    }
    let mut body = writer.start().unwrap();
    for content in contents {
        body.write(&content).unwrap();
    }
    body.finish().unwrap();
}

fn logits(model: &Model, submodel: &Arc<Submodel>, prompt: &Prompt, chunk: usize) -> Tensor {
    let mut cache = model.new_cache(submodel);
    let mut parts = Vec::new();
    while cache.len() < prompt.len() {
        let range = cache.len()..(cache.len() + chunk).min(prompt.len());
        let tokens = prompt.slice(range);
        let wanted = Wanted::All;
        let mut steps = [Step {
            cache: &mut cache,
            tokens,
            wanted,
        }];
        parts.push(model.step(&mut steps).unwrap().unwrap());
    }
    Tensor::cat(&parts, 0).unwrap()
}

/// Root mean square of the difference to the reference's logits, whose spread is about 3.
fn distance(ours: &Tensor, golden: &Tensor) -> f32 {
    let (ours, golden) = (values(ours), values(golden));
    assert_eq!(ours.len(), golden.len());
    let squares: f32 = ours.iter().zip(&golden).map(|(a, b)| (a - b).powi(2)).sum();
    (squares / ours.len() as f32).sqrt()
}

#[test]
fn quantised_models_stay_near_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let source = Checkpoint::open(&root().join("checkpoint")).unwrap();
    let dense = folder.path().join("dense.gguf");
    export::write_gguf(&source, &dense, None, &export::Options::default()).unwrap();
    let table = std::fs::read_to_string(root().join("matformer.json")).unwrap();
    let golden = goldens("prompt_text");
    let prompt = Prompt::text(ids(&golden["input_ids"]));
    // Measured 0.1 and 1.2 rms; the random model's sparse layers and routers amplify every rounding.
    for (dtype, ggml, allowed) in [
        (weights::DType::Q8_0, GgmlDType::Q8_0, 0.3),
        (weights::DType::Q4_0, GgmlDType::Q4_0, 2.5),
    ] {
        let path = folder.path().join(format!("{dtype}.gguf"));
        quantise(&dense, &path, dtype, ggml);
        let model = open_path(&path);
        let ours = logits(&model, model.whole(), &prompt, prompt.len());
        let off = distance(&ours, &golden["logits"]);
        println!("{dtype}: {off}");
        assert!(off < allowed, "{dtype}: {off}");
        // Cut into steps it is the same model; but a last bit that differs can turn the rounding of an
        // activation, so the numbers are as near to each other as rounding lets them be.
        let stepwise = logits(&model, model.whole(), &prompt, 1);
        let apart = distance(&stepwise, &ours);
        println!("{dtype} stepwise: {apart}");
        assert!(apart < allowed / 2.0, "{dtype} stepwise: {apart}");
        for submodel in Submodel::from_json(&table, &model.config().text).unwrap() {
            let golden = goldens(&format!("slice_{}", submodel.name()));
            let ours = logits(&model, &Arc::new(submodel.clone()), &prompt, prompt.len());
            let off = distance(&ours, &golden["text.logits"]);
            println!("{dtype} {}: {off}", submodel.name());
            assert!(off < allowed, "{dtype} {}: {off}", submodel.name());
        }
    }
}

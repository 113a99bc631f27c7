//! The tiny reference model and its goldens. `SOTTO_REFERENCE` names another folder that
//! `make_reference.py` wrote.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use gemma3n::{MelFeatures, Model, Options, Pixels, SoftTokens};
use weights::Checkpoint;

pub type Tensors = HashMap<String, Tensor>;

pub fn root() -> PathBuf {
    match std::env::var_os("SOTTO_REFERENCE") {
        Some(path) => path.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/tiny"),
    }
}

pub fn open(name: &str) -> Model {
    open_path(&root().join(name))
}

pub fn open_path(path: &std::path::Path) -> Model {
    let checkpoint = Checkpoint::open(path).unwrap();
    Model::open(Arc::new(checkpoint), &Options::default()).unwrap()
}

pub fn goldens(name: &str) -> Tensors {
    let path = root().join(format!("goldens/{name}.safetensors"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

pub fn values(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_dtype(DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

pub fn ids(tensor: &Tensor) -> Vec<u32> {
    values(tensor).into_iter().map(|v| v as u32).collect()
}

/// The picture that the reference's tower saw.
pub fn pixels(goldens: &Tensors, name: &str) -> Pixels {
    let resized = &goldens[&format!("{name}.resized_u8")];
    let (_, _, height, width) = resized.dims4().unwrap();
    let channels_last = resized.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
    Pixels {
        width,
        height,
        data: values(&channels_last)
            .into_iter()
            .map(|v| v / 255.0)
            .collect(),
    }
}

/// Row `n` of the frames that the reference's tower heard.
pub fn mel(goldens: &Tensors, name: &str, n: usize) -> MelFeatures {
    let mel = goldens[&format!("{name}.mel")].get(n).unwrap();
    let (frames, bins) = mel.dims2().unwrap();
    MelFeatures {
        frames,
        bins,
        data: values(&mel),
        valid: values(&goldens[&format!("{name}.mask")].get(n).unwrap())
            .into_iter()
            .map(|v| v != 0.0)
            .collect(),
    }
}

/// The media of one of the reference's prompts, in the order of their places.
pub fn media(model: &Model, prompt: &str) -> Vec<SoftTokens> {
    let manifest = std::fs::read_to_string(root().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let names = |kind: &str| -> Vec<String> {
        let list = manifest["prompts"][prompt][kind].as_array().unwrap();
        list.iter()
            .map(|v| v.as_str().unwrap().to_owned())
            .collect()
    };
    let (pictures, frames) = (goldens("image_preprocess"), goldens("audio_features"));
    let images = names("images")
        .into_iter()
        .map(|name| model.encode_image(&pixels(&pictures, &name)).unwrap());
    let clips = names("audio")
        .into_iter()
        .map(|name| model.encode_audio(&mel(&frames, &name, 0)).unwrap());
    images.chain(clips).collect()
}

#[track_caller]
pub fn close(what: &str, ours: &Tensor, theirs: &Tensor, absolute: f32) {
    let (ours, theirs) = (values(ours), values(theirs));
    assert_eq!(ours.len(), theirs.len(), "{what}: number of values");
    let worst = ours
        .iter()
        .zip(&theirs)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(
        worst <= absolute,
        "{what}: worst difference {worst:e}, allowed {absolute:e}"
    );
}

//! A folder made a package at 8 bits.

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;
use serde_json::json;
use weights::export::{Options, Quantisation};
use weights::{Checkpoint, DType, Metadata, Staged, TensorView};

use crate::files::{Folder, gemma3n, safetensors, tiny};

const EIGHT_BITS: Options<'_> = Options {
    quantisation: Some(Quantisation::Q8_0),
    submodels: Some("{}"),
    name: None,
    watch: None,
};

fn import(source: &Path, folder: &Folder, name: &str) -> Result<weights::Package, weights::Error> {
    let source = Checkpoint::open(source)?;
    Staged::write(&source, folder.path(), name, false, &EIGHT_BITS)?.publish()
}

fn files(folder: &Folder) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn f32s(tensor: &TensorView<'_>) -> Vec<f32> {
    assert_eq!(tensor.dtype, DType::F32);
    (tensor.bytes.as_chunks().0.iter())
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect()
}

/// The numbers of a tensor, and for each how far from its source it may be.
fn values(tensor: &TensorView<'_>) -> Vec<(f32, f32)> {
    match tensor.dtype {
        DType::Q8_0 => (tensor.bytes.as_chunks::<34>().0.iter())
            .flat_map(|block| {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                // Half a step; and the scale itself was rounded to 11 bits.
                let allowed = scale * (0.5 + 127.0 / 2048.0);
                (block[2..].iter()).map(move |&quant| (scale * f32::from(quant as i8), allowed))
            })
            .collect(),
        DType::F16 => (tensor.bytes.as_chunks().0.iter())
            .map(|&bytes| f16::from_le_bytes(bytes).to_f32())
            .map(|value| (value, value.abs() / 2048.0 + f32::powi(2.0, -25)))
            .collect(),
        _ => f32s(tensor).into_iter().map(|value| (value, 0.0)).collect(),
    }
}

#[test]
fn every_number_is_within_half_a_step_of_its_source() {
    let folder = Folder::new();
    let package = import(&tiny("checkpoint"), &folder, "tiny").unwrap();
    assert_eq!(files(&folder), ["tiny.gguf", "tiny.mmproj.gguf"]);
    assert_eq!(package.text, folder.file("tiny.gguf"));
    assert_eq!(package.projector, Some(folder.file("tiny.mmproj.gguf")));

    let source = Checkpoint::open(&tiny("checkpoint")).unwrap();
    let model = Checkpoint::open(&package.text).unwrap();
    let mut types = BTreeMap::new();
    for name in source.names() {
        let (from, to) = (source.tensor(name).unwrap(), model.tensor(name).unwrap());
        if name == "model.language_model.embed_tokens_per_layer.weight" {
            // A row for every token: what the source does not have is zero.
            assert_eq!((from.shape, to.shape), (&[512, 240][..], &[544, 240][..]));
            let values = values(&to);
            let (_, more) = values.split_at(from.elements());
            assert!(!more.is_empty() && more.iter().all(|(value, _)| *value == 0.0));
        } else {
            assert_eq!(from.shape, to.shape, "{name}");
        }
        *types.entry(to.dtype).or_insert(0) += to.elements();
        for (value, (found, allowed)) in f32s(&from).into_iter().zip(values(&to)) {
            assert!(
                (found - value).abs() <= allowed,
                "{name}: {value} became {found}"
            );
        }
    }
    assert_eq!(source.names().count(), model.names().count());
    let kinds: Vec<DType> = types.keys().copied().collect();
    assert_eq!(kinds, [DType::F32, DType::F16, DType::Q8_0]);
    // The tiny audio tower is 48 wide, which makes no whole blocks, and its vision tower is large for its text.
    let elements: usize = types.values().sum();
    assert!(types[&DType::Q8_0] * 2 > elements, "{types:?}");
    assert_eq!(model.submodel_table().unwrap().unwrap().text, "{}");
    let Metadata::Gguf(gguf) = model.metadata() else {
        panic!("a package is GGUF");
    };
    assert_eq!(gguf.string("general.name").unwrap(), "tiny");
}

#[test]
fn sixteen_bits_become_eight() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(tiny("checkpoint-sliced-text").join("config.json")).unwrap();
    folder.write("config.json", text);
    // The file of the same model with half of every number cut off.
    let source = Checkpoint::open(&tiny("checkpoint-sliced-text")).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for name in source.names() {
        let tensor = source.tensor(name).unwrap();
        let start = data.len();
        for number in tensor.bytes.as_chunks::<4>().0 {
            data.extend(&number[2..]);
        }
        let entry =
            json!({"dtype": "BF16", "shape": tensor.shape, "data_offsets": [start, data.len()]});
        header.insert(name.to_owned(), entry);
    }
    let mut file = safetensors(&header.into(), 0);
    file.extend(data);
    folder.write("model.safetensors", file);

    let out = Folder::new();
    let package = import(folder.path(), &out, "half").unwrap();
    assert_eq!(
        (files(&out), package.projector),
        (vec!["half.gguf".to_owned()], None)
    );
    let model = Checkpoint::open(&package.text).unwrap();
    for name in source.names() {
        let (from, to) = (source.tensor(name).unwrap(), model.tensor(name).unwrap());
        for (value, (found, allowed)) in f32s(&from).into_iter().zip(values(&to)) {
            let cut = f32::from_bits(value.to_bits() & 0xffff_0000);
            assert!(
                (found - cut).abs() <= allowed,
                "{name}: {cut} became {found}"
            );
        }
    }
}

#[test]
fn what_is_there_is_not_lost_and_what_is_not_whole_is_not_there() {
    let folder = Folder::new();
    let source = tiny("checkpoint-sliced-text");
    let text = folder.write("mine.gguf", "precious");
    let old = folder.write("mine.mmproj.gguf", "of another model");
    let error = import(&source, &folder, "mine").unwrap_err().to_string();
    assert!(error.contains("mine.gguf: it is there already"), "{error}");
    assert_eq!(std::fs::read(&text).unwrap(), b"precious");

    let checkpoint = Checkpoint::open(&source).unwrap();
    let write = || Staged::write(&checkpoint, folder.path(), "mine", true, &EIGHT_BITS);
    // What a kill left behind is in nobody's way, and a package that is not published leaves nothing.
    std::fs::create_dir(folder.file("mine.importing")).unwrap();
    folder.write("mine.importing/mine.gguf.part", "half a file");
    let staged = write().unwrap();
    assert!(staged.open().unwrap().names().count() > 0);
    drop(staged);
    assert_eq!(files(&folder), ["mine.gguf", "mine.mmproj.gguf"]);
    // Towers of the model whose place it takes would not fit it.
    write().unwrap().publish().unwrap();
    assert!(!old.exists());
    Checkpoint::open(&text).unwrap();

    for name in ["", "..", "a/b", ".hidden", "my-mmproj"] {
        let error = import(&source, &folder, name).unwrap_err().to_string();
        assert!(error.contains("a package is named like a file"), "{error}");
    }
    assert_eq!(files(&folder), ["mine.gguf"]);
}

#[test]
fn damaged_numbers_are_named() {
    let folder = Folder::with_config(&gemma3n());
    let from = std::fs::read(tiny("checkpoint-sliced-text").join("model.safetensors")).unwrap();
    std::fs::copy(
        tiny("checkpoint-sliced-text").join("config.json"),
        folder.file("config.json"),
    )
    .unwrap();
    let mut damaged = from;
    let end = damaged.len();
    damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    folder.write("model.safetensors", damaged);
    let out = Folder::new();
    let error = import(folder.path(), &out, "a").unwrap_err().to_string();
    let name = Checkpoint::open(folder.path())
        .unwrap()
        .first_not_finite()
        .unwrap();
    assert!(error.contains(&name), "{error}");
    assert!(error.contains("holds a number that"), "{error}");
    assert!(files(&out).is_empty());
}

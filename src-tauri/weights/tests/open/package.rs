//! GGUF files and their projectors.

use weights::gguf::{Array, Strings, Value, Writer};
use weights::{Checkpoint, DType, Format, Gguf, Metadata};

use crate::files::{Folder, Raw, refuses, text};

fn gguf(model: &Checkpoint) -> &Gguf {
    match model.metadata() {
        Metadata::Gguf(gguf) => gguf,
        Metadata::Json(_) => panic!("not a GGUF model"),
    }
}

#[test]
fn maps_names_and_turns_shapes_around() {
    let folder = Folder::new();
    let raw = Raw::gemma3n()
        .tensor("blk.7.ffn_up.weight", &[32, 2], 8, 0) // q8_0: two blocks of 34 bytes
        .tensor("altup_proj.weight", &[2, 1, 3], 0, 96)
        .tensor("v.conv_stem.conv.bias", &[1, 1, 2, 1], 0, 128)
        .tensor("v.blk.1.0.layer_scale.gamma", &[1, 1, 2], 0, 160)
        .tensor("v.blk.1.0.pw_proj.conv.weight", &[1, 1, 2, 1], 0, 192)
        .tensor("rope_freqs.weight", &[2], 0, 224);
    let path = folder.write("model.gguf", raw.bytes(232));
    let model = Checkpoint::open(&path).unwrap();
    assert_eq!(
        (model.format(), model.path()),
        (Format::Gguf, path.as_path())
    );

    let up = model
        .require("model.language_model.layers.7.mlp.up_proj.weight", &[2, 32])
        .unwrap();
    assert_eq!(up.dtype, DType::Q8_0);
    assert_eq!(up.row(1).map(|row| (row.len(), row[0])), Some((34, 34)));
    for i in 0..3 {
        let name = format!("model.language_model.altup_projections.{i}.weight");
        assert_eq!(model.require(&name, &[1, 2]).unwrap().bytes[0], 96 + 8 * i);
    }
    let tower = "model.vision_tower.timm_model";
    assert_eq!(
        model
            .require(&format!("{tower}.conv_stem.conv.bias"), &[2])
            .unwrap()
            .bytes[0],
        128
    );
    assert_eq!(
        model
            .require(&format!("{tower}.blocks.1.0.layer_scale.gamma"), &[2])
            .unwrap()
            .bytes[0],
        160
    );
    model
        .require(
            &format!("{tower}.blocks.1.0.pw_proj.conv.weight"),
            &[1, 2, 1, 1],
        )
        .unwrap();
    model.require("rope_freqs.weight", &[2]).unwrap();
    assert_eq!(model.names().count(), 8);
    assert_eq!(model.text_file("tokenizer.json").unwrap(), None);
    assert!(
        !model
            .read_row("rope_freqs.weight", 0, &mut Vec::new())
            .unwrap()
    );
}

#[test]
fn a_folder_with_one_text_file_will_do() {
    let folder = Folder::new();
    folder.write(
        "model-q4.gguf",
        Raw::gemma3n().tensor("a", &[2], 0, 0).bytes(8),
    );
    folder.write(
        "mmproj-f16.gguf",
        Raw::clip("gemma3nv")
            .tensor("mm.embedding.weight", &[2, 1], 0, 0)
            .bytes(8),
    );
    let model = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(model.path(), folder.path());
    model
        .require("model.embed_vision.embedding.weight", &[1, 2])
        .unwrap();
    assert_eq!(
        gguf(&model).string("clip.vision.projector_type").unwrap(),
        "gemma3nv"
    );
    assert_eq!(
        gguf(&model).projector().unwrap().file(),
        folder.file("mmproj-f16.gguf")
    );
    folder.write("other.gguf", Raw::gemma3n().bytes(0));
    refuses(
        folder.path(),
        &["2 GGUF models (model-q4.gguf, other.gguf ...); open one of them"],
    );
}

#[test]
fn finds_the_projector_that_belongs_to_the_file() {
    let text = Raw::gemma3n().tensor("a", &[2], 0, 0).bytes(8);
    let projector = Raw::clip("gemma3nv").bytes(0);
    let other = Raw::clip("gemma3").bytes(0);
    let mixed = Raw::clip("gemma3nv")
        .string("clip.audio.projector_type", "gemma3na")
        .bytes(0);
    for (files, expected) in [
        (vec![], None),
        (
            vec![("a.mmproj.gguf", &projector), ("mmproj.gguf", &projector)],
            Some("a.mmproj.gguf"),
        ),
        (
            vec![("mmproj-x.gguf", &projector), ("x.mmproj.gguf", &projector)],
            Some("mmproj-x.gguf"),
        ),
        (vec![("x-mmproj-y.gguf", &mixed)], Some("x-mmproj-y.gguf")),
        (
            vec![("mmproj-x.gguf", &projector), ("mmproj-y.gguf", &projector)],
            None,
        ),
        (vec![("mmproj.gguf", &other)], None),
        (vec![("b.gguf", &text), ("b.mmproj.gguf", &projector)], None),
    ] {
        let folder = Folder::new();
        let path = folder.write("a.gguf", &text);
        for (name, bytes) in files {
            folder.write(name, bytes);
        }
        let model = Checkpoint::open(&path).unwrap();
        let found = gguf(&model).projector().map(|p| p.file().to_owned());
        assert_eq!(found, expected.map(|name| folder.file(name)));
    }
}

#[test]
fn takes_the_projector_it_is_given() {
    let folder = Folder::new();
    let text = folder.write("a.gguf", Raw::gemma3n().tensor("a", &[2], 0, 0).bytes(8));
    folder.write("a.mmproj.gguf", Raw::clip("gemma3nv").bytes(0));
    let given = folder.write(
        "p.gguf",
        Raw::clip("gemma3nv")
            .tensor("mm.embedding.weight", &[2, 1], 0, 0)
            .bytes(8),
    );
    let model = Checkpoint::open_with_projector(&text, Some(&given)).unwrap();
    assert!(model.contains("model.embed_vision.embedding.weight"));
    for (bytes, part) in [
        (
            Raw::clip("gemma3").bytes(0),
            "its architecture is clip for gemma3",
        ),
        (Raw::gemma3n().bytes(0), "its architecture is gemma3n"),
    ] {
        let given = folder.write("p.gguf", bytes);
        let error = Checkpoint::open_with_projector(&text, Some(&given))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("p.gguf is not the projector") && error.contains(part),
            "{error}"
        );
    }
    let error = Checkpoint::open_with_projector(&text, Some(&folder.file("none"))).unwrap_err();
    assert!(error.to_string().ends_with("none does not exist"));
}

#[test]
fn refuses_other_models() {
    let folder = Folder::new();
    for (raw, parts) in [
        (
            Raw::clip("gemma3nv"),
            [
                "model.gguf is the projector of a model",
                "open the text file",
            ],
        ),
        (
            Raw::default().string("general.architecture", "llama"),
            ["architecture llama", "expected gemma3n"],
        ),
        (
            Raw::default(),
            ["no key general.architecture", "expected a string"],
        ),
        (
            Raw::default().u32("general.architecture", 7),
            ["is the number 7", "expected a string"],
        ),
        (
            Raw::gemma3n().value("split.count", 2, &3u16.to_le_bytes()),
            ["split into 3 files", "--merge"],
        ),
    ] {
        let path = folder.write("model.gguf", raw.bytes(0));
        refuses(&path, &[&["model.gguf"], &parts[..]].concat());
    }
}

#[test]
fn checks_the_beginning() {
    let folder = Folder::new();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = Raw::gemma3n().tensor("a", &[2], 0, 0).bytes(8);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let huge = u64::MAX.to_le_bytes();
    for (bytes, part) in [
        (
            b"PK\x03\x04 a zip file".to_vec(),
            r#"to begin with "GGUF", found "PK\x03\x04""#,
        ),
        (with(0, b"FUGG"), "big-endian"),
        (with(4, &3u32.to_be_bytes()), "big-endian"),
        (
            with(4, &1u32.to_le_bytes()),
            "GGUF version 1; versions 2 and 3",
        ),
        (with(4, &4u32.to_le_bytes()), "GGUF version 4"),
        (with(4, &0u32.to_le_bytes()), "GGUF version 0"),
        (with(8, &huge), "the number of tensors"),
        (with(16, &huge), "the number of keys"),
        (with(24, &huge), "a key"),
        (with(32, &[0xff]), "not UTF-8 text"),
    ] {
        refuses(&folder.write("model.gguf", bytes), &["model.gguf", part]);
    }
    let mut version_2 = with(0, b"GGUF");
    version_2[4] = 2;
    Checkpoint::open(&folder.write("model.gguf", version_2)).unwrap();
}

#[test]
fn checks_values() {
    let folder = Folder::new();
    let array = |element: u32, count: u64, rest: &[u8]| {
        [&element.to_le_bytes()[..], &count.to_le_bytes(), rest].concat()
    };
    let nested = |depth: usize| (0..depth).fold(array(4, 0, &[]), |inner, _| array(9, 1, &inner));
    for (raw, part) in [
        (
            Raw::gemma3n().value("k", 13, &[]),
            "key k has the unknown type 13",
        ),
        (
            Raw::gemma3n().value("k", 9, &array(99, 0, &[])),
            "array of the unknown type 99",
        ),
        (
            Raw::gemma3n().value("k", 9, &array(10, u64::MAX, &[])),
            "the length of an array",
        ),
        (
            Raw::gemma3n().value("k", 9, &array(8, 1 << 40, &[])),
            "the length of an array",
        ),
        (
            Raw::gemma3n().value("k", 9, &array(9, 1 << 40, &[])),
            "the length of an array",
        ),
        (
            Raw::gemma3n().value("k", 9, &nested(100)),
            "nested deeper than 4",
        ),
        (
            Raw::gemma3n().string("general.architecture", "x"),
            "key general.architecture stands there twice",
        ),
        (
            Raw::gemma3n().u32("general.alignment", 24),
            "general.alignment in",
        ),
        (
            Raw::gemma3n().u32("general.alignment", 0),
            "is 0, expected a power of two",
        ),
        (
            Raw::gemma3n().string("general.alignment", "x"),
            r#"is the string "x""#,
        ),
    ] {
        refuses(
            &folder.write("model.gguf", raw.bytes(64)),
            &["model.gguf", part],
        );
    }
    let shallow = Raw::gemma3n().value("k", 9, &nested(3)).bytes(0);
    Checkpoint::open(&folder.write("model.gguf", shallow)).unwrap();
}

#[test]
fn checks_tensors() {
    let folder = Folder::new();
    let raw = Raw::gemma3n;
    for (raw, parts) in [
        (
            raw().tensor("t", &[2], 20, 0),
            [
                "tensor t in",
                "stored as iq4_nl (ggml type 20), which cannot be read",
            ],
        ),
        (
            raw().tensor("t", &[2], 77, 0),
            ["tensor t in", "stored as ggml type 77"],
        ),
        (
            raw().tensor("t", &[1, 1, 1, 1, 1], 0, 0),
            ["tensor t in", "5 dimensions, more than the 4"],
        ),
        (
            raw().tensor("t", &[0, 2], 0, 0),
            ["tensor t in", "[2, 0] holds no element"],
        ),
        (
            raw().tensor("t", &[1 << 40, 1 << 40], 0, 0),
            ["tensor t in", "too large for any file"],
        ),
        (
            raw().tensor("t", &[16, 2], 2, 0),
            ["tensor t in", "rows of 16 are not whole q4_0 blocks of 32"],
        ),
        (
            raw().tensor("t", &[2], 0, 8),
            [
                "tensor t in",
                "offset 8 is not a multiple of the alignment 32",
            ],
        ),
        (
            raw().tensor("t", &[2], 0, u64::MAX - 31),
            ["tensor t in", "offset 18446744073709551584 is too large"],
        ),
        (
            raw().tensor("t", &[2], 0, 64),
            ["cut short at byte 192 of 200", "download it again"],
        ),
        (
            raw().tensor("t", &[2], 0, 0).tensor("t", &[2], 0, 32),
            ["tensor t in", "lists it twice"],
        ),
        (
            raw().tensor("s", &[9], 0, 0).tensor("t", &[2], 0, 32),
            ["tensor t in", "overlaps tensor s"],
        ),
        (
            raw().tensor("altup_proj.weight", &[2, 2], 0, 0),
            ["altup_proj.weight", "expected a stack"],
        ),
        (
            raw().tensor("altup_proj.weight", &[1, 1, 65], 0, 0),
            ["altup_proj.weight", "stacks 65 matrices"],
        ),
    ] {
        let bytes = raw.bytes(if parts[0].starts_with("altup") {
            260
        } else {
            64
        });
        refuses(
            &folder.write("model.gguf", bytes),
            &[&["model.gguf"], &parts[..]].concat(),
        );
    }
}

#[test]
fn honours_the_alignment() {
    let folder = Folder::new();
    let raw = Raw::gemma3n()
        .u32("general.alignment", 1024)
        .tensor("t", &[2], 0, 1024);
    let mut bytes = raw.header();
    bytes.resize(2048, 0);
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 2]);
    let model = Checkpoint::open(&folder.write("model.gguf", &bytes)).unwrap();
    assert_eq!(model.tensor("t").unwrap().bytes, [0, 0, 0, 1, 0, 0, 0, 2]);
    bytes.pop();
    refuses(
        &folder.write("model.gguf", bytes),
        &["cut short at byte 2055 of 2056"],
    );
}

#[test]
fn a_scale_that_is_not_finite_is_found() {
    let folder = Folder::new();
    let raw = Raw::gemma3n().tensor("blk.0.ffn_up.weight", &[32, 2], 2, 0);
    let mut bytes = raw.bytes(36);
    let model = Checkpoint::open(&folder.write("model.gguf", &bytes)).unwrap();
    assert_eq!(model.first_not_finite(), None);
    let second = bytes.len() - 18;
    bytes[second..second + 2].copy_from_slice(&0x7c00u16.to_le_bytes());
    let model = Checkpoint::open(&folder.write("model.gguf", &bytes)).unwrap();
    assert_eq!(
        model.first_not_finite().unwrap(),
        "model.language_model.layers.0.mlp.up_proj.weight"
    );
}

#[test]
fn every_kind_of_value_survives_writing() {
    let folder = Folder::new();
    let path = folder.file("model.gguf");
    let strings: Strings = ["", "▁a", "b"].into_iter().collect();
    assert_eq!(strings.iter().collect::<Vec<_>>(), ["", "▁a", "b"]);
    let values = [
        Value::U8(200),
        Value::I8(-100),
        Value::U16(60000),
        Value::I16(-30000),
        Value::U32(4_000_000_000),
        Value::I32(-2_000_000_000),
        Value::U64(u64::MAX),
        Value::I64(i64::MIN),
        Value::F32(1.5),
        Value::F64(-2.5),
        Value::Bool(true),
        Value::String("text".into()),
        Value::Array(Array::U8(vec![1])),
        Value::Array(Array::I8(vec![-1, 2])),
        Value::Array(Array::U16(vec![1, 2])),
        Value::Array(Array::I16(vec![-1])),
        Value::Array(Array::U32(vec![1])),
        Value::Array(Array::I32(vec![-1])),
        Value::Array(Array::U64(vec![u64::MAX])),
        Value::Array(Array::I64(vec![-1])),
        Value::Array(Array::F32(vec![f32::NEG_INFINITY, 1.0])),
        Value::Array(Array::F64(vec![0.1])),
        Value::Array(Array::Bool(vec![true, false])),
        Value::Array(Array::String(strings)),
        Value::Array(Array::Array(vec![
            Array::U8(vec![]),
            Array::Bool(vec![true]),
        ])),
    ];
    let mut writer = Writer::new(&path, "gemma3n");
    for (i, value) in values.iter().enumerate() {
        writer.value(&format!("k{i}"), Value::Bool(false)); // To be replaced.
        writer.value(&format!("k{i}"), value.clone());
    }
    writer
        .tensor("token_embd.weight", DType::BF16, &[3, 5])
        .unwrap();
    writer.tensor("b", DType::Q6K, &[1, 256]).unwrap();
    let mut body = writer.start().unwrap();
    assert!(!path.exists(), "not before it is whole");
    let bytes: Vec<u8> = (0..240).collect();
    body.write(&bytes[..7]).unwrap();
    body.write(&bytes[7..30]).unwrap();
    body.write(&bytes[30..]).unwrap();
    body.finish().unwrap();

    let model = Checkpoint::open(&path).unwrap();
    for (i, value) in values.iter().enumerate() {
        assert_eq!(gguf(&model).get(&format!("k{i}")), Some(value));
    }
    assert_eq!(
        model
            .require("model.language_model.embed_tokens.weight", &[3, 5])
            .unwrap()
            .bytes,
        &bytes[..30]
    );
    assert_eq!(model.require("b", &[1, 256]).unwrap().bytes, &bytes[30..]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn half_written_files_vanish() {
    let folder = Folder::new();
    let start = || {
        let mut writer = Writer::new(&folder.file("model.gguf"), "gemma3n");
        writer.tensor("a", DType::F32, &[2]).unwrap();
        writer.start().unwrap()
    };
    let mut body = start();
    assert!(
        body.write(&[0; 9])
            .unwrap_err()
            .to_string()
            .contains("9 bytes for tensor a, which lacks 8")
    );
    body.write(&[0; 4]).unwrap();
    assert!(
        body.finish()
            .unwrap_err()
            .to_string()
            .contains("before tensor a was whole")
    );
    let mut body = start();
    body.write(&[0; 8]).unwrap();
    assert!(body.write(&[0]).is_err());
    drop(body);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let mut writer = Writer::new(&folder.file("model.gguf"), "gemma3n");
    writer.tensor("a", DType::F32, &[2]).unwrap();
    writer.tensor("a", DType::F32, &[2]).unwrap();
    assert!(
        writer
            .start()
            .unwrap_err()
            .to_string()
            .contains("declared twice")
    );
    let nowhere = Writer::new(&folder.file("no/model.gguf"), "gemma3n");
    assert!(
        nowhere
            .start()
            .unwrap_err()
            .to_string()
            .contains("cannot write")
    );
}

#[test]
fn accessors_say_what_they_expected() {
    let folder = Folder::new();
    let array = [
        &5u32.to_le_bytes()[..],
        &2u64.to_le_bytes(),
        &7i32.to_le_bytes(),
        &8i32.to_le_bytes(),
    ]
    .concat();
    let raw = Raw::gemma3n()
        .value("n", 0, &[7])
        .value("i", 5, &(-7i32).to_le_bytes())
        .value("f", 12, &0.5f64.to_le_bytes())
        .value("b", 7, &[1])
        .value("a", 9, &array)
        .value("s", 8, &text("x"));
    let model = Checkpoint::open(&folder.write("model.gguf", raw.bytes(0))).unwrap();
    let gguf = gguf(&model);
    assert_eq!(
        (gguf.u64("n").unwrap(), gguf.opt_u64("none").unwrap()),
        (7, None)
    );
    assert_eq!(
        (gguf.f32("f").unwrap(), gguf.f32("i").unwrap()),
        (0.5, -7.0)
    );
    assert!(gguf.bool("b").unwrap());
    assert_eq!(gguf.i32_array("a").unwrap(), [7, 8]);
    assert_eq!(gguf.u64_or_array("a", 2).unwrap(), [7, 8]);
    assert_eq!(gguf.u64_or_array("n", 3).unwrap(), [7, 7, 7]);
    let sentence = |error: weights::Error| {
        error
            .to_string()
            .replace(&folder.path().display().to_string(), "")
    };
    for (error, expected) in [
        (
            gguf.u64("none").unwrap_err(),
            "/model.gguf has no key none, expected an integer that is not negative",
        ),
        (
            gguf.u64("i").unwrap_err(),
            "key i in /model.gguf is the number -7, expected an integer that is not negative",
        ),
        (
            gguf.opt_u64("s").unwrap_err(),
            "key s in /model.gguf is the string \"x\", expected an integer that is not negative",
        ),
        (
            gguf.f32("b").unwrap_err(),
            "key b in /model.gguf is true, expected a number",
        ),
        (
            gguf.string_array("a").unwrap_err(),
            "key a in /model.gguf is an array of 2 i32 values, expected an array of strings",
        ),
        (
            gguf.f32_array("n").unwrap_err(),
            "key n in /model.gguf is the number 7, expected an array of floating point numbers",
        ),
        (
            gguf.u64_or_array("a", 3).unwrap_err(),
            "key a in /model.gguf is an array of 2 integers, expected an integer or one integer per layer",
        ),
    ] {
        assert_eq!(sentence(error), expected);
    }
}

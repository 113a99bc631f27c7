//! A package opened beside the folder that it was made of.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use engine::{Import, OpenOptions, Package, import, import_watched};
use weights::export::Quantisation;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny")
}

fn open(path: &Path) -> Package {
    Package::open(path, &OpenOptions::default(), &mut |_| true).unwrap()
}

fn submodels(package: &Package) -> Vec<(&str, &[usize], &[usize])> {
    let submodels = package.submodels().iter();
    submodels
        .map(|submodel| (submodel.name(), submodel.layers(), submodel.widths()))
        .collect()
}

#[test]
fn a_package_speaks_and_is_cut_like_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    for file in std::fs::read_dir(tiny().join("checkpoint")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), source.join(file.file_name())).unwrap();
    }
    std::fs::copy(tiny().join("matformer.json"), source.join("matformer.json")).unwrap();
    let settings = r#"{"do_sample": false, "top_k": 7, "top_p": 0.5, "eos_token_id": [1, 6]}"#;
    std::fs::write(source.join("generation_config.json"), settings).unwrap();

    let made = import(
        &source,
        &Import {
            folder: folder.path().join("out"),
            name: None,
            quantisation: Some(Quantisation::Q8_0),
            replace: false,
        },
    )
    .unwrap();
    assert_eq!(made.text, folder.path().join("out/source.gguf"));
    // Nothing but the two files is needed.
    std::fs::remove_dir_all(&source).unwrap();
    let (package, original) = (open(&made.text), open(&tiny().join("checkpoint")));
    assert_eq!(submodels(&package), submodels(&original));
    assert_eq!(package.generation().stop_ids, [1, 6]);
    let generation = package.generation();
    let chosen = (generation.temperature, generation.top_k, generation.top_p);
    assert_eq!(chosen, (0.0, 7, 0.5));
}

#[test]
fn an_import_tells_how_far_it_is_and_leaves_nothing_when_it_is_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let request = Import {
        folder: folder.path().to_owned(),
        name: Some("made".to_owned()),
        quantisation: Some(Quantisation::Q8_0),
        replace: false,
    };
    let source = tiny().join("checkpoint");
    let shares = RefCell::new(Vec::new());
    let cancelled = import_watched(&source, &request, &|share| {
        shares.borrow_mut().push(share);
        share < 0.5
    });
    assert!(cancelled.is_err_and(|e| e.to_string().contains("cancelled")));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    shares.borrow_mut().clear();
    import_watched(&source, &request, &|share| {
        shares.borrow_mut().push(share);
        true
    })
    .unwrap();
    let shares = shares.into_inner();
    assert!(shares.is_sorted() && shares.len() > 10, "{shares:?}");
    assert_eq!(shares.last(), Some(&1.0));
}

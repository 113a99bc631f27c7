//! From a folder of weights to a package of the app.

use std::path::{Path, PathBuf};

use gemma3n::Config;
use weights::export::{Options, Quantisation, Watch};
use weights::{Checkpoint, Staged};

use crate::error::{Error, Result};
use crate::package::own_submodels;

/// Where a package goes and what it is like.
#[derive(Clone, Debug)]
pub struct Import {
    pub folder: PathBuf,
    /// `None`: the source's own name.
    pub name: Option<String>,
    pub quantisation: Option<Quantisation>,
    /// Take the place of a package of the same name.
    pub replace: bool,
}

/// Writes a Hugging Face folder as a package, and its own submodels with it.
pub fn import(source: &Path, import: &Import) -> Result<weights::Package> {
    import_watched(source, import, &|_| true)
}

/// The same, told now and then which share is done; false cancels it, and nothing is left.
pub fn import_watched(
    source: &Path,
    import: &Import,
    watch: &dyn Fn(f64) -> bool,
) -> Result<weights::Package> {
    let checkpoint = Checkpoint::open(source)?;
    let config = Config::from_checkpoint(&checkpoint)?;
    let table = own_submodels(&checkpoint, &config)?.map(|(text, _)| text);
    let name = match &import.name {
        Some(name) => name.clone(),
        None => own_name(source),
    };
    let options = Options {
        quantisation: import.quantisation,
        submodels: table.as_deref(),
        name: None,
        watch: Some(Watch(watch)),
    };
    let staged = Staged::write(&checkpoint, &import.folder, &name, import.replace, &options)?;
    compare(&config, &staged.open()?, source)?;
    Ok(staged.publish()?)
}

fn own_name(source: &Path) -> String {
    // A path like `.` has no name of its own.
    let path = source.canonicalize().unwrap_or(source.to_owned());
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Whether a reader of the package will compute what the source asks for: a folder may hold numbers, of the audio tower
/// above all, for which the package's format has no place because all published models have the same.
fn compare(config: &Config, written: &Checkpoint, source: &Path) -> Result<()> {
    let (wanted, found) = (
        comparable(config),
        comparable(&Config::from_checkpoint(written)?),
    );
    let part = if wanted.text != found.text {
        "text_config"
    } else if wanted.vision != found.vision {
        "vision_config"
    } else if wanted.audio != found.audio {
        "audio_config"
    } else if wanted != found {
        "config.json"
    } else {
        return Ok(());
    };
    Err(Error::BrokenFile {
        file: source.display().to_string(),
        reason: format!("its {part} has values that a GGUF file cannot express"),
    })
}

/// With numbers rounded as the package keeps them.
fn comparable(config: &Config) -> Config {
    let mut config = config.clone();
    for z in config.text.activation_sparsity_z.iter_mut().flatten() {
        *z = f64::from(*z as f32);
    }
    config
}

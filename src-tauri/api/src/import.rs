//! Making a package.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use engine::Import;
use weights::export::Quantisation;

use crate::model::model_name;
use crate::types::{ApiError, ErrorCode};

/// What the matrices of a package are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageType {
    Q8_0,
    Q4_0,
    Q4K,
}

#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// A Hugging Face folder.
    pub source: PathBuf,
    pub folder: PathBuf,
    /// The source's own name if not given.
    pub name: Option<String>,
    pub package_type: PackageType,
    /// Take the place of a package of the same name.
    pub replace: bool,
}

/// The files of a new package and their sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReply {
    pub files: Vec<(PathBuf, u64)>,
}

/// Writes a package. Needs no open model and opens none.
pub fn import(request: &ImportRequest) -> Result<ImportReply, ApiError> {
    let package = engine::import(
        &request.source,
        &Import {
            folder: request.folder.clone(),
            name: request.name.clone(),
            quantisation: match request.package_type {
                PackageType::Q8_0 => Some(Quantisation::Q8_0),
                PackageType::Q4_0 => Some(Quantisation::Q4_0),
                PackageType::Q4K => Some(Quantisation::Q4K),
            },
            replace: request.replace,
        },
    )?;
    let files = [Some(package.text), package.projector];
    Ok(ImportReply {
        files: files
            .into_iter()
            .flatten()
            .map(sized)
            .collect::<Result<_, _>>()?,
    })
}

/// Makes a package of a Hugging Face folder in `folder`, under its own name or the next free one.
///
/// Returns its path. `on` is told the percent that are done, and returns false to cancel.
pub fn import_model(
    source: &Path,
    folder: &Path,
    on: &dyn Fn(u32) -> bool,
) -> Result<PathBuf, ApiError> {
    let request = Import {
        folder: folder.to_owned(),
        name: Some(free_name(&model_name(source), folder)),
        quantisation: Some(Quantisation::Q8_0),
        replace: false,
    };
    // A model has thousands of pieces, a window wants whole percents.
    let last = Cell::new(None);
    let package = engine::import_watched(source, &request, &|share| {
        let percent = (share * 100.0) as u32;
        last.replace(Some(percent)) == Some(percent) || on(percent)
    })?;
    Ok(package.text)
}

fn free_name(name: &str, folder: &Path) -> String {
    let is_free = |name: &String| !folder.join(format!("{name}.gguf")).exists();
    let numbered = (2..).map(|n| format!("{name} {n}"));
    let mut names = [name.to_owned()].into_iter().chain(numbered);
    names.find(is_free).expect("there is always a next number")
}

fn sized(file: PathBuf) -> Result<(PathBuf, u64), ApiError> {
    match std::fs::metadata(&file) {
        Ok(facts) => Ok((file, facts.len())),
        Err(error) => Err(vanished(&file, &error)),
    }
}

fn vanished(file: &Path, error: &std::io::Error) -> ApiError {
    let message = format!(
        "{} was written and cannot be found ({error}).",
        file.display()
    );
    ApiError::new(ErrorCode::ModelMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_import_takes_the_next_name() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny/checkpoint");
        let percents = Cell::new(0);
        let import = || {
            import_model(&source, folder.path(), &|percent| {
                percents.set(percents.get() + 1);
                percent <= 100
            })
        };
        let made = [import().expect("imports"), import().expect("imports")];
        assert_eq!(made[0], folder.path().join("checkpoint.gguf"));
        assert_eq!(made[1], folder.path().join("checkpoint 2.gguf"));
        assert!((20..=202).contains(&percents.get()), "{}", percents.get());
        let cancelled = import_model(&source, folder.path(), &|_| false);
        assert_eq!(
            cancelled.expect_err("it was cancelled").code,
            ErrorCode::Cancelled
        );
        let files = std::fs::read_dir(folder.path()).expect("lists").count();
        assert_eq!(files, 4, "two packages of two files");
    }
}

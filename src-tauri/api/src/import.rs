//! Making a package.

use std::path::{Path, PathBuf};

use engine::Import;
use weights::export::Quantisation;

use crate::types::{ApiError, ErrorCode};

/// What the matrices of a package are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageType {
    Q8_0,
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

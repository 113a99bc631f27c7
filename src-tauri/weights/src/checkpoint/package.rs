//! A GGUF file and the projector that belongs to it.

use std::path::Path;

use super::Checkpoint;
use crate::Error;

pub(super) fn open(
    _path: &Path,
    file: &Path,
    _projector: Option<&Path>,
) -> Result<Checkpoint, Error> {
    Err(Error::not_a_model(file, "GGUF files cannot be opened yet"))
}

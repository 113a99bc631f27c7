//! GGUF files.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The key-values of a GGUF file.
#[derive(Debug)]
pub struct Gguf {
    #[expect(dead_code, reason = "to come")]
    file: PathBuf,
    #[expect(dead_code, reason = "to come")]
    values: BTreeMap<String, ()>,
}

//! A tensor as it lies in a file.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use crate::{DType, Error};

/// What a file's header says about a tensor, checked against the file's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    pub dtype: DType,
    /// Outermost axis first.
    pub shape: Box<[usize]>,
    /// Bytes from the start of the file.
    pub range: Range<usize>,
}

/// A tensor as it lies in the file.
///
/// `bytes` need not be aligned for the number type: safetensors gives no such promise.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    pub name: &'a str,
    pub dtype: DType,
    /// Outermost axis first.
    pub shape: &'a [usize],
    pub bytes: &'a [u8],
    pub(crate) file: &'a Path,
}

impl<'a> TensorView<'a> {
    pub fn elements(&self) -> usize {
        self.shape.iter().product() // Cannot overflow: the bytes of all elements fit the file.
    }

    /// The bytes of row `i` of a matrix, `None` if there is no such row or the tensor is not a matrix.
    pub fn row(&self, i: usize) -> Option<&'a [u8]> {
        let &[rows, columns] = self.shape else {
            return None;
        };
        let row_bytes = self.dtype.bytes_for(columns)?;
        if i >= rows {
            return None;
        }
        let start = i.checked_mul(row_bytes)?;
        self.bytes.get(start..start.checked_add(row_bytes)?)
    }

    /// The file that holds the tensor, for messages.
    pub fn file(&self) -> &'a Path {
        self.file
    }
}

/// The number of bytes a tensor of this shape takes. Rows are whole blocks, as everything that reads them assumes.
pub(crate) fn byte_len(
    file: &Path,
    name: &str,
    dtype: DType,
    shape: &[usize],
) -> Result<usize, Error> {
    if shape.contains(&0) {
        return Err(Error::tensor(
            file,
            name,
            format!("its shape {shape:?} holds no element"),
        ));
    }
    let columns = shape.last().copied().unwrap_or(1);
    if !columns.is_multiple_of(dtype.block_len()) {
        let block = dtype.block_len();
        return Err(Error::tensor(
            file,
            name,
            format!("its rows of {columns} are not whole {dtype} blocks of {block}"),
        ));
    }
    let elements = shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n));
    elements
        .and_then(|elements| dtype.bytes_for(elements))
        .ok_or_else(|| {
            Error::tensor(
                file,
                name,
                format!("its shape {shape:?} is too large for any file"),
            )
        })
}

/// What must hold between the tensors of one file: no name twice, no byte in two tensors.
pub(crate) fn check_distinct(file: &Path, tensors: &[TensorInfo]) -> Result<(), Error> {
    let mut names = HashSet::with_capacity(tensors.len());
    if let Some(twice) = tensors.iter().find(|t| !names.insert(t.name.as_str())) {
        return Err(Error::tensor(file, &twice.name, "the file lists it twice"));
    }
    let mut by_start: Vec<_> = tensors.iter().collect();
    by_start.sort_by_key(|t| t.range.start);
    for pair in by_start.windows(2) {
        if pair[1].range.start < pair[0].range.end {
            let reason = format!(
                "it overlaps tensor {}; download the file again",
                pair[0].name
            );
            return Err(Error::tensor(file, &pair[1].name, reason));
        }
    }
    Ok(())
}

//! Quantised matrices as they lie in a GGUF file.

use crate::BLOCK;

/// The block layouts that have a kernel; they are those of ggml's `ggml-common.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Q4_0,
    Q8_0,
    Q4K,
    Q6K,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Q4_0, Self::Q8_0, Self::Q4K, Self::Q6K];

    /// Values in a block.
    pub const fn block_len(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 2 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 2 + 2 + 12 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }
}

/// A quantised matrix `[n_rows, n_columns]`, borrowed. Its bytes need no alignment.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    format: Format,
    bytes: &'a [u8], // Invariant: n_rows * row_bytes long.
    n_rows: usize,
    n_columns: usize,
    row_bytes: usize,
}

impl<'a> Matrix<'a> {
    /// `None` if the rows are not whole blocks or the bytes are not as many as the shape takes.
    pub fn new(format: Format, bytes: &'a [u8], n_rows: usize, n_columns: usize) -> Option<Self> {
        if n_columns == 0 || !n_columns.is_multiple_of(format.block_len()) {
            return None;
        }
        let row_bytes = (n_columns / format.block_len()).checked_mul(format.block_bytes())?;
        (row_bytes.checked_mul(n_rows) == Some(bytes.len())).then_some(Self {
            format,
            bytes,
            n_rows,
            n_columns,
            row_bytes,
        })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    pub fn row(&self, i: usize) -> &'a [u8] {
        &self.bytes[i * self.row_bytes..][..self.row_bytes]
    }

    /// Bytes of a row that a product with the first `n_columns` reads.
    pub(crate) fn used_bytes(&self, n_columns: usize) -> usize {
        n_columns.div_ceil(self.format.block_len()) * self.format.block_bytes()
    }
}

const _: () = assert!(Format::Q4K.block_len().is_multiple_of(BLOCK));

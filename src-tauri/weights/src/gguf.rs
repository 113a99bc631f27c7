//! GGUF files: typed key-values, a list of tensors, then their bytes.
//!
//! Reading trusts nothing: every count is compared with the bytes that are left before memory is reserved for it, and
//! every tensor lies inside the file or the file is refused.

use std::path::Path;

use crate::Error;
use crate::dtype::{DType, describe_ggml_id};
use crate::tensor::{TensorInfo, byte_len, check_distinct};
use cursor::Cursor;

mod cursor;
mod metadata;
mod value;
mod writer;

pub use metadata::Gguf;
pub use value::{Array, Strings, Value};
pub use writer::{Body, Writer};

const MAGIC: [u8; 4] = *b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_DIMS: u32 = 4;
/// Name length, number of dimensions, one dimension, type, offset: less than this no tensor takes.
const MIN_TENSOR_INFO: usize = 8 + 4 + 8 + 4 + 8;
/// Key length, type, one byte of value.
const MIN_KEY_VALUE: usize = 8 + 4 + 1;

/// All that stands before the tensors' bytes.
#[derive(Debug)]
pub struct Header {
    pub metadata: Gguf,
    /// In the file's order, under the file's own names.
    pub tensors: Vec<TensorInfo>,
}

/// Reads the header of a whole file. Every tensor it returns lies inside `bytes`.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Header, Error> {
    let mut cursor = Cursor::new(bytes, path);
    check_version(&mut cursor)?;
    let n_tensors = cursor.count(MIN_TENSOR_INFO, "the number of tensors")?;
    let n_values = cursor.count(MIN_KEY_VALUE, "the number of keys")?;

    let mut metadata = Gguf::new(path);
    for _ in 0..n_values {
        let key = cursor.string("a key")?;
        let value = Value::read(&mut cursor, key)?;
        if !metadata.insert(key, value) {
            return Err(Error::header(path, format!("key {key} stands there twice")));
        }
    }
    let alignment = alignment(&metadata, path)?;

    let mut listed = Vec::with_capacity(n_tensors);
    for _ in 0..n_tensors {
        listed.push(Listed::read(&mut cursor, path)?);
    }
    let tensors = place(
        listed,
        cursor.at() as u64,
        alignment,
        bytes.len() as u64,
        path,
    )?;
    check_distinct(path, &tensors)?;
    Ok(Header { metadata, tensors })
}

fn check_version(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    let path = cursor.path();
    let magic: [u8; 4] = cursor.array("the first four bytes")?;
    if magic == *b"FUGG" {
        return Err(Error::BigEndian {
            file: path.to_owned(),
        });
    }
    if magic != MAGIC {
        let found = format!("\"{}\"", magic.escape_ascii());
        return Err(Error::BadMagic {
            file: path.to_owned(),
            found,
        });
    }
    match cursor.u32("the version")? {
        2 | 3 => Ok(()),
        // Big-endian files spell the magic the same way, but 3 comes out as 0x03000000.
        version if version != 0 && version & 0xffff == 0 => Err(Error::BigEndian {
            file: path.to_owned(),
        }),
        version => Err(Error::UnknownVersion {
            file: path.to_owned(),
            version,
        }),
    }
}

fn alignment(metadata: &Gguf, path: &Path) -> Result<u64, Error> {
    let alignment = metadata
        .opt_u64("general.alignment")?
        .unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() {
        return Err(Error::WrongValue {
            file: path.to_owned(),
            key: "general.alignment".to_owned(),
            expected: "a power of two",
            found: alignment.to_string(),
        });
    }
    Ok(alignment)
}

/// A tensor as the header lists it.
struct Listed {
    name: String,
    dtype: DType,
    shape: Box<[usize]>,
    /// From the start of the data, which is known only after the last tensor was read.
    offset: u64,
    len: usize,
}

impl Listed {
    fn read(cursor: &mut Cursor<'_>, path: &Path) -> Result<Self, Error> {
        let name = cursor.string("a tensor's name")?.to_owned();
        let n_dims = cursor.u32("a tensor's number of dimensions")?;
        if n_dims > MAX_DIMS {
            let reason = format!(
                "it has {n_dims} dimensions, more than the {MAX_DIMS} that the format allows"
            );
            return Err(Error::tensor(path, &name, reason));
        }
        let mut shape = Vec::with_capacity(n_dims as usize);
        for _ in 0..n_dims {
            let n = cursor.u64("a tensor's shape")?;
            let n = usize::try_from(n)
                .map_err(|_| Error::tensor(path, &name, format!("its axis of {n} is too long")))?;
            shape.push(n);
        }
        shape.reverse(); // Innermost first in the file.
        let type_id = cursor.u32("a tensor's type")?;
        let Some(dtype) = DType::from_ggml_id(type_id) else {
            return Err(Error::UnknownType {
                file: path.to_owned(),
                tensor: name,
                found: describe_ggml_id(type_id),
                hint: "use a file quantised to q4_0, q8_0 or one of q2_k to q6_k",
            });
        };
        let offset = cursor.u64("a tensor's offset")?;
        let len = byte_len(path, &name, dtype, &shape)?;
        Ok(Self {
            name,
            dtype,
            shape: shape.into(),
            offset,
            len,
        })
    }
}

/// Turns offsets within the data into places in the file.
fn place(
    listed: Vec<Listed>,
    header_end: u64,
    alignment: u64,
    have: u64,
    path: &Path,
) -> Result<Vec<TensorInfo>, Error> {
    let far = |tensor: &Listed| {
        Error::tensor(
            path,
            &tensor.name,
            format!("its offset {} is too large", tensor.offset),
        )
    };
    let mut ends = Vec::with_capacity(listed.len());
    for tensor in &listed {
        if !tensor.offset.is_multiple_of(alignment) {
            let reason = format!(
                "its offset {} is not a multiple of the alignment {alignment}",
                tensor.offset
            );
            return Err(Error::tensor(path, &tensor.name, reason));
        }
        let end = header_end
            .checked_next_multiple_of(alignment)
            .and_then(|data_start| data_start.checked_add(tensor.offset))
            .and_then(|start| start.checked_add(tensor.len as u64));
        ends.push(end.ok_or_else(|| far(tensor))?);
    }
    let need = ends.iter().copied().max().unwrap_or(0);
    if need > have {
        return Err(Error::Truncated {
            file: path.to_owned(),
            have,
            need,
        });
    }
    let place = |(tensor, end): (Listed, u64)| {
        let end = end as usize; // Fits: it lies within the file, which is in memory.
        TensorInfo {
            name: tensor.name,
            dtype: tensor.dtype,
            shape: tensor.shape,
            range: end - tensor.len..end,
        }
    };
    Ok(listed.into_iter().zip(ends).map(place).collect())
}

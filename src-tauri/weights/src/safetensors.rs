//! The header of a safetensors file: eight bytes of length, then JSON that lists the tensors.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::tensor::{TensorInfo, byte_len, check_distinct};
use crate::{DType, Error};

/// The reference implementation's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Reads the header of a whole file. Everything it returns lies inside `bytes`.
pub fn parse_header(bytes: &[u8], path: &Path) -> Result<Vec<TensorInfo>, Error> {
    let have = bytes.len() as u64;
    let cut = |reading| Error::CutInHeader {
        file: path.to_owned(),
        have,
        reading,
    };
    let (length, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| cut("the header's length"))?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        let reason = format!(
            "it claims {length} bytes for its list of tensors, more than the {MAX_HEADER} allowed"
        );
        return Err(Error::header(path, reason));
    }
    // Fits usize: it is at most a hundred million.
    let (header, data) = rest
        .split_at_checked(length as usize)
        .ok_or_else(|| cut("the list of tensors"))?;
    let data_start = bytes.len() - data.len();

    let Header(entries) = serde_json::from_slice(header).map_err(|e| {
        Error::header(
            path,
            format!("its list of tensors is not the expected JSON ({e})"),
        )
    })?;
    // Asked first, so that the answer is not "cannot read U32".
    if entries.iter().any(|(name, _)| name.ends_with(".scales")) {
        return Err(Error::Mlx {
            path: path.to_owned(),
        });
    }
    check_length(&entries, path, data_start, data.len())?;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        tensors.push(check_entry(name, entry, path, data_start)?);
    }
    check_distinct(path, &tensors)?;
    Ok(tensors)
}

/// Compares with the end of the last tensor, so that the message can say how long the file should be.
fn check_length(
    entries: &[(String, Entry)],
    path: &Path,
    data_start: usize,
    data_len: usize,
) -> Result<(), Error> {
    let need = entries
        .iter()
        .map(|(_, entry)| entry.data_offsets.1)
        .max()
        .unwrap_or(0);
    if need <= data_len as u64 {
        return Ok(());
    }
    let start = data_start as u64;
    match start.checked_add(need) {
        Some(need) => Err(Error::Truncated {
            file: path.to_owned(),
            have: start + data_len as u64,
            need,
        }),
        None => Err(Error::header(
            path,
            format!("a tensor is said to end at byte {need}"),
        )),
    }
}

fn check_entry(
    name: String,
    entry: Entry,
    path: &Path,
    data_start: usize,
) -> Result<TensorInfo, Error> {
    let Some(dtype) = DType::from_safetensors(&entry.dtype) else {
        return Err(Error::UnknownType {
            file: path.to_owned(),
            tensor: name,
            found: entry.dtype,
            hint: "use a folder with f32, f16 or bf16 weights, or a GGUF file",
        });
    };
    let shape: Option<Box<[usize]>> = entry
        .shape
        .iter()
        .map(|&n| usize::try_from(n).ok())
        .collect();
    let shape = shape.ok_or_else(|| {
        Error::tensor(
            path,
            &name,
            format!("its shape {:?} is too large", entry.shape),
        )
    })?;
    let expected = byte_len(path, &name, dtype, &shape)?;
    let (start, end) = entry.data_offsets;
    if end.checked_sub(start) != Some(expected as u64) {
        let reason = format!(
            "it lies at bytes {start} to {end}, but {dtype} {shape:?} takes {expected} bytes"
        );
        return Err(Error::tensor(path, &name, reason));
    }
    // In range: `end` lies within the data, which was checked, and `start` before it.
    let range = data_start + start as usize..data_start + end as usize;
    Ok(TensorInfo {
        name,
        dtype,
        shape,
        range,
    })
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The tensors in the file's order. Not a map, because a map would hide a name that is listed twice.
struct Header(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Header(entries))
    }
}

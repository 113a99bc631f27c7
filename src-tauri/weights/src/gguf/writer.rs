//! Writes GGUF files without holding a model in memory.
//!
//! The header lists every tensor, so shapes are declared first; the bytes follow in the same order.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::value::{Array, Value, code};
use super::{DEFAULT_ALIGNMENT, MAGIC, MAX_DIMS};
use crate::tensor::byte_len;
use crate::{DType, Error};

const VERSION: u32 = 3;
const ALIGNMENT: usize = DEFAULT_ALIGNMENT as usize;

/// Collects what the header says.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    values: Vec<(String, Value)>,
    tensors: Vec<Declared>,
}

/// A file whose header is written and whose tensors are awaited, in the order in which they were declared.
///
/// It has another name until `finish`, so that a half-written file is never taken for a model.
#[derive(Debug)]
pub struct Body {
    path: PathBuf,
    partial: PathBuf,
    out: Option<BufWriter<File>>, // `None` once finished.
    tensors: Vec<Declared>,
    current: usize,
    written: usize, // Of the current tensor.
}

#[derive(Debug)]
struct Declared {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    len: usize,
}

impl Writer {
    /// Begins a file for this `general.architecture`. Nothing is written yet.
    pub fn new(path: &Path, architecture: &str) -> Self {
        let values = vec![("general.architecture".to_owned(), architecture.into())];
        Self {
            path: path.to_owned(),
            values,
            tensors: Vec::new(),
        }
    }

    /// The file to be written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets a key; a value set before is replaced.
    pub fn value(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.values.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.values.push((key.to_owned(), value)),
        }
    }

    /// Declares a tensor, its shape outermost first.
    pub fn tensor(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Result<(), Error> {
        if shape.len() > MAX_DIMS as usize {
            return Err(Error::tensor(
                &self.path,
                name,
                format!("it has {} dimensions, more than {MAX_DIMS}", shape.len()),
            ));
        }
        let len = byte_len(&self.path, name, dtype, shape)?;
        self.tensors.push(Declared {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            len,
        });
        Ok(())
    }

    /// Creates the file and writes its header.
    pub fn start(self) -> Result<Body, Error> {
        let mut names = HashSet::new();
        if let Some(twice) = self.tensors.iter().find(|t| !names.insert(t.name.as_str())) {
            return Err(Error::tensor(
                &self.path,
                &twice.name,
                "it was declared twice",
            ));
        }
        let mut partial = self.path.clone().into_os_string();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(|e| Error::writing(&partial, e))?;
        let mut body = Body {
            path: self.path,
            partial,
            out: Some(BufWriter::with_capacity(1 << 20, file)),
            tensors: self.tensors,
            current: 0,
            written: 0,
        };
        let header =
            header(&self.values, &body.tensors).map_err(|e| Error::writing(&body.partial, e))?;
        body.put(&header)?;
        Ok(body)
    }
}

impl Body {
    /// Appends bytes to the current tensor; when it is full, the next one becomes current.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(tensor) = self.tensors.get(self.current) else {
            return Err(self.unfit("more bytes than all tensors take".to_owned()));
        };
        let (len, left) = (tensor.len, tensor.len - self.written);
        if bytes.len() > left {
            return Err(self.unfit(format!(
                "{} bytes for tensor {}, which lacks {left}",
                bytes.len(),
                tensor.name
            )));
        }
        self.put(bytes)?;
        self.written += bytes.len();
        if self.written == len {
            self.put(&[0; ALIGNMENT][..padding(len)])?;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Makes sure that everything is on disk and gives the file its name.
    pub fn finish(mut self) -> Result<(), Error> {
        if let Some(tensor) = self.tensors.get(self.current) {
            return Err(self.unfit(format!("the end before tensor {} was whole", tensor.name)));
        }
        let out = self.out.take().expect("present until finished");
        let written = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all());
        // The file is closed here, which Windows asks for before it renames.
        let named = written.and_then(|()| fs::rename(&self.partial, &self.path));
        if named.is_err() {
            let _ = fs::remove_file(&self.partial);
        }
        named.map_err(|e| Error::writing(&self.path, e))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let out = self.out.as_mut().expect("present until finished");
        out.write_all(bytes)
            .map_err(|e| Error::writing(&self.partial, e))
    }

    fn unfit(&self, got: String) -> Error {
        Error::CannotExport {
            file: self.path.clone(),
            reason: format!("got {got}"),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            let _ = fs::remove_file(&self.partial); // Left behind it would only take space.
        }
    }
}

fn padding(len: usize) -> usize {
    len.wrapping_neg() % ALIGNMENT
}

fn header(values: &[(String, Value)], tensors: &[Declared]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    put_count(&mut out, tensors.len());
    put_count(&mut out, values.len());
    for (key, value) in values {
        put_string(&mut out, key);
        put_value(&mut out, value);
    }
    let mut offset = 0usize;
    for tensor in tensors {
        put_string(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        for &n in tensor.shape.iter().rev() {
            put_count(&mut out, n);
        }
        out.extend(tensor.dtype.ggml_id().to_le_bytes());
        put_count(&mut out, offset);
        offset = (tensor.len.checked_add(padding(tensor.len)))
            .and_then(|padded| offset.checked_add(padded))
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "the tensors are too large for one file",
                )
            })?;
    }
    out.resize(out.len() + padding(out.len()), 0);
    Ok(out)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, string: &str) {
    put_count(out, string.len());
    out.extend(string.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(x) => put(out, code::U8, x.to_le_bytes()),
        Value::I8(x) => put(out, code::I8, x.to_le_bytes()),
        Value::U16(x) => put(out, code::U16, x.to_le_bytes()),
        Value::I16(x) => put(out, code::I16, x.to_le_bytes()),
        Value::U32(x) => put(out, code::U32, x.to_le_bytes()),
        Value::I32(x) => put(out, code::I32, x.to_le_bytes()),
        Value::U64(x) => put(out, code::U64, x.to_le_bytes()),
        Value::I64(x) => put(out, code::I64, x.to_le_bytes()),
        Value::F32(x) => put(out, code::F32, x.to_le_bytes()),
        Value::F64(x) => put(out, code::F64, x.to_le_bytes()),
        Value::Bool(x) => put(out, code::BOOL, [u8::from(*x)]),
        Value::String(x) => {
            out.extend(code::STRING.to_le_bytes());
            put_string(out, x);
        }
        Value::Array(x) => {
            out.extend(code::ARRAY.to_le_bytes());
            put_array(out, x);
        }
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, code: u32, bytes: [u8; N]) {
    out.extend(code.to_le_bytes());
    out.extend(bytes);
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    match array {
        Array::U8(x) => put_all(out, code::U8, x, u8::to_le_bytes),
        Array::I8(x) => put_all(out, code::I8, x, i8::to_le_bytes),
        Array::U16(x) => put_all(out, code::U16, x, u16::to_le_bytes),
        Array::I16(x) => put_all(out, code::I16, x, i16::to_le_bytes),
        Array::U32(x) => put_all(out, code::U32, x, u32::to_le_bytes),
        Array::I32(x) => put_all(out, code::I32, x, i32::to_le_bytes),
        Array::U64(x) => put_all(out, code::U64, x, u64::to_le_bytes),
        Array::I64(x) => put_all(out, code::I64, x, i64::to_le_bytes),
        Array::F32(x) => put_all(out, code::F32, x, f32::to_le_bytes),
        Array::F64(x) => put_all(out, code::F64, x, f64::to_le_bytes),
        Array::Bool(x) => put_all(out, code::BOOL, x, |x| [u8::from(x)]),
        Array::String(x) => {
            out.extend(code::STRING.to_le_bytes());
            put_count(out, x.len());
            x.iter().for_each(|string| put_string(out, string));
        }
        Array::Array(x) => {
            out.extend(code::ARRAY.to_le_bytes());
            put_count(out, x.len());
            x.iter().for_each(|inner| put_array(out, inner));
        }
    }
}

fn put_all<T: Copy, const N: usize>(
    out: &mut Vec<u8>,
    code: u32,
    values: &[T],
    bytes: fn(T) -> [u8; N],
) {
    out.extend(code.to_le_bytes());
    put_count(out, values.len());
    values.iter().for_each(|&value| out.extend(bytes(value)));
}

//! The key-values of a GGUF model, asked for by key and type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::value::{Array, Strings, Value};
use crate::Error;

/// The key-values of a GGUF file, and behind them those of the projector that was opened with it.
///
/// A key is looked for in the text file first.
/// `opt_` accessors return `None` for an absent key; a key of another type is an error for both kinds.
#[derive(Debug)]
pub struct Gguf {
    file: PathBuf,
    values: BTreeMap<Box<str>, Value>,
    projector: Option<Box<Gguf>>,
}

impl Gguf {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            values: BTreeMap::new(),
            projector: None,
        }
    }

    /// Adds a key, or returns false if it is there.
    pub(super) fn insert(&mut self, key: &str, value: Value) -> bool {
        if self.values.contains_key(key) {
            return false;
        }
        self.values.insert(key.into(), value);
        true
    }

    pub(crate) fn set_projector(&mut self, projector: Gguf) {
        self.projector = Some(Box::new(projector));
    }

    /// The text file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The key-values of the projector alone.
    pub fn projector(&self) -> Option<&Gguf> {
        self.projector.as_deref()
    }

    /// The keys of this file, in order, without those of the projector.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(AsRef::as_ref)
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.find(key).map(|(_, value)| value)
    }

    /// An integer of any width that is not negative.
    pub fn u64(&self, key: &str) -> Result<u64, Error> {
        self.need(key, U64, Value::as_u64)
    }

    pub fn opt_u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.opt(key, U64, Value::as_u64)
    }

    /// A number of any type.
    pub fn f32(&self, key: &str) -> Result<f32, Error> {
        self.need(key, F32, Value::as_f32)
    }

    pub fn opt_f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.opt(key, F32, Value::as_f32)
    }

    pub fn bool(&self, key: &str) -> Result<bool, Error> {
        self.need(key, BOOL, Value::as_bool)
    }

    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.opt(key, BOOL, Value::as_bool)
    }

    pub fn string(&self, key: &str) -> Result<&str, Error> {
        self.need(key, STRING, Value::as_str)
    }

    pub fn opt_string(&self, key: &str) -> Result<Option<&str>, Error> {
        self.opt(key, STRING, Value::as_str)
    }

    pub fn f32_array(&self, key: &str) -> Result<Vec<f32>, Error> {
        self.need(key, F32_ARRAY, f32_array)
    }

    pub fn opt_f32_array(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        self.opt(key, F32_ARRAY, f32_array)
    }

    pub fn bool_array(&self, key: &str) -> Result<Vec<bool>, Error> {
        self.need(key, BOOL_ARRAY, bool_array)
    }

    pub fn opt_bool_array(&self, key: &str) -> Result<Option<Vec<bool>>, Error> {
        self.opt(key, BOOL_ARRAY, bool_array)
    }

    pub fn i32_array(&self, key: &str) -> Result<Vec<i32>, Error> {
        self.need(key, I32_ARRAY, i32_array)
    }

    pub fn opt_i32_array(&self, key: &str) -> Result<Option<Vec<i32>>, Error> {
        self.opt(key, I32_ARRAY, i32_array)
    }

    pub fn string_array(&self, key: &str) -> Result<&Strings, Error> {
        self.need(key, STRING_ARRAY, string_array)
    }

    pub fn opt_string_array(&self, key: &str) -> Result<Option<&Strings>, Error> {
        self.opt(key, STRING_ARRAY, string_array)
    }

    /// `n` integers that may be written as one number if they are all the same.
    pub fn u64_or_array(&self, key: &str, n: usize) -> Result<Vec<u64>, Error> {
        let values = self.need(
            key,
            "an integer or an array of integers",
            |value| match value {
                Value::Array(array) => array.integers(),
                one => Some(vec![one.as_u64()?; n]),
            },
        )?;
        if values.len() != n {
            let found = format!("an array of {} integers", values.len());
            return Err(self.wrong(key, "an integer or one integer per layer", found));
        }
        Ok(values)
    }

    fn find(&self, key: &str) -> Option<(&Path, &Value)> {
        match (self.values.get(key), &self.projector) {
            (Some(value), _) => Some((&self.file, value)),
            (None, Some(projector)) => projector.find(key),
            (None, None) => None,
        }
    }

    fn opt<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(self.wrong(key, expected, value.to_string())),
        }
    }

    fn need<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Error> {
        self.opt(key, expected, convert)?
            .ok_or_else(|| Error::MissingKey {
                file: self.file.clone(),
                key: key.to_owned(),
                expected,
            })
    }

    fn wrong(&self, key: &str, expected: &'static str, found: String) -> Error {
        let file = self.find(key).map_or(self.file.as_path(), |(file, _)| file);
        Error::WrongValue {
            file: file.to_owned(),
            key: key.to_owned(),
            expected,
            found,
        }
    }
}

const U64: &str = "an integer that is not negative";
const F32: &str = "a number";
const BOOL: &str = "true or false";
const STRING: &str = "a string";
const F32_ARRAY: &str = "an array of floating point numbers";
const BOOL_ARRAY: &str = "an array of true and false";
const I32_ARRAY: &str = "an array of 32-bit integers";
const STRING_ARRAY: &str = "an array of strings";

fn f32_array(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.floats()
}

fn i32_array(value: &Value) -> Option<Vec<i32>> {
    value.as_array()?.integers()
}

fn bool_array(value: &Value) -> Option<Vec<bool>> {
    match value.as_array()? {
        Array::Bool(array) => Some(array.clone()),
        _ => None,
    }
}

fn string_array(value: &Value) -> Option<&Strings> {
    match value.as_array()? {
        Array::String(array) => Some(array),
        _ => None,
    }
}

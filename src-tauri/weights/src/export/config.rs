//! Asks `config.json` for fields, in either of its spellings.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Error;

pub(super) struct Config<'a> {
    file: PathBuf,
    whole: &'a Value,
}

impl<'a> Config<'a> {
    pub fn new(folder: &Path, whole: &'a Value) -> Self {
        Self {
            file: folder.join("config.json"),
            whole,
        }
    }

    /// The whole file.
    pub fn root(&self) -> Section<'_> {
        Section {
            file: &self.file,
            at: "",
            value: self.whole,
        }
    }

    /// The text model's part: a text-only folder does not nest it.
    pub fn text(&self) -> Section<'_> {
        self.section("text_config").unwrap_or_else(|| self.root())
    }

    pub fn section(&self, name: &'static str) -> Option<Section<'_>> {
        let value = self.whole.get(name).filter(|value| value.is_object())?;
        Some(Section {
            file: &self.file,
            at: name,
            value,
        })
    }
}

/// An object of the file.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    file: &'a Path,
    at: &'static str,
    value: &'a Value,
}

impl<'a> Section<'a> {
    /// A field, also further inside (`a/b`). Null is absent, as for the library that writes these files.
    pub fn get(&self, field: &str) -> Option<&'a Value> {
        self.value
            .pointer(&format!("/{field}"))
            .filter(|value| !value.is_null())
    }

    pub fn u32(&self, field: &str) -> Result<u32, Error> {
        self.need(field, "an integer", as_u32)
    }

    pub fn opt_u32(&self, field: &str) -> Result<Option<u32>, Error> {
        self.opt(field, "an integer", as_u32)
    }

    pub fn f32(&self, field: &str) -> Result<f32, Error> {
        self.need(field, "a number", as_f32)
    }

    pub fn opt_f32(&self, field: &str) -> Result<Option<f32>, Error> {
        self.opt(field, "a number", as_f32)
    }

    pub fn opt_f64_list(&self, field: &str) -> Result<Option<Vec<f64>>, Error> {
        self.opt(field, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    pub fn opt_string_list(&self, field: &str) -> Result<Option<Vec<&'a str>>, Error> {
        self.opt(field, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    /// One integer or a list of them.
    pub fn opt_u32_or_list(&self, field: &str) -> Result<Option<Vec<u32>>, Error> {
        self.opt(
            field,
            "an integer or a list of integers",
            |value| match value {
                Value::Array(list) => list.iter().map(as_u32).collect(),
                one => Some(vec![as_u32(one)?]),
            },
        )
    }

    /// The error for a field that is not what it should be.
    pub fn wrong(&self, field: &str, expected: &'static str, found: String) -> Error {
        Error::WrongValue {
            file: self.file.to_owned(),
            key: self.key(field),
            expected,
            found,
        }
    }

    pub fn missing(&self, field: &str, expected: &'static str) -> Error {
        Error::MissingKey {
            file: self.file.to_owned(),
            key: self.key(field),
            expected,
        }
    }

    fn opt<T>(
        &self,
        field: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(self.wrong(field, expected, shortened(value))),
        }
    }

    fn need<T>(
        &self,
        field: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Error> {
        self.opt(field, expected, convert)?
            .ok_or_else(|| self.missing(field, expected))
    }

    fn key(&self, field: &str) -> String {
        let field = field.replace('/', ".");
        if self.at.is_empty() {
            field
        } else {
            format!("{}.{field}", self.at)
        }
    }
}

fn as_u32(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

fn as_f32(value: &Value) -> Option<f32> {
    Some(value.as_f64()? as f32)
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

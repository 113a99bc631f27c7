//! The values behind the keys of a GGUF file.

use std::fmt;

use super::cursor::Cursor;
use crate::Error;

/// Arrays of arrays exist in the format but hardly in files.
const MAX_DEPTH: usize = 4;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(Box<str>),
    Array(Array),
}

/// Values of one type, kept as compactly as in the file: vocabularies have a quarter of a million entries.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    String(Strings),
    Array(Vec<Array>),
}

/// Many strings in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    ends: Vec<usize>, // Invariant: ascending, each at a character boundary of `text`.
}

/// The types by their numbers in the file.
pub(super) mod code {
    pub const U8: u32 = 0;
    pub const I8: u32 = 1;
    pub const U16: u32 = 2;
    pub const I16: u32 = 3;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const STRING: u32 = 8;
    pub const ARRAY: u32 = 9;
    pub const U64: u32 = 10;
    pub const I64: u32 = 11;
    pub const F64: u32 = 12;
}

impl Value {
    pub(super) fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Self, Error> {
        const READING: &str = "the value of a key";
        Ok(match cursor.u32("the type of a key")? {
            code::U8 => Value::U8(u8::from_le_bytes(cursor.array(READING)?)),
            code::I8 => Value::I8(i8::from_le_bytes(cursor.array(READING)?)),
            code::U16 => Value::U16(u16::from_le_bytes(cursor.array(READING)?)),
            code::I16 => Value::I16(i16::from_le_bytes(cursor.array(READING)?)),
            code::U32 => Value::U32(u32::from_le_bytes(cursor.array(READING)?)),
            code::I32 => Value::I32(i32::from_le_bytes(cursor.array(READING)?)),
            code::U64 => Value::U64(u64::from_le_bytes(cursor.array(READING)?)),
            code::I64 => Value::I64(i64::from_le_bytes(cursor.array(READING)?)),
            code::F32 => Value::F32(f32::from_le_bytes(cursor.array(READING)?)),
            code::F64 => Value::F64(f64::from_le_bytes(cursor.array(READING)?)),
            code::BOOL => Value::Bool(cursor.array(READING)? != [0]),
            code::STRING => Value::String(cursor.string(READING)?.into()),
            code::ARRAY => Value::Array(Array::read(cursor, key, 1)?),
            unknown => {
                return Err(Error::header(
                    cursor.path(),
                    format!("key {key} has the unknown type {unknown}"),
                ));
            }
        })
    }

    /// Any integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        u64::try_from(self.as_i128()?).ok()
    }

    /// Any number; integers are converted.
    pub fn as_f32(&self) -> Option<f32> {
        match *self {
            Value::F32(x) => Some(x),
            Value::F64(x) => Some(x as f32),
            _ => self.as_i128().map(|x| x as f32),
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(x) => Some(x),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(x) => Some(x),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(x) => Some(x),
            _ => None,
        }
    }

    fn as_i128(&self) -> Option<i128> {
        match *self {
            Value::U8(x) => Some(x.into()),
            Value::I8(x) => Some(x.into()),
            Value::U16(x) => Some(x.into()),
            Value::I16(x) => Some(x.into()),
            Value::U32(x) => Some(x.into()),
            Value::I32(x) => Some(x.into()),
            Value::U64(x) => Some(x.into()),
            Value::I64(x) => Some(x.into()),
            _ => None,
        }
    }
}

impl Array {
    fn read(cursor: &mut Cursor<'_>, key: &str, depth: usize) -> Result<Self, Error> {
        let element = cursor.u32("the type of an array")?;
        Ok(match element {
            code::U8 => Array::U8(numbers(cursor, u8::from_le_bytes)?),
            code::I8 => Array::I8(numbers(cursor, i8::from_le_bytes)?),
            code::U16 => Array::U16(numbers(cursor, u16::from_le_bytes)?),
            code::I16 => Array::I16(numbers(cursor, i16::from_le_bytes)?),
            code::U32 => Array::U32(numbers(cursor, u32::from_le_bytes)?),
            code::I32 => Array::I32(numbers(cursor, i32::from_le_bytes)?),
            code::U64 => Array::U64(numbers(cursor, u64::from_le_bytes)?),
            code::I64 => Array::I64(numbers(cursor, i64::from_le_bytes)?),
            code::F32 => Array::F32(numbers(cursor, f32::from_le_bytes)?),
            code::F64 => Array::F64(numbers(cursor, f64::from_le_bytes)?),
            code::BOOL => Array::Bool(numbers(cursor, |byte: [u8; 1]| byte != [0])?),
            code::STRING => Array::String(Strings::read(cursor)?),
            code::ARRAY if depth < MAX_DEPTH => {
                // Each takes a type and a count, even if it is empty.
                let count = cursor.count(4 + 8, "the length of an array")?;
                let read = |_| Array::read(cursor, key, depth + 1);
                Array::Array((0..count).map(read).collect::<Result<_, _>>()?)
            }
            code::ARRAY => {
                return Err(Error::header(
                    cursor.path(),
                    format!("key {key} is an array nested deeper than {MAX_DEPTH}"),
                ));
            }
            unknown => {
                return Err(Error::header(
                    cursor.path(),
                    format!("key {key} is an array of the unknown type {unknown}"),
                ));
            }
        })
    }

    pub fn len(&self) -> usize {
        match self {
            Array::U8(x) => x.len(),
            Array::I8(x) => x.len(),
            Array::U16(x) => x.len(),
            Array::I16(x) => x.len(),
            Array::U32(x) => x.len(),
            Array::I32(x) => x.len(),
            Array::U64(x) => x.len(),
            Array::I64(x) => x.len(),
            Array::F32(x) => x.len(),
            Array::F64(x) => x.len(),
            Array::Bool(x) => x.len(),
            Array::String(x) => x.len(),
            Array::Array(x) => x.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integers of an array of integers that `T` can hold.
    pub fn integers<T: TryFrom<i128>>(&self) -> Option<Vec<T>> {
        fn all<S: Copy + Into<i128>, T: TryFrom<i128>>(from: &[S]) -> Option<Vec<T>> {
            from.iter().map(|&x| T::try_from(x.into()).ok()).collect()
        }
        match self {
            Array::U8(x) => all(x),
            Array::I8(x) => all(x),
            Array::U16(x) => all(x),
            Array::I16(x) => all(x),
            Array::U32(x) => all(x),
            Array::I32(x) => all(x),
            Array::U64(x) => all(x),
            Array::I64(x) => all(x),
            _ => None,
        }
    }

    /// The numbers of an array of floating point numbers.
    pub fn floats(&self) -> Option<Vec<f32>> {
        match self {
            Array::F32(x) => Some(x.clone()),
            Array::F64(x) => Some(x.iter().map(|&x| x as f32).collect()),
            _ => None,
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Array::U8(_) => "u8",
            Array::I8(_) => "i8",
            Array::U16(_) => "u16",
            Array::I16(_) => "i16",
            Array::U32(_) => "u32",
            Array::I32(_) => "i32",
            Array::U64(_) => "u64",
            Array::I64(_) => "i64",
            Array::F32(_) => "f32",
            Array::F64(_) => "f64",
            Array::Bool(_) => "bool",
            Array::String(_) => "string",
            Array::Array(_) => "array",
        }
    }
}

fn numbers<const N: usize, T>(
    cursor: &mut Cursor<'_>,
    from: fn([u8; N]) -> T,
) -> Result<Vec<T>, Error> {
    let count = cursor.count(N, "the length of an array")?;
    let bytes = cursor.take(count * N, "an array")?; // No overflow: the count was checked against the bytes left.
    Ok(bytes
        .as_chunks()
        .0
        .iter()
        .map(|&chunk| from(chunk))
        .collect())
}

impl Strings {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        let count = cursor.count(8, "the length of an array")?; // A string begins with its length.
        let mut strings = Self {
            text: String::new(),
            ends: Vec::with_capacity(count),
        };
        for _ in 0..count {
            strings.push(cursor.string("a string of an array")?);
        }
        Ok(strings)
    }

    pub fn push(&mut self, string: &str) {
        self.text.push_str(string);
        self.ends.push(self.text.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, i: usize) -> Option<&str> {
        let end = *self.ends.get(i)?;
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        Some(&self.text[start..end])
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|i| self.get(i))
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut all = Self::default();
        strings.into_iter().for_each(|s| all.push(s.as_ref()));
        all
    }
}

/// Says what a value is, for messages about a value that is something else.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::F32(x) => write!(f, "the number {x:?}"),
            Value::F64(x) => write!(f, "the number {x:?}"),
            Value::Bool(x) => write!(f, "{x}"),
            Value::String(x) if x.chars().count() <= 60 => write!(f, "the string {x:?}"),
            Value::String(x) => write!(f, "a string of {} bytes", x.len()),
            Value::Array(x) => write!(f, "an array of {} {} values", x.len(), x.type_name()),
            _ => write!(f, "the number {}", self.as_i128().unwrap_or_default()),
        }
    }
}

macro_rules! from {
    ($($from:ty => |$x:ident| $value:expr),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from($x: $from) -> Self {
                $value
            }
        })*
    };
}

from! {
    u32 => |x| Value::U32(x),
    u64 => |x| Value::U64(x),
    f32 => |x| Value::F32(x),
    bool => |x| Value::Bool(x),
    &str => |x| Value::String(x.into()),
    String => |x| Value::String(x.into()),
    Vec<u32> => |x| Value::Array(Array::U32(x)),
    Vec<i32> => |x| Value::Array(Array::I32(x)),
    Vec<f32> => |x| Value::Array(Array::F32(x)),
    Vec<bool> => |x| Value::Array(Array::Bool(x)),
    Strings => |x| Value::Array(Array::String(x)),
}

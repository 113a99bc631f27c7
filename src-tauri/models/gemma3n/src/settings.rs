//! Reading `preprocessor_config.json`: a missing key takes the published value, one that asks for
//! something else than we do is refused.

use serde_json::Value;

use crate::InputError;

/// One JSON object of settings.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a>(pub &'a Value);

impl Settings<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub fn unsupported(&self, key: &'static str, expected: impl ToString) -> InputError {
        let found = self
            .get(key)
            .map_or("missing".to_string(), Value::to_string);
        InputError::Setting {
            key,
            found,
            expected: expected.to_string(),
        }
    }

    /// The key is absent or has this very value.
    pub fn only(&self, key: &'static str, expected: impl Into<Value>) -> Result<(), InputError> {
        let expected = expected.into();
        let same = |found: &Value| match (found.as_f64(), expected.as_f64()) {
            (Some(found), Some(expected)) => found == expected, // 0 and 0.0 are different JSON values.
            _ => *found == expected,
        };
        if self.get(key).is_none_or(same) {
            Ok(())
        } else {
            Err(self.unsupported(key, expected))
        }
    }

    pub fn bool(&self, key: &'static str, default: bool) -> Result<bool, InputError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.unsupported(key, "true or false")),
        }
    }

    pub fn number(&self, key: &'static str, default: f64) -> Result<f64, InputError> {
        Ok(self.numbered(key)?.unwrap_or(default))
    }

    pub fn numbered(&self, key: &'static str) -> Result<Option<f64>, InputError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| self.unsupported(key, "a number")),
        }
    }

    pub fn count(&self, key: &'static str, default: usize) -> Result<usize, InputError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .filter(|count| (1..=1 << 20).contains(count))
                .map(|count| count as usize)
                .ok_or_else(|| self.unsupported(key, "a whole number above zero")),
        }
    }

    /// A picture's width or height, which has to be there.
    pub fn side(&self, key: &'static str) -> Result<u32, InputError> {
        match self.count(key, 0)? {
            side @ 1..=4096 => Ok(side as u32),
            _ => Err(self.unsupported(key, "a number of pixels from 1 to 4096")),
        }
    }

    pub fn numbers(&self, key: &'static str) -> Result<Option<Vec<f32>>, InputError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let numbers = value
            .as_array()
            .and_then(|list| list.iter().map(|n| n.as_f64().map(|n| n as f32)).collect());
        numbers
            .map(Some)
            .ok_or_else(|| self.unsupported(key, "a list of numbers"))
    }
}

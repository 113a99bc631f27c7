//! How tokens are chosen and when to stop: the model's own defaults, and what a request changes.

use gemma3n::Tokenizer;
use serde_json::Value;
use weights::{Checkpoint, Gguf, Metadata};

use crate::error::{Error, Result};

/// How an answer is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// 0 takes the most probable token.
    pub temperature: f32,
    /// How many of the most probable tokens stay; 0 keeps all.
    pub top_k: usize,
    /// The most probable tokens that together reach this share stay.
    pub top_p: f32,
    /// Tokens below this share of the most probable one's probability go.
    pub min_p: f32,
    /// Above 1 makes tokens that are in the context already less likely.
    pub repetition_penalty: f32,
    /// Tokens that end an answer.
    pub stop_ids: Vec<u32>,
}

impl Default for Generation {
    /// What the published models' `generation_config.json` says.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 64,
            top_p: 0.95,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop_ids: vec![1, 106],
        }
    }
}

/// What a request asks for instead of the model's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    pub temperature: Option<f32>,
    pub top_k: Option<usize>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
}

impl Generation {
    pub fn from_checkpoint(checkpoint: &Checkpoint, tokenizer: Option<&Tokenizer>) -> Result<Self> {
        let mut generation = Self::default();
        let mut stop_ids = Vec::new();
        match checkpoint.metadata() {
            Metadata::Json(config) => {
                let file = checkpoint.path().join("generation_config.json");
                if let Some(text) = checkpoint.text_file("generation_config.json")? {
                    let value: Value =
                        serde_json::from_str(&text).map_err(|e| Error::BrokenFile {
                            file: file.display().to_string(),
                            reason: format!("it is not JSON: {e}"),
                        })?;
                    generation.read(&value);
                    stop_ids = ids(&value["eos_token_id"]);
                }
                if stop_ids.is_empty() {
                    stop_ids = ids(&config["eos_token_id"]);
                }
            }
            Metadata::Gguf(gguf) => {
                generation.read_gguf(gguf)?;
                for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
                    stop_ids.extend(gguf.opt_u64(key)?.and_then(|id| u32::try_from(id).ok()));
                }
            }
        }
        // A file may name the end of the text only; a chat ends its turns with a piece of its own.
        if let Some(tokenizer) = tokenizer {
            stop_ids.extend(
                ["<eos>", "<end_of_turn>"]
                    .iter()
                    .filter_map(|piece| tokenizer.token_to_id(piece)),
            );
        }
        if !stop_ids.is_empty() {
            stop_ids.sort_unstable();
            stop_ids.dedup();
            generation.stop_ids = stop_ids;
        }
        Ok(generation)
    }

    fn read(&mut self, value: &Value) {
        let number = |key: &str| value[key].as_f64().map(|v| v as f32);
        if value["do_sample"] == Value::Bool(false) {
            self.temperature = 0.0;
        } else if let Some(temperature) = number("temperature") {
            self.temperature = temperature;
        }
        if let Some(top_k) = value["top_k"].as_u64() {
            self.top_k = top_k as usize;
        }
        self.top_p = number("top_p").unwrap_or(self.top_p);
        self.min_p = number("min_p").unwrap_or(self.min_p);
        self.repetition_penalty = number("repetition_penalty").unwrap_or(self.repetition_penalty);
    }

    fn read_gguf(&mut self, gguf: &Gguf) -> Result<()> {
        for (key, number) in [
            ("temp", &mut self.temperature),
            ("top_p", &mut self.top_p),
            ("min_p", &mut self.min_p),
            ("penalty_repeat", &mut self.repetition_penalty),
        ] {
            *number = gguf
                .opt_f32(&format!("general.sampling.{key}"))?
                .unwrap_or(*number);
        }
        if let Some(top_k) = gguf.get("general.sampling.top_k") {
            // Other runtimes also write -1 for keeping all.
            self.top_k = top_k.as_u64().map_or(0, |k| k as usize);
        }
        Ok(())
    }

    /// The model's way of writing, with what the request changes; refuses numbers that mean nothing.
    pub fn with(&self, overrides: &Overrides) -> Result<Self> {
        let changed = Self {
            temperature: overrides.temperature.unwrap_or(self.temperature),
            top_k: overrides.top_k.unwrap_or(self.top_k),
            top_p: overrides.top_p.unwrap_or(self.top_p),
            min_p: overrides.min_p.unwrap_or(self.min_p),
            repetition_penalty: overrides
                .repetition_penalty
                .unwrap_or(self.repetition_penalty),
            stop_ids: self.stop_ids.clone(),
        };
        let check = |name, value: f32, fits: bool, expected| {
            if fits {
                return Ok(());
            }
            Err(Error::Setting {
                name,
                found: value.to_string(),
                expected,
            })
        };
        let Self {
            temperature,
            top_p,
            min_p,
            repetition_penalty,
            ..
        } = changed;
        let at_least_0 = temperature.is_finite() && temperature >= 0.0;
        check(
            "temperature",
            temperature,
            at_least_0,
            "it must be 0 or more",
        )?;
        let share = top_p > 0.0 && top_p <= 1.0;
        check("top-p", top_p, share, "it must be above 0 and at most 1")?;
        let share = (0.0..1.0).contains(&min_p);
        check("min-p", min_p, share, "it must be at least 0 and below 1")?;
        let positive = repetition_penalty.is_finite() && repetition_penalty > 0.0;
        check(
            "repetition penalty",
            repetition_penalty,
            positive,
            "it must be above 0",
        )?;
        Ok(changed)
    }
}

/// One id or a list of them.
fn ids(value: &Value) -> Vec<u32> {
    let id = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    match value.as_array() {
        Some(list) => list.iter().filter_map(id).collect(),
        None => id(value).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        let generation = Generation::default();
        for (overrides, expected) in [
            (
                Overrides {
                    temperature: Some(-1.0),
                    ..Default::default()
                },
                "temperature is -1",
            ),
            (
                Overrides {
                    temperature: Some(f32::NAN),
                    ..Default::default()
                },
                "temperature is NaN",
            ),
            (
                Overrides {
                    top_p: Some(0.0),
                    ..Default::default()
                },
                "top-p is 0",
            ),
            (
                Overrides {
                    min_p: Some(1.0),
                    ..Default::default()
                },
                "min-p is 1",
            ),
            (
                Overrides {
                    repetition_penalty: Some(0.0),
                    ..Default::default()
                },
                "repetition penalty is 0",
            ),
        ] {
            let error = generation.with(&overrides).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let overrides = Overrides {
            temperature: Some(0.0),
            top_k: Some(3),
            ..Default::default()
        };
        let changed = generation.with(&overrides).unwrap();
        assert_eq!(
            (changed.temperature, changed.top_k, changed.top_p),
            (0.0, 3, 0.95)
        );
    }

    #[test]
    fn a_generation_config_is_read() {
        let mut generation = Generation::default();
        generation.read(&serde_json::json!({"temperature": 0.7, "top_k": 5, "top_p": 0.5}));
        assert_eq!(
            (generation.temperature, generation.top_k, generation.top_p),
            (0.7, 5, 0.5)
        );
        generation.read(&serde_json::json!({"do_sample": false}));
        assert_eq!(generation.temperature, 0.0);
        assert_eq!(ids(&serde_json::json!([1, 106])), [1, 106]);
        assert_eq!(ids(&serde_json::json!(1)), [1]);
    }
}

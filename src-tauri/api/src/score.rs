//! How probable the model finds given tokens.

use std::path::PathBuf;

use serde::Serialize;

use crate::Api;
use crate::ask::{read_picture, read_sound};
use crate::types::{ApiError, ErrorCode};

#[derive(Debug, Clone, Default)]
pub struct ScoreRequest {
    /// Tokens to score; or `text`.
    pub ids: Option<Vec<u32>>,
    /// Text to score, in which special tokens count as such. `<bos>` is put in front if it is not there.
    /// Pictures and sound take the places of their soft tokens in order, or come first if there are none.
    pub text: Option<String>,
    pub images: Vec<PathBuf>,
    pub audio: Vec<PathBuf>,
    pub submodel: Option<String>,
    /// How many of the most probable tokens to name at each place.
    pub top: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreReply {
    pub tokens: Vec<ScoredToken>,
    /// Sum of all log-probabilities.
    pub sum: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoredToken {
    pub id: u32,
    /// Natural logarithm; null for the first token, which nothing comes before.
    pub logprob: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<TopToken>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopToken {
    pub id: u32,
    pub logprob: f64,
}

impl Api {
    pub fn score(&self, request: &ScoreRequest) -> Result<ScoreReply, ApiError> {
        let engine = self.engine()?;
        let package = engine.package();
        let mut media = Vec::new();
        for path in &request.images {
            media.push(package.encode_picture(&read_picture(path)?)?);
        }
        for path in &request.audio {
            media.push(package.encode_sound(&read_sound(path)?.0)?);
        }
        let ids = match (&request.ids, &request.text) {
            (Some(ids), None) => ids.clone(),
            (None, Some(text)) => package
                .prompts()?
                .raw(
                    package.tokenizer()?,
                    text,
                    request.images.len(),
                    request.audio.len(),
                )
                .map_err(engine::Error::from)?,
            _ => {
                return Err(ApiError::new(
                    ErrorCode::Unsupported,
                    "Scoring takes either token ids or a text.",
                ));
            }
        };
        let prompt = package
            .model()
            .prompt(ids, &media.iter().collect::<Vec<_>>())
            .map_err(engine::Error::from)?;
        let tokens: Vec<ScoredToken> =
            engine::score(package, &prompt, request.submodel.as_deref(), request.top)?
                .into_iter()
                .map(|token| ScoredToken {
                    id: token.id,
                    logprob: token.logprob,
                    top: token
                        .top
                        .into_iter()
                        .map(|(id, logprob)| TopToken { id, logprob })
                        .collect(),
                })
                .collect();
        Ok(ScoreReply {
            sum: tokens.iter().filter_map(|t| t.logprob).sum(),
            tokens,
        })
    }
}

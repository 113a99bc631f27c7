//! How fast a model runs on this machine.

use std::path::PathBuf;

use engine::{BenchOptions, OpenOptions};
use serde::Serialize;

use crate::types::{ApiError, ErrorCode};

#[derive(Debug, Clone, Default)]
pub struct BenchRequest {
    pub model: PathBuf,
    pub projector: Option<PathBuf>,
    pub prompt_tokens: usize,
    pub generate: usize,
    /// Tokens that are in the context before the prompt.
    pub context: usize,
    pub image: bool,
    pub audio_seconds: Option<f64>,
    pub submodel: Option<String>,
    /// `None`: as many as there are cores.
    pub threads: Option<usize>,
    pub repeats: usize,
}

/// Lists have an entry for every repeat, or none if it was not asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReply {
    pub open_ms: f64,
    pub prefill_tokens_per_second: Vec<f64>,
    pub decode_tokens_per_second: Vec<f64>,
    pub image_ms: Vec<f64>,
    pub audio_ms: Vec<f64>,
    /// Null where the system does not tell.
    pub peak_resident_bytes: Option<u64>,
    /// The part of it that is no page of a file.
    pub peak_anonymous_bytes: Option<u64>,
    pub threads: usize,
    /// The instruction set of the products.
    pub kernel: &'static str,
    pub time_to_first_token_ms: Vec<f64>,
}

/// Opens a model and measures it.
pub fn bench(request: &BenchRequest) -> Result<BenchReply, ApiError> {
    if let Some(seconds) = request.audio_seconds
        && !(seconds > 0.0 && seconds <= 30.0)
    {
        let message = format!("A clip is at most 30 seconds long, not {seconds}.");
        return Err(ApiError::new(ErrorCode::Unsupported, message));
    }
    let open = OpenOptions {
        projector: request.projector.clone(),
        n_threads: request.threads,
        ..OpenOptions::default()
    };
    let options = BenchOptions {
        prompt_tokens: request.prompt_tokens,
        generate: request.generate,
        context: request.context,
        image: request.image,
        audio_seconds: request.audio_seconds,
        submodel: request.submodel.clone(),
        repeats: request.repeats,
    };
    let report = engine::bench(&request.model, &open, &options)?;
    Ok(BenchReply {
        open_ms: report.open_ms,
        prefill_tokens_per_second: report.prefill_tokens_per_second,
        decode_tokens_per_second: report.decode_tokens_per_second,
        image_ms: report.image_ms,
        audio_ms: report.audio_ms,
        peak_resident_bytes: report.peak.map(|peak| peak.resident),
        peak_anonymous_bytes: report.peak.map(|peak| peak.anonymous),
        threads: report.threads,
        kernel: report.kernel,
        time_to_first_token_ms: report.time_to_first_token_ms,
    })
}

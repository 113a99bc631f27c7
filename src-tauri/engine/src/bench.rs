//! How fast a model runs on this machine, and in how much memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use gemma3n::{KvCache, Step, Submodel, Tokens, Wanted};
use image::RgbImage;

use crate::conversation::{CHUNK, milliseconds};
use crate::error::{Error, Result};
use crate::memory::{MemoryPeak, MemoryWatch};
use crate::package::{OpenOptions, Package};
use crate::sampler::argmax;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that are written after it.
    pub generate: usize,
    /// Tokens that are in the context before the prompt.
    pub context: usize,
    /// Whether to encode a picture.
    pub image: bool,
    /// Seconds of sound to encode.
    pub audio_seconds: Option<f64>,
    pub submodel: Option<String>,
    /// How often; every list of the report has so many entries.
    pub repeats: usize,
}

/// What was measured. Lists have an entry for every repeat, or none if it was not asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchReport {
    /// Until the model takes questions.
    pub open_ms: f64,
    /// From the prompt to the first token.
    pub time_to_first_token_ms: Vec<f64>,
    pub prefill_tokens_per_second: Vec<f64>,
    pub decode_tokens_per_second: Vec<f64>,
    /// The vision tower, without decoding and resizing the picture.
    pub image_ms: Vec<f64>,
    /// Sound to soft tokens.
    pub audio_ms: Vec<f64>,
    /// None where the system does not tell.
    pub peak: Option<MemoryPeak>,
    pub threads: usize,
    /// The instruction set of the products.
    pub kernel: &'static str,
}

/// Opens a model and measures it. Decoding takes the most probable text token each time and does not stop at the end
/// of a turn.
pub fn bench(path: &Path, open: &OpenOptions, options: &BenchOptions) -> Result<BenchReport> {
    let watch = MemoryWatch::start();
    let since = Instant::now();
    let package = Package::open(path, open, &mut |_| true)?;
    let open_ms = milliseconds(since);
    let model = package.model();
    let submodel = package.submodel(options.submodel.as_deref())?;
    let needed = options.context + options.prompt_tokens + options.generate;
    let context = package.context();
    if needed > context {
        return Err(Error::TooLong { needed, context });
    }
    let (kernel, threads) = model.runs_on();
    let mut report = BenchReport {
        open_ms,
        time_to_first_token_ms: Vec::new(),
        prefill_tokens_per_second: Vec::new(),
        decode_tokens_per_second: Vec::new(),
        image_ms: Vec::new(),
        audio_ms: Vec::new(),
        peak: None,
        threads,
        kernel,
    };
    if options.image {
        // The first picture also loads the tower.
        for repeat in 0..=options.repeats {
            let (width, height) = (768, 768);
            let picture = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([x as u8, y as u8, (x ^ y) as u8])
            });
            let pixels = package.prepare_picture(&picture)?;
            let since = Instant::now();
            model.encode_image(&pixels)?;
            if repeat > 0 {
                report.image_ms.push(milliseconds(since));
            }
        }
    }
    if let Some(seconds) = options.audio_seconds {
        // A tone that changes, so that no frame is silence.
        let samples: Vec<f32> = (0..(seconds * 16_000.0) as usize)
            .map(|i| (i as f32 * 0.05 + (i as f32 * 0.0003).sin() * 40.0).sin() * 0.3)
            .collect();
        for repeat in 0..=options.repeats {
            let since = Instant::now();
            package.encode_sound(&samples)?;
            if repeat > 0 {
                report.audio_ms.push(milliseconds(since));
            }
        }
    }
    if options.prompt_tokens > 0 {
        for _ in 0..options.repeats {
            run_text(&package, &submodel, options, &mut report)?;
        }
    }
    report.peak = watch.peak();
    Ok(report)
}

fn run_text(
    package: &Package,
    submodel: &Arc<Submodel>,
    options: &BenchOptions,
    report: &mut BenchReport,
) -> Result<()> {
    let model = package.model();
    let n_text = model.config().text_vocab_size();
    let mut cache = model.new_cache(submodel);
    // Ids from all over the vocabulary, because each one's rows are read from the file.
    let ids: Vec<u32> = (0..options.context + options.prompt_tokens)
        .map(|i| (i * 7919 % n_text) as u32)
        .collect();
    let (before, prompt) = ids.split_at(options.context);
    for chunk in before.chunks(CHUNK) {
        step(package, &mut cache, chunk, Wanted::None)?;
    }
    let since = Instant::now();
    let mut logits = None;
    let n_chunks = prompt.len().div_ceil(CHUNK);
    for (n, chunk) in prompt.chunks(CHUNK).enumerate() {
        let is_last = n + 1 == n_chunks;
        let wanted = if is_last { Wanted::Last } else { Wanted::None };
        logits = step(package, &mut cache, chunk, wanted)?;
    }
    let seconds = since.elapsed().as_secs_f64();
    report
        .prefill_tokens_per_second
        .push(prompt.len() as f64 / seconds);
    let mut next = most_probable(&logits.expect("the last was wanted"), n_text)?;
    report.time_to_first_token_ms.push(milliseconds(since));
    if options.generate > 0 {
        let since = Instant::now();
        for _ in 0..options.generate {
            let logits = step(package, &mut cache, &[next], Wanted::Last)?;
            next = most_probable(&logits.expect("it was wanted"), n_text)?;
        }
        let seconds = since.elapsed().as_secs_f64();
        report
            .decode_tokens_per_second
            .push(options.generate as f64 / seconds);
    }
    Ok(())
}

fn step(
    package: &Package,
    cache: &mut KvCache,
    ids: &[u32],
    wanted: Wanted,
) -> Result<Option<Tensor>> {
    let tokens = Tokens::text(ids);
    Ok(package.model().step(&mut [Step {
        cache,
        tokens,
        wanted,
    }])?)
}

fn most_probable(logits: &Tensor, n_text: usize) -> Result<u32> {
    let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    Ok(argmax(&logits[..n_text.min(logits.len())]).unwrap_or(0))
}

//! How fast a model runs on this machine.

use std::io::{self, Write};

use api::BenchRequest;

use crate::args::BenchArgs;
use crate::{Failure, print_json};

pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    let reply = api::bench(&BenchRequest {
        model: args.model.clone(),
        projector: args.projector.clone(),
        prompt_tokens: args.prompt_tokens,
        generate: args.generate,
        context: args.context,
        image: args.image,
        audio_seconds: args.audio,
        submodel: args.submodel.clone(),
        threads: args.threads.map(|n| n.get().into()),
        repeats: args.repeat.get().into(),
    })?;
    if args.json {
        return print_json(&reply);
    }
    let mut out = io::stdout().lock();
    let threads = reply.threads;
    writeln!(out, "{} on {threads} threads", reply.kernel)?;
    writeln!(out, "  {:<20} {:>10.1} ms", "open", reply.open_ms)?;
    for (name, list, unit) in [
        ("prefill", &reply.prefill_tokens_per_second, "tokens/s"),
        ("first token", &reply.time_to_first_token_ms, "ms"),
        ("decode", &reply.decode_tokens_per_second, "tokens/s"),
        ("image", &reply.image_ms, "ms"),
        ("audio", &reply.audio_ms, "ms"),
    ] {
        if let Some((median, lowest, highest)) = spread(list) {
            writeln!(
                out,
                "  {name:<20} {median:>10.1} {unit} ({lowest:.1} to {highest:.1})"
            )?;
        }
    }
    if let (Some(resident), Some(anonymous)) =
        (reply.peak_resident_bytes, reply.peak_anonymous_bytes)
    {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (resident, anonymous) = (mib(resident), mib(anonymous));
        writeln!(
            out,
            "  {:<20} {resident:>10.0} MiB, {anonymous:.0} of it not of files",
            "peak memory"
        )?;
    }
    Ok(())
}

/// Median, lowest and highest.
fn spread(list: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = list.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Some((
        *sorted.get(sorted.len() / 2)?,
        *sorted.first()?,
        *sorted.last()?,
    ))
}

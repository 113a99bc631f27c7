//! What of a model fits the memory at hand.

use std::io::{self, Write};

use api::PlanQuestion;

use crate::args::PlanArgs;
use crate::{Failure, grouped, print_json};

pub fn run(args: &PlanArgs) -> Result<(), Failure> {
    let reply = api::plan(
        &args.model,
        &PlanQuestion {
            projector: args.projector.as_deref(),
            memory: args.memory.map(|size| size.as_u64()),
            submodel: args.submodel.as_deref(),
            context: args.context.map(Into::into),
        },
    )?;
    if args.json {
        return print_json(&reply);
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<10} {:>16} bytes",
        "budget",
        grouped(reply.budget_bytes)
    )?;
    let bytes = &reply.bytes;
    let (vision, audio) = (
        reply.vision.replace('_', " "),
        reply.audio.replace('_', " "),
    );
    let text = format!("{}, {} layers", reply.submodel, reply.layers);
    let context = format!("{} tokens, {}", grouped(reply.context as u64), reply.kv);
    for (part, bytes, note) in [
        ("text", bytes.text, text.as_str()),
        ("vision", bytes.vision, &vision),
        ("audio", bytes.audio, &audio),
        ("context", bytes.kv, &context),
        ("scratch", bytes.scratch, ""),
        ("total", bytes.total, "at most at any time"),
    ] {
        let line = format!("{part:<10} {:>16} bytes  {note}", grouped(bytes));
        writeln!(out, "{}", line.trim_end())?;
    }
    for sentence in &reply.why {
        writeln!(out, "{sentence}")?;
    }
    Ok(())
}

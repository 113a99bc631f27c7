//! What is in a model.

use std::io::{self, Write};

use crate::args::InspectArgs;
use crate::{Failure, grouped, print_json};

pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    let reply = api::inspect(&args.model, args.projector.as_deref())?;
    if args.json {
        return print_json(&reply);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{} ({})", reply.path, reply.format)?;
    let parameters = &reply.parameters;
    for (group, n) in [
        ("text", parameters.text),
        ("per-layer embeddings", parameters.per_layer_embeddings),
        ("embedding", parameters.embedding),
        ("vision", parameters.vision),
        ("audio", parameters.audio),
        ("total", parameters.total),
        ("effective", reply.effective_parameters),
    ] {
        writeln!(out, "  {group:<22} {:>16} parameters", grouped(n))?;
    }
    for (kind, bytes) in &reply.bytes_by_type {
        writeln!(out, "  {kind:<22} {:>16} bytes", grouped(*bytes))?;
    }
    writeln!(
        out,
        "  {:<22} {:>16} tokens",
        "context",
        grouped(reply.context_length as u64)
    )?;
    if !reply.missing.is_empty() {
        writeln!(out, "  missing: {}", reply.missing.join(", "))?;
    }
    writeln!(out, "  can run as:")?;
    for submodel in &reply.submodels {
        writeln!(
            out,
            "    {:<20} {:>3} layers {:>16} effective parameters",
            submodel.name,
            submodel.layers,
            grouped(submodel.effective_parameters)
        )?;
    }
    Ok(())
}

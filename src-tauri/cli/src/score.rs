//! How probable the model finds each token.

use std::io::{self, Read, Write};
use std::path::Path;

use api::ScoreRequest;

use crate::args::ScoreArgs;
use crate::{Failure, open, print_json, usage};

pub fn run(args: &ScoreArgs) -> Result<(), Failure> {
    let text = args.text.as_deref().map(read_text).transpose()?;
    let request = ScoreRequest {
        ids: args.ids.clone(),
        text,
        images: args.image.clone(),
        audio: args.audio.clone(),
        submodel: args.submodel.clone(),
        top: args.top,
    };
    let reply = open(&args.model)?.score(&request)?;
    if args.json {
        return print_json(&reply);
    }
    let mut out = io::stdout().lock();
    for token in &reply.tokens {
        match token.logprob {
            Some(logprob) => write!(out, "{:>8} {logprob:>10.4}", token.id)?,
            None => write!(out, "{:>8} {:>10}", token.id, "-")?,
        }
        for top in &token.top {
            write!(out, "  {}:{:.3}", top.id, top.logprob)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{:>8} {:>10.4}", "sum", reply.sum)?;
    Ok(())
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(usage(format!(
            "{} cannot be read as text ({error}).",
            path.display()
        ))),
    }
}

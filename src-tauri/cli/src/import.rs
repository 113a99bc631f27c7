//! A package of a folder.

use std::io::{self, Write};

use api::ImportRequest;

use crate::args::ImportArgs;
use crate::{Failure, grouped};

pub fn run(args: &ImportArgs) -> Result<(), Failure> {
    let reply = api::import(&ImportRequest {
        source: args.source.clone(),
        folder: args.out.clone(),
        name: args.name.clone(),
        package_type: args.kind.into(),
        replace: args.replace,
    })?;
    let mut out = io::stdout().lock();
    for (file, bytes) in &reply.files {
        writeln!(out, "{} ({} bytes)", file.display(), grouped(*bytes))?;
    }
    Ok(())
}

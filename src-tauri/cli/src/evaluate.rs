//! How well a model answers a set of questions whose answers are known, for each of its submodels.

mod measures;
mod report;
mod set;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use api::{Api, ApiError, Ask, AskOptions, ChatEvent, SubmodelEntry};
use serde_json::json;

use crate::args::EvaluateArgs;
use crate::{Failure, open, print_json, usage};
use report::{Report, SubmodelReport};
use set::Item;

/// Longest answer of an item that says nothing of its own.
const MAX_TOKENS: u32 = 96;

/// The name that stands for every submodel.
const ALL: &str = "all";

pub fn run(args: &EvaluateArgs) -> Result<(), Failure> {
    let items = set::read(&args.set, args.limit.map(NonZeroUsize::get))?;
    let mut log = args.answers.as_deref().map(create).transpose()?;
    let api = open(&args.model)?;
    let mut report = Report {
        model: args.model.model.display().to_string(),
        submodels: Vec::new(),
    };
    for submodel in submodels(&api, &args.submodel)? {
        let started = Instant::now();
        let mut answers = Vec::new();
        let mut progress = Progress::new(&submodel.name, items.len());
        for item in &items {
            let answer = answer(&api, item, &submodel.name)?;
            if let Some(log) = &mut log {
                log.write(&submodel.name, item, &answer)?;
            }
            answers.push(answer);
            progress.step()?;
        }
        let pairs = items.iter().zip(answers.iter().map(String::as_str));
        let done = SubmodelReport {
            tasks: report::measure(pairs),
            submodel: submodel.name,
            effective_parameters: submodel.effective_parameters,
            seconds: started.elapsed().as_secs_f64(),
        };
        if !args.json {
            report::print(&done, &mut io::stdout().lock())?;
        }
        report.submodels.push(done);
    }
    if let Some(log) = log {
        log.finish()?;
    }
    if args.json {
        print_json(&report)?;
    }
    Ok(())
}

/// The submodels of these names, each once.
fn submodels(api: &Api, names: &[String]) -> Result<Vec<SubmodelEntry>, Failure> {
    if names.is_empty() {
        return Ok(vec![api.submodel(None)?]);
    }
    let mut chosen: Vec<SubmodelEntry> = Vec::new();
    for name in names {
        let found = if name == ALL {
            api.submodels()?
        } else {
            vec![api.submodel(Some(name))?]
        };
        for submodel in found {
            if !chosen.contains(&submodel) {
                chosen.push(submodel);
            }
        }
    }
    Ok(chosen)
}

/// The most probable answer, in a conversation of its own.
fn answer(api: &Api, item: &Item, submodel: &str) -> Result<String, Failure> {
    let ask = Ask {
        conversation: item.id.clone(),
        parts: item.parts.clone(),
        options: AskOptions {
            submodel: Some(submodel.to_owned()),
            temperature: Some(0.0),
            max_tokens: Some(item.max_tokens.unwrap_or(MAX_TOKENS)),
            ..AskOptions::default()
        },
    };
    let mut answer = String::new();
    let mut noted = Ok(());
    let asked = api.ask(ask, &mut |event| {
        match event {
            ChatEvent::Notice(notice) => {
                noted = writeln!(io::stderr(), "note: item {}: {}", item.id, notice.text);
            }
            ChatEvent::Token { text, .. } | ChatEvent::Done { text, .. } => answer += &text,
            ChatEvent::Stored { .. } | ChatEvent::Prefill { .. } => {}
        }
        noted.is_ok()
    });
    asked.map_err(|error| {
        ApiError::new(error.code, format!("Item {}: {}", item.id, error.message))
    })?;
    noted?;
    api.forget(&item.id);
    Ok(answer)
}

/// Every answer beside the expected one, a JSON object a line.
struct Log<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

fn create(path: &Path) -> Result<Log<'_>, Failure> {
    match File::create(path) {
        Ok(file) => Ok(Log {
            path,
            file: BufWriter::new(file),
        }),
        Err(error) => Err(unwritable(path, &error)),
    }
}

impl Log<'_> {
    fn write(&mut self, submodel: &str, item: &Item, answer: &str) -> Result<(), Failure> {
        let line = json!({
            "submodel": submodel, "id": item.id, "answer": answer, "expected": item.answer,
        });
        writeln!(self.file, "{line}").map_err(|error| unwritable(self.path, &error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let flushed = self.file.flush();
        flushed.map_err(|error| unwritable(self.path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    usage(format!("{} cannot be written ({error}).", path.display()))
}

/// How far it is, for somebody who watches.
struct Progress<'a> {
    submodel: &'a str,
    done: usize,
    total: usize,
    is_watched: bool,
}

impl<'a> Progress<'a> {
    fn new(submodel: &'a str, total: usize) -> Self {
        Self {
            submodel,
            done: 0,
            total,
            is_watched: io::stderr().is_terminal(),
        }
    }

    fn step(&mut self) -> io::Result<()> {
        self.done += 1;
        let Self {
            submodel,
            done,
            total,
            is_watched,
        } = *self;
        if !is_watched {
            return Ok(());
        }
        let end = if done == total { "\n" } else { "" };
        write!(io::stderr(), "\r{submodel}: {done} of {total}{end}")
    }
}

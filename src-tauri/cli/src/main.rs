//! `sotto-cli`: the same engine without a window.
//!
//! Answers go to standard output, everything else to standard error. Exit code 2 means that the
//! input was not usable and says why in one sentence; 1 that something inside went wrong.

mod args;
mod bench;
mod chat;
mod evaluate;
mod import;
mod inspect;
mod plan;
mod score;
mod transcribe;

use std::io::{self, Write};
use std::process::ExitCode;

use api::{Api, ApiError, ErrorCode, OpenModel};
use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command, ModelArgs};

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let done = match &cli.command {
        Command::Chat(chat) => {
            let (_, order) = matches.subcommand().expect("clap asked for one");
            chat::run(chat, order)
        }
        Command::Score(score) => score::run(score),
        Command::Inspect(inspect) => inspect::run(inspect),
        Command::Plan(plan) => plan::run(plan),
        Command::Import(import) => import::run(import),
        Command::Transcribe(transcribe) => transcribe::run(transcribe),
        Command::Evaluate(evaluate) => evaluate::run(evaluate),
        Command::Bench(bench) => bench::run(bench),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away (`sotto-cli ... | head`) is no error worth words.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::Output(error)) => {
            let _ = writeln!(
                io::stderr(),
                "error: the output cannot be written ({error})."
            );
            ExitCode::FAILURE
        }
        Err(Failure::Api(error)) => {
            let _ = writeln!(io::stderr(), "error: {}", error.message);
            match error.code {
                ErrorCode::Internal => ExitCode::FAILURE,
                _ => ExitCode::from(2),
            }
        }
    }
}

/// Why a command ended early.
pub enum Failure {
    Api(ApiError),
    Output(io::Error),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// A user error that only the command line can make.
pub fn usage(message: String) -> Failure {
    Failure::Api(ApiError::new(ErrorCode::Unsupported, message))
}

/// Opens the model of the command line.
pub fn open(model: &ModelArgs) -> Result<Api, Failure> {
    open_model(&OpenModel {
        path: model.model.clone(),
        projector: model.projector.clone(),
        compute: model.compute.map(Into::into),
        memory: model.memory.map(|size| size.as_u64()),
    })
}

pub fn open_model(open: &OpenModel) -> Result<Api, Failure> {
    let api = Api::new();
    let summary = api.open_model(open, &mut |_| true)?;
    if let Some(notice) = summary.notice {
        writeln!(io::stderr(), "note: {notice}")?;
    }
    Ok(api)
}

/// Prints a reply as one line of JSON.
pub fn print_json(reply: &impl serde::Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(reply).expect("replies have string keys only");
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// `1234567` as `1 234 567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

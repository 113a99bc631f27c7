//! One question, or a conversation.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::{Api, Ask, AskOptions, AskPart, ChatEvent, DoneReason};
use clap::ArgMatches;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::args::ChatArgs;
use crate::{Failure, open, print_json, usage};

const HELP: &str =
    "/image FILE and /audio FILE go with the next question, /new starts over, /quit ends.";

pub fn run(args: &ChatArgs, order: &ArgMatches) -> Result<(), Failure> {
    let parts = match &args.ids {
        Some(ids) => vec![AskPart::Tokens { ids: ids.clone() }],
        None => parts_in_order(args, order),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    // Without it Ctrl-C ends the program, which is no worse than usual.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));
    let chat = Chat {
        api: open(&args.model)?,
        args,
        interrupted,
    };
    if parts.is_empty() {
        chat.converse()
    } else {
        chat.answer("1", parts)
    }
}

/// Text, pictures and sound in the order of their flags.
fn parts_in_order(args: &ChatArgs, order: &ArgMatches) -> Vec<AskPart> {
    let places = |flag: &str| order.indices_of(flag).into_iter().flatten();
    let texts = places("prompt").zip(&args.prompt).map(|(at, text)| {
        let text = text.clone();
        (at, AskPart::Text { text })
    });
    let images = places("image").zip(&args.image).map(|(at, path)| {
        let path = path.clone();
        (at, AskPart::Image { path })
    });
    let sounds = places("audio").zip(&args.audio).map(|(at, path)| {
        let path = path.clone();
        (at, AskPart::Audio { path })
    });
    let mut parts: Vec<(usize, AskPart)> = texts.chain(images).chain(sounds).collect();
    parts.sort_by_key(|(at, _)| *at);
    parts.into_iter().map(|(_, part)| part).collect()
}

struct Chat<'a> {
    api: Api,
    args: &'a ChatArgs,
    /// Ctrl-C was pressed.
    interrupted: Arc<AtomicBool>,
}

impl Chat<'_> {
    fn answer(&self, conversation: &str, parts: Vec<AskPart>) -> Result<(), Failure> {
        let args = self.args;
        let ask = Ask {
            conversation: conversation.to_owned(),
            parts,
            options: AskOptions {
                system: args.system.clone(),
                submodel: args.submodel.clone(),
                temperature: args.temperature,
                top_k: args.top_k,
                top_p: args.top_p,
                min_p: args.min_p,
                repetition_penalty: args.repetition_penalty,
                seed: args.seed,
                max_tokens: Some(args.max_tokens),
            },
        };
        self.interrupted.store(false, Ordering::Relaxed);
        let mut written = Ok(());
        self.api.ask(ask, &mut |event| {
            written = self.print(&event);
            written.is_ok() && !self.interrupted.load(Ordering::Relaxed)
        })?;
        written
    }

    fn print(&self, event: &ChatEvent) -> Result<(), Failure> {
        if let ChatEvent::Notice(notice) = event {
            return Ok(writeln!(io::stderr(), "note: {}", notice.text)?);
        }
        if self.args.json {
            return match event {
                // How far the prompt is has no place in the documented stream.
                ChatEvent::Prefill { .. } | ChatEvent::Stored { .. } => Ok(()),
                event => print_json(event),
            };
        }
        let mut out = io::stdout().lock();
        match event {
            ChatEvent::Stored { .. } | ChatEvent::Notice(_) | ChatEvent::Prefill { .. } => {}
            ChatEvent::Token { text, .. } => {
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            ChatEvent::Done {
                reason,
                text,
                context_full,
                ..
            } => {
                writeln!(out, "{text}")?;
                let note = match reason {
                    _ if *context_full => "the context is full; start a new conversation",
                    DoneReason::Length => "the answer reached --max-tokens",
                    DoneReason::Cancelled => "stopped",
                    DoneReason::Stop => return Ok(()),
                };
                writeln!(io::stderr(), "({note})")?;
            }
        }
        Ok(())
    }

    fn converse(&self) -> Result<(), Failure> {
        let mut lines = Lines::open()?;
        if lines.interactive() {
            writeln!(io::stderr(), "{HELP}")?;
        }
        let mut media: Vec<AskPart> = Vec::new();
        let mut conversation = 1;
        while let Some(line) = lines.next()? {
            let line = line.trim();
            let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
            let path = || PathBuf::from(rest.trim());
            match command {
                "" => {}
                "/quit" | "/exit" => break,
                "/new" => {
                    conversation += 1;
                    media.clear();
                }
                "/image" if !rest.is_empty() => media.push(AskPart::Image { path: path() }),
                "/audio" if !rest.is_empty() => media.push(AskPart::Audio { path: path() }),
                _ if command.starts_with('/') => writeln!(io::stderr(), "{HELP}")?,
                _ => {
                    let mut parts = std::mem::take(&mut media);
                    parts.push(AskPart::Text {
                        text: line.to_owned(),
                    });
                    match self.answer(&conversation.to_string(), parts) {
                        // The conversation goes on without the question that could not be answered.
                        Err(Failure::Api(error)) if lines.interactive() => {
                            writeln!(io::stderr(), "error: {}", error.message)?;
                        }
                        answered => answered?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// Questions as they are typed, or as they come through a pipe.
enum Lines {
    Terminal(Box<DefaultEditor>),
    Pipe(io::Lines<io::StdinLock<'static>>),
}

impl Lines {
    fn open() -> Result<Self, Failure> {
        if !io::stdin().is_terminal() {
            return Ok(Self::Pipe(io::stdin().lines()));
        }
        let editor = DefaultEditor::new()
            .map_err(|e| usage(format!("The terminal cannot be used ({e}).")))?;
        Ok(Self::Terminal(Box::new(editor)))
    }

    fn interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    fn next(&mut self) -> Result<Option<String>, Failure> {
        let editor = match self {
            Self::Pipe(lines) => {
                return lines
                    .next()
                    .transpose()
                    .map_err(|e| usage(format!("Standard input cannot be read ({e}).")));
            }
            Self::Terminal(editor) => editor,
        };
        match editor.readline("> ") {
            Ok(line) => {
                // Recall is a convenience; a line that cannot be kept is still asked.
                let _ = editor.add_history_entry(&line);
                Ok(Some(line))
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(error) => Err(usage(format!("The terminal cannot be read ({error})."))),
        }
    }
}

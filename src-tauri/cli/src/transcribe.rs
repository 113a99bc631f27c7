//! Speech to text, subtitles and captions.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::{
    CaptionEvent, OpenModel, SoundSource, TranscribeEvent, TranscribeRequest, Transcribed,
    TranscriptFormat,
};

use crate::args::{TextFormat, TranscribeArgs};
use crate::{Failure, open_model, print_json, usage};

pub fn run(args: &TranscribeArgs) -> Result<(), Failure> {
    let format = if args.json {
        TextFormat::Json
    } else {
        args.format
    };
    let devices = [
        (args.microphone, SoundSource::Microphone),
        (args.system, SoundSource::System),
    ];
    let devices = devices.into_iter().filter(|(wanted, _)| *wanted);
    let files = args.file.iter().cloned().map(SoundSource::File);
    let open = OpenModel {
        path: match &args.model {
            Some(model) => model.clone(),
            None => demo_model().ok_or_else(no_demo_model)?,
        },
        projector: args.projector.clone(),
        ..OpenModel::default()
    };
    let request = TranscribeRequest {
        sources: files.chain(devices.map(|(_, source)| source)).collect(),
        language: args.language.clone(),
        translate: args.translate.clone(),
        live: args.live,
        realtime: args.realtime,
        submodel: args.submodel.clone(),
    };
    let api = open_model(&open)?;
    let stop = stop_on_interrupt();
    let mut screen = Screen::new(args.live, format);
    let mut written = Ok(());
    let transcribed = api.transcribe(&request, &stop, &mut |event| {
        if written.is_ok() {
            written = screen.show(&event);
            // Who has gone wants no more of it.
            stop.fetch_or(written.is_err(), Ordering::Relaxed);
        }
    })?;
    written?;
    finish(&transcribed, args.live, format)
}

/// The first Ctrl-C ends the sound, and what was heard is finished; another ends the program.
fn stop_on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    // Without it Ctrl-C ends the program, which is no worse than usual.
    let _ = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    stop
}

fn finish(transcribed: &Transcribed, live: bool, format: TextFormat) -> Result<(), Failure> {
    if live {
        let (heard, model) = (
            f64::from(transcribed.heard_ms),
            f64::from(transcribed.model_ms),
        );
        writeln!(
            io::stderr(),
            "note: {:.1} s of sound, {} hypotheses in {:.1} s of the model's time: {:.3} of real time",
            heard / 1e3,
            transcribed.hypotheses,
            model / 1e3,
            model / heard.max(1.0)
        )?;
    }
    let text = match format {
        // They were shown as they came.
        TextFormat::Txt | TextFormat::Json if live => return Ok(()),
        TextFormat::Json => return print_json(&transcribed.reply()),
        TextFormat::Txt => transcribed.to_text(TranscriptFormat::Txt),
        TextFormat::Srt => transcribed.to_text(TranscriptFormat::Srt),
        TextFormat::Vtt => transcribed.to_text(TranscriptFormat::Vtt),
        TextFormat::Md => transcribed.to_text(TranscriptFormat::Markdown),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Where captions are shown while they change.
enum Screen {
    Nowhere,
    /// One line of JSON an event.
    Json,
    /// Lines, or on a terminal one line that is written anew.
    Lines {
        out: Box<dyn Write>,
        terminal: bool,
    },
}

impl Screen {
    fn new(live: bool, format: TextFormat) -> Self {
        match format {
            _ if !live => Self::Nowhere,
            TextFormat::Json => Self::Json,
            TextFormat::Txt => Self::Lines {
                terminal: io::stdout().is_terminal(),
                out: Box::new(io::stdout()),
            },
            // Standard output gets the file.
            _ => Self::Lines {
                terminal: io::stderr().is_terminal(),
                out: Box::new(io::stderr()),
            },
        }
    }

    fn show(&mut self, event: &TranscribeEvent) -> Result<(), Failure> {
        let caption = match event {
            TranscribeEvent::Caption(caption) => caption,
            TranscribeEvent::Notice(text) => return Ok(writeln!(io::stderr(), "note: {text}")?),
        };
        match self {
            Self::Nowhere => Ok(()),
            Self::Json => print_json(caption),
            Self::Lines { out, terminal } => Ok(show_line(out, *terminal, caption)?),
        }
    }
}

fn show_line(out: &mut dyn Write, terminal: bool, caption: &CaptionEvent) -> io::Result<()> {
    let CaptionEvent {
        committed,
        tentative,
        ..
    } = caption;
    let space = if committed.is_empty() || tentative.is_empty() {
        ""
    } else {
        " "
    };
    if terminal {
        // Back to the beginning of the line, and away with what was there. Tentative words are dim and in italics.
        write!(out, "\r\x1b[K{committed}{space}\x1b[2;3m{tentative}\x1b[0m")?;
    } else if caption.is_final {
        write!(out, "{committed}")?;
    } else {
        write!(out, "{committed}{space}[{tentative}]")?;
    }
    if caption.is_final
        && let Some(translation) = &caption.translation
    {
        write!(out, "\n{translation}")?;
    }
    if caption.is_final || !terminal {
        writeln!(out)?;
    }
    out.flush()
}

/// The demo model of an installation, or of the source folder that the program was built in.
fn demo_model() -> Option<PathBuf> {
    const PLACES: [&str; 3] = [
        "assets/demo/sotto-demo.gguf",
        "demo/sotto-demo.gguf",
        "lib/Sotto/demo/sotto-demo.gguf",
    ];
    let program = env::current_exe().ok()?;
    let folders = program.ancestors().skip(1);
    let mut models = folders.flat_map(|folder| PLACES.map(|place| folder.join(place)));
    models.find(|model| model.is_file())
}

fn no_demo_model() -> Failure {
    usage("The demo model is not where Sotto is installed; choose a model with --model.".to_owned())
}

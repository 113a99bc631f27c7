//! The command line.

use std::num::{NonZeroU8, NonZeroUsize};
use std::path::PathBuf;

use api::{ComputeType, PackageType};
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Private assistant on a Gemma 3n model, from the command line.
#[derive(Parser)]
#[command(name = "sotto-cli", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Ask about text, pictures and sound; without --prompt, --image or --audio a conversation
    Chat(ChatArgs),
    /// Print how probable the model finds each token
    Score(ScoreArgs),
    /// Print what is in a model without loading it
    Inspect(InspectArgs),
    /// Say which submodel, towers and context fit the memory, without loading anything
    Plan(PlanArgs),
    /// Make a package of a Hugging Face folder: two GGUF files at fewer bits
    Import(ImportArgs),
    /// Write down what is said in a file, at the microphone or in what the computer plays
    Transcribe(TranscribeArgs),
    /// Measure the answers to a set of questions whose answers are known
    Evaluate(EvaluateArgs),
    /// Measure how fast a model runs here, and in how much memory
    Bench(BenchArgs),
}

#[derive(Args)]
pub struct ModelArgs {
    /// A Hugging Face folder or a GGUF file
    pub model: PathBuf,
    /// The projector (mmproj) of a GGUF model, if it does not lie beside it
    #[arg(long, value_name = "FILE")]
    pub projector: Option<PathBuf>,
    /// How an unquantised model is computed; bf16 for bf16 files and f32 for others if not given
    #[arg(long)]
    pub compute: Option<Compute>,
    /// What the model may take, like 3GiB; the largest submodel that fits is run. What is free on this machine if not given
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Compute {
    F32,
    Bf16,
}

impl From<Compute> for ComputeType {
    fn from(compute: Compute) -> Self {
        match compute {
            Compute::F32 => Self::F32,
            Compute::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Args)]
pub struct ChatArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Text to ask; the parts of a question keep the order of their flags
    #[arg(long, value_name = "TEXT")]
    pub prompt: Vec<String>,
    /// A picture (PNG, JPEG, WebP, GIF, BMP, TIFF)
    #[arg(long, value_name = "FILE")]
    pub image: Vec<PathBuf>,
    /// A sound file of up to 30 seconds (WAV, MP3, FLAC, Ogg, M4A, AIFF)
    #[arg(long, value_name = "FILE")]
    pub audio: Vec<PathBuf>,
    /// Token ids to continue, instead of text and without a chat template
    #[arg(long, value_delimiter = ',', value_name = "IDS", conflicts_with_all = ["prompt", "image", "audio", "system"])]
    pub ids: Option<Vec<u32>>,
    /// Instructions for the whole conversation
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// A published name (E2B, E2.98B block ...), one of the model's own, or layers=0-19,25-34;ffn=8192
    #[arg(long, value_name = "NAME")]
    pub submodel: Option<String>,
    /// 0 always takes the most probable token
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Keep the so many most probable tokens; 0 keeps all
    #[arg(long, value_name = "N")]
    pub top_k: Option<u32>,
    /// Keep the most probable tokens that together reach this share
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Drop tokens below this share of the most probable one
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub min_p: Option<f32>,
    /// Above 1 makes tokens less likely that are there already
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub repetition_penalty: Option<f32>,
    /// Repeats the same choices
    #[arg(long, value_name = "N")]
    pub seed: Option<u32>,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub max_tokens: u32,
    /// One JSON event a line: {"event":"token",...} and at last {"event":"done",...}
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Token ids to score
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "IDS",
        required_unless_present = "text",
        conflicts_with = "text"
    )]
    pub ids: Option<Vec<u32>>,
    /// A file whose text to score, - for standard input; <bos> is put in front if it is not there
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// A picture for the next <image_soft_token> of the text, or in front of a text without any
    #[arg(long, value_name = "FILE")]
    pub image: Vec<PathBuf>,
    /// A sound for the next <audio_soft_token> of the text, or in front of a text without any
    #[arg(long, value_name = "FILE")]
    pub audio: Vec<PathBuf>,
    /// As for chat
    #[arg(long, value_name = "NAME")]
    pub submodel: Option<String>,
    /// Name the so many most probable tokens at each place
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub top: usize,
    /// {"tokens":[{"id":..,"logprob":..,"top":[..]}],"sum":..}
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct InspectArgs {
    /// A Hugging Face folder or a GGUF file
    pub model: PathBuf,
    /// The projector (mmproj) of a GGUF model, if it does not lie beside it
    #[arg(long, value_name = "FILE")]
    pub projector: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct PlanArgs {
    /// A Hugging Face folder or a GGUF file
    pub model: PathBuf,
    /// The projector (mmproj) of a GGUF model, if it does not lie beside it
    #[arg(long, value_name = "FILE")]
    pub projector: Option<PathBuf>,
    /// What the model may take, like 3GiB; what is free on this machine if not given
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// As for chat; the largest that fits if not given
    #[arg(long, value_name = "NAME")]
    pub submodel: Option<String>,
    /// At least so many tokens of context
    #[arg(long, value_name = "N")]
    pub context: Option<NonZeroUsize>,
    /// {"budget_bytes":..,"submodel":..,"bytes":{..},"why":[..],..}
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ImportArgs {
    /// A Hugging Face folder
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// Where the package goes; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What to call the files; the folder's own name if not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the matrices are stored as
    #[arg(long = "type", value_name = "TYPE", default_value = "q8_0")]
    pub kind: PackageKind,
    /// Take the place of a package of the same name
    #[arg(long)]
    pub replace: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum PackageKind {
    /// 8 bits and a scale for every 32 numbers
    #[value(name = "q8_0")]
    Q8_0,
    /// 4 bits and a scale for every 32 numbers of the layers, 6 or 8 bits elsewhere: half the size, and faster
    #[value(name = "q4_0")]
    Q4_0,
    /// 4 bits, a scale and a minimum: as small, a little closer to the original, a little slower
    #[value(name = "q4_k")]
    Q4K,
}

impl From<PackageKind> for PackageType {
    fn from(kind: PackageKind) -> Self {
        match kind {
            PackageKind::Q8_0 => Self::Q8_0,
            PackageKind::Q4_0 => Self::Q4_0,
            PackageKind::Q4K => Self::Q4K,
        }
    }
}

#[derive(Args)]
pub struct EvaluateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// A folder with items.jsonl
    pub set: PathBuf,
    /// As for chat, and all for every one that has a name; the whole model if not given
    #[arg(long, value_name = "NAME")]
    pub submodel: Vec<String>,
    /// Only the first N items of every group
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
    /// {"model":..,"submodels":[{"submodel":..,"tasks":[..],..}]}
    #[arg(long)]
    pub json: bool,
    /// Write every answer to this file, a JSON object a line
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
}

#[derive(Args)]
pub struct BenchArgs {
    /// A Hugging Face folder or a GGUF file
    pub model: PathBuf,
    /// The projector (mmproj) of a GGUF model, if it does not lie beside it
    #[arg(long, value_name = "FILE")]
    pub projector: Option<PathBuf>,
    /// Tokens of the prompt; 0 leaves the text model out
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub prompt_tokens: usize,
    /// Tokens that are written after it
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub generate: usize,
    /// Tokens that are in the context before the prompt
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub context: usize,
    /// Encode a picture
    #[arg(long)]
    pub image: bool,
    /// Encode a clip of this length
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub audio: Option<f64>,
    /// As for chat
    #[arg(long, value_name = "NAME")]
    pub submodel: Option<String>,
    /// Threads that share out the products; as many as there are cores if not given
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value = "3")]
    pub repeat: NonZeroU8,
    /// {"open_ms":..,"prefill_tokens_per_second":[..],"decode_tokens_per_second":[..],..}
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(true))]
pub struct TranscribeArgs {
    /// A sound file of any length (WAV, MP3, FLAC, Ogg, M4A, AIFF, the sound of MP4 and WebM)
    #[arg(value_name = "FILE", group = "source", conflicts_with_all = ["microphone", "system"])]
    pub file: Option<PathBuf>,
    /// Listen to the microphone until Ctrl-C; with --system, two channels
    #[arg(long, group = "source")]
    pub microphone: bool,
    /// Listen to what the computer plays until Ctrl-C
    #[arg(long, group = "source")]
    pub system: bool,
    /// A Hugging Face folder or a GGUF file; the demo model that comes with Sotto if not given
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// The projector (mmproj) of a GGUF model, if it does not lie beside it
    #[arg(long, value_name = "FILE", requires = "model")]
    pub projector: Option<PathBuf>,
    /// As for chat
    #[arg(long, value_name = "NAME")]
    pub submodel: Option<String>,
    /// What is spoken: English or en; the model finds out if it is not given
    #[arg(long, value_name = "LANGUAGE")]
    pub language: Option<String>,
    /// Translate what was said into this language
    #[arg(long, value_name = "LANGUAGE")]
    pub translate: Option<String>,
    #[arg(long, value_name = "FORMAT", default_value = "txt")]
    pub format: TextFormat,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Show captions while somebody speaks; with JSON one event a line
    #[arg(long)]
    pub live: bool,
    /// Read the file as slowly as it was spoken
    #[arg(long, conflicts_with_all = ["microphone", "system"])]
    pub realtime: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    Txt,
    Srt,
    Vtt,
    Json,
    Md,
}

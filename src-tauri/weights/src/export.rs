//! Writes a Hugging Face folder as a GGUF package, numbers unchanged or at fewer bits.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, Metadata};
use crate::encode::{self, Target};
use crate::gguf::{Body, Writer};
use crate::names::{self, Part};
use crate::tensor::TensorView;
use crate::{DType, Error};
use config::Config;

mod config;
mod projector;
mod sampling;
mod text;
mod tokenizer;
mod types;

/// How a package is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// `None` leaves every number as it is.
    pub quantisation: Option<Quantisation>,
    /// What `matformer.json` says: the model's own slices, for the reader to find them without that file.
    pub submodels: Option<&'a str>,
    /// What the model calls itself; `None`: like the source's folder.
    pub name: Option<&'a str>,
    pub watch: Option<Watch<'a>>,
}

/// Told now and then which share of the source is written; false ends the writing.
#[derive(Clone, Copy)]
pub struct Watch<'a>(pub &'a dyn Fn(f64) -> bool);

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// What the matrices of a package are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantisation {
    /// 8 bits and a scale for every 32 numbers.
    Q8_0,
    /// 4 bits and a scale for every 32 numbers of the layers' matrices, more for the others.
    Q4_0,
    /// The same with 4 bits, a scale and a minimum for every 32 numbers, in groups of 256.
    Q4K,
}

/// Writes the text model to `text_out` and, if asked for, its towers to `projector_out`.
///
/// Everything a reader needs besides the weights is stored as key-values: those that other runtimes know, and under
/// `sotto.` the few for which there is no common key.
/// Without `projector_out` the towers are left out.
/// Tensors are read, rewritten and written a piece at a time, so a model never has to fit the memory.
pub fn write_gguf(
    checkpoint: &Checkpoint,
    text_out: &Path,
    projector_out: Option<&Path>,
    options: &Options<'_>,
) -> Result<(), Error> {
    let Metadata::Json(json) = checkpoint.metadata() else {
        let reason = format!("{} is a GGUF model already", checkpoint.path().display());
        return Err(Error::CannotExport {
            file: text_out.to_owned(),
            reason,
        });
    };
    let config = Config::new(checkpoint.path(), json);
    let (text, projector): (Vec<_>, Vec<_>) = plan(checkpoint, text_out, options)?
        .into_iter()
        .partition(|tensor| tensor.part == Part::Text);

    if let Some(projector_out) = projector_out
        && projector.is_empty()
    {
        let reason = format!(
            "{} has neither a vision nor an audio tower",
            checkpoint.path().display()
        );
        return Err(Error::CannotExport {
            file: projector_out.to_owned(),
            reason,
        });
    }

    let written = projector_out.is_some().then_some(&projector);
    let written = text.iter().chain(written.into_iter().flatten());
    check_room(text_out, written.clone())?;
    let progress = Progress {
        source: checkpoint,
        watch: options.watch,
        done: Cell::new(0),
        total: written.map(Planned::source_bytes).sum(),
    };
    let mut writer = Writer::new(text_out, "gemma3n");
    text::describe(checkpoint, &config, options, &mut writer)?;
    write(writer, &text, &progress)?;
    if let Some(projector_out) = projector_out {
        let mut writer = Writer::new(projector_out, "clip");
        projector::describe(checkpoint, &config, &mut writer)?;
        write(writer, &projector, &progress)?;
    }
    Ok(())
}

/// Its rows are looked up, and those behind the vocabulary never are.
pub(crate) const PER_LAYER_TABLE: &str = "model.language_model.embed_tokens_per_layer.weight";

/// Refuses a disk that has not the room for all tensors.
fn check_room<'a>(out: &Path, tensors: impl Iterator<Item = &'a Planned<'a>>) -> Result<(), Error> {
    /// Headers, and what the system itself needs to breathe.
    const MARGIN: u64 = 64 << 20;
    let needed = tensors.map(|tensor| tensor.bytes() as u64).sum::<u64>() + MARGIN;
    let folder = out.parent().unwrap_or(out);
    // A system that does not tell is tried, and says so itself when it is full.
    match fs4::available_space(folder) {
        Ok(free) if free < needed => {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            let reason = format!(
                "the package takes {:.1} GiB and {:.1} GiB are free there; make room or choose another disk",
                gib(needed),
                gib(free)
            );
            Err(Error::CannotExport {
                file: out.to_owned(),
                reason,
            })
        }
        _ => Ok(()),
    }
}

/// A tensor of any shape.
fn require<'a>(checkpoint: &'a Checkpoint, name: &str) -> Result<TensorView<'a>, Error> {
    checkpoint.tensor(name).ok_or_else(|| Error::MissingTensor {
        path: checkpoint.path().to_owned(),
        tensor: name.to_owned(),
    })
}

/// A tensor to be written.
struct Planned<'a> {
    part: Part,
    name: String,
    shape: Vec<usize>,
    /// `None`: as it is.
    target: Option<Target>,
    /// One, or the matrices of a stack in order.
    from: Vec<TensorView<'a>>,
    /// Rows of zeros behind it.
    more_rows: usize,
}

impl Planned<'_> {
    fn dtype(&self) -> DType {
        match self.target {
            Some(target) => target.dtype(),
            None => self.from[0].dtype, // Never empty: a tensor comes from somewhere.
        }
    }

    fn bytes(&self) -> usize {
        let elements = self.shape.iter().product();
        self.dtype().bytes_for(elements).unwrap_or(0)
    }

    fn source_bytes(&self) -> usize {
        self.from.iter().map(|slice| slice.bytes.len()).sum()
    }
}

struct Progress<'a> {
    source: &'a Checkpoint,
    watch: Option<Watch<'a>>,
    /// Bytes of the source.
    done: Cell<usize>,
    total: usize,
}

impl Progress<'_> {
    /// Bytes from `start` on of a tensor are written, and not needed in memory any more.
    fn add(&self, tensor: &TensorView<'_>, start: usize, bytes: usize) -> Result<(), Error> {
        if let Some(mapped) = self.source.mapped(tensor.name) {
            mapped.release_part(start..start + bytes);
        }
        self.done.set(self.done.get() + bytes);
        match self.watch {
            Some(Watch(watch)) if !watch(self.done.get() as f64 / self.total as f64) => {
                Err(Error::Cancelled)
            }
            _ => Ok(()),
        }
    }
}

fn plan<'a>(
    checkpoint: &'a Checkpoint,
    out: &Path,
    options: &Options<'_>,
) -> Result<Vec<Planned<'a>>, Error> {
    let target =
        |tensor: &TensorView<'_>| types::target(options.quantisation?, tensor.name, tensor.shape);
    let mut planned = Vec::new();
    let mut stacks = BTreeMap::<_, BTreeMap<usize, TensorView<'a>>>::new();
    for tensor in checkpoint
        .names()
        .filter_map(|name| checkpoint.tensor(name))
    {
        let (part, name) = match names::gguf_name(tensor.name) {
            Some(place) => match place.stacked {
                Some(i) => {
                    stacks
                        .entry((place.part, place.name))
                        .or_default()
                        .insert(i, tensor);
                    continue;
                }
                None => (place.part, place.name),
            },
            None => (Part::Text, tensor.name.to_owned()), // A stranger keeps its name.
        };
        let target = target(&tensor);
        let is_of_blocks = target.is_some_and(|target| target.dtype().block_len() > 1);
        let shape = match tensor.shape {
            // As the common converter stores it.
            &[channels] if name == "v.conv_stem.conv.bias" => vec![1, channels, 1, 1],
            // The last axis is the one that is cut into blocks.
            &[n_out, n_in, 1, 1] if is_of_blocks => vec![n_out, n_in],
            shape => shape.to_vec(),
        };
        planned.push(Planned {
            part,
            name,
            shape,
            target,
            from: vec![tensor],
            more_rows: 0,
        });
    }
    let tokens = checkpoint.tensor("model.language_model.embed_tokens.weight");
    if let (Some(tokens), Some(_)) = (tokens, options.quantisation) {
        // Published folders have no rows for the ids of pictures and sound in it; other runtimes want one for each token.
        let is_table = |tensor: &&mut Planned<'_>| tensor.from[0].name == PER_LAYER_TABLE;
        for table in planned.iter_mut().filter(is_table) {
            table.more_rows = tokens.shape[0].saturating_sub(table.shape[0]);
            table.shape[0] += table.more_rows;
        }
    }
    for ((part, name), slices) in stacks {
        let mut stack = stack(part, name, slices, out)?;
        stack.target = target(&stack.from[0]);
        planned.push(stack);
    }
    Ok(planned)
}

fn stack<'a>(
    part: Part,
    name: String,
    slices: BTreeMap<usize, TensorView<'a>>,
    out: &Path,
) -> Result<Planned<'a>, Error> {
    let cannot = |reason: String| Error::CannotExport {
        file: out.to_owned(),
        reason,
    };
    if let Some((i, _)) = slices.keys().enumerate().find(|(i, key)| i != *key) {
        return Err(cannot(format!("matrix {i} of {name} is missing")));
    }
    let from: Vec<_> = slices.into_values().collect();
    let first = from[0]; // A stack exists because a slice was put in it.
    if let Some(odd) = from
        .iter()
        .find(|slice| (slice.dtype, slice.shape) != (first.dtype, first.shape))
    {
        return Err(cannot(format!(
            "{} and {} differ in type or shape",
            first.name, odd.name
        )));
    }
    let shape = [&[from.len()], first.shape].concat();
    Ok(Planned {
        part,
        name,
        shape,
        target: None,
        from,
        more_rows: 0,
    })
}

fn write(
    mut writer: Writer,
    tensors: &[Planned<'_>],
    progress: &Progress<'_>,
) -> Result<(), Error> {
    for tensor in tensors {
        writer.tensor(&tensor.name, tensor.dtype(), &tensor.shape)?;
    }
    let mut body = writer.start()?;
    for tensor in tensors {
        for slice in &tensor.from {
            match tensor.target {
                Some(target) => rewrite(slice, target, &mut body, progress)?,
                None => {
                    for (piece, raw) in slice.bytes.chunks(PIECE).enumerate() {
                        body.write(raw)?;
                        progress.add(slice, piece * PIECE, raw.len())?;
                    }
                }
            }
        }
        // In every type a number of zero bytes is zero.
        let row: usize = tensor.shape[1..].iter().product();
        let zeros = vec![0; tensor.dtype().bytes_for(row).unwrap_or(0)];
        for _ in 0..tensor.more_rows {
            body.write(&zeros)?;
        }
    }
    body.finish()
}

/// Bytes that are written, or numbers that are rewritten, at once: whole blocks of every type.
const PIECE: usize = 1 << 22;

/// Numbers that one core rewrites at once: whole blocks of every type, too.
const PART: usize = 1 << 16;

fn rewrite(
    tensor: &TensorView<'_>,
    target: Target,
    body: &mut Body,
    progress: &Progress<'_>,
) -> Result<(), Error> {
    let whole = "pieces are whole blocks";
    let piece = tensor.dtype.bytes_for(PIECE).expect(whole);
    let part = tensor.dtype.bytes_for(PART).expect(whole);
    for (n, raw) in tensor.bytes.chunks(piece).enumerate() {
        let parts: Option<Vec<Vec<u8>>> = raw
            .par_chunks(part)
            .map(|raw| {
                let (mut values, mut bytes) = (Vec::new(), Vec::new());
                encode::decode(tensor.dtype, raw, &mut values);
                target.encode(&values, &mut bytes).then_some(bytes)
            })
            .collect();
        let Some(parts) = parts else {
            let reason = format!(
                "it holds a number that {} cannot; the file is damaged, download it again",
                target.dtype()
            );
            return Err(Error::tensor(tensor.file, tensor.name, reason));
        };
        for bytes in &parts {
            body.write(bytes)?;
        }
        progress.add(tensor, n * piece, raw.len())?;
    }
    Ok(())
}

//! Writes a Hugging Face folder as a GGUF package, numbers unchanged.

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::{Checkpoint, Metadata};
use crate::gguf::Writer;
use crate::names::{self, Part};
use crate::tensor::TensorView;
use crate::{DType, Error};
use config::Config;

mod config;
mod projector;
mod text;
mod tokenizer;

/// Writes the text model to `text_out` and, if asked for, its towers to `projector_out`.
///
/// Everything a reader needs besides the weights is stored as key-values: those that other runtimes know, and under
/// `sotto.` the few for which there is no common key.
/// Without `projector_out` the towers are left out.
pub fn write_gguf(
    checkpoint: &Checkpoint,
    text_out: &Path,
    projector_out: Option<&Path>,
) -> Result<(), Error> {
    let Metadata::Json(json) = checkpoint.metadata() else {
        let reason = format!("{} is a GGUF model already", checkpoint.path().display());
        return Err(Error::CannotExport {
            file: text_out.to_owned(),
            reason,
        });
    };
    let config = Config::new(checkpoint.path(), json);
    let (text, projector): (Vec<_>, Vec<_>) = plan(checkpoint, text_out)?
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

    let mut writer = Writer::new(text_out, "gemma3n");
    text::describe(checkpoint, &config, &mut writer)?;
    write(writer, &text)?;
    if let Some(projector_out) = projector_out {
        let mut writer = Writer::new(projector_out, "clip");
        projector::describe(checkpoint, &config, &mut writer)?;
        write(writer, &projector)?;
    }
    Ok(())
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
    dtype: DType,
    shape: Vec<usize>,
    /// One, or the matrices of a stack in order.
    from: Vec<TensorView<'a>>,
}

fn plan<'a>(checkpoint: &'a Checkpoint, out: &Path) -> Result<Vec<Planned<'a>>, Error> {
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
        let shape = match tensor.shape {
            // As the common converter stores it.
            &[channels] if name == "v.conv_stem.conv.bias" => vec![1, channels, 1, 1],
            shape => shape.to_vec(),
        };
        planned.push(Planned {
            part,
            name,
            dtype: tensor.dtype,
            shape,
            from: vec![tensor],
        });
    }
    for ((part, name), slices) in stacks {
        planned.push(stack(part, name, slices, out)?);
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
        dtype: first.dtype,
        shape,
        from,
    })
}

fn write(mut writer: Writer, tensors: &[Planned<'_>]) -> Result<(), Error> {
    for tensor in tensors {
        writer.tensor(&tensor.name, tensor.dtype, &tensor.shape)?;
    }
    let mut body = writer.start()?;
    for slice in tensors.iter().flat_map(|tensor| &tensor.from) {
        body.write(slice.bytes)?;
    }
    body.finish()
}

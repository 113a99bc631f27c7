//! From a tower's output, or a media token id, to a row of the text model's input.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;

/// Projects what one tower produces, and holds the ready-made rows of its special token ids.
#[derive(Debug)]
pub(crate) struct Embedder {
    soft_embedding_norm: RmsNorm,
    embedding_projection: Linear,
    embedding_post_projection_norm: RmsNorm,
    /// First token id of this tower's own range.
    vocab_offset: usize,
    /// Rows of the ids from `vocab_offset` on, `[vocab_size, hidden]`.
    hard: Vec<f32>,
    hidden_size: usize,
}

/// Sizes of one embedder.
pub(crate) struct EmbedderShape {
    pub vocab_size: usize,
    pub vocab_offset: usize,
    /// Width of the tower's output.
    pub tower_width: usize,
    pub hidden_size: usize,
    pub eps: f64,
}

impl Embedder {
    pub fn load(loader: &Loader, prefix: &str, shape: &EmbedderShape) -> Result<Self> {
        let norm = |name: &str| {
            let name = format!("{prefix}.{name}.weight");
            RmsNorm::load(loader, &name, shape.tower_width, shape.eps)
        };
        let mut embedder = Self {
            soft_embedding_norm: norm("soft_embedding_norm")?,
            embedding_projection: loader.linear(
                &format!("{prefix}.embedding_projection.weight"),
                shape.hidden_size,
                shape.tower_width,
            )?,
            embedding_post_projection_norm: RmsNorm::plain(
                shape.hidden_size,
                shape.eps,
                loader.device(),
            )?,
            vocab_offset: shape.vocab_offset,
            hard: Vec::new(),
            hidden_size: shape.hidden_size,
        };
        let table = loader.tensor(
            &format!("{prefix}.embedding.weight"),
            &[shape.vocab_size, shape.tower_width],
        )?;
        let rows = embedder.project(&norm("hard_embedding_norm")?.forward(&table)?)?;
        embedder.hard = to_host(&rows)?;
        Ok(embedder)
    }

    fn project(&self, normed: &Tensor) -> Result<Tensor> {
        self.embedding_post_projection_norm
            .forward(&self.embedding_projection.forward(normed)?)
    }

    /// Tower output `[positions, tower_width]` to rows `[positions, hidden]`.
    pub fn soft(&self, tower_output: &Tensor) -> Result<Tensor> {
        self.project(&self.soft_embedding_norm.forward(tower_output)?)
    }

    /// The row of a token id, if the id is in this tower's range.
    pub fn hard(&self, id: u32) -> Option<&[f32]> {
        let row = (id as usize).checked_sub(self.vocab_offset)?;
        self.hard
            .get(row * self.hidden_size..(row + 1) * self.hidden_size)
    }

    /// The row of the last id, which stands for sound that is not there.
    pub fn padding(&self) -> &[f32] {
        &self.hard[self.hard.len() - self.hidden_size..]
    }
}

pub(crate) fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1()?)
}

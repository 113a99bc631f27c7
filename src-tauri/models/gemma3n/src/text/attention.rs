//! Grouped-query attention over a conversation's cache, its own or a borrowed one.

use std::ops::Range;

use kernels::{Attention as Read, Rows, attend};

use super::rope::Rotations;
use super::scratch::{Scratch, room};
use super::{PREFIX, Pass};
use crate::config::{LayerType, TextConfig};
use crate::error::Result;
use crate::linear::{Linear, Product, multiply};
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::workers::{Operand, Workers};

#[derive(Debug)]
pub(super) struct Attention {
    q_proj: Linear,
    q_norm: RmsNorm,
    /// Absent in layers that borrow; such layers' tensors in the file are dead weight.
    own_kv: Option<KeysValues>,
    o_proj: Linear,
    layer_type: LayerType,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    hidden_size: usize,
}

#[derive(Debug)]
struct KeysValues {
    k_proj: Linear,
    k_norm: RmsNorm,
    v_proj: Linear,
    /// Has no weight in the file, but is applied.
    v_norm: RmsNorm,
}

impl Attention {
    pub fn load(loader: &Loader, config: &TextConfig, layer: usize) -> Result<Self> {
        let prefix = format!("{PREFIX}.layers.{layer}.self_attn");
        let (hidden, head_dim) = (config.hidden_size, config.head_dim);
        let q_width = config.num_attention_heads * head_dim;
        let kv_width = config.num_key_value_heads * head_dim;
        let eps = config.rms_norm_eps;
        let head_norm =
            |name: &str| RmsNorm::load(loader, &format!("{prefix}.{name}.weight"), head_dim, eps);
        let own_kv = if layer < config.first_kv_shared_layer() {
            Some(KeysValues {
                k_proj: loader.linear(&format!("{prefix}.k_proj.weight"), kv_width, hidden)?,
                k_norm: head_norm("k_norm")?,
                v_proj: loader.linear(&format!("{prefix}.v_proj.weight"), kv_width, hidden)?,
                v_norm: RmsNorm::plain(head_dim, eps, loader.device())?,
            })
        } else {
            None
        };
        Ok(Self {
            q_proj: loader.linear(&format!("{prefix}.q_proj.weight"), q_width, hidden)?,
            q_norm: head_norm("q_norm")?,
            own_kv,
            o_proj: loader.linear(&format!("{prefix}.o_proj.weight"), hidden, q_width)?,
            layer_type: config.layer_types[layer],
            n_heads: config.num_attention_heads,
            n_kv_heads: config.num_key_value_heads,
            head_dim,
            hidden_size: hidden,
        })
    }

    /// The products of the layer's input: queries, and keys and values where they are not borrowed.
    pub fn projections<'a>(
        &'a self,
        n_rows: usize,
        queries: &'a mut Vec<f32>,
        keys: &'a mut Vec<f32>,
        values: &'a mut Vec<f32>,
    ) -> Vec<Product<'a>> {
        let product = |linear: &'a Linear, out: &'a mut Vec<f32>| Product {
            linear,
            rows: Rows::First(linear.n_out()),
            out: room(out, n_rows * linear.n_out()),
        };
        let mut products = vec![product(&self.q_proj, queries)];
        if let Some(own) = &self.own_kv {
            products.push(product(&own.k_proj, keys));
            products.push(product(&own.v_proj, values));
        }
        products
    }

    /// Goes on from the [`Attention::projections`] in `scratch` to its `branch`, `[rows, hidden]`. `kept` is the layer's
    /// place among the submodel's layers and `kv_source` that of the layer whose keys and values it reads.
    pub fn forward(
        &self,
        n_rows: usize,
        kept: usize,
        kv_source: usize,
        pass: &mut Pass,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let workers = pass.workers;
        let rotations = pass.rotations(self.layer_type);
        let Workers { cpu, pool } = workers;
        let dim = self.head_dim;
        let rotated = |row: usize, norm: &RmsNorm, heads: &mut [f32], rotations: &Rotations| {
            for head in heads.chunks_exact_mut(dim) {
                norm.apply(cpu, head);
                rotations.apply(cpu, row, head);
            }
        };
        pool.for_rows(n_rows, [&mut scratch.queries], |row, [q]| {
            rotated(row, &self.q_norm, q, rotations);
        })?;
        if let Some(own) = &self.own_kv {
            let buffers = [scratch.keys.as_mut_slice(), &mut scratch.values];
            pool.for_rows(n_rows, buffers, |row, [k, v]| {
                rotated(row, &own.k_norm, k, rotations);
                v.chunks_exact_mut(dim)
                    .for_each(|v| own.v_norm.apply(cpu, v));
            })?;
            let width = self.n_kv_heads * dim;
            let mut start = 0;
            for (sequence, positions) in pass.sequences.iter_mut().zip(&pass.positions) {
                let part = start * width..(start + positions.len()) * width;
                let cache = sequence.cache.layer(kept);
                cache.append(&scratch.keys[part.clone()], &scratch.values[part]);
                start += positions.len();
            }
        }
        let width = self.n_heads * dim;
        let heads = room(&mut scratch.heads, n_rows * width);
        let mut start = 0;
        for (sequence, positions) in pass.sequences.iter_mut().zip(&pass.positions) {
            let (Some(&first), Some(&last)) = (positions.first(), positions.last()) else {
                continue;
            };
            let cache = sequence.cache.layer(kv_source);
            let visible: Vec<Range<usize>> =
                positions.iter().map(|&pos| cache.visible(pos)).collect();
            let part = start * width..(start + positions.len()) * width;
            let read = Read {
                n_heads: self.n_heads,
                n_kv_heads: self.n_kv_heads,
                head_dim: dim,
                queries: &scratch.queries[part.clone()],
                visible: &visible,
                blocks: &cache.blocks(cache.visible(first).start..last + 1),
            };
            // The norms of queries and keys take the place of a scale.
            attend(cpu, pool, &read, &mut heads[part])?;
            start += positions.len();
        }
        let product = Product {
            linear: &self.o_proj,
            rows: Rows::First(self.hidden_size),
            out: room(&mut scratch.branch, n_rows * self.hidden_size),
        };
        let mut operand = Operand::new(heads, width, &mut scratch.rounded);
        multiply(workers, &mut operand, &mut [product])
    }
}

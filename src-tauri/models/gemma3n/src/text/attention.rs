//! Grouped-query attention over a conversation's cache, its own or a borrowed one.

use candle_core::{Device, Tensor};

use super::rope::Rotations;
use super::{PREFIX, Pass};
use crate::cache::LayerKv;
use crate::config::{LayerType, TextConfig};
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;

/// Queries that are scored at once: bounds the score matrix to `heads * 128 * context` values.
const QUERY_BLOCK: usize = 128;

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
        })
    }

    pub fn forward(
        &self,
        x: &Tensor,
        kept: usize,
        kv_source: usize,
        pass: &mut Pass,
    ) -> Result<Tensor> {
        let rotations = pass.rotations(self.layer_type);
        let q = self.heads(&self.q_proj, &self.q_norm, x, self.n_heads)?;
        let q = rotations.apply(&q)?;
        if let Some(own) = &self.own_kv {
            let (k, v) = self.keys_values(own, x, rotations)?;
            let mut start = 0;
            for (sequence, positions) in pass.sequences.iter_mut().zip(&pass.positions) {
                let rows = positions.len();
                let part = |t: &Tensor| t.narrow(0, start, rows)?.transpose(0, 1);
                sequence.cache.layer(kept).append(&part(&k)?, &part(&v)?)?;
                start += rows;
            }
        }
        let mut start = 0;
        let mut outputs = Vec::new();
        for (sequence, positions) in pass.sequences.iter_mut().zip(&pass.positions) {
            let cache = sequence.cache.layer(kv_source);
            for block in positions.chunks(QUERY_BLOCK) {
                let q = q.narrow(0, start, block.len())?;
                outputs.push(self.attend(&q, block, cache)?);
                start += block.len();
            }
        }
        self.o_proj.forward(&Tensor::cat(&outputs, 0)?)
    }

    /// Normed and rotated keys and normed values of the rows, `[rows, n_kv_heads, head_dim]`.
    fn keys_values(
        &self,
        own: &KeysValues,
        x: &Tensor,
        rotations: &Rotations,
    ) -> Result<(Tensor, Tensor)> {
        let k = self.heads(&own.k_proj, &own.k_norm, x, self.n_kv_heads)?;
        let v = self.heads(&own.v_proj, &own.v_norm, x, self.n_kv_heads)?;
        Ok((rotations.apply(&k)?, v))
    }

    /// Projects `[rows, hidden]` to `[rows, heads, head_dim]` and norms every head.
    fn heads(&self, proj: &Linear, norm: &RmsNorm, x: &Tensor, n_heads: usize) -> Result<Tensor> {
        let projected = proj.forward(x)?;
        norm.forward(&projected.reshape((x.dim(0)?, n_heads, self.head_dim))?)
    }

    /// `q` `[rows, n_heads, head_dim]` at ascending `positions` to `[rows, n_heads * head_dim]`.
    fn attend(&self, q: &Tensor, positions: &[usize], cache: &LayerKv) -> Result<Tensor> {
        let (rows, (first, last)) = (
            positions.len(),
            (positions[0], positions[positions.len() - 1]),
        );
        let keys = cache.first_visible(first)..last + 1;
        let kv = cache.view(keys.start, keys.end)?;
        let groups = self.n_heads / self.n_kv_heads;
        // Query heads that share a KV head become extra rows of one product.
        let q = q
            .reshape((rows, self.n_kv_heads, groups, self.head_dim))?
            .permute((1, 2, 0, 3))?
            .reshape((self.n_kv_heads, groups * rows, self.head_dim))?;
        // The norms of q and k take the place of a scale.
        let mut scores = q.matmul(&kv.k.t()?)?;
        if rows > 1 {
            let mask = self.mask(positions, keys.start, keys.len(), cache, q.device())?;
            scores = scores
                .reshape((self.n_kv_heads, groups, rows, keys.len()))?
                .broadcast_add(&mask)?
                .reshape((self.n_kv_heads, groups * rows, keys.len()))?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores.contiguous()?)?;
        Ok(weights
            .matmul(&kv.v)?
            .reshape((self.n_kv_heads, groups, rows, self.head_dim))?
            .permute((2, 0, 1, 3))?
            .reshape((rows, self.n_heads * self.head_dim))?)
    }

    /// 0 where a query may look and minus infinity elsewhere, `[rows, keys]`.
    fn mask(
        &self,
        positions: &[usize],
        first_key: usize,
        n_keys: usize,
        cache: &LayerKv,
        device: &Device,
    ) -> Result<Tensor> {
        let mut mask = vec![f32::NEG_INFINITY; positions.len() * n_keys];
        for (row, &pos) in mask.chunks_exact_mut(n_keys).zip(positions) {
            let visible = cache.first_visible(pos) - first_key..pos + 1 - first_key;
            row[visible].fill(0.0);
        }
        Ok(Tensor::from_vec(mask, (positions.len(), n_keys), device)?)
    }
}

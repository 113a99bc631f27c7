//! The conformer block: half FFN, local attention, light convolution, half FFN, norm.

use candle_core::{D, Device, Tensor};

use crate::config::AudioConfig;
use crate::conv::{Axis, Map, convolve_depthwise};
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;

/// What a block keeps of the positions so far, for those that come.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockState {
    /// Keys and values that are still seen, `[heads, positions, head_dim]`.
    seen: Option<(Tensor, Tensor)>,
    /// Rows that the light convolution still looks back to, `[positions, hidden]`.
    gated: Option<Tensor>,
}

impl BlockState {
    /// Positions before the next one that are seen.
    pub fn n_seen(&self) -> Result<usize> {
        match &self.seen {
            Some((keys, _)) => Ok(keys.dim(1)?),
            None => Ok(0),
        }
    }
}

/// With what is kept of it, and that without all but its last `n` entries.
fn go_on(
    kept: Option<&Tensor>,
    new: Tensor,
    axis: usize,
    n: usize,
) -> Result<(Tensor, Option<Tensor>)> {
    let all = match kept {
        Some(kept) => Tensor::cat(&[kept, &new], axis)?,
        None => new,
    };
    let length = all.dim(axis)?;
    let n = n.min(length);
    let last = match n {
        0 => None,
        _ => Some(all.narrow(axis, length - n, n)?.contiguous()?),
    };
    Ok((all, last))
}

#[derive(Debug)]
pub(super) struct Block {
    ffw_layer_start: FeedForward,
    attention: Attention,
    lconv1d: LightConv,
    ffw_layer_end: FeedForward,
    norm: RmsNorm,
    clip: f64,
}

impl Block {
    pub fn load(loader: &Loader, config: &AudioConfig, prefix: &str) -> Result<Self> {
        Ok(Self {
            ffw_layer_start: FeedForward::load(
                loader,
                config,
                &format!("{prefix}.ffw_layer_start"),
            )?,
            attention: Attention::load(loader, config, &format!("{prefix}.attention"))?,
            lconv1d: LightConv::load(loader, config, &format!("{prefix}.lconv1d"))?,
            ffw_layer_end: FeedForward::load(loader, config, &format!("{prefix}.ffw_layer_end"))?,
            norm: norm(loader, config, &format!("{prefix}.norm"))?,
            clip: config.gradient_clipping,
        })
    }

    /// The next positions `x` `[positions, hidden]`; `valid` `[positions, 1]` is 0 where there is no sound.
    pub fn forward(
        &self,
        x: &Tensor,
        valid: &Tensor,
        neighbourhood: &Neighbourhood,
        state: &mut BlockState,
    ) -> Result<Tensor> {
        let x = self.ffw_layer_start.forward(x)?;
        let x = self.attention.forward(&x, neighbourhood, state)?;
        let x = self.lconv1d.forward(&x.broadcast_mul(valid)?, state)?;
        let x = self.ffw_layer_end.forward(&x)?;
        self.norm.forward(&clamp(&x, self.clip)?)
    }
}

fn norm(loader: &Loader, config: &AudioConfig, name: &str) -> Result<RmsNorm> {
    RmsNorm::load(
        loader,
        &format!("{name}.weight"),
        config.hidden_size,
        config.rms_norm_eps,
    )
}

fn clamp(x: &Tensor, limit: f64) -> Result<Tensor> {
    Ok(x.clamp(-limit, limit)?)
}

fn silu(x: &Tensor) -> Result<Tensor> {
    Ok(x.silu()?)
}

#[derive(Debug)]
struct FeedForward {
    pre_layer_norm: RmsNorm,
    ffw_layer_1: Linear,
    ffw_layer_2: Linear,
    post_layer_norm: RmsNorm,
    residual_weight: f64,
    clip: f64,
}

impl FeedForward {
    fn load(loader: &Loader, config: &AudioConfig, prefix: &str) -> Result<Self> {
        let hidden = config.hidden_size;
        let first = format!("{prefix}.ffw_layer_1.weight");
        let width = loader
            .checkpoint()
            .tensor(&first)
            .map_or(4 * hidden, |view| view.shape[0]);
        Ok(Self {
            pre_layer_norm: norm(loader, config, &format!("{prefix}.pre_layer_norm"))?,
            ffw_layer_1: loader.linear(&first, width, hidden)?,
            ffw_layer_2: loader.linear(&format!("{prefix}.ffw_layer_2.weight"), hidden, width)?,
            post_layer_norm: norm(loader, config, &format!("{prefix}.post_layer_norm"))?,
            residual_weight: config.conf_residual_weight,
            clip: config.gradient_clipping,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.pre_layer_norm.forward(&clamp(x, self.clip)?)?;
        let y = silu(&self.ffw_layer_1.forward(&y)?)?;
        let y = clamp(&self.ffw_layer_2.forward(&y)?, self.clip)?;
        Ok((x + (self.post_layer_norm.forward(&y)? * self.residual_weight)?)?)
    }
}

#[derive(Debug)]
struct LightConv {
    pre_layer_norm: RmsNorm,
    linear_start: Linear,
    /// `[kernel, hidden]`
    depthwise_conv1d: Tensor,
    conv_norm: RmsNorm,
    linear_end: Linear,
    kernel: usize,
    clip: f64,
}

impl LightConv {
    fn load(loader: &Loader, config: &AudioConfig, prefix: &str) -> Result<Self> {
        let (hidden, kernel) = (config.hidden_size, config.conf_conv_kernel_size);
        let depthwise = loader.tensor(
            &format!("{prefix}.depthwise_conv1d.weight"),
            &[hidden, 1, kernel],
        )?;
        Ok(Self {
            pre_layer_norm: norm(loader, config, &format!("{prefix}.pre_layer_norm"))?,
            linear_start: loader.linear(
                &format!("{prefix}.linear_start.weight"),
                2 * hidden,
                hidden,
            )?,
            depthwise_conv1d: depthwise.reshape((hidden, kernel))?.t()?.contiguous()?,
            conv_norm: norm(loader, config, &format!("{prefix}.conv_norm"))?,
            linear_end: loader.linear(&format!("{prefix}.linear_end.weight"), hidden, hidden)?,
            kernel,
            clip: config.gradient_clipping,
        })
    }

    fn forward(&self, x: &Tensor, state: &mut BlockState) -> Result<Tensor> {
        let hidden = x.dim(1)?;
        let y = self
            .linear_start
            .forward(&self.pre_layer_norm.forward(x)?)?;
        let gate = candle_nn::ops::sigmoid(&y.narrow(D::Minus1, hidden, hidden)?.contiguous()?)?;
        let y = (y.narrow(D::Minus1, 0, hidden)? * gate)?;
        let kept = state.gated.take();
        let n_kept = kept.as_ref().map_or(Ok(0), |kept| kept.dim(0))?;
        let (y, last) = go_on(kept.as_ref(), y, 0, self.kernel - 1)?;
        state.gated = last;
        let time = Axis {
            kernel: self.kernel,
            stride: 1,
            pad: (self.kernel - 1 - n_kept, 0),
        };
        let frequency = Axis {
            kernel: 1,
            stride: 1,
            pad: (0, 0),
        };
        let map = Map {
            height: y.dim(0)?,
            width: 1,
            data: y,
        };
        let y = convolve_depthwise(&map, &self.depthwise_conv1d, time, frequency)?.data;
        let y = silu(&self.conv_norm.forward(&clamp(&y, self.clip)?)?)?;
        Ok((x + self.linear_end.forward(&y)?)?)
    }
}

/// Who sees whom in the local attention of one clip.
///
/// The reference cuts the clip into chunks and pads them; this dense form with a mask gives the same
/// numbers, and even at 30 s (750 positions) costs little beside the matrix products.
pub(super) struct Neighbourhood {
    /// Distance between query and key as an index into the relative positions, `[heads, positions, keys]`.
    distances: Tensor,
    /// 0 where a query sees a key, the most negative number elsewhere: a query that sees no key gets
    /// equal weights rather than NaN. `[positions, keys]`
    mask: Tensor,
    /// 1 where a query sees a key.
    seen: Tensor,
    /// Positions that are seen before and after the query's own.
    context: (usize, usize),
}

impl Neighbourhood {
    /// Of the next positions, and of the `n_seen` before them, which are all sound.
    pub fn new(
        valid: &[bool],
        n_seen: usize,
        context: (usize, usize),
        n_heads: usize,
        device: &Device,
    ) -> Result<Self> {
        let n = valid.len();
        let n_keys = n_seen + n;
        let (past, future) = context;
        let mut distances = vec![0u32; n * n_keys];
        let mut seen = vec![0f32; n * n_keys];
        let mut mask = vec![f32::MIN; n * n_keys];
        for query in 0..n {
            let place = n_seen + query;
            let first = place.saturating_sub(past);
            let last = (place + future + 1).min(n_keys);
            for key in first..last {
                let at = query * n_keys + key;
                distances[at] = (past + key - place) as u32;
                if key < n_seen || valid[key - n_seen] {
                    seen[at] = 1.0;
                    mask[at] = 0.0;
                }
            }
        }
        let table = |values| Tensor::from_vec(values, (n, n_keys), device);
        Ok(Self {
            distances: Tensor::from_vec(distances, (1, n, n_keys), device)?
                .broadcast_as((n_heads, n, n_keys))?
                .contiguous()?,
            mask: table(mask)?,
            seen: table(seen)?,
            context,
        })
    }

    /// `[past + 1 + future, width]`: sines, then cosines, of the distance at geometric frequencies.
    fn sinusoids(&self, width: usize, device: &Device) -> Result<Tensor> {
        let (past, future) = self.context;
        let half = width / 2;
        let step = 10_000f32.ln() / (half.max(2) - 1) as f32;
        let angle = |row: usize, i: usize| {
            let distance = past as f32 - row as f32;
            distance * (i as f32 * -step).exp()
        };
        let rows = past + 1 + future;
        let values = (0..rows)
            .flat_map(|row| {
                let sines = (0..half).map(move |i| angle(row, i).sin());
                sines.chain((0..half).map(move |i| angle(row, i).cos()))
            })
            .collect();
        Ok(Tensor::from_vec(values, (rows, width), device)?)
    }
}

#[derive(Debug)]
struct Attention {
    pre_attn_norm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    /// The query's scale for every entry of a head.
    q_scale: Tensor,
    pos_proj: Linear,
    post: Linear,
    post_norm: RmsNorm,
    n_heads: usize,
    head_dim: usize,
    logit_cap: f64,
    clip: f64,
}

impl Attention {
    fn load(loader: &Loader, config: &AudioConfig, prefix: &str) -> Result<Self> {
        let (hidden, n_heads) = (config.hidden_size, config.conf_num_attention_heads);
        let head_dim = hidden / n_heads;
        let linear = |name: &str| loader.linear(&format!("{prefix}.{name}.weight"), hidden, hidden);
        let per_dim_scale = loader.tensor(&format!("{prefix}.attn.per_dim_scale"), &[head_dim])?;
        // Divided by ln 2, the softplus of zero, so that a zero in the file means the usual scale.
        let softplus = (per_dim_scale.exp()? + 1.0)?.log()?;
        let q_scale = (softplus * ((head_dim as f64).powf(-0.5) / std::f64::consts::LN_2))?;
        Ok(Self {
            pre_attn_norm: norm(loader, config, &format!("{prefix}.pre_attn_norm"))?,
            q_proj: linear("attn.q_proj")?,
            k_proj: linear("attn.k_proj")?,
            v_proj: linear("attn.v_proj")?,
            q_scale,
            pos_proj: linear("attn.relative_position_embedding.pos_proj")?,
            post: linear("post")?,
            post_norm: norm(loader, config, &format!("{prefix}.post_norm"))?,
            n_heads,
            head_dim,
            logit_cap: config.conf_attention_logit_cap,
            clip: config.gradient_clipping,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        neighbourhood: &Neighbourhood,
        state: &mut BlockState,
    ) -> Result<Tensor> {
        let (positions, hidden) = x.dims2()?;
        let y = self.pre_attn_norm.forward(&clamp(x, self.clip)?)?;
        let q = self.split(&self.q_proj.forward(&y)?)?;
        let q = q.broadcast_mul(&self.q_scale)?; // [heads, positions, head_dim]
        let k = self.split(&self.k_proj.forward(&y)?)?;
        let v = self.split(&self.v_proj.forward(&y)?)?;
        let kept = state.seen.take();
        let (kept_k, kept_v) = kept.as_ref().map(|(k, v)| (k, v)).unzip();
        let (k, last_k) = go_on(kept_k, k, 1, neighbourhood.context.0)?;
        let (v, last_v) = go_on(kept_v, v, 1, neighbourhood.context.0)?;
        state.seen = last_k.zip(last_v);
        let sinusoids = neighbourhood.sinusoids(hidden, x.device())?;
        let relative = self.split(&self.pos_proj.forward(&sinusoids)?)?;

        let by_distance = q.matmul(&relative.t()?)?; // [heads, positions, distances]
        let by_key = by_distance.gather(&neighbourhood.distances, 2)?;
        let scores = (q.matmul(&k.t()?)? + by_key)?;
        let capped = ((scores / self.logit_cap)?.tanh()? * self.logit_cap)?;
        let masked = capped
            .broadcast_mul(&neighbourhood.seen)?
            .broadcast_add(&neighbourhood.mask)?;
        let mixed = candle_nn::ops::softmax_last_dim(&masked)?.matmul(&v)?;
        let mixed = mixed.transpose(0, 1)?.reshape((positions, hidden))?;
        let y = clamp(&self.post.forward(&mixed)?, self.clip)?;
        Ok((x + self.post_norm.forward(&y)?)?)
    }

    /// `[rows, hidden] -> [heads, rows, head_dim]`
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.reshape((x.dim(0)?, self.n_heads, self.head_dim))?
            .transpose(0, 1)?
            .contiguous()?)
    }
}

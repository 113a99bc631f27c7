//! The three kinds of blocks of MobileNet-V5. What its files call "bn" is an RMSNorm over channels.

use kernels::{Attention, Floats, KV_BLOCK, KvBlock, attend, rows};

use super::map::{Convolution, Depthwise, Map, Scratch, norm_and_gelu, product, strip_len};
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::text::room;
use crate::workers::Workers;

#[derive(Debug)]
pub(super) enum Block {
    EdgeResidual(EdgeResidual),
    InvertedBottleneck(InvertedBottleneck),
    MultiQueryAttention(MultiQueryAttention),
}

impl Block {
    /// The block whose tensors start with `prefix`, if there is one.
    pub fn load(
        loader: &Loader,
        prefix: &str,
        n_in: usize,
        stride: usize,
        eps: f64,
    ) -> Result<Option<Self>> {
        let has = |name: &str| {
            loader
                .checkpoint()
                .contains(&format!("{prefix}.{name}.weight"))
        };
        let files = Files {
            loader,
            prefix,
            eps,
        };
        Ok(Some(if has("conv_exp") {
            Self::EdgeResidual(EdgeResidual::load(&files, stride)?)
        } else if has("attn.query.proj") {
            Self::MultiQueryAttention(MultiQueryAttention::load(&files, n_in)?)
        } else if has("pw_exp.conv") {
            Self::InvertedBottleneck(InvertedBottleneck::load(&files, n_in, stride)?)
        } else {
            return Ok(None);
        }))
    }

    pub fn n_out(&self) -> usize {
        match self {
            Self::EdgeResidual(block) => block.conv_pwl.n_out(),
            Self::InvertedBottleneck(block) => block.pw_proj.n_out(),
            Self::MultiQueryAttention(block) => block.output.n_out(),
        }
    }

    pub fn forward(&self, workers: &Workers, map: &Map, scratch: &mut Scratch) -> Result<Map> {
        match self {
            Self::EdgeResidual(block) => block.forward(workers, map, scratch),
            Self::InvertedBottleneck(block) => block.forward(workers, map, scratch),
            Self::MultiQueryAttention(block) => block.forward(workers, map, scratch),
        }
    }
}

/// Norms the rows of a strip of `output` and adds those of the input where the block kept its shape.
fn norm_and_skip(
    workers: &Workers,
    norm: &RmsNorm,
    input: &Map,
    keeps_shape: bool,
    first: usize,
    strip: &mut [f32],
) -> Result<()> {
    let Workers { cpu, pool } = workers;
    let width = norm.width();
    pool.for_rows(strip.len() / width, [strip], |row, [out]| {
        norm.apply(cpu, out);
        if keeps_shape {
            rows::add_scaled(cpu, 1.0, &input.data[(first + row) * width..][..width], out);
        }
    })?;
    Ok(())
}

/// Tensors below one prefix.
struct Files<'a, 'b> {
    loader: &'a Loader<'b>,
    prefix: &'a str,
    eps: f64,
}

impl Files<'_, '_> {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let view = self.loader.checkpoint().tensor(&self.name(name))?;
        Some(view.shape.to_vec())
    }

    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn norm(&self, name: &str, width: usize) -> Result<RmsNorm> {
        RmsNorm::load(self.loader, &self.name(name), width, self.eps)
    }

    fn n_out(&self, name: &str) -> usize {
        let shape = self.shape(name).unwrap_or_default();
        shape.first().copied().unwrap_or(0)
    }

    /// A 1x1 convolution, as wide as the file says.
    fn pointwise(&self, name: &str, n_in: usize) -> Result<Linear> {
        let n_out = self.n_out(name);
        self.loader.pointwise(&self.name(name), n_out, n_in)
    }

    /// A depthwise convolution and its norm, if the file has one.
    fn depthwise(
        &self,
        conv: &str,
        norm: &str,
        channels: usize,
        stride: usize,
    ) -> Result<Option<Depthwise>> {
        let Some(shape) = self.shape(conv) else {
            return Ok(None);
        };
        let kernel = shape.last().copied().unwrap_or(0).max(1);
        let norm = self.norm(norm, channels)?;
        let name = self.name(conv);
        Depthwise::load(self.loader, &name, kernel, channels, stride, norm).map(Some)
    }

    fn layer_scale(&self, width: usize) -> Result<Vec<f32>> {
        self.loader
            .values(&self.name("layer_scale.gamma"), &[width])
    }
}

/// A full convolution that widens, then a 1x1 one that narrows.
#[derive(Debug)]
pub(super) struct EdgeResidual {
    conv_exp: Convolution,
    bn1: RmsNorm,
    conv_pwl: Linear,
    bn2: RmsNorm,
}

impl EdgeResidual {
    fn load(files: &Files, stride: usize) -> Result<Self> {
        let width = files.n_out("conv_exp.weight");
        let conv_pwl = files.pointwise("conv_pwl.weight", width)?;
        let name = files.name("conv_exp.weight");
        Ok(Self {
            conv_exp: Convolution::load(files.loader, &name, stride, Some(&conv_pwl))?,
            bn1: files.norm("bn1.weight", width)?,
            bn2: files.norm("bn2.weight", conv_pwl.n_out())?,
            conv_pwl,
        })
    }

    fn forward(&self, workers: &Workers, input: &Map, scratch: &mut Scratch) -> Result<Map> {
        let (height, width) = self.conv_exp.size(input);
        let (expanded, n_out) = (self.conv_exp.n_out(), self.conv_pwl.n_out());
        let mut output = Map::zeros(height, width, n_out);
        let keeps_shape = (height, width, n_out) == (input.height, input.width, input.channels);
        let each = |first: usize, wide: &mut [f32], rounded: &mut _| {
            norm_and_gelu(workers, &self.bn1, wide)?;
            let strip = &mut output.data[first * n_out..][..wide.len() / expanded * n_out];
            product(workers, &self.conv_pwl, wide, expanded, rounded, strip)?;
            norm_and_skip(workers, &self.bn2, input, keeps_shape, first, strip)
        };
        self.conv_exp.for_strips(workers, input, scratch, each)?;
        Ok(output)
    }
}

/// Widens and narrows by 1x1 convolutions, with depthwise ones before and between.
#[derive(Debug)]
pub(super) struct InvertedBottleneck {
    dw_start: Option<Depthwise>,
    pw_exp: Linear,
    pw_exp_norm: RmsNorm,
    dw_mid: Option<Depthwise>,
    pw_proj: Linear,
    /// With the layer's scale in its weights.
    pw_proj_norm: RmsNorm,
}

impl InvertedBottleneck {
    fn load(files: &Files, n_in: usize, stride: usize) -> Result<Self> {
        let pw_exp = files.pointwise("pw_exp.conv.weight", n_in)?;
        let width = pw_exp.n_out();
        let dw_mid = files.depthwise("dw_mid.conv.weight", "dw_mid.bn.weight", width, stride)?;
        // The stride is on the middle convolution where there is one.
        let start_stride = if dw_mid.is_some() { 1 } else { stride };
        let pw_proj = files.pointwise("pw_proj.conv.weight", width)?;
        let n_out = pw_proj.n_out();
        let pw_proj_norm = files.norm("pw_proj.bn.weight", n_out)?;
        Ok(Self {
            dw_start: files.depthwise(
                "dw_start.conv.weight",
                "dw_start.bn.weight",
                n_in,
                start_stride,
            )?,
            pw_exp_norm: files.norm("pw_exp.bn.weight", width)?,
            pw_proj_norm: pw_proj_norm.scaled(&files.layer_scale(n_out)?)?,
            pw_exp,
            dw_mid,
            pw_proj,
        })
    }

    fn forward(&self, workers: &Workers, input: &Map, scratch: &mut Scratch) -> Result<Map> {
        let started = match &self.dw_start {
            Some(depthwise) => Some(depthwise.forward(workers, input, false)?),
            None => None,
        };
        let started = started.as_ref().unwrap_or(input);
        let expanded = self.pw_exp.n_out();
        let Some(dw_mid) = &self.dw_mid else {
            let mut output = Map::zeros(started.height, started.width, self.pw_proj.n_out());
            let strip = strip_len(expanded);
            for first in (0..started.n_pixels()).step_by(strip) {
                let n = strip.min(started.n_pixels() - first);
                let x = &started.data[first * started.channels..][..n * started.channels];
                let wide = room(&mut scratch.wide, n * expanded);
                self.expand(workers, x, &mut scratch.rounded, wide)?;
                self.narrow(
                    workers,
                    input,
                    first,
                    wide,
                    &mut scratch.rounded,
                    &mut output,
                )?;
            }
            return Ok(output);
        };
        let mut wide = Map::zeros(started.height, started.width, expanded);
        self.expand(workers, &started.data, &mut scratch.rounded, &mut wide.data)?;
        let mut wide = dw_mid.forward(workers, &wide, true)?;
        let mut output = Map::zeros(wide.height, wide.width, self.pw_proj.n_out());
        let rounded = &mut scratch.rounded;
        self.narrow(workers, input, 0, &mut wide.data, rounded, &mut output)?;
        Ok(output)
    }

    fn expand(
        &self,
        workers: &Workers,
        x: &[f32],
        rounded: &mut kernels::Activations,
        wide: &mut [f32],
    ) -> Result<()> {
        let n_in = self.pw_exp.n_in();
        product(workers, &self.pw_exp, x, n_in, rounded, wide)?;
        norm_and_gelu(workers, &self.pw_exp_norm, wide)
    }

    /// From wide pixels to those of `output` from number `first` on.
    fn narrow(
        &self,
        workers: &Workers,
        input: &Map,
        first: usize,
        wide: &mut [f32],
        rounded: &mut kernels::Activations,
        output: &mut Map,
    ) -> Result<()> {
        let (n_in, n_out) = (self.pw_proj.n_in(), self.pw_proj.n_out());
        let keeps_shape = (output.height, output.width, output.channels)
            == (input.height, input.width, input.channels);
        let strip = &mut output.data[first * n_out..][..wide.len() / n_in * n_out];
        product(workers, &self.pw_proj, wide, n_in, rounded, strip)?;
        norm_and_skip(
            workers,
            &self.pw_proj_norm,
            input,
            keeps_shape,
            first,
            strip,
        )
    }
}

/// Attention over the pixels of a map, with one key and value head for all query heads.
#[derive(Debug)]
pub(super) struct MultiQueryAttention {
    norm: RmsNorm,
    query: Linear,
    key: KeyValue,
    value: KeyValue,
    output: Linear,
    layer_scale: Vec<f32>,
}

#[derive(Debug)]
struct KeyValue {
    down_conv: Option<Depthwise>,
    proj: Linear,
}

impl KeyValue {
    fn load(files: &Files, name: &str, channels: usize, dim: usize) -> Result<Self> {
        let proj = files.name(&format!("attn.{name}.proj.weight"));
        Ok(Self {
            down_conv: files.depthwise(
                &format!("attn.{name}.down_conv.weight"),
                &format!("attn.{name}.norm.weight"),
                channels,
                2,
            )?,
            proj: files.loader.pointwise(&proj, dim, channels)?,
        })
    }

    /// `[keys, head_dim]`
    fn forward(&self, workers: &Workers, map: &Map, scratch: &mut Scratch) -> Result<Vec<f32>> {
        let smaller = match &self.down_conv {
            Some(depthwise) => Some(depthwise.forward(workers, map, false)?),
            None => None,
        };
        let map = smaller.as_ref().unwrap_or(map);
        let mut out = vec![0.0; map.n_pixels() * self.proj.n_out()];
        let rounded = &mut scratch.rounded;
        product(
            workers,
            &self.proj,
            &map.data,
            map.channels,
            rounded,
            &mut out,
        )?;
        Ok(out)
    }
}

impl MultiQueryAttention {
    fn load(files: &Files, n_in: usize) -> Result<Self> {
        let dim = files.n_out("attn.key.proj.weight");
        let loaded = |name: &str, n_out, n_in| {
            let name = files.name(&format!("attn.{name}.proj.weight"));
            files.loader.pointwise(&name, n_out, n_in)
        };
        // Whole heads, and as many channels as there were: a file that has others is refused.
        let width = files.n_out("attn.query.proj.weight") / dim.max(1) * dim;
        let query = loaded("query", width, n_in)?;
        let output = loaded("output", n_in, width)?;
        Ok(Self {
            norm: files.norm("norm.weight", n_in)?,
            key: KeyValue::load(files, "key", n_in, dim)?,
            value: KeyValue::load(files, "value", n_in, dim)?,
            layer_scale: files.layer_scale(n_in)?,
            query,
            output,
        })
    }

    fn forward(&self, workers: &Workers, input: &Map, scratch: &mut Scratch) -> Result<Map> {
        let Workers { cpu, pool } = workers;
        let n_pixels = input.n_pixels();
        let mut normed = input.clone();
        pool.for_rows(n_pixels, [&mut normed.data], |_, [x]| {
            self.norm.apply(cpu, x)
        })?;
        let mut keys = self.key.forward(workers, &normed, scratch)?;
        let values = self.value.forward(workers, &normed, scratch)?;
        let (width, dim) = (self.query.n_out(), self.key.proj.n_out());
        rows::scale(cpu, (dim as f32).powf(-0.5), &mut keys);
        let mut queries = vec![0.0; n_pixels * width];
        let rounded = &mut scratch.rounded;
        product(
            workers,
            &self.query,
            &normed.data,
            normed.channels,
            rounded,
            &mut queries,
        )?;

        let blocks: Vec<(Vec<f32>, Vec<f32>)> = keys
            .chunks(KV_BLOCK * dim)
            .zip(values.chunks(KV_BLOCK * dim))
            .map(|(keys, values)| in_block(keys, values, dim))
            .collect();
        let blocks: Vec<KvBlock> = (blocks.iter().enumerate())
            .map(|(n, (keys, values))| KvBlock {
                start: n * KV_BLOCK,
                keys: Floats::F32(keys),
                values: Floats::F32(values),
            })
            .collect();
        let mixed = room(&mut scratch.wide, n_pixels * width);
        let attention = Attention {
            n_heads: width / dim,
            n_kv_heads: 1,
            head_dim: dim,
            queries: &queries,
            visible: &vec![0..keys.len() / dim; n_pixels],
            blocks: &blocks,
        };
        attend(cpu, pool, &attention, mixed)?;
        let mut added = normed; // Its numbers are used up.
        product(
            workers,
            &self.output,
            mixed,
            width,
            &mut scratch.rounded,
            &mut added.data,
        )?;
        let mut output = input.clone();
        pool.for_rows(
            n_pixels,
            [&mut output.data, &mut added.data],
            |_, [out, x]| {
                rows::add_product(cpu, x, &self.layer_scale, out);
            },
        )?;
        Ok(output)
    }
}

/// Up to [`KV_BLOCK`] keys and values `[keys, dim]` as a block of them lies: filled up, and the values transposed.
fn in_block(keys: &[f32], values: &[f32], dim: usize) -> (Vec<f32>, Vec<f32>) {
    let mut padded = keys.to_vec();
    padded.resize(KV_BLOCK * dim, 0.0);
    let mut transposed = vec![0.0; KV_BLOCK * dim];
    for (n, value) in values.chunks_exact(dim).enumerate() {
        for (d, &x) in value.iter().enumerate() {
            transposed[d * KV_BLOCK + n] = x;
        }
    }
    (padded, transposed)
}

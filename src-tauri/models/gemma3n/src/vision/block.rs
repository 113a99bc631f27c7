//! The three kinds of blocks of MobileNet-V5. What its files call "bn" is an RMSNorm over channels.

use candle_core::Tensor;

use crate::conv::{Axis, Map, convolve, convolve_depthwise};
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::pointwise::gelu;

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

    pub fn forward(&self, map: &Map) -> Result<Map> {
        match self {
            Self::EdgeResidual(block) => block.forward(map),
            Self::InvertedBottleneck(block) => block.forward(map),
            Self::MultiQueryAttention(block) => block.forward(map),
        }
    }
}

/// Adds the input where the block kept its shape.
fn skip(input: &Map, output: Map) -> Result<Map> {
    if input.data.dims() != output.data.dims() {
        return Ok(output);
    }
    let sum = (&output.data + &input.data)?;
    Ok(output.with(sum))
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

    /// A 1x1 convolution, as wide as the file says.
    fn pointwise(&self, name: &str, n_in: usize) -> Result<Linear> {
        let n_out = self
            .shape(name)
            .map_or(0, |s| s.first().copied().unwrap_or(0));
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
        let weight = self
            .loader
            .tensor(&self.name(conv), &[channels, 1, kernel, kernel])?
            .reshape((channels, kernel * kernel))?
            .t()?
            .contiguous()?;
        Ok(Some(Depthwise {
            weight,
            kernel,
            stride,
            norm: self.norm(norm, channels)?,
        }))
    }

    fn layer_scale(&self, width: usize) -> Result<Tensor> {
        self.loader
            .tensor(&self.name("layer_scale.gamma"), &[width])
    }
}

/// A full convolution `[out, in, kernel, kernel]` ready for [`convolve`], its kernel and its inputs.
pub(super) fn full_convolution(loader: &Loader, name: &str) -> Result<(Linear, usize, usize)> {
    let shape = match loader.checkpoint().tensor(name) {
        Some(view) if view.shape.len() == 4 => view.shape.to_vec(),
        // Asking for it makes the sentence: missing, or not four axes.
        _ => loader.tensor(name, &[0; 4])?.dims().to_vec(),
    };
    let (n_out, n_in, kernel) = (shape[0], shape[1], shape[2]);
    let weight = loader
        .tensor(name, &[n_out, n_in, kernel, kernel])?
        .permute((0, 2, 3, 1))?
        .reshape((n_out, kernel * kernel * n_in))?;
    Ok((Linear::dense(weight), kernel, n_in))
}

#[derive(Debug)]
struct Depthwise {
    /// `[kernel * kernel, channels]`
    weight: Tensor,
    kernel: usize,
    stride: usize,
    norm: RmsNorm,
}

impl Depthwise {
    fn forward(&self, map: &Map) -> Result<Map> {
        let map = convolve_depthwise(
            map,
            &self.weight,
            Axis::same(self.kernel, self.stride, map.height),
            Axis::same(self.kernel, self.stride, map.width),
        )?;
        Ok(map.with(self.norm.forward(&map.data)?))
    }
}

/// A full convolution that widens, then a 1x1 one that narrows.
#[derive(Debug)]
pub(super) struct EdgeResidual {
    conv_exp: Linear,
    kernel: usize,
    stride: usize,
    bn1: RmsNorm,
    conv_pwl: Linear,
    bn2: RmsNorm,
}

impl EdgeResidual {
    fn load(files: &Files, stride: usize) -> Result<Self> {
        let (conv_exp, kernel, _) = full_convolution(files.loader, &files.name("conv_exp.weight"))?;
        let width = conv_exp.n_out();
        let conv_pwl = files.pointwise("conv_pwl.weight", width)?;
        Ok(Self {
            kernel,
            stride,
            bn1: files.norm("bn1.weight", width)?,
            bn2: files.norm("bn2.weight", conv_pwl.n_out())?,
            conv_exp,
            conv_pwl,
        })
    }

    fn forward(&self, input: &Map) -> Result<Map> {
        let map = convolve(
            input,
            &self.conv_exp,
            Axis::same(self.kernel, self.stride, input.height),
            Axis::same(self.kernel, self.stride, input.width),
        )?;
        let x = gelu(&self.bn1.forward(&map.data)?)?;
        let x = self.bn2.forward(&self.conv_pwl.forward(&x)?)?;
        skip(input, map.with(x))
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
    pw_proj_norm: RmsNorm,
    layer_scale: Tensor,
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
        Ok(Self {
            dw_start: files.depthwise(
                "dw_start.conv.weight",
                "dw_start.bn.weight",
                n_in,
                start_stride,
            )?,
            pw_exp_norm: files.norm("pw_exp.bn.weight", width)?,
            pw_proj_norm: files.norm("pw_proj.bn.weight", n_out)?,
            layer_scale: files.layer_scale(n_out)?,
            pw_exp,
            dw_mid,
            pw_proj,
        })
    }

    fn forward(&self, input: &Map) -> Result<Map> {
        let mut map = match &self.dw_start {
            Some(depthwise) => depthwise.forward(input)?,
            None => input.clone(),
        };
        let x = self.pw_exp.forward(&map.data)?;
        map = map.with(gelu(&self.pw_exp_norm.forward(&x)?)?);
        if let Some(depthwise) = &self.dw_mid {
            map = depthwise.forward(&map)?;
            map = map.with(gelu(&map.data)?);
        }
        let x = self
            .pw_proj_norm
            .forward(&self.pw_proj.forward(&map.data)?)?;
        skip(input, map.with(x.broadcast_mul(&self.layer_scale)?))
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
    layer_scale: Tensor,
}

#[derive(Debug)]
struct KeyValue {
    down_conv: Option<Depthwise>,
    proj: Linear,
}

impl KeyValue {
    fn load(files: &Files, name: &str, channels: usize) -> Result<Self> {
        Ok(Self {
            down_conv: files.depthwise(
                &format!("attn.{name}.down_conv.weight"),
                &format!("attn.{name}.norm.weight"),
                channels,
                2,
            )?,
            proj: files.pointwise(&format!("attn.{name}.proj.weight"), channels)?,
        })
    }

    fn forward(&self, map: &Map) -> Result<Tensor> {
        match &self.down_conv {
            Some(depthwise) => self.proj.forward(&depthwise.forward(map)?.data),
            None => self.proj.forward(&map.data),
        }
    }
}

impl MultiQueryAttention {
    fn load(files: &Files, n_in: usize) -> Result<Self> {
        let query = files.pointwise("attn.query.proj.weight", n_in)?;
        let output = files.pointwise("attn.output.proj.weight", query.n_out())?;
        Ok(Self {
            norm: files.norm("norm.weight", n_in)?,
            key: KeyValue::load(files, "key", n_in)?,
            value: KeyValue::load(files, "value", n_in)?,
            layer_scale: files.layer_scale(output.n_out())?,
            query,
            output,
        })
    }

    fn forward(&self, input: &Map) -> Result<Map> {
        let normed = input.with(self.norm.forward(&input.data)?);
        let k = self.key.forward(&normed)?; // [keys, head_dim]
        let v = self.value.forward(&normed)?;
        let (head_dim, width) = (k.dim(1)?, self.query.n_out());
        let pixels = input.data.dim(0)?;
        // All heads share the keys, so a head's query is just one more row.
        let q = self
            .query
            .forward(&normed.data)?
            .reshape((pixels * width / head_dim, head_dim))?;
        let scores = (q.matmul(&k.t()?)? * (head_dim as f64).powf(-0.5))?;
        let mixed = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&v)?;
        let x = self.output.forward(&mixed.reshape((pixels, width))?)?;
        skip(input, input.with(x.broadcast_mul(&self.layer_scale)?))
    }
}

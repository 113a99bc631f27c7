//! The vision tower: a MobileNet-V5 encoder and its multi-scale fusion.
//!
//! The file's tensors say which blocks there are and what kind each one is, so the published
//! 300M encoder and any other with the same building blocks load alike.

mod block;

use candle_core::Tensor;

use crate::config::VisionConfig;
use crate::conv::{Axis, Map, convolve};
use crate::error::{Error, Result};
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::pointwise::gelu;
use block::{Block, full_convolution};

const PREFIX: &str = "model.vision_tower.timm_model";

#[derive(Debug)]
pub struct VisionTower {
    stem: Linear,
    stem_kernel: usize,
    stem_bias: Tensor,
    stem_norm: RmsNorm,
    stages: Vec<Vec<Block>>,
    fusion: Fusion,
    image_size: usize,
    hidden_size: usize,
}

impl VisionTower {
    pub(crate) fn load(loader: &Loader, config: &VisionConfig) -> Result<Self> {
        let eps = config.rms_norm_eps;
        let (stem, stem_kernel, _) =
            full_convolution(loader, &format!("{PREFIX}.conv_stem.conv.weight"))?;
        let mut channels = stem.n_out();
        let stem_norm = RmsNorm::load(
            loader,
            &format!("{PREFIX}.conv_stem.bn.weight"),
            channels,
            eps,
        )?;
        let stem_bias = loader.tensor(&format!("{PREFIX}.conv_stem.conv.bias"), &[channels])?;

        let mut stages = Vec::new();
        let mut stage_channels = Vec::new();
        loop {
            let mut blocks: Vec<Block> = Vec::new();
            loop {
                let prefix = format!("{PREFIX}.blocks.{}.{}", stages.len(), blocks.len());
                // The first block of a stage halves the map.
                let stride = if blocks.is_empty() { 2 } else { 1 };
                let Some(block) = Block::load(loader, &prefix, channels, stride, eps)? else {
                    break;
                };
                channels = block.n_out();
                blocks.push(block);
            }
            if blocks.is_empty() {
                break;
            }
            stages.push(blocks);
            stage_channels.push(channels);
        }
        let &[.., fine, coarse] = stage_channels.as_slice() else {
            // Asking for the tensor that a second stage begins with makes the sentence.
            loader.tensor(&format!("{PREFIX}.blocks.1.0.pw_exp.conv.weight"), &[])?;
            return Err(Error::no_vision());
        };
        Ok(Self {
            stem,
            stem_kernel,
            stem_bias,
            stem_norm,
            stages,
            fusion: Fusion::load(loader, config, fine + coarse)?,
            image_size: config.image_size,
            hidden_size: config.hidden_size,
        })
    }

    /// A picture `[height * width, 3]` with values from 0 to 1, to `[soft tokens, hidden]`.
    ///
    /// `trace` sees the map after the stem, every block and the fusion, by the name of its tensors.
    pub fn forward(&self, picture: &Map, trace: &mut dyn FnMut(&str, &Map)) -> Result<Tensor> {
        if (picture.height, picture.width) != (self.image_size, self.image_size) {
            return Err(Error::PictureSize {
                width: picture.width,
                height: picture.height,
                expected: self.image_size,
            });
        }
        let map = convolve(
            picture,
            &self.stem,
            Axis::same(self.stem_kernel, 2, picture.height),
            Axis::same(self.stem_kernel, 2, picture.width),
        )?;
        let biased = map.data.broadcast_add(&self.stem_bias)?;
        let mut map = map.with(gelu(&self.stem_norm.forward(&biased)?)?);
        trace("stem", &map);
        let mut fine = None;
        for (s, stage) in self.stages.iter().enumerate() {
            if s + 1 == self.stages.len() {
                fine = Some(map.clone());
            }
            for (b, block) in stage.iter().enumerate() {
                map = block.forward(&map)?;
                trace(&format!("blocks.{s}.{b}"), &map);
            }
        }
        let fine = fine.expect("load made sure of two stages");
        let fused = self.fusion.forward(&fine, &map)?;
        trace("encoder", &fused);
        // The reference's factor; the norm that follows leaves of it only its effect on the epsilon.
        Ok((fused.data * (self.hidden_size as f64).sqrt())?)
    }
}

/// Multi-scale fusion: the last two stages side by side, at the finer one's resolution, then pooled.
#[derive(Debug)]
struct Fusion {
    pw_exp: Linear,
    pw_exp_norm: RmsNorm,
    pw_proj: Linear,
    pw_proj_norm: RmsNorm,
    norm: RmsNorm,
    /// Side of the grid of soft tokens.
    grid: usize,
}

impl Fusion {
    fn load(loader: &Loader, config: &VisionConfig, channels: usize) -> Result<Self> {
        let (eps, hidden) = (config.rms_norm_eps, config.hidden_size);
        let expanded = loader
            .checkpoint()
            .tensor(&format!("{PREFIX}.msfa.ffn.pw_exp.conv.weight"))
            .map_or(2 * channels, |view| view.shape[0]);
        let norm = |name: &str, width| {
            RmsNorm::load(loader, &format!("{PREFIX}.msfa.{name}.weight"), width, eps)
        };
        let pointwise = |name: &str, n_out, n_in| {
            loader.pointwise(&format!("{PREFIX}.msfa.ffn.{name}.weight"), n_out, n_in)
        };
        Ok(Self {
            pw_exp: pointwise("pw_exp.conv", expanded, channels)?,
            pw_exp_norm: norm("ffn.pw_exp.bn", expanded)?,
            pw_proj: pointwise("pw_proj.conv", hidden, expanded)?,
            pw_proj_norm: norm("ffn.pw_proj.bn", hidden)?,
            norm: norm("norm", hidden)?,
            grid: config.soft_tokens_per_image.isqrt(),
        })
    }

    fn forward(&self, fine: &Map, coarse: &Map) -> Result<Map> {
        let (height, width) = (fine.height, fine.width);
        let channels = coarse.channels()?;
        if !height.is_multiple_of(self.grid) || !height.is_multiple_of(coarse.height) {
            return Err(Error::PictureSize {
                width: fine.width,
                height: fine.height,
                expected: self.grid,
            });
        }
        // Nearest: every coarse pixel becomes a square of equal ones.
        let times = height / coarse.height;
        let upsampled = coarse
            .data
            .reshape((coarse.height, 1, coarse.width, 1, channels))?
            .broadcast_as((coarse.height, times, coarse.width, times, channels))?
            .reshape((height * width, channels))?;
        let both = Tensor::cat(&[&fine.data, &upsampled], 1)?;
        let x = self.pw_exp_norm.forward(&self.pw_exp.forward(&both)?)?;
        let x = self.pw_proj.forward(&gelu(&x)?)?;
        let x = self.pw_proj_norm.forward(&x)?;
        let (side, hidden) = (height / self.grid, x.dim(1)?);
        let pooled = x
            .reshape((self.grid, side, self.grid, side, hidden))?
            .mean((1, 3))?
            .reshape((self.grid * self.grid, hidden))?;
        Ok(Map {
            height: self.grid,
            width: self.grid,
            data: self.norm.forward(&pooled)?,
        })
    }
}

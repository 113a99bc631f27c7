//! The vision tower: a MobileNet-V5 encoder and its multi-scale fusion.
//!
//! The file's tensors say which blocks there are and what kind each one is, so the published
//! 300M encoder and any other with the same building blocks load alike.

mod block;
mod map;

use kernels::rows;

use crate::config::VisionConfig;
use crate::error::{Error, Result};
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::text::room;
use crate::workers::Workers;
use block::Block;
pub use map::Map;
use map::{Convolution, Scratch, norm_and_gelu, product, strip_len};

const PREFIX: &str = "model.vision_tower.timm_model";

#[derive(Debug)]
pub struct VisionTower {
    stem: Convolution,
    stem_bias: Vec<f32>,
    stem_norm: RmsNorm,
    stages: Vec<Vec<Block>>,
    fusion: Fusion,
    image_size: usize,
    hidden_size: usize,
}

impl VisionTower {
    pub(crate) fn load(loader: &Loader, config: &VisionConfig) -> Result<Self> {
        let eps = config.rms_norm_eps;
        let stem = Convolution::load(loader, &format!("{PREFIX}.conv_stem.conv.weight"), 2, None)?;
        let mut channels = stem.n_out();
        let stem_norm = RmsNorm::load(
            loader,
            &format!("{PREFIX}.conv_stem.bn.weight"),
            channels,
            eps,
        )?;
        let stem_bias = loader.values(&format!("{PREFIX}.conv_stem.conv.bias"), &[channels])?;

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
    pub(crate) fn forward(
        &self,
        workers: &Workers,
        picture: &Map,
        trace: &mut dyn FnMut(&str, &Map),
    ) -> Result<Map> {
        if (picture.height, picture.width) != (self.image_size, self.image_size) {
            return Err(Error::PictureSize {
                width: picture.width,
                height: picture.height,
                expected: self.image_size,
            });
        }
        let mut scratch = Scratch::default();
        let (height, width) = self.stem.size(picture);
        let channels = self.stem.n_out();
        let mut map = Map::zeros(height, width, channels);
        let Workers { cpu, pool } = workers;
        let each = |first: usize, strip: &mut [f32], _: &mut _| {
            pool.for_rows(strip.len() / channels, [&mut *strip], |_, [x]| {
                rows::add_scaled(cpu, 1.0, &self.stem_bias, x);
            })?;
            norm_and_gelu(workers, &self.stem_norm, strip)?;
            map.data[first * channels..][..strip.len()].copy_from_slice(strip);
            Ok(())
        };
        self.stem.for_strips(workers, picture, &mut scratch, each)?;
        trace("stem", &map);
        let mut fine = None;
        for (s, stage) in self.stages.iter().enumerate() {
            if s + 1 == self.stages.len() {
                fine = Some(map.clone());
            }
            for (b, block) in stage.iter().enumerate() {
                map = block.forward(workers, &map, &mut scratch)?;
                trace(&format!("blocks.{s}.{b}"), &map);
            }
        }
        let fine = fine.expect("load made sure of two stages");
        let mut fused = self.fusion.forward(workers, &fine, &map, &mut scratch)?;
        trace("encoder", &fused);
        // The reference's factor; the norm that follows leaves of it only its effect on the epsilon.
        rows::scale(cpu, (self.hidden_size as f32).sqrt(), &mut fused.data);
        Ok(fused)
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

    fn forward(
        &self,
        workers: &Workers,
        fine: &Map,
        coarse: &Map,
        scratch: &mut Scratch,
    ) -> Result<Map> {
        let (height, width) = (fine.height, fine.width);
        let fits = |len: usize, n: usize| n > 0 && len.is_multiple_of(n);
        if !fits(height, self.grid) || !fits(height, coarse.height) || width != height {
            return Err(Error::PictureSize {
                width: fine.width,
                height: fine.height,
                expected: self.grid,
            });
        }
        let (n_in, hidden) = (fine.channels + coarse.channels, self.pw_proj.n_out());
        let (times, side) = (height / coarse.height, height / self.grid);
        let mut pooled = Map::zeros(self.grid, self.grid, hidden);
        let Scratch {
            rounded,
            patches,
            wide,
        } = scratch;
        let mut narrow = Vec::new();
        let strip = strip_len(self.pw_exp.n_out());
        for first in (0..fine.n_pixels()).step_by(strip) {
            let n = strip.min(fine.n_pixels() - first);
            let both = room(patches, n * n_in);
            workers.pool.for_rows(n, [&mut *both], |pixel, [both]| {
                let pixel = first + pixel;
                // Nearest: every coarse pixel becomes a square of equal ones.
                let below = pixel / width / times * coarse.width + pixel % width / times;
                let (left, right) = both.split_at_mut(fine.channels);
                left.copy_from_slice(&fine.data[pixel * fine.channels..][..fine.channels]);
                right.copy_from_slice(&coarse.data[below * coarse.channels..][..coarse.channels]);
            })?;
            let wide = room(wide, n * self.pw_exp.n_out());
            product(workers, &self.pw_exp, both, n_in, rounded, wide)?;
            norm_and_gelu(workers, &self.pw_exp_norm, wide)?;
            let narrow = room(&mut narrow, n * hidden);
            let expanded = self.pw_exp.n_out();
            product(workers, &self.pw_proj, wide, expanded, rounded, narrow)?;
            let Workers { cpu, pool } = workers;
            pool.for_rows(n, [&mut *narrow], |_, [x]| self.pw_proj_norm.apply(cpu, x))?;
            let share = 1.0 / (side * side) as f32;
            for (pixel, x) in (first..).zip(narrow.chunks_exact(hidden)) {
                let cell = pixel / width / side * self.grid + pixel % width / side;
                let cell = &mut pooled.data[cell * hidden..][..hidden];
                rows::add_scaled(cpu, share, x, cell);
            }
        }
        for cell in pooled.data.chunks_exact_mut(hidden) {
            self.norm.apply(&workers.cpu, cell);
        }
        Ok(pooled)
    }
}

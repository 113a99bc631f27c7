//! From mel frames (10 ms) to conformer positions (40 ms).

use candle_core::{Device, Tensor};

use super::PREFIX;
use crate::config::AudioConfig;
use crate::conv::{Axis, Map, convolve};
use crate::embedder::to_host;
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;

#[derive(Debug)]
pub(super) struct Subsampling {
    convolutions: [Convolution; 2],
    input_proj_linear: Linear,
}

#[derive(Debug)]
struct Convolution {
    weight: Linear,
    /// `(time, frequency)`
    kernel: (usize, usize),
    stride: (usize, usize),
    /// One weight a channel.
    norm: Vec<f32>,
    eps: f64,
}

impl Subsampling {
    pub fn load(loader: &Loader, config: &AudioConfig) -> Result<Self> {
        let prefix = format!("{PREFIX}.subsample_conv_projection");
        let first = Convolution::load(loader, config, &prefix, 0, 1)?;
        let second = Convolution::load(loader, config, &prefix, 1, first.norm.len())?;
        let bins = [&first, &second]
            .iter()
            .fold(config.input_feat_size, |bins, conv| conv.n_bins(bins));
        let input_proj_linear = loader.linear(
            &format!("{prefix}.input_proj_linear.weight"),
            config.hidden_size,
            bins * second.norm.len(),
        )?;
        Ok(Self {
            convolutions: [first, second],
            input_proj_linear,
        })
    }

    /// Mel frames for one position of the output.
    pub fn time_stride(&self) -> usize {
        self.convolutions.iter().map(|c| c.stride.0).product()
    }

    /// `[frames, bins] -> [positions, hidden]`
    pub fn forward(&self, mel: &Tensor) -> Result<Tensor> {
        let (frames, bins) = mel.dims2()?;
        let mut map = Map {
            height: frames,
            width: bins,
            data: mel.reshape((frames * bins, 1))?,
        };
        for convolution in &self.convolutions {
            map = convolution.forward(&map)?;
        }
        // Frequency-major, channel-minor: the order in which a map with channels last lies anyway.
        let width = map.width * map.channels()?;
        self.input_proj_linear
            .forward(&map.data.reshape((map.height, width))?)
    }
}

impl Convolution {
    fn load(
        loader: &Loader,
        config: &AudioConfig,
        prefix: &str,
        n: usize,
        n_in: usize,
    ) -> Result<Self> {
        let name = format!("{prefix}.conv_{n}.conv.weight");
        let shape = match loader.checkpoint().tensor(&name) {
            Some(view) if view.shape.len() == 4 => view.shape.to_vec(),
            _ => loader.tensor(&name, &[0; 4])?.dims().to_vec(),
        };
        let (n_out, kernel) = (shape[0], (shape[2], shape[3]));
        let weight = loader
            .tensor(&name, &[n_out, n_in, kernel.0, kernel.1])?
            .permute((0, 2, 3, 1))?
            .reshape((n_out, kernel.0 * kernel.1 * n_in))?;
        let norm = loader.tensor(&format!("{prefix}.conv_{n}.norm.weight"), &[n_out])?;
        let [time, frequency] = config.sscp_conv_stride_size[n];
        Ok(Self {
            weight: Linear::dense(weight),
            kernel,
            stride: (time.max(1), frequency.max(1)),
            norm: to_host(&norm)?,
            eps: config.sscp_conv_group_norm_eps,
        })
    }

    fn n_bins(&self, bins: usize) -> usize {
        (bins + 3)
            .saturating_sub(self.kernel.1)
            .div_ceil(self.stride.1)
    }

    fn forward(&self, map: &Map) -> Result<Map> {
        // The reference pads time behind the sound only ("reverse causal"), frequency by one on each side.
        let time = Axis {
            kernel: self.kernel.0,
            stride: self.stride.0,
            pad: (0, self.kernel.0 - 1),
        };
        let frequency = Axis {
            kernel: self.kernel.1,
            stride: self.stride.1,
            pad: (1, 1),
        };
        let map = convolve(map, &self.weight, time, frequency)?;
        let mut values = to_host(&map.data)?;
        cumulative_group_norm(&mut values, map.width, &self.norm, self.eps);
        let data = Tensor::from_vec(values, map.data.shape(), &Device::Cpu)?;
        Ok(map.with(data.to_device(map.data.device())?.relu()?))
    }
}

/// Norms every frame by the statistics of the frames up to it, over all bins and channels.
///
/// A frame enters the variance with its distance from *its own* cumulative mean, which is not the
/// variance of the frames so far.
fn cumulative_group_norm(values: &mut [f32], bins: usize, weight: &[f32], eps: f64) {
    let channels = weight.len();
    let (mut sum, mut squares) = (0f64, 0f64);
    for (t, frame) in values.chunks_exact_mut(bins * channels).enumerate() {
        let n = ((t + 1) * frame.len()) as f64;
        sum += frame.iter().map(|&x| f64::from(x)).sum::<f64>();
        let mean = sum / n;
        squares += frame
            .iter()
            .map(|&x| (f64::from(x) - mean).powi(2))
            .sum::<f64>();
        let scale = 1.0 / (squares / n + eps).sqrt();
        for pixel in frame.chunks_exact_mut(channels) {
            for (x, w) in pixel.iter_mut().zip(weight) {
                *x = ((f64::from(*x) - mean) * scale) as f32 * w;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_never_looks_ahead() {
        let mut long: Vec<f32> = (0..60).map(|i| (i as f32 * 0.7).sin()).collect();
        let mut short = long[..36].to_vec();
        let weight = [1.0, 0.5, 2.0];
        cumulative_group_norm(&mut long, 2, &weight, 1e-3);
        cumulative_group_norm(&mut short, 2, &weight, 1e-3);
        assert_eq!(long[..36], short);
    }
}

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

/// What is kept of a sound that goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Subsampled([ConvolutionState; 2]);

#[derive(Clone, Debug, Default)]
struct ConvolutionState {
    /// Input rows that the next output needs.
    pending: Option<Map>,
    statistics: Statistics,
}

/// Of all frames so far.
#[derive(Clone, Copy, Debug, Default)]
struct Statistics {
    values: usize,
    sum: f64,
    squares: f64,
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

    /// The next frames `[frames, bins]` to the positions `[positions, hidden]` that are known with them.
    ///
    /// A position looks some frames ahead; `is_last` takes the end of the sound for what it does not find there.
    pub fn forward(
        &self,
        mel: Option<&Tensor>,
        state: &mut Subsampled,
        is_last: bool,
    ) -> Result<Option<Tensor>> {
        let mut map = match mel {
            Some(mel) => {
                let (frames, bins) = mel.dims2()?;
                Some(Map {
                    height: frames,
                    width: bins,
                    data: mel.reshape((frames * bins, 1))?,
                })
            }
            None => None,
        };
        for (convolution, state) in self.convolutions.iter().zip(&mut state.0) {
            map = convolution.forward(map, state, is_last)?;
        }
        let Some(map) = map else {
            return Ok(None);
        };
        // Frequency-major, channel-minor: the order in which a map with channels last lies anyway.
        let width = map.width * map.channels()?;
        let rows = map.data.reshape((map.height, width))?;
        Ok(Some(self.input_proj_linear.forward(&rows)?))
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
        let of_these = |[n_out, _, height, width]: [usize; 4]| [n_out, n_in, height, width];
        let (weight, [n_out, _, height, width]) = loader.convolution(&name, of_these)?;
        let kernel = (height, width);
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

    fn forward(
        &self,
        map: Option<Map>,
        state: &mut ConvolutionState,
        is_last: bool,
    ) -> Result<Option<Map>> {
        let map = match (state.pending.take(), map) {
            (Some(before), Some(new)) => Map {
                height: before.height + new.height,
                width: before.width,
                data: Tensor::cat(&[&before.data, &new.data], 0)?,
            },
            (Some(map), None) | (None, Some(map)) => map,
            (None, None) => return Ok(None),
        };
        // The reference pads time behind the sound only ("reverse causal"), frequency by one on each side.
        let time = Axis {
            kernel: self.kernel.0,
            stride: self.stride.0,
            pad: (0, if is_last { self.kernel.0 - 1 } else { 0 }),
        };
        if !is_last {
            let n_out = (map.height + 1)
                .saturating_sub(self.kernel.0)
                .div_ceil(self.stride.0);
            let used = (n_out * self.stride.0).min(map.height);
            state.pending = map.rows_from(used)?;
            if n_out == 0 {
                return Ok(None);
            }
        }
        let map = &map;
        let frequency = Axis {
            kernel: self.kernel.1,
            stride: self.stride.1,
            pad: (1, 1),
        };
        let map = convolve(map, &self.weight, time, frequency)?;
        let mut values = to_host(&map.data)?;
        cumulative_group_norm(
            &mut values,
            map.width,
            &self.norm,
            self.eps,
            &mut state.statistics,
        );
        let data = Tensor::from_vec(values, map.data.shape(), &Device::Cpu)?;
        Ok(Some(map.with(data.to_device(map.data.device())?.relu()?)))
    }
}

/// Norms every frame by the statistics of the frames up to it, over all bins and channels.
///
/// A frame enters the variance with its distance from *its own* cumulative mean, which is not the
/// variance of the frames so far.
fn cumulative_group_norm(
    values: &mut [f32],
    bins: usize,
    weight: &[f32],
    eps: f64,
    statistics: &mut Statistics,
) {
    let channels = weight.len();
    let Statistics {
        values: n_values,
        sum,
        squares,
    } = statistics;
    for frame in values.chunks_exact_mut(bins * channels) {
        *n_values += frame.len();
        let n = *n_values as f64;
        *sum += frame.iter().map(|&x| f64::from(x)).sum::<f64>();
        let mean = *sum / n;
        *squares += frame
            .iter()
            .map(|&x| (f64::from(x) - mean).powi(2))
            .sum::<f64>();
        let scale = 1.0 / (*squares / n + eps).sqrt();
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
        let norm = |values: &mut [f32], statistics: &mut Statistics| {
            cumulative_group_norm(values, 2, &weight, 1e-3, statistics);
        };
        let (mut head, mut tail) = (long[..24].to_vec(), long[24..].to_vec());
        norm(&mut long, &mut Statistics::default());
        norm(&mut short, &mut Statistics::default());
        assert_eq!(long[..36], short);
        // And goes on where it was.
        let mut statistics = Statistics::default();
        norm(&mut head, &mut statistics);
        norm(&mut tail, &mut statistics);
        assert_eq!(long, [head, tail].concat());
    }
}

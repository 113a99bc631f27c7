//! Maps of pixels, and the convolutions that run over them.
//!
//! A pixel is a row of channels, so that 1x1 convolutions and norms are operations on rows.

use kernels::{Activations, Rows, rows};

use crate::conv::{Axis, taps};
use crate::error::Result;
use crate::linear::{Linear, Product, multiply};
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::text::room;
use crate::workers::{Operand, Workers};

/// A picture on its way through the tower.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// `[height * width, channels]`
    pub data: Vec<f32>,
}

impl Map {
    pub(super) fn zeros(height: usize, width: usize, channels: usize) -> Self {
        Self {
            height,
            width,
            channels,
            data: vec![0.0; height * width * channels],
        }
    }

    pub(super) fn n_pixels(&self) -> usize {
        self.height * self.width
    }
}

/// The memory that the blocks of a tower share.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub rounded: Activations,
    pub patches: Vec<f32>,
    pub wide: Vec<f32>,
}

/// Values of the widest rows that are worked on before the next pixels are touched: 2 MiB of f32, which stays in the
/// cache from one operation of a block to the next.
const STRIP_VALUES: usize = 1 << 19;

/// How many pixels with `width` values each to work on at once.
pub(super) fn strip_len(width: usize) -> usize {
    (STRIP_VALUES / width).max(1)
}

/// `linear` of every row of `x`.
pub(super) fn product(
    workers: &Workers,
    linear: &Linear,
    x: &[f32],
    n_in: usize,
    rounded: &mut Activations,
    out: &mut [f32],
) -> Result<()> {
    let product = Product {
        linear,
        rows: Rows::First(linear.n_out()),
        out,
    };
    multiply(workers, &mut Operand::new(x, n_in, rounded), &mut [product])
}

/// Norms every row and applies GELU.
pub(super) fn norm_and_gelu(workers: &Workers, norm: &RmsNorm, x: &mut [f32]) -> Result<()> {
    let Workers { cpu, pool } = workers;
    pool.for_rows(x.len() / norm.width(), [x], |_, [x]| {
        norm.apply(cpu, x);
        rows::gelu(cpu, x);
    })?;
    Ok(())
}

/// A convolution in which every output channel sees every input channel.
#[derive(Debug)]
pub(super) struct Convolution {
    /// `[out, kernel * kernel * in]`, channels innermost.
    weight: Linear,
    kernel: usize,
    stride: usize,
    n_in: usize,
}

impl Convolution {
    /// The tensor `[out, in, kernel, kernel]` of this name. It is rounded to 8 bits if `like` is a matrix of few bits:
    /// files cannot hold convolutions so, because their rows are as short as a kernel.
    pub fn load(loader: &Loader, name: &str, stride: usize, like: Option<&Linear>) -> Result<Self> {
        let square = |[n_out, n_in, kernel, _]: [usize; 4]| [n_out, n_in, kernel, kernel];
        let (weight, [_, n_in, kernel, _]) = loader.convolution(name, square)?;
        let rounded = match like.and_then(Linear::matrix) {
            Some(_) => Linear::at_eight_bits(&weight, loader.workers())?,
            None => None,
        };
        Ok(Self {
            weight: rounded.unwrap_or_else(|| Linear::dense(weight)),
            kernel,
            stride,
            n_in,
        })
    }

    pub fn n_out(&self) -> usize {
        self.weight.n_out()
    }

    /// Height and width of what comes of a map.
    pub fn size(&self, map: &Map) -> (usize, usize) {
        let axis = |len| Axis::same(self.kernel, self.stride, len).n_out(len);
        (axis(map.height), axis(map.width))
    }

    /// Calls `each` with a strip of output pixels `[pixels, channels]` after the other and the number of its first one.
    pub fn for_strips(
        &self,
        workers: &Workers,
        map: &Map,
        scratch: &mut Scratch,
        mut each: impl FnMut(usize, &mut [f32], &mut Activations) -> Result<()>,
    ) -> Result<()> {
        let rows = Axis::same(self.kernel, self.stride, map.height);
        let columns = Axis::same(self.kernel, self.stride, map.width);
        let (height, width) = self.size(map);
        let n_pixels = height * width;
        let patch_len = self.kernel * self.kernel * self.n_in;
        let strip = strip_len(patch_len.max(self.n_out()));
        for first in (0..n_pixels).step_by(strip) {
            let n = strip.min(n_pixels - first);
            let patches = room(&mut scratch.patches, n * patch_len);
            workers
                .pool
                .for_rows(n, [&mut *patches], |pixel, [patch]| {
                    patch.fill(0.0);
                    let place = ((first + pixel) / width, (first + pixel) % width);
                    for (tap, pixel) in taps(place, rows, columns, (map.height, map.width)) {
                        patch[tap * self.n_in..][..self.n_in]
                            .copy_from_slice(&map.data[pixel * self.n_in..][..self.n_in]);
                    }
                })?;
            let out = room(&mut scratch.wide, n * self.n_out());
            product(
                workers,
                &self.weight,
                patches,
                patch_len,
                &mut scratch.rounded,
                out,
            )?;
            each(first, out, &mut scratch.rounded)?;
        }
        Ok(())
    }
}

/// A convolution of every channel by itself, and its norm.
#[derive(Debug)]
pub(super) struct Depthwise {
    /// `[kernel * kernel, channels]`
    weight: Vec<f32>,
    kernel: usize,
    stride: usize,
    norm: RmsNorm,
}

impl Depthwise {
    /// The tensor `[channels, 1, kernel, kernel]` of this name.
    pub fn load(
        loader: &Loader,
        name: &str,
        kernel: usize,
        channels: usize,
        stride: usize,
        norm: RmsNorm,
    ) -> Result<Self> {
        let weight = loader
            .tensor(name, &[channels, 1, kernel, kernel])?
            .reshape((channels, kernel * kernel))?
            .t()?
            .flatten_all()?
            .to_vec1()?;
        Ok(Self {
            weight,
            kernel,
            stride,
            norm,
        })
    }

    /// With a GELU behind the norm if asked for.
    pub fn forward(&self, workers: &Workers, map: &Map, with_gelu: bool) -> Result<Map> {
        let rows = Axis::same(self.kernel, self.stride, map.height);
        let columns = Axis::same(self.kernel, self.stride, map.width);
        let channels = map.channels;
        let mut out = Map::zeros(rows.n_out(map.height), columns.n_out(map.width), channels);
        let Workers { cpu, pool } = workers;
        pool.for_rows(out.height, [&mut out.data], |row, [out]| {
            let mut places = Vec::with_capacity(self.kernel * self.kernel);
            for (column, out) in out.chunks_exact_mut(channels).enumerate() {
                places.clear();
                places.extend(
                    taps((row, column), rows, columns, (map.height, map.width))
                        .map(|(tap, pixel)| (pixel * channels, tap * channels)),
                );
                rows::weighted_sum(cpu, &map.data, &self.weight, &places, out);
                self.norm.apply(cpu, out);
                if with_gelu {
                    rows::gelu(cpu, out);
                }
            }
        })?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::worst;
    use candle_core::{D, Device, Tensor};
    use kernels::{Cpu, Pool};

    fn random(shape: (usize, usize)) -> Tensor {
        Tensor::randn(0f32, 1., shape, &Device::Cpu).unwrap()
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// `[1, channels, height, width]` with the zeros of "same" around it.
    fn padded(map: &Map, rows: Axis, columns: Axis) -> Tensor {
        Tensor::from_slice(
            &map.data,
            (1, map.height, map.width, map.channels),
            &Device::Cpu,
        )
        .unwrap()
        .permute((0, 3, 1, 2))
        .unwrap()
        .contiguous()
        .unwrap()
        .pad_with_zeros(2, rows.pad.0, rows.pad.1)
        .unwrap()
        .pad_with_zeros(D::Minus1, columns.pad.0, columns.pad.1)
        .unwrap()
    }

    /// What candle gives, with channels last.
    fn channels_last(data: Tensor) -> Tensor {
        let (_, channels, height, width) = data.dims4().unwrap();
        let data = data.permute((0, 2, 3, 1)).unwrap();
        data.reshape((height * width, channels)).unwrap()
    }

    #[test]
    fn convolutions_match_candles() {
        let workers = Workers {
            cpu: Cpu::best(),
            pool: Pool::new(2),
        };
        for (height, width, kernel, stride) in [
            (1, 1, 3, 1),
            (7, 9, 3, 2),
            (8, 6, 5, 2),
            (13, 11, 5, 1),
            (4, 20, 3, 1),
        ] {
            let map = Map {
                height,
                width,
                channels: 6,
                data: numbers(&random((height * width, 6))),
            };
            let rows = Axis::same(kernel, stride, height);
            let columns = Axis::same(kernel, stride, width);
            let padded = padded(&map, rows, columns);

            let weight = random((10, kernel * kernel * 6));
            let convolution = Convolution {
                weight: Linear::dense(weight.clone()),
                kernel,
                stride,
                n_in: 6,
            };
            let mut ours = Vec::new();
            convolution
                .for_strips(&workers, &map, &mut Scratch::default(), |first, out, _| {
                    assert_eq!(first * 10, ours.len());
                    ours.extend_from_slice(out);
                    Ok(())
                })
                .unwrap();
            let theirs = weight
                .reshape((10, kernel, kernel, 6))
                .unwrap()
                .permute((0, 3, 1, 2))
                .unwrap()
                .contiguous()
                .unwrap();
            let theirs = channels_last(padded.conv2d(&theirs, 0, stride, 1, 1).unwrap());
            let ours = Tensor::from_vec(ours, theirs.shape(), &Device::Cpu).unwrap();
            assert!(worst(&ours, &theirs) < 1e-4);

            let weight = random((kernel * kernel, 6));
            let norm = RmsNorm::plain(6, 1e-6, &Device::Cpu).unwrap();
            let depthwise = Depthwise {
                weight: numbers(&weight),
                kernel,
                stride,
                norm: norm.clone(),
            };
            let ours = depthwise.forward(&workers, &map, false).unwrap();
            let theirs = weight
                .t()
                .unwrap()
                .reshape((6, 1, kernel, kernel))
                .unwrap()
                .contiguous()
                .unwrap();
            let theirs = channels_last(padded.conv2d(&theirs, 0, stride, 1, 6).unwrap());
            let theirs = norm.forward(&theirs).unwrap();
            let ours = Tensor::from_vec(ours.data, theirs.shape(), &Device::Cpu).unwrap();
            assert!(worst(&ours, &theirs) < 1e-4);
        }
    }
}

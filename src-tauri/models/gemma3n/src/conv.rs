//! Convolutions over maps that keep their channels last, so that a pixel is a row.
//!
//! Channels last makes 1x1 convolutions and norms plain row operations. On a CPU the others are
//! written here (candle splits a depthwise convolution into one per channel); elsewhere candle's
//! own are used. The tests compare the two.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error as TensorError, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::linear::Linear;

/// A picture, or sound over frequency: `[height * width, channels]`.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    pub height: usize,
    pub width: usize,
    /// `[height * width, channels]`
    pub data: Tensor,
}

impl Map {
    pub fn channels(&self) -> Result<usize> {
        Ok(self.data.dim(1)?)
    }

    pub fn with(&self, data: Tensor) -> Self {
        Self { data, ..*self }
    }

    /// The rows from one on, if there are any.
    pub fn rows_from(&self, row: usize) -> Result<Option<Self>> {
        let height = self.height - row;
        if height == 0 {
            return Ok(None);
        }
        let data = self.data.narrow(0, row * self.width, height * self.width)?;
        Ok(Some(Self {
            height,
            data: data.contiguous()?,
            ..*self
        }))
    }

    /// `[1, channels, height, width]`, as candle's convolutions want it.
    fn channels_first(&self) -> Result<Tensor> {
        let channels = self.channels()?;
        Ok(self
            .data
            .reshape((1, self.height, self.width, channels))?
            .permute((0, 3, 1, 2))?
            .contiguous()?)
    }

    fn from_channels_first(data: &Tensor) -> Result<Self> {
        let (_, channels, height, width) = data.dims4()?;
        let data = data
            .permute((0, 2, 3, 1))?
            .reshape((height * width, channels))?;
        Ok(Self {
            height,
            width,
            data,
        })
    }
}

/// One axis of a window that moves over a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub kernel: usize,
    pub stride: usize,
    /// Zeros before and after the map.
    pub pad: (usize, usize),
}

impl Axis {
    /// TensorFlow's "same": the output has `ceil(len / stride)` entries, the odd zero comes last.
    pub fn same(kernel: usize, stride: usize, len: usize) -> Self {
        let total = ((len.div_ceil(stride) - 1) * stride + kernel).saturating_sub(len);
        Self {
            kernel,
            stride,
            pad: (total / 2, total - total / 2),
        }
    }

    pub(crate) fn n_out(self, len: usize) -> usize {
        // Places where the whole kernel lies on the padded map, every `stride`-th of them.
        let places = (len + self.pad.0 + self.pad.1 + 1).saturating_sub(self.kernel);
        places.div_ceil(self.stride)
    }
}

/// Patch values gathered at once: 32 MiB of f32.
const PATCH_VALUES: usize = 1 << 23;

/// A full convolution. `weight` is `[out, kernel_h * kernel_w * in]`, channels innermost.
pub fn convolve(map: &Map, weight: &Linear, rows: Axis, columns: Axis) -> Result<Map> {
    let channels = map.channels()?;
    let (height, width) = (rows.n_out(map.height), columns.n_out(map.width));
    let per_row = width * rows.kernel * columns.kernel * channels;
    let strip = (PATCH_VALUES / per_row).clamp(1, height);
    let data = map.data.contiguous()?;
    let parts = (0..height)
        .step_by(strip)
        .map(|first| {
            let patches = Patches {
                map: (map.height, map.width, channels),
                rows,
                columns,
                out: (first, strip.min(height - first), width),
            };
            let patches = if data.device().is_cpu() {
                data.apply_op1_no_bwd(&patches)?
            } else {
                patches.by_slices(&data)?
            };
            weight.forward(&patches)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Map {
        height,
        width,
        data: Tensor::cat(&parts, 0)?,
    })
}

/// A depthwise convolution. `weight` is `[kernel_h * kernel_w, channels]`.
pub fn convolve_depthwise(map: &Map, weight: &Tensor, rows: Axis, columns: Axis) -> Result<Map> {
    if !map.data.device().is_cpu() {
        return convolve_depthwise_by_candle(map, weight, rows, columns);
    }
    let channels = map.channels()?;
    let op = Depthwise {
        map: (map.height, map.width, channels),
        rows,
        columns,
    };
    let data = map
        .data
        .contiguous()?
        .apply_op2_no_bwd(&weight.contiguous()?, &op)?;
    Ok(Map {
        height: rows.n_out(map.height),
        width: columns.n_out(map.width),
        data,
    })
}

fn convolve_depthwise_by_candle(
    map: &Map,
    weight: &Tensor,
    rows: Axis,
    columns: Axis,
) -> Result<Map> {
    let channels = map.channels()?;
    let weight = weight
        .t()?
        .reshape((channels, 1, rows.kernel, columns.kernel))?
        .contiguous()?;
    let padded = map
        .channels_first()?
        .pad_with_zeros(2, rows.pad.0, rows.pad.1)?
        .pad_with_zeros(3, columns.pad.0, columns.pad.1)?;
    // candle has one stride for both axes, as have all depthwise layers of the model.
    Map::from_channels_first(&padded.conv2d(&weight, 0, rows.stride, 1, channels)?)
}

/// Gathers, for output rows `first..first + n`, the input under each window as one row.
struct Patches {
    map: (usize, usize, usize),
    rows: Axis,
    columns: Axis,
    /// First output row, number of output rows, width of an output row.
    out: (usize, usize, usize),
}

impl Patches {
    fn shape(&self) -> (usize, usize) {
        let values = self.rows.kernel * self.columns.kernel * self.map.2;
        (self.out.1 * self.out.2, values)
    }

    /// The same with tensor operations, for devices other than the CPU.
    fn by_slices(&self, data: &Tensor) -> Result<Tensor> {
        let (height, width, channels) = self.map;
        let (first, n_rows, n_columns) = self.out;
        let (rows, columns) = (self.rows, self.columns);
        // A stride more than needed at the end, so that every slice can be cut into whole strides.
        let padded = data
            .reshape((height, width, channels))?
            .pad_with_zeros(0, rows.pad.0, rows.pad.1 + rows.stride)?
            .pad_with_zeros(1, columns.pad.0, columns.pad.1 + columns.stride)?;
        let mut slices = Vec::new();
        for y in 0..rows.kernel {
            for x in 0..columns.kernel {
                let slice = padded
                    .narrow(0, first * rows.stride + y, n_rows * rows.stride)?
                    .narrow(1, x, n_columns * columns.stride)?
                    .reshape((n_rows, rows.stride, n_columns, columns.stride, channels))?
                    .narrow(1, 0, 1)?
                    .narrow(3, 0, 1)?
                    .reshape((n_rows * n_columns, channels))?;
                slices.push(slice);
            }
        }
        Ok(Tensor::cat(&slices, 1)?)
    }
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let data = values(storage, layout)?;
        let (height, width, channels) = self.map;
        let (first, _, n_columns) = self.out;
        let (n, patch) = self.shape();
        let mut out = vec![0f32; n * patch];
        out.par_chunks_mut(n_columns * patch)
            .enumerate()
            .for_each(|(row, out)| {
                for (column, patch) in out.chunks_exact_mut(patch).enumerate() {
                    let place = (first + row, column);
                    for (tap, pixel) in taps(place, self.rows, self.columns, (height, width)) {
                        patch[tap * channels..][..channels]
                            .copy_from_slice(&data[pixel * channels..][..channels]);
                    }
                }
            });
        Ok((CpuStorage::F32(out), self.shape().into()))
    }
}

struct Depthwise {
    map: (usize, usize, usize),
    rows: Axis,
    columns: Axis,
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (data, weight) = (values(storage, layout)?, values(weight, weight_layout)?);
        let (height, width, channels) = self.map;
        let (n_rows, n_columns) = (self.rows.n_out(height), self.columns.n_out(width));
        let mut out = vec![0f32; n_rows * n_columns * channels];
        out.par_chunks_mut(n_columns * channels)
            .enumerate()
            .for_each(|(row, out)| {
                pulp::Arch::new().dispatch(|| {
                    for (column, sum) in out.chunks_exact_mut(channels).enumerate() {
                        let place = (row, column);
                        for (tap, pixel) in taps(place, self.rows, self.columns, (height, width)) {
                            multiply_add(
                                sum,
                                &data[pixel * channels..][..channels],
                                &weight[tap * channels..][..channels],
                            );
                        }
                    }
                });
            });
        Ok((CpuStorage::F32(out), (n_rows * n_columns, channels).into()))
    }
}

#[inline(always)]
fn multiply_add(sum: &mut [f32], a: &[f32], b: &[f32]) {
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

/// What a window at an output place covers: the kernel's entries that lie on the map, and the pixels under them.
#[inline(always)]
pub(crate) fn taps(
    (row, column): (usize, usize),
    rows: Axis,
    columns: Axis,
    (height, width): (usize, usize),
) -> impl Iterator<Item = (usize, usize)> {
    (0..rows.kernel)
        .filter_map(move |y| Some((y, inside(row * rows.stride + y, rows.pad.0, height)?)))
        .flat_map(move |(y, top)| {
            (0..columns.kernel).filter_map(move |x| {
                let left = inside(column * columns.stride + x, columns.pad.0, width)?;
                Some((y * columns.kernel + x, top * width + left))
            })
        })
}

/// The place in the map of a place in the padded map.
fn inside(padded: usize, pad: usize, len: usize) -> Option<usize> {
    padded.checked_sub(pad).filter(|&i| i < len)
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => Err(TensorError::Msg("expected contiguous f32 values".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::worst;
    use candle_core::{D, Device};

    fn random(shape: (usize, usize)) -> Tensor {
        Tensor::randn(0f32, 1., shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn same_padding_puts_the_odd_zero_last() {
        assert_eq!(Axis::same(3, 2, 768).pad, (0, 1));
        assert_eq!(Axis::same(5, 2, 192).pad, (1, 2));
        assert_eq!(Axis::same(5, 1, 48).pad, (2, 2));
        assert_eq!(Axis::same(3, 2, 7).pad, (1, 1));
        assert_eq!(Axis::same(3, 2, 768).n_out(768), 384);
        assert_eq!(Axis::same(5, 2, 97).n_out(97), 49);
    }

    #[test]
    fn convolutions_match_candle() {
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
                data: random((height * width, 6)),
            };
            let rows = Axis::same(kernel, stride, height);
            let columns = Axis::same(kernel, stride, width);

            let weight = random((kernel * kernel, 6));
            let ours = convolve_depthwise(&map, &weight, rows, columns).unwrap();
            let theirs = convolve_depthwise_by_candle(&map, &weight, rows, columns).unwrap();
            assert_eq!((ours.height, ours.width), (theirs.height, theirs.width));
            assert!(worst(&ours.data, &theirs.data) < 1e-5);

            let weight = random((10, kernel * kernel * 6));
            let ours = convolve(&map, &Linear::dense(weight.clone()), rows, columns).unwrap();
            let kernels = weight
                .reshape((10, kernel, kernel, 6))
                .unwrap()
                .permute((0, 3, 1, 2))
                .unwrap()
                .contiguous()
                .unwrap();
            let padded = map
                .channels_first()
                .unwrap()
                .pad_with_zeros(2, rows.pad.0, rows.pad.1)
                .unwrap()
                .pad_with_zeros(D::Minus1, columns.pad.0, columns.pad.1)
                .unwrap();
            let theirs = padded.conv2d(&kernels, 0, stride, 1, 1).unwrap();
            let theirs = Map::from_channels_first(&theirs).unwrap();
            assert!(worst(&ours.data, &theirs.data) < 1e-4);
        }
    }

    #[test]
    fn patches_by_slices_are_the_gathered_ones() {
        for stride in [1, 2] {
            let (height, width) = (9, 7);
            let data = random((height * width, 3));
            let (rows, columns) = (Axis::same(3, stride, height), Axis::same(3, stride, width));
            let patches = Patches {
                map: (height, width, 3),
                rows,
                columns,
                out: (1, 2, columns.n_out(width)),
            };
            let slices = patches.by_slices(&data).unwrap();
            assert_eq!(
                worst(&data.apply_op1_no_bwd(&patches).unwrap(), &slices),
                0.0
            );
        }
    }
}

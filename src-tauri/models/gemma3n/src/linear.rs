//! Bias-free linear layers over dense or quantised weights, and the MatFormer's cuts of them.
//!
//! Activations are f32 `[rows, in]` everywhere; only the weights differ.

use candle_core::quantized::QMatMul;
use candle_core::{
    CpuStorage, CustomOp2, D, DType, Error as TensorError, Layout, Module, Shape, Tensor,
};
use half::bf16;
use rayon::prelude::*;

use crate::error::Result;
use crate::pointwise::widen;

/// `y = x * W^T` with `W` `[out, in]`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    n_out: usize,
}

#[derive(Debug, Clone)]
enum Weight {
    /// f32, or bf16 (which candle cannot multiply on a CPU; see [`Bf16Product`]).
    Dense(Tensor),
    Quantized(QMatMul),
}

/// Rows of activations up to which a bf16 matrix is widened value by value in the product; with
/// more of them it pays to widen a block of rows once and leave the rest to `gemm`.
const FEW_ROWS: usize = 4;

/// Values of a bf16 matrix that are widened at once: 8 MiB of f32.
const WIDENED_VALUES: usize = 1 << 21;

impl Linear {
    pub fn dense(weight: Tensor) -> Self {
        let n_out = weight.dims()[0];
        Self {
            weight: Weight::Dense(weight),
            n_out,
        }
    }

    pub fn quantized(matrix: QMatMul, n_out: usize) -> Self {
        Self {
            weight: Weight::Quantized(matrix),
            n_out,
        }
    }

    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// `[rows, in] -> [rows, out]`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weight {
            Weight::Quantized(matrix) => Ok(matrix.forward(&x.contiguous()?)?),
            Weight::Dense(weight) => dense_product(x, weight),
        }
    }
}

fn dense_product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if weight.dtype() == DType::F32 {
        return Ok(x.matmul(&weight.t()?)?);
    }
    if !x.device().is_cpu() {
        let y = x.to_dtype(weight.dtype())?.matmul(&weight.t()?)?;
        return Ok(y.to_dtype(DType::F32)?);
    }
    let (n_out, n_in) = weight.dims2()?;
    if x.dim(0)? <= FEW_ROWS {
        return Ok(x.contiguous()?.apply_op2_no_bwd(weight, &Bf16Product)?);
    }
    let block = (WIDENED_VALUES / n_in).max(1);
    let parts = (0..n_out)
        .step_by(block)
        .map(|start| {
            let rows = weight.narrow(0, start, block.min(n_out - start))?;
            Ok(x.matmul(&widen(&rows)?.t()?)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, D::Minus1)?)
}

/// An FFN matrix that a submodel uses a prefix of: of its rows (gate, up) or its columns (down).
///
/// A dense matrix is cut by a view. A quantised one lies in panels, so that the unused ones are not
/// read; within the last panel the surplus is computed and dropped, or multiplied by zero.
#[derive(Debug, Clone)]
pub enum Panels {
    Dense(Linear),
    Cut { panels: Vec<Linear>, width: usize },
}

impl Panels {
    /// `[rows, in] -> [rows, n_out]`: the first `n_out` outputs.
    pub fn forward_rows(&self, x: &Tensor, n_out: usize) -> Result<Tensor> {
        match self {
            Self::Dense(Linear {
                weight: Weight::Dense(weight),
                ..
            }) => dense_product(x, &weight.narrow(0, 0, n_out)?),
            Self::Dense(linear) => linear.forward(x),
            Self::Cut { panels, width } => {
                let used = &panels[..n_out.div_ceil(*width)];
                let parts = used
                    .iter()
                    .map(|panel| panel.forward(x))
                    .collect::<Result<Vec<_>>>()?;
                let y = match parts.as_slice() {
                    [one] => one.clone(),
                    parts => Tensor::cat(parts, D::Minus1)?,
                };
                Ok(y.narrow(D::Minus1, 0, n_out)?)
            }
        }
    }

    /// `[rows, n_in] -> [rows, out]`: the product with the first `n_in` columns.
    pub fn forward_columns(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(Linear {
                weight: Weight::Dense(weight),
                ..
            }) => dense_product(x, &weight.narrow(1, 0, x.dim(D::Minus1)?)?),
            Self::Dense(linear) => linear.forward(x),
            Self::Cut { panels, width } => {
                let n_in = x.dim(D::Minus1)?;
                let mut sum: Option<Tensor> = None;
                for (n, panel) in panels.iter().enumerate() {
                    let start = n * width;
                    if start >= n_in {
                        break;
                    }
                    let columns = (*width).min(n_in - start);
                    let part = x.narrow(D::Minus1, start, columns)?;
                    let part = panel.forward(&part.pad_with_zeros(
                        D::Minus1,
                        0,
                        panel.n_in(columns) - columns,
                    )?)?;
                    sum = Some(match sum {
                        None => part,
                        Some(sum) => (sum + part)?,
                    });
                }
                Ok(sum.expect("a width is at least 1"))
            }
        }
    }
}

impl Linear {
    fn n_in(&self, otherwise: usize) -> usize {
        match &self.weight {
            Weight::Dense(weight) => weight.dims()[1],
            Weight::Quantized(QMatMul::QTensor(matrix)) => matrix.shape().dims()[1],
            Weight::Quantized(QMatMul::Tensor(matrix) | QMatMul::TensorF16(matrix)) => {
                matrix.dims().get(1).copied().unwrap_or(otherwise)
            }
        }
    }
}

/// `x [rows, in] * W^T` for a few f32 rows and a bf16 matrix whose rows may be strided.
///
/// Every weight is read once, as it lies in memory; decoding is bound by exactly that traffic.
struct Bf16Product;

impl CustomOp2 for Bf16Product {
    fn name(&self) -> &'static str {
        "bf16-product"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(x), CpuStorage::BF16(weight)) = (x, weight) else {
            return Err(TensorError::Msg("bf16-product takes f32 and bf16".into()));
        };
        let ((rows, n_in), (n_out, _)) =
            (x_layout.shape().dims2()?, weight_layout.shape().dims2()?);
        let [stride, 1] = *weight_layout.stride() else {
            return Err(TensorError::Msg("bf16-product takes whole rows".into()));
        };
        let x = &x[x_layout.start_offset()..][..rows * n_in];
        let weight = &weight[weight_layout.start_offset()..];
        let mut by_output = vec![0f32; n_out * rows];
        // Enough outputs a task to hide the cost of handing it out.
        let outputs_per_task = (65_536 / n_in).max(1);
        by_output
            .par_chunks_mut(outputs_per_task * rows)
            .enumerate()
            .for_each(|(task, out)| {
                pulp::Arch::new().dispatch(|| {
                    for (n, y) in out.chunks_exact_mut(rows).enumerate() {
                        let start = (task * outputs_per_task + n) * stride;
                        let w = &weight[start..start + n_in];
                        for (y, x) in y.iter_mut().zip(x.chunks_exact(n_in)) {
                            *y = dot(x, w);
                        }
                    }
                });
            });
        let y = if rows == 1 {
            by_output
        } else {
            (0..rows * n_out)
                .map(|i| by_output[i % n_out * rows + i / n_out])
                .collect()
        };
        Ok((CpuStorage::F32(y), (rows, n_out).into()))
    }
}

/// Sums in 32 lanes, which is what lets the compiler use vector registers.
#[inline(always)]
fn dot(x: &[f32], w: &[bf16]) -> f32 {
    const LANES: usize = 32;
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let (w_chunks, w_rest) = w.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for (x, w) in x_chunks.iter().zip(w_chunks) {
        for lane in 0..LANES {
            // A bf16 is the upper half of an f32; to_f32 would add a test for NaN.
            sums[lane] += x[lane] * f32::from_bits(u32::from(w[lane].to_bits()) << 16);
        }
    }
    let rest: f32 = x_rest.iter().zip(w_rest).map(|(x, w)| x * w.to_f32()).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::worst;
    use candle_core::Device;

    /// The plain product in f32 of the same numbers.
    fn reference(x: &Tensor, weight: &Tensor) -> Tensor {
        let weight = weight.to_dtype(DType::F32).unwrap();
        x.matmul(&weight.t().unwrap()).unwrap()
    }

    #[test]
    fn bf16_products_match_the_plain_one_at_ragged_sizes() {
        for n_in in [1, 2, 31, 32, 33, 65, 2048] {
            for rows in [1, 2, 4, 5, 20] {
                let x = Tensor::randn(0f32, 1., (rows, n_in), &Device::Cpu).unwrap();
                let weight = Tensor::randn(0f32, 1., (37, n_in), &Device::Cpu).unwrap();
                let weight = weight.to_dtype(DType::BF16).unwrap();
                let y = dense_product(&x, &weight).unwrap();
                // f32 sums in another order: about eps * sqrt(n) of values near sqrt(n).
                assert!(worst(&y, &reference(&x, &weight)) < 1e-4 * (n_in as f32).sqrt());
            }
        }
    }

    #[test]
    fn a_cut_matrix_multiplies_like_its_slice() {
        let weight = Tensor::randn(0f32, 1., (24, 40), &Device::Cpu).unwrap();
        for dtype in [DType::F32, DType::BF16] {
            let weight = weight.to_dtype(dtype).unwrap();
            let panels = Panels::Dense(Linear::dense(weight.clone()));
            for rows in [1, 7] {
                let x = Tensor::randn(0f32, 1., (rows, 40), &Device::Cpu).unwrap();
                let y = panels.forward_rows(&x, 11).unwrap();
                let slice = weight.narrow(0, 0, 11).unwrap();
                assert!(worst(&y, &reference(&x, &slice)) < 1e-4);

                let x = Tensor::randn(0f32, 1., (rows, 17), &Device::Cpu).unwrap();
                let y = panels.forward_columns(&x).unwrap();
                let slice = weight.narrow(1, 0, 17).unwrap();
                assert!(worst(&y, &reference(&x, &slice)) < 1e-4);
            }
        }
    }
}

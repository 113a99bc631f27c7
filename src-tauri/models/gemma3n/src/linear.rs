//! Bias-free linear layers, and the MatFormer's cuts of them.
//!
//! On a CPU, matrices are multiplied as they lie in the file wherever `kernels` has a product for their type: nothing
//! of them is copied, and of a cut only what it uses is read. Every other type, and every other device, goes
//! through candle. Activations are f32 everywhere.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{
    CpuStorage, CustomOp2, D, DType, Device, Error as TensorError, Layout, Module, Shape, Storage,
    Tensor,
};
use half::bf16;
use kernels::{
    Activations, DenseMatrix, DenseType, Format, Matrix, Part, Rows, dense_product, products,
};
use rayon::prelude::*;
use std::sync::Arc;
use weights::MappedBytes;

use crate::error::Result;
use crate::pointwise::widen;
use crate::workers::{Operand, Workers};

/// `y = x * W^T` with `W` `[out, in]`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    n_out: usize,
    n_in: usize,
}

#[derive(Debug, Clone)]
enum Weight {
    /// At few bits.
    Quantised(Format, Bytes, Arc<Workers>),
    /// In the file, as floats.
    Floats(DenseType, MappedBytes, Arc<Workers>),
    /// f32, or bf16 (which candle cannot multiply on a CPU; see [`Bf16Product`]).
    Dense(Tensor),
    /// A type that only candle multiplies.
    Other(QMatMul, Device),
}

/// Where the numbers of a quantised matrix lie.
#[derive(Debug, Clone)]
enum Bytes {
    InFile(MappedBytes),
    Copied(Arc<[u8]>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::InFile(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// Rows of activations up to which a bf16 matrix is widened value by value in the product; with
/// more of them it pays to widen a block of rows once and leave the rest to `gemm`.
const FEW_ROWS: usize = 4;

/// Values of a bf16 matrix that are widened at once: 8 MiB of f32.
const WIDENED_VALUES: usize = 1 << 21;

/// One of several products of the same activations.
pub(crate) struct Product<'a> {
    pub linear: &'a Linear,
    /// [`Rows::These`] only where [`Linear::has_rows`].
    pub rows: Rows<'a>,
    /// `[activation rows, matrix rows]`, overwritten.
    pub out: &'a mut [f32],
}

impl Linear {
    pub fn dense(weight: Tensor) -> Self {
        let (n_out, n_in) = (weight.dims()[0], weight.dims()[1]);
        Self {
            weight: Weight::Dense(weight),
            n_out,
            n_in,
        }
    }

    /// A quantised matrix `[n_out, n_in]` that candle multiplies.
    pub fn other(matrix: QMatMul, n_out: usize, n_in: usize, device: &Device) -> Self {
        Self {
            weight: Weight::Other(matrix, device.clone()),
            n_out,
            n_in,
        }
    }

    /// A matrix `[n_out, n_in]` as it lies in the file, `None` if that has no product.
    pub fn in_place(
        dtype: weights::DType,
        bytes: MappedBytes,
        n_out: usize,
        n_in: usize,
        workers: &Arc<Workers>,
    ) -> Option<Self> {
        let workers = Arc::clone(workers);
        let weight = match dtype {
            weights::DType::Q4_0 => Weight::Quantised(Format::Q4_0, Bytes::InFile(bytes), workers),
            weights::DType::Q8_0 => Weight::Quantised(Format::Q8_0, Bytes::InFile(bytes), workers),
            weights::DType::Q4K => Weight::Quantised(Format::Q4K, Bytes::InFile(bytes), workers),
            weights::DType::Q6K => Weight::Quantised(Format::Q6K, Bytes::InFile(bytes), workers),
            weights::DType::F32 => Weight::Floats(DenseType::F32, bytes, workers),
            weights::DType::F16 => Weight::Floats(DenseType::F16, bytes, workers),
            weights::DType::BF16 => Weight::Floats(DenseType::Bf16, bytes, workers),
            _ => return None,
        };
        // The bytes are as many as the shape takes: opening the file compared them.
        Some(Self {
            weight,
            n_out,
            n_in,
        })
    }

    /// A copy of f32 numbers `[out, in]` at 8 bits, `None` if their rows are not whole blocks.
    pub fn at_eight_bits(weight: &Tensor, workers: &Arc<Workers>) -> Result<Option<Self>> {
        let (n_out, n_in) = weight.dims2()?;
        if !n_in.is_multiple_of(kernels::BLOCK) || !weight.device().is_cpu() {
            return Ok(None);
        }
        let bytes = QTensor::quantize(&weight.contiguous()?, GgmlDType::Q8_0)?
            .data()?
            .into_owned();
        let bytes = Bytes::Copied(bytes.into());
        Ok(Some(Self {
            weight: Weight::Quantised(Format::Q8_0, bytes, Arc::clone(workers)),
            n_out,
            n_in,
        }))
    }

    pub fn n_out(&self) -> usize {
        self.n_out
    }

    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// The matrix, if it is quantised.
    pub fn matrix(&self) -> Option<Matrix<'_>> {
        match &self.weight {
            Weight::Quantised(format, bytes, _) => {
                Matrix::new(*format, bytes, self.n_out, self.n_in)
            }
            _ => None,
        }
    }

    /// Gives back the memory of a matrix that lies in a file and is not read for a while.
    pub fn release(&self) {
        if let Weight::Quantised(_, Bytes::InFile(bytes), _) | Weight::Floats(_, bytes, _) =
            &self.weight
        {
            bytes.release();
        }
    }

    /// Whether single rows can be multiplied.
    pub fn has_rows(&self) -> bool {
        matches!(self.weight, Weight::Quantised(..))
    }

    /// How wide activations are that stand for the first `width` columns; what is behind those is zero.
    pub fn padded(&self, width: usize) -> usize {
        match self.weight {
            Weight::Quantised(..) => width.next_multiple_of(kernels::BLOCK),
            _ => width,
        }
    }

    /// `[rows, in] -> [rows, out]`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (Weight::Quantised(_, _, workers) | Weight::Floats(_, _, workers)) = &self.weight
        else {
            return self.through_candle(x, self.n_out);
        };
        let n_rows = x.dim(0)?;
        let x = x.contiguous()?;
        let mut out = vec![0f32; n_rows * self.n_out];
        let (storage, layout) = x.storage_and_layout();
        let Storage::Cpu(values) = &*storage else {
            unreachable!("weights are in place on a CPU only");
        };
        let values = &values.as_slice::<f32>()?[layout.start_offset()..][..n_rows * self.n_in];
        let mut rounded = Activations::default();
        let product = Product {
            linear: self,
            rows: Rows::First(self.n_out),
            out: &mut out,
        };
        multiply(
            workers,
            &mut Operand::new(values, self.n_in, &mut rounded),
            &mut [product],
        )?;
        Ok(Tensor::from_vec(out, (n_rows, self.n_out), x.device())?)
    }

    /// The first `n_out` rows' products with activations that may be narrower than the matrix.
    fn through_candle(&self, x: &Tensor, n_out: usize) -> Result<Tensor> {
        match &self.weight {
            Weight::Dense(weight) => {
                let corner = weight
                    .narrow(0, 0, n_out)?
                    .narrow(1, 0, x.dim(D::Minus1)?)?;
                dense_tensor_product(x, &corner)
            }
            Weight::Other(matrix, device) => {
                let missing = self.n_in - x.dim(D::Minus1)?;
                let x = x.to_device(device)?.pad_with_zeros(D::Minus1, 0, missing)?;
                Ok(matrix
                    .forward(&x.contiguous()?)?
                    .narrow(D::Minus1, 0, n_out)?)
            }
            Weight::Quantised(..) | Weight::Floats(..) => unreachable!("these have kernels"),
        }
    }

    fn copy_through_candle(&self, operand: &Operand, rows: Rows, out: &mut [f32]) -> Result<()> {
        let Rows::First(n_out) = rows else {
            unreachable!("the caller asked for has_rows");
        };
        let device = match &self.weight {
            Weight::Dense(weight) => weight.device(),
            Weight::Other(_, device) => device,
            Weight::Quantised(..) | Weight::Floats(..) => &Device::Cpu,
        };
        let shape = (operand.n_rows(), operand.width());
        let x = Tensor::from_slice(operand.x(), shape, device)?;
        let y = self.through_candle(&x, n_out)?.to_device(&Device::Cpu)?;
        out.copy_from_slice(&y.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }
}

/// Multiplies the same activations with several matrices, those at few bits in one go.
///
/// Activations may be narrower than the matrices and stand for their first columns, see [`Linear::padded`].
pub(crate) fn multiply(
    workers: &Workers,
    operand: &mut Operand,
    list: &mut [Product],
) -> Result<()> {
    let mut parts = Vec::new();
    for product in list {
        let (n_out, n_in) = (product.linear.n_out, product.linear.n_in);
        match &product.linear.weight {
            Weight::Quantised(format, bytes, _) => parts.push(Part {
                matrix: Matrix::new(*format, bytes, n_out, n_in).expect("the file's shape"),
                rows: product.rows,
                out: product.out,
            }),
            Weight::Floats(dtype, bytes, _) => {
                let Rows::First(n) = product.rows else {
                    unreachable!("the caller asked for has_rows");
                };
                let matrix =
                    DenseMatrix::new(*dtype, bytes, n_out, n_in).expect("the file's shape");
                let matrix = matrix.corner(n, operand.width());
                dense_product(
                    &workers.cpu,
                    &workers.pool,
                    operand.x(),
                    &matrix,
                    product.out,
                )?;
            }
            Weight::Dense(_) | Weight::Other(..) => {
                (product.linear).copy_through_candle(operand, product.rows, product.out)?;
            }
        }
    }
    if !parts.is_empty() {
        let rounded = operand.rounded(workers)?;
        products(&workers.cpu, &workers.pool, rounded, &mut parts)?;
    }
    Ok(())
}

fn dense_tensor_product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
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
                let y = dense_tensor_product(&x, &weight).unwrap();
                // f32 sums in another order: about eps * sqrt(n) of values near sqrt(n).
                assert!(worst(&y, &reference(&x, &weight)) < 1e-4 * (n_in as f32).sqrt());
            }
        }
    }
}

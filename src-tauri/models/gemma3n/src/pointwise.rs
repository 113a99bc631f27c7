//! Operations on every value by itself that candle runs on one core.
//!
//! On a CPU these use all cores and vector registers; elsewhere they are candle's own.

use candle_core::{CpuStorage, CustomOp1, DType, Error as TensorError, Layout, Shape, Tensor};
use half::bf16;
use rayon::prelude::*;

use crate::error::Result;

/// Values that one task works on: enough to hide the cost of handing it out, and within a core's cache.
const TASK: usize = 1 << 14;

/// A bf16 matrix, whose rows may be strided, in f32.
pub(crate) fn widen(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() || x.rank() != 2 || x.stride()[1] != 1 {
        return Ok(x.to_dtype(DType::F32)?);
    }
    Ok(x.apply_op1_no_bwd(&Widen)?)
}

struct Widen;

impl CustomOp1 for Widen {
    fn name(&self) -> &'static str {
        "widen"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let CpuStorage::BF16(x) = storage else {
            return Err(TensorError::Msg("widen takes bf16 values".into()));
        };
        let (n_rows, width) = layout.shape().dims2()?;
        let (stride, start) = (layout.stride()[0], layout.start_offset());
        let mut out = vec![0f32; n_rows * width];
        let rows_per_task = (TASK / width).max(1);
        out.par_chunks_mut(rows_per_task * width)
            .enumerate()
            .for_each(|(task, out)| {
                pulp::Arch::new().dispatch(|| {
                    for (n, out) in out.chunks_exact_mut(width).enumerate() {
                        let from = start + (task * rows_per_task + n) * stride;
                        widen_row(out, &x[from..from + width]);
                    }
                });
            });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

#[inline(always)]
fn widen_row(out: &mut [f32], x: &[bf16]) {
    for (out, x) in out.iter_mut().zip(x) {
        // A bf16 is the upper half of an f32; to_f32 would add a test for NaN.
        *out = f32::from_bits(u32::from(x.to_bits()) << 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::worst;
    use candle_core::Device;

    #[test]
    fn widened_matrices_are_the_converted_ones() {
        let x = Tensor::randn(0f32, 1.0, (37, 50), &Device::Cpu).unwrap();
        let x = x.to_dtype(DType::BF16).unwrap();
        for view in [
            x.clone(),
            x.narrow(0, 3, 20).unwrap(),
            x.narrow(1, 5, 13).unwrap(),
        ] {
            assert_eq!(
                worst(&widen(&view).unwrap(), &view.to_dtype(DType::F32).unwrap()),
                0.0
            );
        }
    }
}

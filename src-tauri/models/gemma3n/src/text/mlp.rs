//! The gated FFN, sparse in the first layers, of which a submodel uses the first columns.

use std::sync::{Arc, Mutex, PoisonError};

use kernels::{Activations, ColumnMatrix, Rows, rows};

use super::scratch::room;
use crate::config::TextConfig;
use crate::error::Result;
use crate::linear::{Linear, Product, multiply};
use crate::loader::Loader;
use crate::workers::{Operand, Workers};

/// Rows up to which only those rows of `up_proj` are multiplied whose gate survived for one of them. With more rows
/// hardly any is left out.
const FEW_ROWS: usize = 4;

#[derive(Debug)]
pub(super) struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    down_columns: DownColumns,
    /// Standard deviations above the mean below which a gate value becomes zero.
    sparsity_z: Option<f64>,
    hidden_size: usize,
}

/// `down_proj` turned over, as far as a submodel uses it: made when the first token is decoded, and used from then on
/// for sparse rows. The pages of the matrix in the file are given back whenever it was read besides, so that no more than
/// one layer's is in memory twice.
type DownColumns = Mutex<Option<Arc<ColumnMatrix>>>;

/// The memory that an FFN borrows.
pub(super) struct FfnScratch<'a> {
    pub rounded: &'a mut Activations,
    pub gate: &'a mut Vec<f32>,
    pub up: &'a mut Vec<f32>,
}

impl Mlp {
    pub fn load(loader: &Loader, config: &TextConfig, layer: usize, prefix: &str) -> Result<Self> {
        let (hidden, width) = (config.hidden_size, config.intermediate_size[layer]);
        let linear = |name: &str, n_out, n_in| {
            loader.linear(&format!("{prefix}.{name}.weight"), n_out, n_in)
        };
        Ok(Self {
            gate_proj: linear("gate_proj", width, hidden)?,
            up_proj: linear("up_proj", width, hidden)?,
            down_proj: linear("down_proj", hidden, width)?,
            down_columns: DownColumns::default(),
            sparsity_z: config.activation_sparsity_z[layer],
            hidden_size: hidden,
        })
    }

    /// `x` `[rows, hidden]` to `out` `[rows, hidden]` through the first `width` columns.
    pub fn forward(
        &self,
        workers: &Workers,
        x: &[f32],
        width: usize,
        scratch: FfnScratch,
        out: &mut [f32],
    ) -> Result<()> {
        let is_sparse = self.sparsity_z.is_some() && self.up_proj.has_rows();
        if is_sparse && x.len() <= FEW_ROWS * self.hidden_size {
            self.forward_sparse(workers, x, width, scratch, out)
        } else {
            self.forward_dense(workers, x, width, scratch, out)
        }
    }

    fn forward_dense(
        &self,
        workers: &Workers,
        x: &[f32],
        width: usize,
        scratch: FfnScratch,
        out: &mut [f32],
    ) -> Result<()> {
        let n_rows = x.len() / self.hidden_size;
        let Workers { cpu, pool } = workers;
        let gate = room(scratch.gate, n_rows * width);
        let up = room(scratch.up, n_rows * width);
        let mut operand = Operand::new(x, self.hidden_size, scratch.rounded);
        let product = |linear, out| Product {
            linear,
            rows: Rows::First(width),
            out,
        };
        let mut both = [
            product(&self.gate_proj, &mut *gate),
            product(&self.up_proj, &mut *up),
        ];
        multiply(workers, &mut operand, &mut both)?;
        pool.for_rows(n_rows, [gate, up], |_, [gate, up]| match self.sparsity_z {
            Some(z) => {
                let (mean, deviation) = rows::mean_and_deviation(cpu, gate);
                rows::sparse_gelu_times(cpu, gate, mean + z as f32 * deviation, up);
            }
            None => rows::gelu_times(cpu, gate, up),
        })?;
        let padded = self.down_proj.padded(width);
        if padded > width {
            let up = room(scratch.up, n_rows * padded);
            for (to, from) in up
                .chunks_exact_mut(padded)
                .zip(scratch.gate.chunks_exact(width))
            {
                to[..width].copy_from_slice(from);
                to[width..].fill(0.0);
            }
            std::mem::swap(scratch.gate, scratch.up);
        }
        self.down(workers, scratch.gate, padded, scratch.rounded, out)
    }

    /// The same within rounding, reading only the rows of `up_proj` and columns of `down_proj` whose product is not
    /// multiplied by zero.
    fn forward_sparse(
        &self,
        workers: &Workers,
        x: &[f32],
        width: usize,
        scratch: FfnScratch,
        out: &mut [f32],
    ) -> Result<()> {
        let n_rows = x.len() / self.hidden_size;
        let Workers { cpu, .. } = workers;
        let gate = room(scratch.gate, n_rows * width);
        let mut operand = Operand::new(x, self.hidden_size, scratch.rounded);
        let product = Product {
            linear: &self.gate_proj,
            rows: Rows::First(width),
            out: &mut *gate,
        };
        multiply(workers, &mut operand, &mut [product])?;
        let z = self.sparsity_z.unwrap_or_default() as f32;
        let cutoffs: Vec<f32> = gate
            .chunks_exact(width)
            .map(|gate| {
                let (mean, deviation) = rows::mean_and_deviation(cpu, gate);
                mean + z * deviation
            })
            .collect();
        // What is no number survives, so that it is seen.
        let survives = |row: usize, i: usize| {
            let above = gate[row * width + i] - cutoffs[row];
            above > 0.0 || above.is_nan()
        };
        let survivors: Vec<u32> = (0..width)
            .filter(|&i| (0..n_rows).any(|row| survives(row, i)))
            .map(|i| i as u32)
            .collect();
        let n = survivors.len();
        let padded = self.down_proj.padded(width);
        let up = room(scratch.up, n_rows * (n + padded));
        let (up, hidden) = up.split_at_mut(n_rows * n);
        let product = Product {
            linear: &self.up_proj,
            rows: Rows::These(&survivors),
            out: &mut *up,
        };
        multiply(workers, &mut operand, &mut [product])?;
        hidden.fill(0.0);
        let mut surviving = vec![0.0; n];
        for (row, hidden) in hidden.chunks_exact_mut(padded).enumerate() {
            for (gate_value, &i) in surviving.iter_mut().zip(&survivors) {
                *gate_value = gate[row * width + i as usize];
            }
            rows::sparse_gelu_times(cpu, &mut surviving, cutoffs[row], &up[row * n..][..n]);
            for (&value, &i) in surviving.iter().zip(&survivors) {
                hidden[i as usize] = value;
            }
        }
        let Some(columns) = self.columns(workers, padded)? else {
            return self.down(workers, hidden, padded, scratch.rounded, out);
        };
        let Workers { cpu, pool } = workers;
        let out = out.chunks_exact_mut(self.hidden_size);
        for (hidden, out) in hidden.chunks_exact(padded).zip(out) {
            let mut operand = Operand::new(hidden, padded, scratch.rounded);
            columns.product(cpu, pool, operand.rounded(workers)?, out)?;
        }
        Ok(())
    }

    /// Lets go of the copy that decoding makes of `down_proj`.
    pub fn forget_copy(&self) {
        let columns = &self.down_columns;
        *columns.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// At least `width` columns; `None` if the matrix has a form that cannot be turned over.
    fn columns(&self, workers: &Workers, width: usize) -> Result<Option<Arc<ColumnMatrix>>> {
        let columns = &self.down_columns;
        let mut columns = columns.lock().unwrap_or_else(PoisonError::into_inner);
        if columns.as_ref().is_none_or(|made| made.n_columns() < width) {
            *columns = match self.down_proj.matrix() {
                Some(matrix) => ColumnMatrix::new(&workers.pool, &matrix, width)?.map(Arc::new),
                None => None,
            };
            if columns.is_some() {
                self.down_proj.release();
            }
        }
        Ok(columns.clone())
    }

    fn down(
        &self,
        workers: &Workers,
        hidden: &[f32],
        padded: usize,
        rounded: &mut Activations,
        out: &mut [f32],
    ) -> Result<()> {
        let product = Product {
            linear: &self.down_proj,
            rows: Rows::First(self.hidden_size),
            out,
        };
        let mut operand = Operand::new(hidden, padded, rounded);
        multiply(workers, &mut operand, &mut [product])?;
        let columns = &self.down_columns;
        let is_copied = columns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some();
        if is_copied {
            self.down_proj.release();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};
    use kernels::{Cpu, Pool};
    use weights::gguf::Writer;
    use weights::{Checkpoint, DType};

    use crate::loader::Compute;

    const HIDDEN: usize = 256;
    const WIDTH: usize = 1024;

    /// A GGUF file with the three matrices of an FFN.
    fn write(path: &std::path::Path, dtype: DType, ggml: GgmlDType) {
        let mut writer = Writer::new(path, "gemma3n");
        let shapes = [
            ("gate", WIDTH, HIDDEN),
            ("up", WIDTH, HIDDEN),
            ("down", HIDDEN, WIDTH),
        ];
        for (name, n_out, n_in) in shapes {
            writer.tensor(name, dtype, &[n_out, n_in]).unwrap();
        }
        let mut body = writer.start().unwrap();
        for (_, n_out, n_in) in shapes {
            let values = Tensor::randn(0f32, 0.1, (n_out, n_in), &Device::Cpu).unwrap();
            let quantised = QTensor::quantize(&values, ggml).unwrap();
            body.write(&quantised.data().unwrap()).unwrap();
        }
        body.finish().unwrap();
    }

    #[test]
    fn the_sparse_way_gives_the_numbers_of_the_dense_one() {
        let folder = tempfile::tempdir().unwrap();
        for (dtype, ggml) in [
            (DType::Q4_0, GgmlDType::Q4_0),
            (DType::Q8_0, GgmlDType::Q8_0),
            (DType::Q4K, GgmlDType::Q4K),
            (DType::Q6K, GgmlDType::Q6K),
        ] {
            let path = folder.path().join(format!("{dtype}.gguf"));
            write(&path, dtype, ggml);
            let checkpoint = Checkpoint::open(&path).unwrap();
            for cpu in Cpu::all() {
                let workers = Arc::new(Workers {
                    cpu,
                    pool: Pool::new(2),
                });
                let mut on = |_| true;
                let device = Device::Cpu;
                let loader = Loader::new(&checkpoint, &device, Compute::F32, &workers, &mut on);
                let mlp = Mlp {
                    gate_proj: loader.linear("gate", WIDTH, HIDDEN).unwrap(),
                    up_proj: loader.linear("up", WIDTH, HIDDEN).unwrap(),
                    down_proj: loader.linear("down", HIDDEN, WIDTH).unwrap(),
                    down_columns: DownColumns::default(),
                    sparsity_z: Some(1.644_853_6),
                    hidden_size: HIDDEN,
                };
                for n_rows in 1..=FEW_ROWS {
                    // The whole, a cut at a block and one within a block.
                    for width in [WIDTH, 512, 500, 3] {
                        let x = Tensor::randn(0f32, 1.0, n_rows * HIDDEN, &device).unwrap();
                        let x: Vec<f32> = x.to_vec1().unwrap();
                        let [dense, sparse] = [false, true].map(|is_sparse| {
                            let (mut rounded, mut gate, mut up) = Default::default();
                            let scratch = FfnScratch {
                                rounded: &mut rounded,
                                gate: &mut gate,
                                up: &mut up,
                            };
                            let mut out = vec![f32::NAN; x.len()];
                            let way = if is_sparse {
                                Mlp::forward_sparse
                            } else {
                                Mlp::forward_dense
                            };
                            way(&mlp, &workers, &x, width, scratch, &mut out).unwrap();
                            out
                        });
                        let largest = dense.iter().fold(0f32, |a, b| a.max(b.abs()));
                        for (a, b) in dense.iter().zip(&sparse) {
                            assert!((a - b).abs() <= 1e-5 * largest, "{dtype} {width}: {a} {b}");
                        }
                    }
                }
            }
        }
    }
}

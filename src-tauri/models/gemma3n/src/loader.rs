//! From tensors in a file to tensors in memory.

use std::cell::RefCell;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use weights::{Checkpoint, TensorView};

use crate::error::{Error, Result};
use crate::linear::{Linear, Panels};

/// In what type the matrices of a dense checkpoint are kept and multiplied.
///
/// Activations, norms and attention are f32 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// Exact against the reference; twice the memory of a 16-bit file.
    F32,
    /// Half the memory and memory traffic.
    Bf16,
}

/// Widest panel that a quantised FFN matrix is cut into. The narrowest published slice is this
/// wide, so published submodels always run whole panels.
const PANEL_WIDTH: usize = 8192;

/// Is told how many bytes have been read so far; false stops the loading.
pub type OnProgress<'a> = dyn FnMut(u64) -> bool + 'a;

/// Reads the tensors of one checkpoint for one device.
pub struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    device: &'a Device,
    compute: Compute,
    panel_width: usize,
    progress: RefCell<Progress<'a>>,
}

struct Progress<'a> {
    bytes: u64,
    on: &'a mut OnProgress<'a>,
}

impl<'a> Loader<'a> {
    pub fn new(
        checkpoint: &'a Checkpoint,
        device: &'a Device,
        compute: Compute,
        on: &'a mut OnProgress<'a>,
    ) -> Self {
        Self {
            checkpoint,
            device,
            compute,
            panel_width: PANEL_WIDTH,
            progress: RefCell::new(Progress { bytes: 0, on }),
        }
    }

    /// A tensor that must be there, counted as read.
    fn require(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>> {
        let view = self.checkpoint.require(name, shape)?;
        let mut progress = self.progress.borrow_mut();
        progress.bytes += view.bytes.len() as u64;
        let bytes = progress.bytes;
        if (progress.on)(bytes) {
            Ok(view)
        } else {
            Err(Error::Cancelled)
        }
    }

    pub fn device(&self) -> &'a Device {
        self.device
    }

    pub fn checkpoint(&self) -> &'a Checkpoint {
        self.checkpoint
    }

    /// A tensor in f32, whatever the file holds.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let view = self.require(name, shape)?;
        let tensor = match dense_dtype(view.dtype) {
            Some(dtype) => Tensor::from_raw_buffer(view.bytes, dtype, shape, &Device::Cpu)?
                .to_dtype(DType::F32)?,
            None => {
                quantized(view.dtype, view.bytes, shape, &Device::Cpu)?.dequantize(&Device::Cpu)?
            }
        };
        Ok(tensor.to_device(self.device)?)
    }

    /// A bias-free linear layer `[out, in]`.
    pub fn linear(&self, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
        self.matrix(&self.require(name, &[n_out, n_in])?, n_out, n_in)
    }

    /// A 1x1 convolution `[out, in, 1, 1]` as the linear layer that it is.
    pub fn pointwise(&self, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
        self.matrix(&self.require(name, &[n_out, n_in, 1, 1])?, n_out, n_in)
    }

    fn matrix(&self, view: &TensorView, n_out: usize, n_in: usize) -> Result<Linear> {
        if dense_dtype(view.dtype).is_some() {
            return self.dense(view, &[n_out, n_in]);
        }
        self.quantized(view.dtype, view.bytes, n_out, n_in)
    }

    fn quantized(
        &self,
        dtype: weights::DType,
        bytes: &[u8],
        n_out: usize,
        n_in: usize,
    ) -> Result<Linear> {
        let matrix = quantized(dtype, bytes, &[n_out, n_in], self.device)?;
        Ok(Linear::quantized(QMatMul::from_qtensor(matrix)?, n_out))
    }

    /// An FFN matrix of which submodels use only the first rows.
    pub fn row_panels(&self, name: &str, n_out: usize, n_in: usize) -> Result<Panels> {
        let view = self.require(name, &[n_out, n_in])?;
        if dense_dtype(view.dtype).is_some() {
            return Ok(Panels::Dense(self.dense(&view, &[n_out, n_in])?));
        }
        let row_bytes = view.bytes.len() / n_out;
        let panels = (0..n_out)
            .step_by(self.panel_width)
            .map(|start| {
                let rows = self.panel_width.min(n_out - start);
                let bytes = &view.bytes[start * row_bytes..(start + rows) * row_bytes];
                self.quantized(view.dtype, bytes, rows, n_in)
            })
            .collect::<Result<_>>()?;
        Ok(Panels::Cut {
            panels,
            width: self.panel_width,
        })
    }

    /// An FFN matrix of which submodels use only the first columns.
    pub fn column_panels(&self, name: &str, n_out: usize, n_in: usize) -> Result<Panels> {
        let view = self.require(name, &[n_out, n_in])?;
        if dense_dtype(view.dtype).is_some() {
            return Ok(Panels::Dense(self.dense(&view, &[n_out, n_in])?));
        }
        let row_bytes = view.bytes.len() / n_out;
        let panels = (0..n_in)
            .step_by(self.panel_width)
            .map(|start| {
                let columns = self.panel_width.min(n_in - start);
                let span = start * row_bytes / n_in..(start + columns) * row_bytes / n_in;
                let bytes: Vec<u8> = view
                    .bytes
                    .chunks_exact(row_bytes)
                    .flat_map(|row| &row[span.clone()])
                    .copied()
                    .collect();
                self.quantized(view.dtype, &bytes, n_out, columns)
            })
            .collect::<Result<_>>()?;
        Ok(Panels::Cut {
            panels,
            width: self.panel_width,
        })
    }

    fn dense(&self, view: &TensorView, shape: &[usize]) -> Result<Linear> {
        let dtype = dense_dtype(view.dtype).expect("the caller asked");
        let kept = match self.compute {
            Compute::F32 => DType::F32,
            Compute::Bf16 => DType::BF16,
        };
        let weight = Tensor::from_raw_buffer(view.bytes, dtype, shape, &Device::Cpu)?
            .to_dtype(kept)?
            .to_device(self.device)?;
        Ok(Linear::dense(weight))
    }
}

/// Writes the numbers of one row of a tensor into `out`.
pub fn read_row(dtype: weights::DType, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    match dtype {
        weights::DType::F32 => {
            for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*raw);
            }
        }
        weights::DType::BF16 => {
            for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *value = half::bf16::from_le_bytes(*raw).to_f32();
            }
        }
        weights::DType::F16 => {
            for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *value = half::f16::from_le_bytes(*raw).to_f32();
            }
        }
        _ => {
            let storage = QStorage::from_data(bytes.into(), &Device::Cpu, ggml_dtype(dtype))?;
            let row = QTensor::new(storage, out.len())?.dequantize(&Device::Cpu)?;
            out.copy_from_slice(&row.to_vec1::<f32>()?);
        }
    }
    Ok(())
}

fn quantized(
    dtype: weights::DType,
    bytes: &[u8],
    shape: &[usize],
    device: &Device,
) -> Result<QTensor> {
    let storage = QStorage::from_data(bytes.into(), device, ggml_dtype(dtype))?;
    Ok(QTensor::new(storage, shape)?)
}

fn dense_dtype(dtype: weights::DType) -> Option<DType> {
    match dtype {
        weights::DType::F32 => Some(DType::F32),
        weights::DType::F16 => Some(DType::F16),
        weights::DType::BF16 => Some(DType::BF16),
        _ => None,
    }
}

fn ggml_dtype(dtype: weights::DType) -> GgmlDType {
    match dtype {
        weights::DType::F32 => GgmlDType::F32,
        weights::DType::F16 => GgmlDType::F16,
        weights::DType::BF16 => GgmlDType::BF16,
        weights::DType::Q4_0 => GgmlDType::Q4_0,
        weights::DType::Q4_1 => GgmlDType::Q4_1,
        weights::DType::Q5_0 => GgmlDType::Q5_0,
        weights::DType::Q5_1 => GgmlDType::Q5_1,
        weights::DType::Q8_0 => GgmlDType::Q8_0,
        weights::DType::Q8_1 => GgmlDType::Q8_1,
        weights::DType::Q2K => GgmlDType::Q2K,
        weights::DType::Q3K => GgmlDType::Q3K,
        weights::DType::Q4K => GgmlDType::Q4K,
        weights::DType::Q5K => GgmlDType::Q5K,
        weights::DType::Q6K => GgmlDType::Q6K,
        weights::DType::Q8K => GgmlDType::Q8K,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weights::gguf::Writer;

    /// Quantises random values, 24 rows of 512, and gives the bytes and what they stand for.
    fn quantise(dtype: weights::DType) -> (Vec<u8>, Tensor) {
        let values = Tensor::randn(0f32, 1.0, (24, 512), &Device::Cpu).unwrap();
        let quantised = QTensor::quantize(&values, ggml_dtype(dtype)).unwrap();
        let bytes = quantised.data().unwrap().into_owned();
        (bytes, quantised.dequantize(&Device::Cpu).unwrap())
    }

    /// Worst difference as a share of the largest value.
    fn error(ours: &Tensor, reference: &Tensor) -> f32 {
        assert_eq!(ours.dims(), reference.dims());
        let largest = |t: Tensor| {
            let t = t.abs().unwrap().flatten_all().unwrap();
            t.max(0).unwrap().to_scalar::<f32>().unwrap()
        };
        largest((ours - reference).unwrap()) / largest(reference.clone())
    }

    #[test]
    fn every_quantised_type_multiplies_like_what_it_stands_for() {
        let folder = tempfile::tempdir().unwrap();
        for dtype in weights::DType::ALL {
            // candle reads these two but has no quantiser for them.
            if matches!(dtype, weights::DType::Q8_1 | weights::DType::Q8K) {
                continue;
            }
            let path = folder.path().join(format!("{dtype}.gguf"));
            let (bytes, plain) = quantise(dtype);
            let mut writer = Writer::new(&path, "gemma3n");
            writer.tensor("m", dtype, &[24, 512]).unwrap();
            let mut body = writer.start().unwrap();
            body.write(&bytes).unwrap();
            body.finish().unwrap();

            let checkpoint = Checkpoint::open(&path).unwrap();
            let mut on = |_| true;
            let mut loader = Loader::new(&checkpoint, &Device::Cpu, Compute::F32, &mut on);
            loader.panel_width = 256;
            let linear = loader.linear("m", 24, 512).unwrap();
            let columns = loader.column_panels("m", 24, 512).unwrap();
            loader.panel_width = 10;
            let rows = loader.row_panels("m", 24, 512).unwrap();
            // Activations are rounded to 8 bits a block: about one part in 250 each.
            let allowed = if dtype.is_dense() { 1e-5 } else { 0.02 };
            for n_rows in [1, 5] {
                let x = Tensor::randn(0f32, 1.0, (n_rows, 512), &Device::Cpu).unwrap();
                let product = |x: &Tensor, w: &Tensor| x.matmul(&w.t().unwrap()).unwrap();
                let whole = product(&x, &plain);
                assert!(
                    error(&linear.forward(&x).unwrap(), &whole) < allowed,
                    "{dtype}"
                );
                // Whole panels, and one that is used in part.
                for n in [10, 20, 13, 24] {
                    let ours = rows.forward_rows(&x, n).unwrap();
                    let theirs = whole.narrow(1, 0, n).unwrap();
                    assert!(error(&ours, &theirs) < allowed, "{dtype}: {n} rows");
                }
                for n in [256, 512, 300, 70] {
                    let x = x.narrow(1, 0, n).unwrap();
                    let ours = columns.forward_columns(&x).unwrap();
                    let theirs = product(&x, &plain.narrow(1, 0, n).unwrap());
                    assert!(error(&ours, &theirs) < allowed, "{dtype}: {n} columns");
                }
            }
            let mut row = vec![0.0; 512];
            let view = checkpoint.tensor("m").unwrap();
            read_row(dtype, view.row(7).unwrap(), &mut row).unwrap();
            assert_eq!(
                row,
                plain.get(7).unwrap().to_vec1::<f32>().unwrap(),
                "{dtype}"
            );
        }
    }
}

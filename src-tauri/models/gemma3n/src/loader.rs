//! From tensors in a file to tensors in memory.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use weights::{Checkpoint, TensorView};

use crate::error::{Error, Result};
use crate::linear::Linear;
use crate::workers::Workers;

/// In what type the matrices of a dense checkpoint are multiplied.
///
/// Activations, norms and sums are f32 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// As the numbers are, exact against the reference.
    F32,
    /// Rounded to bf16 where the file has more bits: a copy in memory, which halves the memory traffic.
    Bf16,
}

/// Is told how many bytes have been read so far; false stops the loading.
pub type OnProgress<'a> = dyn FnMut(u64) -> bool + 'a;

/// Reads the tensors of one checkpoint for one device.
pub struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    device: &'a Device,
    compute: Compute,
    workers: &'a Arc<Workers>,
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
        workers: &'a Arc<Workers>,
        on: &'a mut OnProgress<'a>,
    ) -> Self {
        Self {
            checkpoint,
            device,
            compute,
            workers,
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

    pub fn workers(&self) -> &'a Arc<Workers> {
        self.workers
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

    /// The numbers of a small tensor in f32.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensor(name, shape)?.to_device(&Device::Cpu)?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    /// A bias-free linear layer `[out, in]`.
    pub fn linear(&self, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
        self.matrix(&self.require(name, &[n_out, n_in])?, n_out, n_in)
    }

    /// A 1x1 convolution `[out, in, 1, 1]` as the linear layer that it is.
    pub fn pointwise(&self, name: &str, n_out: usize, n_in: usize) -> Result<Linear> {
        self.matrix(&self.require(name, &[n_out, n_in, 1, 1])?, n_out, n_in)
    }

    /// A convolution `[out, in, kernel height, kernel width]` as the matrix `[out, kernel height * kernel width * in]`,
    /// channels innermost, and its shape. `expected` makes of the shape in the file the one that it has to be.
    pub fn convolution(
        &self,
        name: &str,
        expected: impl Fn([usize; 4]) -> [usize; 4],
    ) -> Result<(Tensor, [usize; 4])> {
        let shape = match self.checkpoint.tensor(name) {
            Some(view) if view.shape.len() == 4 => view.shape.to_vec(),
            // Asking for it makes the sentence: missing, or not four axes.
            _ => self.tensor(name, &[0; 4])?.dims().to_vec(),
        };
        let shape = expected([shape[0], shape[1], shape[2], shape[3]]);
        let [n_out, n_in, height, width] = shape;
        let weight = self
            .tensor(name, &shape)?
            .permute((0, 2, 3, 1))?
            .reshape((n_out, height * width * n_in))?;
        Ok((weight, shape))
    }

    fn matrix(&self, view: &TensorView, n_out: usize, n_in: usize) -> Result<Linear> {
        let is_dense = dense_dtype(view.dtype).is_some();
        let rounded =
            is_dense && self.compute == Compute::Bf16 && view.dtype != weights::DType::BF16;
        if self.device.is_cpu()
            && !rounded
            && let Some(bytes) = self.checkpoint.mapped(view.name)
            && let Some(linear) = Linear::in_place(view.dtype, bytes, n_out, n_in, self.workers)
        {
            return Ok(linear);
        }
        if is_dense {
            return self.dense(view, &[n_out, n_in]);
        }
        let matrix = quantized(view.dtype, view.bytes, &[n_out, n_in], self.device)?;
        let matrix = QMatMul::from_qtensor(matrix)?;
        Ok(Linear::other(matrix, n_out, n_in, self.device))
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
    use crate::linear::{Product, multiply};
    use crate::testing::random;
    use crate::workers::Operand;
    use kernels::{Activations, Cpu, Pool, Rows};
    use weights::gguf::Writer;

    /// Quantises random values, 24 rows of 512, and gives the bytes and what they stand for.
    fn quantise(dtype: weights::DType) -> (Vec<u8>, Tensor) {
        let values = random(1, (24, 512));
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

    fn product(x: &Tensor, w: &Tensor) -> Tensor {
        x.matmul(&w.t().unwrap()).unwrap()
    }

    /// The first `n_out` rows of the layer with activations for the first columns.
    fn cut(workers: &Workers, linear: &Linear, x: &Tensor, n_out: usize) -> Tensor {
        let (n_rows, n_in) = x.dims2().unwrap();
        let width = linear.padded(n_in);
        let padded = x.pad_with_zeros(1, 0, width - n_in).unwrap();
        let values: Vec<f32> = padded.flatten_all().unwrap().to_vec1().unwrap();
        let mut rounded = Activations::default();
        let mut out = vec![f32::NAN; n_rows * n_out];
        let rows = Rows::First(n_out);
        let one = Product {
            linear,
            rows,
            out: &mut out,
        };
        let mut operand = Operand::new(&values, width, &mut rounded);
        multiply(workers, &mut operand, &mut [one]).unwrap();
        Tensor::from_vec(out, (n_rows, n_out), &Device::Cpu).unwrap()
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
            // Activations are rounded to 8 bits a block: about one part in 250 each.
            let allowed = if dtype.is_dense() { 1e-5 } else { 0.02 };
            for cpu in Cpu::all() {
                let workers = Arc::new(Workers {
                    cpu,
                    pool: Pool::new(2),
                });
                let device = Device::Cpu;
                let loader = Loader::new(&checkpoint, &device, Compute::F32, &workers, &mut on);
                let linear = loader.linear("m", 24, 512).unwrap();
                for n_rows in [1, 5] {
                    let x = random(2, (n_rows, 512));
                    let whole = linear.forward(&x).unwrap();
                    let theirs = product(&x, &plain);
                    assert!(error(&whole, &theirs) < allowed, "{dtype}");
                    // The cuts of a submodel: first rows, and first columns, whole blocks or not.
                    for (n_out, n_in) in [(10, 512), (24, 256), (24, 300), (13, 70)] {
                        let x = x.narrow(1, 0, n_in).unwrap();
                        let ours = cut(&workers, &linear, &x, n_out);
                        let theirs = product(&x, &plain.narrow(1, 0, n_in).unwrap());
                        let theirs = theirs.narrow(1, 0, n_out).unwrap();
                        let off = error(&ours, &theirs);
                        assert!(off < allowed, "{dtype} {n_out} {n_in}: {off}");
                    }
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

//! Dense numbers rewritten in another type.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use half::{bf16, f16};

use crate::DType;

/// Values of a block of Q8_0, and the bytes it takes: a half precision scale and a signed byte for each value.
const Q8_0_VALUES: usize = 32;
const Q8_0_BYTES: usize = 2 + Q8_0_VALUES;

/// The types that numbers can be rewritten in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    F32,
    F16,
    Q8_0,
    Q4_0,
    Q4K,
    Q6K,
}

impl Target {
    pub fn dtype(self) -> DType {
        match self {
            Target::F32 => DType::F32,
            Target::F16 => DType::F16,
            Target::Q8_0 => DType::Q8_0,
            Target::Q4_0 => DType::Q4_0,
            Target::Q4K => DType::Q4K,
            Target::Q6K => DType::Q6K,
        }
    }

    /// Appends `values` to `out`. False if one of them is not finite or beyond what the type holds.
    pub fn encode(self, values: &[f32], out: &mut Vec<u8>) -> bool {
        let mut finite = true;
        match self {
            Target::F32 => {
                for value in values {
                    finite &= value.is_finite();
                    out.extend(value.to_le_bytes());
                }
            }
            Target::F16 => {
                for &value in values {
                    let value = f16::from_f32(value);
                    finite &= value.is_finite();
                    out.extend(value.to_le_bytes());
                }
            }
            Target::Q8_0 => {
                let (blocks, rest) = values.as_chunks::<Q8_0_VALUES>();
                debug_assert!(rest.is_empty(), "rows are whole blocks");
                for block in blocks {
                    finite &= block.iter().all(|value| value.is_finite());
                    let bytes = q8_0(block);
                    finite &= f16::from_le_bytes([bytes[0], bytes[1]]).is_finite();
                    out.extend(bytes);
                }
            }
            Target::Q4_0 => finite = quantise(GgmlDType::Q4_0, values, out),
            Target::Q4K => finite = quantise(GgmlDType::Q4K, values, out),
            Target::Q6K => finite = quantise(GgmlDType::Q6K, values, out),
        }
        finite
    }
}

/// Whole blocks, by candle: its searches for the best scales are ggml's.
fn quantise(dtype: GgmlDType, values: &[f32], out: &mut Vec<u8>) -> bool {
    // Beyond this a scale may be more than a half precision number can be.
    const LARGEST: f32 = 60_000.0;
    if !values.iter().all(|value| value.abs() <= LARGEST) {
        return false;
    }
    let quantised = Tensor::from_slice(values, values.len(), &Device::Cpu)
        .and_then(|values| QTensor::quantize(&values, dtype));
    match quantised.as_ref().map(QTensor::data) {
        Ok(Ok(bytes)) => out.extend_from_slice(&bytes),
        _ => unreachable!("whole blocks of f32 on the CPU can be quantised"),
    }
    true
}

/// As ggml's `quantize_row_q8_0_ref`: the largest value becomes 127, halves are rounded away from zero, and the values
/// are divided by the scale before it is rounded to half precision.
fn q8_0(values: &[f32; Q8_0_VALUES]) -> [u8; Q8_0_BYTES] {
    let largest = values.iter().fold(0f32, |max, value| max.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut bytes = [0; Q8_0_BYTES];
    bytes[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (byte, value) in bytes[2..].iter_mut().zip(values) {
        *byte = (value * inverse).round() as i8 as u8;
    }
    bytes
}

/// Appends the numbers of a dense tensor to `out`.
pub(crate) fn decode(dtype: DType, bytes: &[u8], out: &mut Vec<f32>) {
    match dtype {
        DType::F32 => out.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
        DType::F16 => {
            out.extend((bytes.as_chunks().0.iter()).map(|&b| f16::from_le_bytes(b).to_f32()));
        }
        DType::BF16 => {
            out.extend((bytes.as_chunks().0.iter()).map(|&b| bf16::from_le_bytes(b).to_f32()));
        }
        _ => unreachable!("folders hold dense numbers only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantised(values: &[f32]) -> (f32, Vec<i8>) {
        let mut block = [0.0; Q8_0_VALUES];
        block[..values.len()].copy_from_slice(values);
        let mut bytes = Vec::new();
        assert!(Target::Q8_0.encode(&block, &mut bytes));
        assert_eq!(bytes.len(), DType::Q8_0.block_bytes());
        let scale = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        let quants = bytes[2..][..values.len()].iter().map(|&b| b as i8);
        (scale, quants.collect())
    }

    #[test]
    fn blocks_of_eight_bits_are_ggmls() {
        // Scale 1, so that the quants are the values, halves away from zero.
        let (scale, quants) = quantised(&[127.0, -127.0, 0.5, -0.5, 1.5, 2.5, 0.49, -126.5]);
        assert_eq!(scale, 1.0);
        assert_eq!(quants, [127, -127, 1, -1, 2, 3, 0, -127]);
        // Nothing to scale.
        assert_eq!(quantised(&[0.0, -0.0]), (0.0, vec![0, 0]));
        // 0.1 / 127 is not a half: the quants come from the unrounded scale.
        let (scale, quants) = quantised(&[0.1, 0.05, -0.025]);
        assert_eq!(scale, f16::from_f32(0.1 / 127.0).to_f32());
        assert_eq!(quants, [127, 64, -32]);
    }

    #[test]
    fn fewer_bits_are_further_off() {
        let values: Vec<f32> = (0..512).map(|i| (i as f32 * 0.37).sin()).collect();
        let error = |target: Target, ggml| {
            let mut bytes = Vec::new();
            assert!(target.encode(&values, &mut bytes));
            assert_eq!(Some(bytes.len()), target.dtype().bytes_for(values.len()));
            let storage =
                candle_core::quantized::QStorage::from_data(bytes.into(), &Device::Cpu, ggml)
                    .unwrap();
            let back = QTensor::new(storage, values.len()).unwrap();
            let back: Vec<f32> = back.dequantize(&Device::Cpu).unwrap().to_vec1().unwrap();
            let squares = values.iter().zip(&back).map(|(a, b)| (a - b).powi(2));
            (squares.sum::<f32>() / 256.0).sqrt() // Half of the numbers' squares.
        };
        let errors = [
            error(Target::Q8_0, GgmlDType::Q8_0),
            error(Target::Q6K, GgmlDType::Q6K),
            error(Target::Q4K, GgmlDType::Q4K),
            error(Target::Q4_0, GgmlDType::Q4_0),
        ];
        assert!(errors.is_sorted(), "{errors:?}");
        assert!(errors[0] < 0.006 && errors[3] < 0.11, "{errors:?}");
    }

    #[test]
    fn every_dense_type_is_read() {
        let values = [1.0f32, -0.5, 1e-3, 300.0];
        let half: Vec<u8> = values
            .iter()
            .flat_map(|&v| f16::from_f32(v).to_le_bytes())
            .collect();
        let brain: Vec<u8> = values
            .iter()
            .flat_map(|&v| bf16::from_f32(v).to_le_bytes())
            .collect();
        let single: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for (dtype, bytes, relative) in [
            (DType::F32, single, 0.0),
            (DType::F16, half, 1e-3),
            (DType::BF16, brain, 1e-2),
        ] {
            let mut found = Vec::new();
            decode(dtype, &bytes, &mut found);
            for (a, b) in found.iter().zip(&values) {
                assert!((a - b).abs() <= relative * b.abs(), "{dtype}: {a} {b}");
            }
        }
    }

    #[test]
    fn what_a_type_cannot_hold_is_noticed() {
        for (target, value, holds) in [
            (Target::F32, f32::MAX, true),
            (Target::F32, f32::NAN, false),
            (Target::F16, 65_504.0, true),
            (Target::F16, 65_536.0, false),
            (Target::Q8_0, 8e6, true),
            (Target::Q8_0, 9e6, false), // Its scale is more than a half precision number can be.
            (Target::Q8_0, f32::NAN, false),
            (Target::Q8_0, f32::NEG_INFINITY, false),
            (Target::Q4_0, 1e3, true),
            (Target::Q4_0, f32::NAN, false),
            (Target::Q4K, f32::INFINITY, false),
            (Target::Q6K, 1e6, false),
        ] {
            let mut block = [1.0; 256];
            block[7] = value;
            assert_eq!(
                target.encode(&block, &mut Vec::new()),
                holds,
                "{target:?} {value}"
            );
        }
    }
}

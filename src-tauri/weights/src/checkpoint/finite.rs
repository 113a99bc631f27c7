//! Looks for NaN and infinity: the exponent bits of both are all set.

use crate::DType;
use crate::dtype::Scales;

const F16_EXPONENT: u16 = 0x7c00;
const BF16_EXPONENT: u16 = 0x7f80;
const F32_EXPONENT: u32 = 0x7f80_0000;

pub(super) fn all_finite(dtype: DType, bytes: &[u8]) -> bool {
    match (dtype, dtype.scales()) {
        (DType::F32, _) => bytes.as_chunks().0.iter().all(|&b| is_finite_32(b)),
        (DType::BF16, _) => bytes
            .as_chunks()
            .0
            .iter()
            .all(|&b| is_finite_16(b, BF16_EXPONENT)),
        (_, Scales::Dense) => bytes
            .as_chunks()
            .0
            .iter()
            .all(|&b| is_finite_16(b, F16_EXPONENT)),
        (_, Scales::F16(places)) => bytes.chunks_exact(dtype.block_bytes()).all(|block| {
            places.iter().all(|&at| {
                block[at..]
                    .first_chunk()
                    .is_some_and(|&b| is_finite_16(b, F16_EXPONENT))
            })
        }),
        (_, Scales::F32(at)) => bytes
            .chunks_exact(dtype.block_bytes())
            .all(|block| block[at..].first_chunk().is_some_and(|&b| is_finite_32(b))),
    }
}

fn is_finite_16(bytes: [u8; 2], exponent: u16) -> bool {
    u16::from_le_bytes(bytes) & exponent != exponent
}

fn is_finite_32(bytes: [u8; 4]) -> bool {
    u32::from_le_bytes(bytes) & F32_EXPONENT != F32_EXPONENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_nan_and_infinity_in_every_dense_format() {
        for (dtype, good, bad) in [
            (
                DType::F32,
                f32::MAX.to_le_bytes().to_vec(),
                f32::NAN.to_le_bytes().to_vec(),
            ),
            (
                DType::F32,
                vec![0, 0, 0, 0x80],
                f32::NEG_INFINITY.to_le_bytes().to_vec(),
            ),
            (DType::F16, vec![0xff, 0x7b], vec![0x00, 0xfc]),
            (DType::F16, vec![0x80, 0x3f], vec![0x01, 0x7e]),
            (DType::BF16, vec![0x7f, 0x7f], vec![0x80, 0x7f]),
            (DType::BF16, vec![0x00, 0x7c], vec![0xc0, 0xff]),
        ] {
            let whole = [good.clone(), good.clone(), good].concat();
            assert!(all_finite(dtype, &whole), "{dtype}");
            assert!(!all_finite(dtype, &[whole, bad].concat()), "{dtype}");
        }
    }

    #[test]
    fn looks_only_at_the_scales_of_blocks() {
        for dtype in DType::ALL.into_iter().filter(|dtype| !dtype.is_dense()) {
            let (places, inf): (&[usize], &[u8]) = match dtype.scales() {
                Scales::F16(places) => (places, &[0x00, 0x7c]),
                Scales::F32(_) => (&[0], &[0x00, 0x00, 0x80, 0x7f]),
                Scales::Dense => unreachable!("filtered"),
            };
            let width = inf.len();
            let mut block = vec![0xff; dtype.block_bytes()];
            for &at in places {
                block[at..at + width].fill(0);
            }
            assert!(all_finite(dtype, &block.repeat(3)), "{dtype}");
            for &at in places {
                let mut blocks = block.repeat(3);
                let at = 2 * dtype.block_bytes() + at;
                blocks[at..at + width].copy_from_slice(inf);
                assert!(!all_finite(dtype, &blocks), "{dtype}");
            }
        }
    }
}

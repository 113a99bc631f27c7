//! What the tests compare with, and how.

use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;

pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../tests/fixtures")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// About normal numbers, the same for the same seed: what is compared within a bound must not fail by bad luck.
pub(crate) fn random(seed: u64, shape: (usize, usize)) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let values = (0..shape.0 * shape.1)
        .map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(crate) struct Tensors {
    bytes: Vec<u8>,
}

pub(crate) fn tensors(path: &str) -> Tensors {
    Tensors {
        bytes: fixture(path),
    }
}

impl Tensors {
    fn open(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    /// The names that end so, without that end.
    pub fn stems(&self, suffix: &str) -> Vec<String> {
        self.open()
            .names()
            .into_iter()
            .filter_map(|name| name.strip_suffix(suffix))
            .map(str::to_string)
            .collect()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.open().tensor(name).unwrap().shape().to_vec()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.open().tensor(name).unwrap().data().to_vec()
    }

    pub fn f32s(&self, name: &str) -> Vec<f32> {
        self.bytes(name)
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    }

    pub fn i64s(&self, name: &str) -> Vec<i64> {
        self.bytes(name)
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes))
            .collect()
    }
}

/// The largest difference between two tensors of one shape.
pub(crate) fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let difference = (a - b).unwrap().abs().unwrap();
    difference
        .flatten_all()
        .unwrap()
        .max(0)
        .unwrap()
        .to_scalar()
        .unwrap()
}

//! The number formats a tensor may be stored in.

use std::fmt;

/// How the numbers of a tensor are stored.
///
/// Quantised formats pack a fixed number of elements into a block of bytes; a dense number is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Q8K,
}

/// Where the scales of a block lie, in bytes from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scales {
    /// The block is a single number.
    Dense,
    /// Half precision numbers at these places.
    F16(&'static [usize]),
    /// One single precision number at this place.
    F32(usize),
}

/// What is known about a format, in one row.
struct Facts {
    name: &'static str,
    ggml_id: u32,
    block_len: usize,
    block_bytes: usize,
    scales: Scales,
}

impl DType {
    pub const ALL: [DType; 15] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q8_0,
        DType::Q8_1,
        DType::Q2K,
        DType::Q3K,
        DType::Q4K,
        DType::Q5K,
        DType::Q6K,
        DType::Q8K,
    ];

    /// Elements in a block.
    pub fn block_len(self) -> usize {
        self.facts().block_len
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.facts().block_bytes
    }

    /// Bytes that `elements` numbers take, or `None` when they do not fill whole blocks or the count overflows.
    pub fn bytes_for(self, elements: usize) -> Option<usize> {
        let Facts {
            block_len,
            block_bytes,
            ..
        } = self.facts();
        if !elements.is_multiple_of(block_len) {
            return None;
        }
        (elements / block_len).checked_mul(block_bytes)
    }

    /// The name as GGUF tools write it, in lower case.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Whether every element is a number of its own.
    pub fn is_dense(self) -> bool {
        self.block_len() == 1
    }

    pub(crate) fn ggml_id(self) -> u32 {
        self.facts().ggml_id
    }

    pub(crate) fn from_ggml_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.ggml_id() == id)
    }

    pub(crate) fn from_safetensors(name: &str) -> Option<Self> {
        match name {
            "F32" => Some(DType::F32),
            "F16" => Some(DType::F16),
            "BF16" => Some(DType::BF16),
            _ => None,
        }
    }

    pub(crate) fn scales(self) -> Scales {
        self.facts().scales
    }

    fn facts(self) -> Facts {
        const fn facts(
            name: &'static str,
            ggml_id: u32,
            block_len: usize,
            block_bytes: usize,
            scales: Scales,
        ) -> Facts {
            Facts {
                name,
                ggml_id,
                block_len,
                block_bytes,
                scales,
            }
        }
        // Block layouts as in ggml's `ggml-common.h`.
        match self {
            DType::F32 => facts("f32", 0, 1, 4, Scales::Dense),
            DType::F16 => facts("f16", 1, 1, 2, Scales::Dense),
            DType::BF16 => facts("bf16", 30, 1, 2, Scales::Dense),
            DType::Q4_0 => facts("q4_0", 2, 32, 2 + 16, Scales::F16(&[0])),
            DType::Q4_1 => facts("q4_1", 3, 32, 4 + 16, Scales::F16(&[0, 2])),
            DType::Q5_0 => facts("q5_0", 6, 32, 2 + 4 + 16, Scales::F16(&[0])),
            DType::Q5_1 => facts("q5_1", 7, 32, 4 + 4 + 16, Scales::F16(&[0, 2])),
            DType::Q8_0 => facts("q8_0", 8, 32, 2 + 32, Scales::F16(&[0])),
            DType::Q8_1 => facts("q8_1", 9, 32, 4 + 32, Scales::F16(&[0, 2])),
            DType::Q2K => facts("q2_k", 10, 256, 16 + 64 + 4, Scales::F16(&[80, 82])),
            DType::Q3K => facts("q3_k", 11, 256, 32 + 64 + 12 + 2, Scales::F16(&[108])),
            DType::Q4K => facts("q4_k", 12, 256, 4 + 12 + 128, Scales::F16(&[0, 2])),
            DType::Q5K => facts("q5_k", 13, 256, 4 + 12 + 32 + 128, Scales::F16(&[0, 2])),
            DType::Q6K => facts("q6_k", 14, 256, 128 + 64 + 16 + 2, Scales::F16(&[208])),
            DType::Q8K => facts("q8_k", 15, 256, 4 + 256 + 32, Scales::F32(0)),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to call a ggml type id that `DType` does not cover.
pub(crate) fn describe_ggml_id(id: u32) -> String {
    let name = match id {
        16 => "iq2_xxs",
        17 => "iq2_xs",
        18 => "iq3_xxs",
        19 => "iq1_s",
        20 => "iq4_nl",
        21 => "iq3_s",
        22 => "iq2_s",
        23 => "iq4_xs",
        24 => "i8",
        25 => "i16",
        26 => "i32",
        27 => "i64",
        28 => "f64",
        29 => "iq1_m",
        34 => "tq1_0",
        35 => "tq2_0",
        39 => "mxfp4",
        _ => return format!("ggml type {id}"),
    };
    format!("{name} (ggml type {id})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_bytes_of_whole_blocks() {
        assert_eq!(DType::F32.bytes_for(3), Some(12));
        assert_eq!(DType::Q4_0.bytes_for(64), Some(36));
        assert_eq!(DType::Q4_0.bytes_for(33), None);
        assert_eq!(DType::Q6K.bytes_for(512), Some(420));
        assert_eq!(DType::F32.bytes_for(usize::MAX), None);
        assert_eq!(DType::Q8K.bytes_for(0), Some(0));
    }

    #[test]
    fn ggml_ids_are_unique_and_scales_lie_inside_the_block() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_ggml_id(dtype.ggml_id()), Some(dtype));
            match dtype.scales() {
                Scales::Dense => assert!(dtype.is_dense()),
                Scales::F16(places) => assert!(places.iter().all(|p| p + 2 <= dtype.block_bytes())),
                Scales::F32(place) => assert!(place + 4 <= dtype.block_bytes()),
            }
        }
    }
}

//! Which instructions this machine has.

use crate::strip::Strips;

/// A way to compute that this machine is known to have.
#[derive(Clone, Copy)]
pub struct Cpu {
    name: &'static str,
    /// `None`: plain Rust.
    pub(crate) strips: Option<Strips>,
    pub(crate) dense: crate::dense::DenseKernels,
    /// `None`: one row of activations takes the same way as many.
    pub(crate) decode: Option<crate::decode::DecodeKernels>,
    pub(crate) vectors: Vectors,
}

/// The registers that plain loops are compiled for, see [`crate::vectorised!`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    /// What every CPU of the target has.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Cpu {
    /// The fastest.
    pub fn best() -> Self {
        Self::all().swap_remove(0)
    }

    /// The one of this name, if this machine has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|cpu| cpu.name == name)
    }

    /// All, the fastest first and plain Rust last.
    pub fn all() -> Vec<Self> {
        let mut all = Self::special();
        all.push(Self {
            name: "plain",
            strips: None,
            dense: crate::dense::PLAIN,
            decode: None,
            vectors: Vectors::Baseline,
        });
        all
    }

    /// As it is written in reports, such as `x86_64-avx2`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    #[cfg(target_arch = "x86_64")]
    fn special() -> Vec<Self> {
        use crate::{decode::x86_64 as decode, dense, strip::x86_64 as strips};
        use std::arch::is_x86_feature_detected as has;

        let mut found = Vec::new();
        let mut add = |name, strips, decode, dense, vectors| {
            found.push(Self {
                name,
                strips: Some(strips),
                decode,
                dense,
                vectors,
            });
        };
        let avx2 = has!("avx2") && has!("fma") && has!("f16c");
        let avx512 = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512vl");
        if avx512 && has!("avx512vnni") {
            add(
                "x86_64-avx512-vnni",
                strips::AVX512_VNNI,
                Some(decode::AVX512_VNNI),
                dense::AVX512,
                Vectors::Avx512,
            );
        }
        if avx2 && has!("avxvnni") {
            add(
                "x86_64-avx-vnni",
                strips::AVX_VNNI,
                None,
                dense::AVX2,
                Vectors::Avx2,
            );
        }
        if avx512 && has!("avx512vnni") {
            add(
                "x86_64-avx512-vnni-256",
                strips::AVX512_VNNI_256,
                None,
                dense::AVX2,
                Vectors::Avx2,
            );
        }
        if avx2 {
            add(
                "x86_64-avx2",
                strips::AVX2,
                None,
                dense::AVX2,
                Vectors::Avx2,
            );
        }
        found
    }

    #[cfg(target_arch = "aarch64")]
    fn special() -> Vec<Self> {
        use crate::{dense, strip::aarch64 as strips};
        use std::arch::is_aarch64_feature_detected as has;

        let mut found = Vec::new();
        let mut add = |name, strips| {
            found.push(Self {
                name,
                strips: Some(strips),
                dense: dense::PLAIN,
                decode: None,
                vectors: Vectors::Baseline,
            });
        };
        if has!("dotprod") && has!("i8mm") {
            add("aarch64-neon-i8mm", strips::I8MM);
        }
        if has!("dotprod") {
            add("aarch64-neon-dotprod", strips::DOTPROD);
        }
        found
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn special() -> Vec<Self> {
        Vec::new()
    }
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cpu({})", self.name)
    }
}

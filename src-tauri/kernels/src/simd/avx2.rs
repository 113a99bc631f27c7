//! 256-bit vectors: AVX2 with FMA and F16C, and two forms of VNNI on top.

use std::arch::x86_64::*;

use super::{RowPointers, Simd};

/// Products of bytes by `vpmaddubsw`.
pub(crate) struct MulAdd;
/// Products of bytes by the VEX form of `vpdpbusd`: Intel from Alder Lake, AMD from Zen 5.
pub(crate) struct VexVnni;
/// By its EVEX form, for CPUs with AVX-512 whose wide vectors one does not want.
pub(crate) struct EvexVnni;

/// The way a kind of CPU multiplies bytes.
pub(crate) trait Bytes {
    const SIGNED: bool;
    /// # Safety
    ///
    /// See [`Simd::dot`].
    unsafe fn dot<const N: usize, const MAX: u32>(
        start: __m256i,
        weights: [__m256i; N],
        activations: *const i8,
    ) -> __m256i;
}

/// The four activations from `at` in every lane.
///
/// # Safety
///
/// There must be four, and AVX2.
#[inline(always)]
unsafe fn four(at: *const i8) -> __m256i {
    // SAFETY: as promised to this function.
    unsafe { _mm256_set1_epi32(at.cast::<i32>().read_unaligned()) }
}

impl Bytes for MulAdd {
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn dot<const N: usize, const MAX: u32>(
        start: __m256i,
        weights: [__m256i; N],
        activations: *const i8,
    ) -> __m256i {
        // How many sums of two products, each at most 2 * MAX * 127, 16 bits hold: 8 for weights of 4 bits.
        let together = const { i16::MAX as usize / (2 * 127 * MAX as usize) };
        let mut sum = start;
        // SAFETY: as promised to this function; it reads 4 * N activations.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut pairs = _mm256_setzero_si256();
            let mut n = 0;
            while n < N {
                let x = four(activations.add(4 * n));
                // The instruction takes the first factor without sign.
                let products = if MAX > 63 {
                    _mm256_maddubs_epi16(
                        _mm256_abs_epi8(weights[n]),
                        _mm256_sign_epi8(x, weights[n]),
                    )
                } else {
                    _mm256_maddubs_epi16(weights[n], x)
                };
                pairs = _mm256_add_epi16(pairs, products);
                n += 1;
                if n.is_multiple_of(together) || n == N {
                    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
                    pairs = _mm256_setzero_si256();
                }
            }
        }
        sum
    }
}

impl Bytes for VexVnni {
    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn dot<const N: usize, const MAX: u32>(
        start: __m256i,
        weights: [__m256i; N],
        activations: *const i8,
    ) -> __m256i {
        let mut sum = start;
        let mut n = 0;
        while n < N {
            // SAFETY: as promised to this function; it reads 4 * N activations.
            sum = unsafe { _mm256_dpbusd_avx_epi32(sum, weights[n], four(activations.add(4 * n))) };
            n += 1;
        }
        sum
    }
}

impl Bytes for EvexVnni {
    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn dot<const N: usize, const MAX: u32>(
        start: __m256i,
        weights: [__m256i; N],
        activations: *const i8,
    ) -> __m256i {
        let mut sum = start;
        let mut n = 0;
        while n < N {
            // SAFETY: as promised to this function; it reads 4 * N activations.
            sum = unsafe { _mm256_dpbusd_epi32(sum, weights[n], four(activations.add(4 * n))) };
            n += 1;
        }
        sum
    }
}

/// Two rows' sixteen bytes, one in each half.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
unsafe fn halves(low: *const u8, high: *const u8, offset: usize) -> __m256i {
    // SAFETY: the caller vouches for the instruction set and for sixteen bytes at each address.
    unsafe {
        _mm256_set_m128i(
            _mm_loadu_si128(high.add(offset).cast()),
            _mm_loadu_si128(low.add(offset).cast()),
        )
    }
}

// SAFETY: every function passes its caller's promises on to the instructions.
impl<B: Bytes> Simd for B {
    const LANES: usize = 8;
    const SIGNED: bool = B::SIGNED;
    type Ints = __m256i;
    type Floats = __m256;

    #[inline(always)]
    unsafe fn columns(rows: &RowPointers, offset: usize) -> [__m256i; 4] {
        // SAFETY: as promised to this function.
        unsafe {
            let a = halves(rows[0], rows[4], offset);
            let b = halves(rows[1], rows[5], offset);
            let c = halves(rows[2], rows[6], offset);
            let d = halves(rows[3], rows[7], offset);
            // Transposes four rows by four words in each half.
            let ab_low = _mm256_unpacklo_epi32(a, b);
            let ab_high = _mm256_unpackhi_epi32(a, b);
            let cd_low = _mm256_unpacklo_epi32(c, d);
            let cd_high = _mm256_unpackhi_epi32(c, d);
            [
                _mm256_unpacklo_epi64(ab_low, cd_low),
                _mm256_unpackhi_epi64(ab_low, cd_low),
                _mm256_unpacklo_epi64(ab_high, cd_high),
                _mm256_unpackhi_epi64(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn words(rows: &RowPointers, offset: usize) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe {
            let word = |row: *const u8| row.add(offset).cast::<i32>().read_unaligned();
            let four = |rows: &[*const u8]| {
                _mm_set_epi32(word(rows[3]), word(rows[2]), word(rows[1]), word(rows[0]))
            };
            _mm256_set_m128i(four(&rows[4..8]), four(&rows[0..4]))
        }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn splat_f32(value: f32) -> __m256 {
        // SAFETY: as promised to this function.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn and(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe { _mm256_and_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn or(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe { _mm256_or_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn xor(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn shift_left(a: __m256i, by: u32) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(by as i32)) }
    }

    #[inline(always)]
    unsafe fn shift_right(a: __m256i, by: u32) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe { _mm256_srl_epi32(a, _mm_cvtsi32_si128(by as i32)) }
    }

    #[inline(always)]
    unsafe fn shift_right_signed(a: __m256i, by: u32) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe { _mm256_sra_epi32(a, _mm_cvtsi32_si128(by as i32)) }
    }

    #[inline(always)]
    unsafe fn to_f32(a: __m256i) -> __m256 {
        // SAFETY: as promised to this function.
        unsafe { _mm256_cvtepi32_ps(a) }
    }

    #[inline(always)]
    unsafe fn half_to_f32(a: __m256i) -> __m256 {
        // SAFETY: as promised to this function.
        unsafe {
            let low = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
            let packed = _mm_packus_epi32(
                _mm256_castsi256_si128(low),
                _mm256_extracti128_si256::<1>(low),
            );
            _mm256_cvtph_ps(packed)
        }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: as promised to this function.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: as promised to this function.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: as promised to this function.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, a: __m256) {
        // SAFETY: as promised to this function.
        unsafe { _mm256_storeu_ps(to, a) }
    }

    #[inline(always)]
    unsafe fn dot<const N: usize, const MAX: u32>(
        start: __m256i,
        weights: [__m256i; N],
        activations: *const i8,
    ) -> __m256i {
        // SAFETY: as promised to this function.
        unsafe { <B as Bytes>::dot::<N, MAX>(start, weights, activations) }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a hint about any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}

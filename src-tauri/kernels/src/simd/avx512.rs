//! 512-bit vectors with VNNI: Intel from Ice Lake, AMD from Zen 4.

use std::arch::x86_64::*;

use super::{RowPointers, Simd};

pub(crate) struct Avx512Vnni;

/// Four rows' sixteen bytes, one in each quarter.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
unsafe fn quarters(rows: [*const u8; 4], offset: usize) -> __m512i {
    // SAFETY: the caller vouches for the instruction set and for sixteen bytes at each address.
    unsafe {
        let quarter = |row: *const u8| _mm_loadu_si128(row.add(offset).cast());
        let v = _mm512_castsi128_si512(quarter(rows[0]));
        // A masked broadcast loads and inserts at once.
        let v = _mm512_mask_broadcast_i32x4(v, 0x00f0, quarter(rows[1]));
        let v = _mm512_mask_broadcast_i32x4(v, 0x0f00, quarter(rows[2]));
        _mm512_mask_broadcast_i32x4(v, 0xf000, quarter(rows[3]))
    }
}

// SAFETY: every function passes its caller's promises on to the instructions.
impl Simd for Avx512Vnni {
    const LANES: usize = 16;
    const SIGNED: bool = false;
    type Ints = __m512i;
    type Floats = __m512;

    #[inline(always)]
    unsafe fn columns(rows: &RowPointers, offset: usize) -> [__m512i; 4] {
        // SAFETY: as promised to this function.
        unsafe {
            let a = quarters([rows[0], rows[4], rows[8], rows[12]], offset);
            let b = quarters([rows[1], rows[5], rows[9], rows[13]], offset);
            let c = quarters([rows[2], rows[6], rows[10], rows[14]], offset);
            let d = quarters([rows[3], rows[7], rows[11], rows[15]], offset);
            // Transposes four rows by four words in every quarter.
            let ab_low = _mm512_unpacklo_epi32(a, b);
            let ab_high = _mm512_unpackhi_epi32(a, b);
            let cd_low = _mm512_unpacklo_epi32(c, d);
            let cd_high = _mm512_unpackhi_epi32(c, d);
            [
                _mm512_unpacklo_epi64(ab_low, cd_low),
                _mm512_unpackhi_epi64(ab_low, cd_low),
                _mm512_unpacklo_epi64(ab_high, cd_high),
                _mm512_unpackhi_epi64(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn words(rows: &RowPointers, offset: usize) -> __m512i {
        // SAFETY: as promised to this function.
        unsafe {
            let word = |row: *const u8| row.add(offset).cast::<i32>().read_unaligned();
            let four = |rows: &[*const u8]| {
                _mm_set_epi32(word(rows[3]), word(rows[2]), word(rows[1]), word(rows[0]))
            };
            let low = _mm256_set_m128i(four(&rows[4..8]), four(&rows[0..4]));
            let high = _mm256_set_m128i(four(&rows[12..16]), four(&rows[8..12]));
            _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)
        }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> __m512i {
        // SAFETY: as promised to this function.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn splat_f32(value: f32) -> __m512 {
        // SAFETY: as promised to this function.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn and(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as promised to this function.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as promised to this function.
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as promised to this function.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn shift_left(a: __m512i, by: u32) -> __m512i {
        // SAFETY: as promised to this function.
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(by as i32)) }
    }

    #[inline(always)]
    unsafe fn shift_right(a: __m512i, by: u32) -> __m512i {
        // SAFETY: as promised to this function.
        unsafe { _mm512_srl_epi32(a, _mm_cvtsi32_si128(by as i32)) }
    }

    #[inline(always)]
    unsafe fn shift_right_signed(a: __m512i, by: u32) -> __m512i {
        // SAFETY: as promised to this function.
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(by as i32)) }
    }

    #[inline(always)]
    unsafe fn to_f32(a: __m512i) -> __m512 {
        // SAFETY: as promised to this function.
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    unsafe fn half_to_f32(a: __m512i) -> __m512 {
        // SAFETY: as promised to this function.
        unsafe { _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: as promised to this function.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: as promised to this function.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: as promised to this function.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, a: __m512) {
        // SAFETY: as promised to this function.
        unsafe { _mm512_storeu_ps(to, a) }
    }

    #[inline(always)]
    unsafe fn dot<const N: usize, const MAX: u32>(
        start: __m512i,
        weights: [__m512i; N],
        activations: *const i8,
    ) -> __m512i {
        let mut sum = start;
        let mut n = 0;
        while n < N {
            // SAFETY: as promised to this function; it reads 4 * N activations.
            unsafe {
                let four = activations.add(4 * n).cast::<i32>().read_unaligned();
                sum = _mm512_dpbusd_epi32(sum, weights[n], _mm512_set1_epi32(four));
            }
            n += 1;
        }
        sum
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a hint about any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}

//! 128-bit vectors of 64-bit ARM: dot products of signed bytes, and of unsigned with signed ones (i8mm).

use std::arch::aarch64::*;

use super::{RowPointers, Simd};

/// `sdot`: ARMv8.2 with the dotprod extension, all Apple CPUs from the A11 on.
pub(crate) struct DotProd;
/// `usdot`, of the i8mm extension: weights of 8 bits need no sign.
pub(crate) struct I8mm;

/// The way a kind of CPU multiplies bytes.
pub(crate) trait Bytes {
    const SIGNED: bool;
    /// `sum` plus the products of a lane's four weights with four activations.
    ///
    /// # Safety
    ///
    /// The CPU must have the instruction.
    unsafe fn four(sum: int32x4_t, weights: int32x4_t, activations: int8x16_t) -> int32x4_t;
}

impl Bytes for DotProd {
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn four(sum: int32x4_t, weights: int32x4_t, activations: int8x16_t) -> int32x4_t {
        let mut sum = sum;
        // SAFETY: the instruction reads and writes registers only, and the caller vouches that the CPU has it. It is
        // written out because the compiler's name for it is not yet stable.
        unsafe {
            std::arch::asm!(
                "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
                sum = inout(vreg) sum, w = in(vreg) weights, x = in(vreg) activations,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
}

impl Bytes for I8mm {
    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn four(sum: int32x4_t, weights: int32x4_t, activations: int8x16_t) -> int32x4_t {
        let mut sum = sum;
        // SAFETY: as for `sdot`.
        unsafe {
            std::arch::asm!(
                "usdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
                sum = inout(vreg) sum, w = in(vreg) weights, x = in(vreg) activations,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
}

// SAFETY: every function passes its caller's promises on to the instructions.
impl<B: Bytes> Simd for B {
    const LANES: usize = 4;
    const SIGNED: bool = B::SIGNED;
    type Ints = int32x4_t;
    type Floats = float32x4_t;

    #[inline(always)]
    unsafe fn columns(rows: &RowPointers, offset: usize) -> [int32x4_t; 4] {
        // SAFETY: as promised to this function.
        unsafe {
            let row = |n: usize| vreinterpretq_s32_u8(vld1q_u8(rows[n].add(offset)));
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            let pair = |v: int32x4_t| vreinterpretq_s64_s32(v);
            let ab_low = pair(vzip1q_s32(a, b));
            let ab_high = pair(vzip2q_s32(a, b));
            let cd_low = pair(vzip1q_s32(c, d));
            let cd_high = pair(vzip2q_s32(c, d));
            [
                vreinterpretq_s32_s64(vzip1q_s64(ab_low, cd_low)),
                vreinterpretq_s32_s64(vzip2q_s64(ab_low, cd_low)),
                vreinterpretq_s32_s64(vzip1q_s64(ab_high, cd_high)),
                vreinterpretq_s32_s64(vzip2q_s64(ab_high, cd_high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn words(rows: &RowPointers, offset: usize) -> int32x4_t {
        // SAFETY: as promised to this function.
        unsafe {
            let word = |n: usize| rows[n].add(offset).cast::<i32>().read_unaligned();
            let words = [word(0), word(1), word(2), word(3)];
            vld1q_s32(words.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> int32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vdupq_n_s32(value) }
    }

    #[inline(always)]
    unsafe fn splat_f32(value: f32) -> float32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn and(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vandq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn or(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vorrq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn xor(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: as promised to this function.
        unsafe { veorq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn shift_left(a: int32x4_t, by: u32) -> int32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vshlq_s32(a, vdupq_n_s32(by as i32)) }
    }

    #[inline(always)]
    unsafe fn shift_right(a: int32x4_t, by: u32) -> int32x4_t {
        // SAFETY: as promised to this function.
        unsafe {
            let unsigned = vreinterpretq_u32_s32(a);
            vreinterpretq_s32_u32(vshlq_u32(unsigned, vdupq_n_s32(-(by as i32))))
        }
    }

    #[inline(always)]
    unsafe fn shift_right_signed(a: int32x4_t, by: u32) -> int32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vshlq_s32(a, vdupq_n_s32(-(by as i32))) }
    }

    #[inline(always)]
    unsafe fn to_f32(a: int32x4_t) -> float32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vcvtq_f32_s32(a) }
    }

    #[inline(always)]
    unsafe fn half_to_f32(a: int32x4_t) -> float32x4_t {
        // SAFETY: as promised to this function; `fcvtl` is part of ARMv8.0.
        unsafe {
            let halves = vmovn_u32(vreinterpretq_u32_s32(a));
            let wide: float32x4_t;
            std::arch::asm!(
                "fcvtl {wide:v}.4s, {halves:v}.4h",
                wide = lateout(vreg) wide, halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags),
            );
            wide
        }
    }

    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: as promised to this function.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, a: float32x4_t) {
        // SAFETY: as promised to this function.
        unsafe { vst1q_f32(to, a) }
    }

    #[inline(always)]
    unsafe fn dot<const N: usize, const MAX: u32>(
        start: int32x4_t,
        weights: [int32x4_t; N],
        activations: *const i8,
    ) -> int32x4_t {
        let mut sum = start;
        let mut n = 0;
        while n < N {
            // SAFETY: as promised to this function; it reads 4 * N activations.
            unsafe {
                let four = activations.add(4 * n).cast::<i32>().read_unaligned();
                let four = vreinterpretq_s8_s32(vdupq_n_s32(four));
                sum = B::four(sum, weights[n], four);
            }
            n += 1;
        }
        sum
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a hint about any address.
        unsafe {
            std::arch::asm!("prfm pldl2keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
        }
    }
}

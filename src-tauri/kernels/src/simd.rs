//! What the strip kernel needs of an instruction set.
//!
//! A vector holds one number of 32 bits, or four bytes, of each of `LANES` rows of the matrix. So a product never
//! sums across a vector, and the scales of all rows are applied at once.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;

/// The most rows that any instruction set takes at once.
pub(crate) const MAX_LANES: usize = 16;

/// Starts of the rows of a strip; those beyond `LANES` are not read.
pub(crate) type RowPointers = [*const u8; MAX_LANES];

/// # Safety
///
/// Every function may be called only where the CPU has the instruction set. Functions that take pointers read what
/// their name says from them, unaligned.
pub(crate) trait Simd {
    const LANES: usize;
    /// Whether [`Simd::dot`] takes weights of 8 bits as signed numbers; those of fewer bits fit both.
    const SIGNED: bool;
    type Ints: Copy;
    type Floats: Copy;

    /// Sixteen bytes at `offset` of every row, four to a vector.
    unsafe fn columns(rows: &RowPointers, offset: usize) -> [Self::Ints; 4];
    /// Four bytes at `offset` of every row.
    unsafe fn words(rows: &RowPointers, offset: usize) -> Self::Ints;
    unsafe fn splat(value: i32) -> Self::Ints;
    unsafe fn splat_f32(value: f32) -> Self::Floats;
    unsafe fn and(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    unsafe fn or(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    unsafe fn xor(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Shifts every lane, filling with zeros.
    unsafe fn shift_left(a: Self::Ints, by: u32) -> Self::Ints;
    unsafe fn shift_right(a: Self::Ints, by: u32) -> Self::Ints;
    /// Shifts every lane, filling with its sign.
    unsafe fn shift_right_signed(a: Self::Ints, by: u32) -> Self::Ints;
    unsafe fn to_f32(a: Self::Ints) -> Self::Floats;
    /// The lower half of every lane, a number in half precision.
    unsafe fn half_to_f32(a: Self::Ints) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn load(from: *const f32) -> Self::Floats;
    unsafe fn store(to: *mut f32, a: Self::Floats);
    /// `start` plus the products of `4 * N` weights of every row with as many activations.
    ///
    /// The magnitude of a weight is at most `MAX`; what is at most 63 is not negative.
    unsafe fn dot<const N: usize, const MAX: u32>(
        start: Self::Ints,
        weights: [Self::Ints; N],
        activations: *const i8,
    ) -> Self::Ints;
    /// Asks for the cache line of an address that is read soon. Any address will do.
    unsafe fn prefetch(at: *const u8);
}

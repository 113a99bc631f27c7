//! The one kernel: a strip of matrix rows, as many as a vector has lanes, times a panel of activations.
//!
//! A block of 32 columns of the strip is unpacked into eight vectors, which stay in registers while the activations
//! pass by. So the cost of unpacking is shared by all activations, and with a single one it still hides behind
//! the memory: the rows are a stretch of the file, and the next strip is fetched while this one is multiplied.

use crate::activations::{BLOCK, Panel};
use crate::format::{Format, Matrix};
use crate::simd::{MAX_LANES, RowPointers, Simd};

/// A block of 32 columns, unpacked.
struct Block<S: Simd> {
    /// Four columns in every vector.
    weights: [S::Ints; 8],
    /// Of the block, or of its first half.
    scale: S::Floats,
    /// Of the second half, where [`Layout::HALVES`].
    second_scale: S::Floats,
    /// What is taken off every weight, where [`Layout::MINIMA`].
    minimum: S::Floats,
}

/// How a format packs its weights.
trait Layout {
    const FORMAT: Format;
    /// What all blocks of a superblock share.
    type Shared<S: Simd>;
    /// Whether the halves of a block have scales of their own.
    const HALVES: bool;
    /// Whether blocks have minima of their own.
    const MINIMA: bool;
    /// The unpacked weights are this power of two too large; `None` if they are right.
    fn zero_shift<S: Simd>() -> Option<u32>;

    /// # Safety
    ///
    /// As for [`strip`], here and in the others: a superblock lies at `offset` of every row.
    unsafe fn shared<S: Simd>(rows: &RowPointers, offset: usize) -> Self::Shared<S>;
    unsafe fn block<S: Simd>(
        rows: &RowPointers,
        offset: usize,
        n: usize,
        shared: &Self::Shared<S>,
    ) -> Block<S>;
    unsafe fn dot<S: Simd, const N: usize>(
        start: S::Ints,
        weights: [S::Ints; N],
        activations: *const i8,
    ) -> S::Ints;
}

struct Q4_0;

impl Layout for Q4_0 {
    const FORMAT: Format = Format::Q4_0;
    type Shared<S: Simd> = ();
    const HALVES: bool = false;
    const MINIMA: bool = false;

    fn zero_shift<S: Simd>() -> Option<u32> {
        Some(3)
    }

    #[inline(always)]
    unsafe fn shared<S: Simd>(_: &RowPointers, _: usize) {}

    #[inline(always)]
    unsafe fn block<S: Simd>(rows: &RowPointers, offset: usize, _: usize, (): &()) -> Block<S> {
        // SAFETY: a block is a scale of two bytes and 16 bytes of weights.
        unsafe {
            let scale = S::half_to_f32(S::words(rows, offset));
            // The lower halves of the bytes are the first 16 weights.
            let [a, b, c, d] = S::columns(rows, offset + 2);
            let mask = S::splat(0x0f0f_0f0f);
            let low = |v| S::and(v, mask);
            let high = |v| S::and(S::shift_right(v, 4), mask);
            Block {
                weights: [
                    low(a),
                    low(b),
                    low(c),
                    low(d),
                    high(a),
                    high(b),
                    high(c),
                    high(d),
                ],
                scale,
                second_scale: scale,
                minimum: scale,
            }
        }
    }

    #[inline(always)]
    unsafe fn dot<S: Simd, const N: usize>(
        start: S::Ints,
        weights: [S::Ints; N],
        activations: *const i8,
    ) -> S::Ints {
        // SAFETY: as promised to this function.
        unsafe { S::dot::<N, 15>(start, weights, activations) }
    }
}

struct Q8_0;

impl Layout for Q8_0 {
    const FORMAT: Format = Format::Q8_0;
    type Shared<S: Simd> = ();
    const HALVES: bool = false;
    const MINIMA: bool = false;

    fn zero_shift<S: Simd>() -> Option<u32> {
        (!S::SIGNED).then_some(7)
    }

    #[inline(always)]
    unsafe fn shared<S: Simd>(_: &RowPointers, _: usize) {}

    #[inline(always)]
    unsafe fn block<S: Simd>(rows: &RowPointers, offset: usize, _: usize, (): &()) -> Block<S> {
        // SAFETY: a block is a scale of two bytes and 32 weights.
        unsafe {
            let scale = S::half_to_f32(S::words(rows, offset));
            let [a, b, c, d] = S::columns(rows, offset + 2);
            let [e, f, g, h] = S::columns(rows, offset + 18);
            let mut weights = [a, b, c, d, e, f, g, h];
            if !S::SIGNED {
                // Adds 128 to every byte.
                let flip = S::splat(0x8080_8080_u32 as i32);
                let mut n = 0;
                while n < 8 {
                    weights[n] = S::xor(weights[n], flip);
                    n += 1;
                }
            }
            Block {
                weights,
                scale,
                second_scale: scale,
                minimum: scale,
            }
        }
    }

    #[inline(always)]
    unsafe fn dot<S: Simd, const N: usize>(
        start: S::Ints,
        weights: [S::Ints; N],
        activations: *const i8,
    ) -> S::Ints {
        // SAFETY: as promised to this function.
        unsafe { S::dot::<N, 128>(start, weights, activations) }
    }
}

struct Q4K;

/// Scales and minima of the eight blocks of a superblock.
struct SharedQ4K<S: Simd> {
    scale: S::Floats,
    minimum: S::Floats,
    /// A byte for each block, blocks 0 to 3 and 4 to 7.
    scales: [S::Ints; 2],
    minima: [S::Ints; 2],
}

impl Layout for Q4K {
    const FORMAT: Format = Format::Q4K;
    type Shared<S: Simd> = SharedQ4K<S>;
    const HALVES: bool = false;
    const MINIMA: bool = true;

    fn zero_shift<S: Simd>() -> Option<u32> {
        None
    }

    #[inline(always)]
    unsafe fn shared<S: Simd>(rows: &RowPointers, offset: usize) -> SharedQ4K<S> {
        // SAFETY: a superblock begins with two numbers in half precision and twelve bytes of scales.
        unsafe {
            let [head, a, b, c] = S::columns(rows, offset);
            let six = S::splat(0x3f3f_3f3f);
            let four = S::splat(0x0f0f_0f0f);
            let two = S::splat(0x0303_0303);
            // Blocks 4 to 7 have their upper two bits in the bytes of blocks 0 to 3.
            let upper = |v| S::shift_left(S::and(S::shift_right(v, 6), two), 4);
            SharedQ4K {
                scale: S::half_to_f32(head),
                minimum: S::half_to_f32(S::shift_right(head, 16)),
                scales: [S::and(a, six), S::or(S::and(c, four), upper(a))],
                minima: [
                    S::and(b, six),
                    S::or(S::and(S::shift_right(c, 4), four), upper(b)),
                ],
            }
        }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(
        rows: &RowPointers,
        offset: usize,
        n: usize,
        shared: &SharedQ4K<S>,
    ) -> Block<S> {
        // SAFETY: behind the 16 bytes of scales lie 32 bytes for every two blocks.
        unsafe {
            let at = offset + 16 + n / 2 * 32;
            let [a, b, c, d] = S::columns(rows, at);
            let [e, f, g, h] = S::columns(rows, at + 16);
            let mut weights = [a, b, c, d, e, f, g, h];
            let mask = S::splat(0x0f0f_0f0f);
            let mut i = 0;
            while i < 8 {
                weights[i] = S::and(S::shift_right(weights[i], n as u32 % 2 * 4), mask);
                i += 1;
            }
            let byte = S::splat(0xff);
            let of = |v| S::to_f32(S::and(S::shift_right(v, n as u32 % 4 * 8), byte));
            let scale = S::mul(shared.scale, of(shared.scales[n / 4]));
            Block {
                weights,
                scale,
                second_scale: scale,
                minimum: S::mul(shared.minimum, of(shared.minima[n / 4])),
            }
        }
    }

    #[inline(always)]
    unsafe fn dot<S: Simd, const N: usize>(
        start: S::Ints,
        weights: [S::Ints; N],
        activations: *const i8,
    ) -> S::Ints {
        // SAFETY: as promised to this function.
        unsafe { S::dot::<N, 15>(start, weights, activations) }
    }
}

struct Q6K;

/// Scales of the sixteen half blocks of a superblock.
struct SharedQ6K<S: Simd> {
    scale: S::Floats,
    /// A signed byte for each half block.
    scales: [S::Ints; 4],
}

impl Layout for Q6K {
    const FORMAT: Format = Format::Q6K;
    type Shared<S: Simd> = SharedQ6K<S>;
    const HALVES: bool = true;
    const MINIMA: bool = false;

    fn zero_shift<S: Simd>() -> Option<u32> {
        Some(5)
    }

    #[inline(always)]
    unsafe fn shared<S: Simd>(rows: &RowPointers, offset: usize) -> SharedQ6K<S> {
        // SAFETY: a superblock ends with 16 bytes of scales and a number in half precision; the four bytes that are read
        // for the latter begin in the scales.
        unsafe {
            SharedQ6K {
                scale: S::half_to_f32(S::shift_right(S::words(rows, offset + 206), 16)),
                scales: S::columns(rows, offset + 192),
            }
        }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(
        rows: &RowPointers,
        offset: usize,
        n: usize,
        shared: &SharedQ6K<S>,
    ) -> Block<S> {
        // SAFETY: four blocks share 64 bytes of lower and 32 bytes of upper bits; all lower ones come first.
        unsafe {
            let (group, n_in_group) = (n / 4, n % 4);
            let low_at = offset + 64 * group + 32 * (n_in_group % 2);
            let high_at = offset + 128 + 32 * group;
            let low_shift = n_in_group as u32 / 2 * 4;
            let high_shift = n_in_group as u32 * 2;
            let (four, two) = (S::splat(0x0f0f_0f0f), S::splat(0x0303_0303));
            let [a, b, c, d] = S::columns(rows, low_at);
            let [e, f, g, h] = S::columns(rows, low_at + 16);
            let mut weights = [a, b, c, d, e, f, g, h];
            let [a, b, c, d] = S::columns(rows, high_at);
            let [e, f, g, h] = S::columns(rows, high_at + 16);
            let upper = [a, b, c, d, e, f, g, h];
            let mut i = 0;
            while i < 8 {
                let low = S::and(S::shift_right(weights[i], low_shift), four);
                let high = S::and(S::shift_right(upper[i], high_shift), two);
                weights[i] = S::or(low, S::shift_left(high, 4));
                i += 1;
            }
            // Two scales a block, so a vector of four bytes serves two blocks.
            let scales = S::shift_left(shared.scales[n / 2], 16 - n as u32 % 2 * 16);
            let first = S::shift_right_signed(S::shift_left(scales, 8), 24);
            let second = S::shift_right_signed(scales, 24);
            Block {
                weights,
                scale: S::mul(shared.scale, S::to_f32(first)),
                second_scale: S::mul(shared.scale, S::to_f32(second)),
                minimum: shared.scale,
            }
        }
    }

    #[inline(always)]
    unsafe fn dot<S: Simd, const N: usize>(
        start: S::Ints,
        weights: [S::Ints; N],
        activations: *const i8,
    ) -> S::Ints {
        // SAFETY: as promised to this function.
        unsafe { S::dot::<N, 63>(start, weights, activations) }
    }
}

/// Fetches the rows of the next strip, one cache line after another.
struct Fetcher<'a> {
    rows: &'a RowPointers,
    row_bytes: usize,
    row: usize,
    at: usize,
}

impl Fetcher<'_> {
    #[inline(always)]
    fn fetch<S: Simd>(&mut self, n_lines: usize) {
        for _ in 0..n_lines {
            if self.row == S::LANES {
                return;
            }
            // The address may lie outside the matrix, and is only a number.
            let line = self.rows[self.row].wrapping_add(self.at);
            // SAFETY: a hint about any address; the caller of `strip` vouches for the instruction set.
            unsafe { S::prefetch(line) };
            self.at += 64;
            if self.at >= self.row_bytes {
                (self.at, self.row) = (0, self.row + 1);
            }
        }
    }
}

/// Multiplies a strip of rows with a panel and writes the sums, `[panel rows, LANES]`.
///
/// # Safety
///
/// The CPU has `S`. Of every row of `rows` the superblocks that hold the panel's columns can be read. `sums` holds
/// `panel.n_rows * S::LANES` values.
#[inline(always)]
unsafe fn strip<S: Simd, L: Layout>(
    rows: &RowPointers,
    next: Option<&RowPointers>,
    panel: &Panel,
    sums: *mut f32,
) {
    let per_super = L::FORMAT.block_len() / BLOCK;
    let super_bytes = L::FORMAT.block_bytes();
    let n_super = panel.n_blocks.div_ceil(per_super);
    let row_bytes = n_super * super_bytes;
    let lines_per_block = (row_bytes.div_ceil(64) * S::LANES).div_ceil(panel.n_blocks);
    let mut fetcher = Fetcher {
        rows: next.unwrap_or(rows),
        row_bytes,
        row: if next.is_some() { 0 } else { S::LANES },
        at: 0,
    };
    // SAFETY: offsets stay within the superblocks that the caller vouches for; a panel's arrays hold an entry, or
    // 32 values, for each of its rows in each of its blocks.
    unsafe {
        for m in 0..panel.n_rows {
            S::store(sums.add(m * S::LANES), S::splat_f32(0.0));
        }
        for n_super in 0..n_super {
            let offset = n_super * super_bytes;
            let shared = L::shared::<S>(rows, offset);
            let in_super = per_super.min(panel.n_blocks - n_super * per_super);
            for n in 0..in_super {
                fetcher.fetch::<S>(lines_per_block);
                let block = L::block::<S>(rows, offset, n, &shared);
                let first = (n_super * per_super + n) * panel.n_rows;
                for m in 0..panel.n_rows {
                    let at = first + m;
                    let values = panel.values.as_ptr().add(at * BLOCK);
                    let scale = S::splat_f32(*panel.scales.as_ptr().add(at));
                    let sum = sums.add(m * S::LANES);
                    let mut total = S::load(sum);
                    if L::HALVES {
                        let [a, b, c, d, e, f, g, h] = block.weights;
                        let [first, second] = *panel.half_sums.as_ptr().add(at);
                        let shift = L::zero_shift::<S>().unwrap_or(0);
                        let start = S::shift_left(S::splat(first), shift);
                        let first = L::dot::<S, 4>(start, [a, b, c, d], values);
                        let start = S::shift_left(S::splat(second), shift);
                        let second = L::dot::<S, 4>(start, [e, f, g, h], values.add(16));
                        let both = S::mul(S::to_f32(first), block.scale);
                        let both = S::mul_add(S::to_f32(second), block.second_scale, both);
                        total = S::mul_add(both, scale, total);
                    } else {
                        let start = match L::zero_shift::<S>() {
                            Some(shift) => {
                                S::shift_left(S::splat(*panel.sums.as_ptr().add(at)), shift)
                            }
                            None => S::splat(0),
                        };
                        let dot = L::dot::<S, 8>(start, block.weights, values);
                        total = S::mul_add(S::to_f32(dot), S::mul(block.scale, scale), total);
                        if L::MINIMA {
                            let sum = S::splat_f32(*panel.scaled_sums.as_ptr().add(at));
                            total = S::mul_add(block.minimum, sum, total);
                        }
                    }
                    S::store(sum, total);
                }
            }
        }
    }
}

/// A strip function of one instruction set: rows, the rows to fetch meanwhile, panel, sums.
pub(crate) type StripFn = unsafe fn(&RowPointers, Option<&RowPointers>, &Panel, *mut f32);

/// The strip functions of an instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Strips {
    pub lanes: usize,
    q4_0: StripFn,
    q8_0: StripFn,
    q4k: StripFn,
    q6k: StripFn,
}

impl Strips {
    pub fn of(&self, format: Format) -> StripFn {
        match format {
            Format::Q4_0 => self.q4_0,
            Format::Q8_0 => self.q8_0,
            Format::Q4K => self.q4k,
            Format::Q6K => self.q6k,
        }
    }
}

/// Compiles the kernel for an instruction set. The functions are as safe to call as [`strip`].
macro_rules! strips {
    ($name:ident, $simd:ty, $features:literal) => {
        pub(crate) const $name: Strips = {
            macro_rules! compiled {
                ($layout:ty) => {{
                    #[target_feature(enable = $features)]
                    unsafe fn compiled(
                        rows: &RowPointers,
                        next: Option<&RowPointers>,
                        panel: &Panel,
                        sums: *mut f32,
                    ) {
                        // SAFETY: as promised to this function.
                        unsafe { strip::<$simd, $layout>(rows, next, panel, sums) }
                    }
                    compiled
                }};
            }
            Strips {
                lanes: <$simd as Simd>::LANES,
                q4_0: compiled!(Q4_0),
                q8_0: compiled!(Q8_0),
                q4k: compiled!(Q4K),
                q6k: compiled!(Q6K),
            }
        };
    };
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64 {
    use super::*;
    use crate::simd::avx2::{EvexVnni, MulAdd, VexVnni};
    use crate::simd::avx512::Avx512Vnni;

    strips!(AVX2, MulAdd, "avx2,fma,f16c");
    strips!(AVX_VNNI, VexVnni, "avx2,fma,f16c,avxvnni");
    strips!(
        AVX512_VNNI_256,
        EvexVnni,
        "avx2,fma,f16c,avx512f,avx512vl,avx512vnni"
    );
    strips!(
        AVX512_VNNI,
        Avx512Vnni,
        "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni"
    );
}

#[cfg(target_arch = "aarch64")]
pub(crate) mod aarch64 {
    use super::*;
    use crate::simd::neon::{DotProd, I8mm};

    strips!(DOTPROD, DotProd, "neon,dotprod");
    strips!(I8MM, I8mm, "neon,dotprod,i8mm");
}

/// The rows from position `first` of `rows` on; behind the last one it is repeated.
pub(crate) fn row_pointers(
    matrix: &Matrix,
    row_at: impl Fn(usize) -> usize,
    first: usize,
    end: usize,
) -> RowPointers {
    std::array::from_fn::<_, MAX_LANES, _>(|lane| {
        matrix.row(row_at((first + lane).min(end - 1))).as_ptr()
    })
}

//! The products of decoding: one row of activations times one row of the matrix after the other.
//!
//! [`crate::strip`] pays for turning rows into columns of vectors with the activations that share the result. With one
//! row of them it is faster to multiply a matrix row as it lies and to sum across the vector once, at its end. Formats
//! for which that was measured not to be so are left to the strips.

use std::ops::Range;

use crate::activations::{Activations, BLOCK, Panel};
use crate::format::{Format, Matrix};
use crate::reference;

/// Rows of the matrix at once: they share what is read of the activations.
const TOGETHER: usize = 4;

/// Sums of a vector.
const LANES: usize = 16;

/// Multiplies rows, given by their addresses, with all steps.
///
/// # Safety
///
/// The CPU has the instruction set, and the blocks of all steps can be read at the addresses.
type RowsFn = unsafe fn([*const u8; TOGETHER], &Steps) -> [f32; TOGETHER];

/// The functions of an instruction set.
#[derive(Clone, Copy)]
pub(crate) struct DecodeKernels {
    q4_0: RowsFn,
    q6k: RowsFn,
}

/// Activations in the order in which the vectors of one format meet them.
struct Steps {
    n_steps: usize,
    /// For every step 64 or 128 values.
    values: Vec<i8>,
    /// For every step what the sums begin with: minus the sums of values times the zero point of the weights.
    starts: Vec<[i32; LANES]>,
    /// For every step the scale of each sum.
    scales: Vec<[f32; LANES]>,
}

/// One row of activations, made ready for the rows of a matrix.
pub(crate) struct Decoding<'a> {
    kernel: RowsFn,
    format: Format,
    panel: Panel<'a>,
    steps: Steps,
    /// The first block that is not part of a step.
    tail: usize,
}

impl<'a> Decoding<'a> {
    /// `None` if this is not the way for so many activations, or for this format.
    pub fn new(kernels: &DecodeKernels, format: Format, x: &'a Activations) -> Option<Self> {
        if x.n_rows() != 1 {
            return None;
        }
        let panel = x.panels().next()?;
        let (kernel, steps, tail) = match format {
            Format::Q4_0 => {
                let n_steps = panel.n_blocks / 4;
                let steps = in_fours(&panel, n_steps);
                (kernels.q4_0, steps, 4 * n_steps)
            }
            Format::Q6K => {
                // A whole superblock can be read: what is behind the activations counts as zero.
                let n_blocks = panel.n_blocks.next_multiple_of(format.block_len() / BLOCK);
                (kernels.q6k, in_twos(&panel, n_blocks / 2), n_blocks)
            }
            Format::Q8_0 | Format::Q4K => return None,
        };
        Some(Self {
            kernel,
            format,
            panel,
            steps,
            tail,
        })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Calls `put(place in rows, sum)` for all of `rows`, which `row_at` finds in the matrix.
    pub fn multiply(
        &self,
        matrix: &Matrix,
        rows: Range<usize>,
        row_at: impl Fn(usize) -> usize,
        mut put: impl FnMut(usize, f32),
    ) {
        for first in rows.clone().step_by(TOGETHER) {
            let of = |i: usize| matrix.row(row_at((first + i).min(rows.end - 1)));
            let pointers = std::array::from_fn(|i| of(i).as_ptr());
            // SAFETY: whoever had `kernel` had proof of its instruction set, and `products` has compared the widths:
            // all steps lie within a row.
            let sums = unsafe { (self.kernel)(pointers, &self.steps) };
            for (i, sum) in sums.into_iter().enumerate().take(rows.end - first) {
                let rest = match self.tail < self.panel.n_blocks {
                    true => self.rest(of(i)),
                    false => 0.0,
                };
                put(first + i, sum + rest);
            }
        }
    }

    /// The sum over the blocks behind the last step.
    fn rest(&self, row: &[u8]) -> f32 {
        let blocks = row.chunks_exact(self.format.block_bytes());
        (blocks.enumerate().take(self.panel.n_blocks).skip(self.tail))
            .map(|(n, block)| reference::block_times(self.format, block, 0, &self.panel, n, 0))
            .sum()
    }
}

/// Four blocks to a step, first halves before second halves: the order of the nibbles of Q4_0.
fn in_fours(panel: &Panel, n_steps: usize) -> Steps {
    const HALF: usize = BLOCK / 2;
    const ZERO_POINT: i32 = 8;
    let mut steps = Steps::new(n_steps, 4 * BLOCK);
    for n in 0..4 * n_steps {
        let (step, n_in_step) = (n / 4, n % 4);
        let (first, second) = panel.values[n * BLOCK..][..BLOCK].split_at(HALF);
        let values = &mut steps.values[step * 4 * BLOCK..][..4 * BLOCK];
        values[n_in_step * HALF..][..HALF].copy_from_slice(first);
        values[(4 + n_in_step) * HALF..][..HALF].copy_from_slice(second);
        let lanes = n_in_step * LANES / 4..(n_in_step + 1) * LANES / 4;
        steps.starts[step][lanes.start] = ZERO_POINT * panel.sums[n];
        steps.scales[step][lanes].fill(panel.scales[n]);
    }
    steps
}

/// Two blocks to a step, as they are. Blocks that the panel does not have are zero.
fn in_twos(panel: &Panel, n_steps: usize) -> Steps {
    const ZERO_POINT: i32 = 32; // Of Q6_K.
    let mut steps = Steps::new(n_steps, 2 * BLOCK);
    steps.values[..panel.values.len()].copy_from_slice(panel.values);
    for n in 0..panel.n_blocks {
        let (step, first) = (n / 2, n % 2 * LANES / 2);
        let [a, b] = panel.half_sums[n];
        steps.starts[step][first] = ZERO_POINT * a;
        steps.starts[step][first + LANES / 4] = ZERO_POINT * b;
        steps.scales[step][first..first + LANES / 2].fill(panel.scales[n]);
    }
    steps
}

impl Steps {
    fn new(n_steps: usize, values_per_step: usize) -> Self {
        Self {
            n_steps,
            values: vec![0; n_steps * values_per_step],
            starts: vec![[0; LANES]; n_steps],
            scales: vec![[0.0; LANES]; n_steps],
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64 {
    use std::arch::x86_64::*;

    use super::{DecodeKernels, Format, Steps, TOGETHER};

    pub(crate) const AVX512_VNNI: DecodeKernels = DecodeKernels { q4_0, q6k };

    /// How far ahead rows are fetched, in bytes: further than the rows that are read together are long, mostly.
    const AHEAD: usize = 16 << 10;

    /// Asks for the line of an address that is reached soon, into the second-level cache. The first level tracks too few
    /// lines that are on their way.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn fetch(at: *const u8) {
        // The address may lie outside the matrix, and is only a number.
        _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(AHEAD).cast());
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn q4_0(rows: [*const u8; TOGETHER], steps: &Steps) -> [f32; TOGETHER] {
        const BLOCK_BYTES: usize = Format::Q4_0.block_bytes();
        let nibble = _mm512_set1_epi8(15);
        // Of the words of a step those that are its blocks' scales, each for the four sums of its block.
        let places = _mm256_setr_epi16(0, 0, 0, 0, 9, 9, 9, 9, 18, 18, 18, 18, 27, 27, 27, 27);
        let places = _mm512_castsi256_si512(places);
        let mut totals = [_mm512_setzero_ps(); TOGETHER];
        for step in 0..steps.n_steps {
            // SAFETY: four blocks of every row can be read, and `Steps` has as many entries as steps.
            unsafe {
                let values = steps.values.as_ptr().add(step * 128);
                let first = _mm512_loadu_si512(values.cast());
                let second = _mm512_loadu_si512(values.add(64).cast());
                let start = _mm512_loadu_si512(steps.starts.as_ptr().add(step).cast());
                let x_scale = _mm512_loadu_ps(steps.scales.as_ptr().add(step).cast());
                for (row, total) in rows.into_iter().zip(&mut totals) {
                    let at = row.add(step * 4 * BLOCK_BYTES);
                    fetch(at);
                    fetch(at.add(64));
                    let block = |n: usize| _mm_loadu_si128(at.add(n * BLOCK_BYTES + 2).cast());
                    let v = _mm512_castsi128_si512(block(0));
                    // A masked broadcast loads and inserts at once.
                    let v = _mm512_mask_broadcast_i32x4(v, 0x00f0, block(1));
                    let v = _mm512_mask_broadcast_i32x4(v, 0x0f00, block(2));
                    let v = _mm512_mask_broadcast_i32x4(v, 0xf000, block(3));
                    let low = _mm512_and_si512(v, nibble);
                    let high = _mm512_and_si512(_mm512_srli_epi16::<4>(v), nibble);
                    let words = _mm512_permutexvar_epi16(places, _mm512_loadu_si512(at.cast()));
                    let scale = _mm512_cvtph_ps(_mm512_castsi512_si256(words));
                    let dot = _mm512_dpbusd_epi32(start, low, first);
                    let dot = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(dot, high, second));
                    *total = _mm512_fmadd_ps(dot, _mm512_mul_ps(scale, x_scale), *total);
                }
            }
        }
        totals.map(|total| _mm512_reduce_add_ps(total))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn q6k(rows: [*const u8; TOGETHER], steps: &Steps) -> [f32; TOGETHER] {
        const BLOCK_BYTES: usize = Format::Q6K.block_bytes();
        const STEPS: usize = Format::Q6K.block_len() / 64;
        let (nibble, upper) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x30));
        // Bits 0 and 1 of the upper bits belong to the first half of a step, bits 2 and 3 to the second; bits 4 to 7 to
        // the next step. They are moved to bits 4 and 5.
        let four_two = _mm512_inserti64x4::<1>(_mm512_set1_epi16(4), _mm256_set1_epi16(2));
        let zero_two = _mm512_inserti64x4::<1>(_mm512_setzero_si512(), _mm256_set1_epi16(2));
        let of_lane = _mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        let mut totals = [_mm512_setzero_ps(); TOGETHER];
        for n_super in 0..steps.n_steps / STEPS {
            for (row, total) in rows.into_iter().zip(&mut totals) {
                // SAFETY: superblocks of every row can be read, and `Steps` has as many entries as steps.
                unsafe {
                    let at = row.add(n_super * BLOCK_BYTES);
                    for line in 0..BLOCK_BYTES.div_ceil(64) {
                        fetch(at.wrapping_add(64 * line));
                    }
                    let scale = at.add(208).cast::<u16>().read_unaligned();
                    let scale = _mm512_cvtph_ps(_mm256_set1_epi16(scale as i16));
                    let group_scales = _mm_loadu_si128(at.add(192).cast());
                    for half in 0..2 {
                        let lower = _mm512_loadu_si512(at.add(64 * half).cast());
                        let bits = _mm256_loadu_si256(at.add(128 + 32 * half).cast());
                        let bits = _mm512_broadcast_i64x4(bits);
                        let first = _mm512_and_si512(_mm512_sllv_epi16(bits, four_two), upper);
                        let second = _mm512_and_si512(_mm512_srlv_epi16(bits, zero_two), upper);
                        let shifted = _mm512_srli_epi16::<4>(lower);
                        let weights = [
                            _mm512_or_si512(_mm512_and_si512(lower, nibble), first),
                            _mm512_or_si512(_mm512_and_si512(shifted, nibble), second),
                        ];
                        for (i, weights) in weights.into_iter().enumerate() {
                            let in_super = 2 * half + i;
                            // Each of four scales for four lanes.
                            let places = _mm_add_epi8(of_lane, _mm_set1_epi8(4 * in_super as i8));
                            let scales = _mm_shuffle_epi8(group_scales, places);
                            let scales = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales));
                            let step = n_super * STEPS + in_super;
                            let x_scale = _mm512_loadu_ps(steps.scales.as_ptr().add(step).cast());
                            let scales = _mm512_mul_ps(_mm512_mul_ps(scales, scale), x_scale);
                            let values = steps.values.as_ptr().add(step * 64);
                            let dot = _mm512_dpbusd_epi32(
                                _mm512_loadu_si512(steps.starts.as_ptr().add(step).cast()),
                                weights,
                                _mm512_loadu_si512(values.cast()),
                            );
                            *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scales, *total);
                        }
                    }
                }
            }
        }
        totals.map(|total| _mm512_reduce_add_ps(total))
    }
}

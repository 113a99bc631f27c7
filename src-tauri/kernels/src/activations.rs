//! Activations rounded to 8 bits.

use crate::cpu::Cpu;
use crate::pool::{JobPanicked, Pool};
use crate::rows::vectorised;

/// Values that share a scale.
pub const BLOCK: usize = 32;

/// Rows of a panel: few enough that a panel's sums and one block of its values stay in the first-level cache
/// while a strip of weights passes by.
pub(crate) const PANEL: usize = 128;

/// Rows of activations as whole numbers of 8 bits with one scale for every 32.
///
/// They lie in panels of up to [`PANEL`] rows, within a panel block by block, within a block row by row: in the
/// order in which a product reads them. A single row lies as it is.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    n_rows: usize,
    n_columns: usize,
    values: Vec<i8>,
    scales: Vec<f32>,
    /// Minus the sums of the blocks' values, with which a weight's zero point is taken out of a product.
    sums: Vec<i32>,
    /// The same for both halves of every block.
    half_sums: Vec<[i32; 2]>,
    /// The scale times minus the sum, with which minima of blocks are taken off.
    scaled_sums: Vec<f32>,
}

/// Some rows of activations, to be multiplied with one strip of weights after another.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    pub first_row: usize,
    pub n_rows: usize,
    pub n_blocks: usize,
    pub values: &'a [i8],
    pub scales: &'a [f32],
    pub sums: &'a [i32],
    pub half_sums: &'a [[i32; 2]],
    pub scaled_sums: &'a [f32],
}

impl Activations {
    /// Rounds rows of `n_columns` values, a multiple of 32.
    pub fn new(x: &[f32], n_columns: usize) -> Self {
        let mut activations = Self::default();
        let places = activations.resize(x.len(), n_columns);
        for (row, x) in x.chunks_exact(n_columns).enumerate() {
            places.put_row(row, x);
        }
        activations
    }

    /// The same on all threads, in the memory of an earlier one.
    pub fn assign(
        &mut self,
        cpu: &Cpu,
        pool: &Pool,
        x: &[f32],
        n_columns: usize,
    ) -> Result<(), JobPanicked> {
        let places = self.resize(x.len(), n_columns);
        pool.for_each(places.n_rows, |row| {
            put_row(cpu, &places, row, &x[row * n_columns..][..n_columns]);
        })
    }

    /// Makes room for `len` values and says where they go.
    fn resize(&mut self, len: usize, n_columns: usize) -> Places {
        assert!(
            n_columns > 0 && n_columns.is_multiple_of(BLOCK),
            "rows are whole blocks"
        );
        assert!(len.is_multiple_of(n_columns), "rows are whole");
        let n_blocks = n_columns / BLOCK;
        self.n_rows = len / n_columns;
        self.n_columns = n_columns;
        let total = self.n_rows * n_blocks;
        self.values.resize(total * BLOCK, 0);
        self.scales.resize(total, 0.0);
        self.sums.resize(total, 0);
        self.half_sums.resize(total, [0; 2]);
        self.scaled_sums.resize(total, 0.0);
        Places {
            n_rows: self.n_rows,
            n_blocks,
            values: self.values.as_mut_ptr().cast(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            half_sums: self.half_sums.as_mut_ptr(),
            scaled_sums: self.scaled_sums.as_mut_ptr(),
        }
    }

    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// What the rounded values stand for, row by row.
    pub fn dequantise(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.n_rows * self.n_columns];
        for panel in self.panels() {
            for block in 0..panel.n_blocks {
                for row in 0..panel.n_rows {
                    let at = block * panel.n_rows + row;
                    let start = (panel.first_row + row) * self.n_columns + block * BLOCK;
                    let values = &panel.values[at * BLOCK..][..BLOCK];
                    for (out, &value) in out[start..start + BLOCK].iter_mut().zip(values) {
                        *out = f32::from(value) * panel.scales[at];
                    }
                }
            }
        }
        out
    }

    pub(crate) fn panels(&self) -> impl Iterator<Item = Panel<'_>> {
        let n_blocks = self.n_columns / BLOCK;
        (0..self.n_rows).step_by(PANEL).map(move |first_row| {
            let n_rows = (self.n_rows - first_row).min(PANEL);
            let blocks = first_row * n_blocks..(first_row + n_rows) * n_blocks;
            Panel {
                first_row,
                n_rows,
                n_blocks,
                values: &self.values[blocks.start * BLOCK..blocks.end * BLOCK],
                scales: &self.scales[blocks.clone()],
                sums: &self.sums[blocks.clone()],
                half_sums: &self.half_sums[blocks.clone()],
                scaled_sums: &self.scaled_sums[blocks],
            }
        })
    }
}

/// Where the blocks of every row go. Different rows go to different places.
struct Places {
    n_rows: usize,
    n_blocks: usize,
    values: *mut [i8; BLOCK],
    scales: *mut f32,
    sums: *mut i32,
    half_sums: *mut [i32; 2],
    scaled_sums: *mut f32,
}

// SAFETY: threads share the addresses and write different rows.
unsafe impl Sync for Places {}

impl Places {
    /// Rounds a row; no other thread may do the same one.
    #[inline(always)]
    fn put_row(&self, row: usize, x: &[f32]) {
        let first = row / PANEL * PANEL;
        let in_panel = (self.n_rows - first).min(PANEL);
        assert!(row < self.n_rows && x.len() == self.n_blocks * BLOCK);
        for (block, x) in x.as_chunks::<BLOCK>().0.iter().enumerate() {
            let at = first * self.n_blocks + block * in_panel + (row - first);
            // SAFETY: `resize` made room for every block of every row, and `at` is the place of this one alone.
            unsafe {
                let (scale, halves) = quantise(x, &mut *self.values.add(at));
                *self.scales.add(at) = scale;
                *self.sums.add(at) = halves[0] + halves[1];
                *self.half_sums.add(at) = halves;
                *self.scaled_sums.add(at) = scale * (halves[0] + halves[1]) as f32;
            }
        }
    }
}

vectorised! {
    fn put_row(places: &Places, row: usize, x: &[f32]) {
        places.put_row(row, x);
    }
}

/// Gives the scale, and minus the sums of the halves. Halves are rounded to even.
///
/// A block with a value that is not a number gets a scale that is none, so that the product is none either.
#[inline(always)]
fn quantise(x: &[f32; BLOCK], values: &mut [i8; BLOCK]) -> (f32, [i32; 2]) {
    let mut largest = [0u32; 8];
    for chunk in x.as_chunks::<8>().0 {
        for (largest, x) in largest.iter_mut().zip(chunk) {
            // Compared as whole numbers, magnitudes keep their order and NaN is above infinity.
            *largest = (*largest).max(x.to_bits() & 0x7fff_ffff);
        }
    }
    let largest = f32::from_bits(largest.into_iter().max().expect("eight lanes"));
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 127.0 / largest } else { 0.0 };
    let mut whole = [0i32; BLOCK];
    for (whole, &x) in whole.iter_mut().zip(x) {
        // Adding and taking away 1.5 * 2^23 rounds to a whole number; infinities and NaN become 0 or the limit.
        const ROUND: f32 = 12_582_912.0;
        *whole = ((x * inverse + ROUND) - ROUND).clamp(-127.0, 127.0) as i32;
    }
    let mut halves = [0; 2];
    for (half, whole) in halves.iter_mut().zip(whole.as_chunks::<16>().0) {
        *half = -whole.iter().sum::<i32>();
    }
    for (value, whole) in values.iter_mut().zip(whole) {
        *value = whole as i8;
    }
    (scale, halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_back_from_its_panel() {
        for n_rows in [1, 2, 127, 128, 129, 300] {
            let x: Vec<f32> = (0..n_rows * 64).map(|i| (i as f32 * 0.37).sin()).collect();
            let back = Activations::new(&x, 64).dequantise();
            for (a, b) in x.iter().zip(&back) {
                // Half a step of a 127th of the largest value.
                assert!((a - b).abs() <= 0.5 / 127.0 + 1e-6, "{a} {b}");
            }
        }
    }

    #[test]
    fn zeros_stay_zero_and_what_is_no_number_stays_none() {
        assert_eq!(Activations::new(&[0.0; 32], 32).dequantise(), [0.0; 32]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.0; 32];
            x[5] = bad;
            let activations = Activations::new(&x, 32);
            assert!(!activations.scales[0].is_finite());
        }
    }
}

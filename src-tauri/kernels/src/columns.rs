//! Products with a few columns of a matrix, for activations that are mostly zero.
//!
//! In a file a row lies together, and a line of memory holds more than a hundred columns of it. So whoever wants
//! every twentieth column reads all of them. Turned over, the columns that are not wanted stay unread.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::activations::{Activations, BLOCK};
use crate::cpu::Cpu;
use crate::format::{Format, Matrix};
use crate::pool::{JobPanicked, Pool};
use crate::rows::vectorised;

/// Rows that are packed together, in half as many bytes: the first 32 in the lower halves.
const GROUP: usize = 64;
/// Rows of a task.
const TASK_ROWS: usize = 512;

/// A matrix in [`Format::Q4_0`], turned over. It takes as many bytes as before.
#[derive(Debug)]
pub struct ColumnMatrix {
    n_rows: usize,
    n_columns: usize,
    /// Numbers in half precision, `[blocks of 32 columns, n_rows]`.
    scales: Vec<u16>,
    /// Two to a byte, `[n_columns, n_rows]`.
    weights: Vec<u8>,
}

/// The activations of a block that are not zero.
struct ActiveBlock {
    block: usize,
    scale: f32,
    /// Their places in the list of columns.
    columns: Range<usize>,
}

impl ColumnMatrix {
    /// Turns the first columns over, a multiple of 32. `None` if the matrix has another format, or rows that are not a
    /// multiple of 64.
    ///
    /// # Panics
    ///
    /// Panics if there are not so many columns, or no whole blocks of them.
    pub fn new(
        pool: &Pool,
        matrix: &Matrix,
        n_columns: usize,
    ) -> Result<Option<Self>, JobPanicked> {
        let n_rows = matrix.n_rows();
        assert!(n_columns.is_multiple_of(BLOCK) && n_columns <= matrix.n_columns());
        if matrix.format() != Format::Q4_0 || !n_rows.is_multiple_of(GROUP) || n_rows == 0 {
            return Ok(None);
        }
        let mut scales = vec![0; n_columns / BLOCK * n_rows];
        let mut weights = vec![0; n_columns * n_rows / 2];
        let of_blocks = scales
            .chunks_exact_mut(n_rows)
            .zip(weights.chunks_exact_mut(BLOCK * n_rows / 2));
        let of_blocks: Vec<_> = of_blocks.map(Mutex::new).collect();
        pool.for_each(of_blocks.len(), |n| {
            let mut block = of_blocks[n].lock().unwrap_or_else(PoisonError::into_inner);
            let (scales, weights) = &mut *block;
            turn_block(matrix, n, scales, weights);
        })?;
        drop(of_blocks);
        Ok(Some(Self {
            n_rows,
            n_columns,
            scales,
            weights,
        }))
    }

    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Multiplies one row of activations, which may be narrower than the matrix, into `out` `[n_rows]`. Columns whose
    /// activation is rounded to zero are not read.
    ///
    /// # Panics
    ///
    /// Panics if the sizes do not fit each other.
    pub fn product(
        &self,
        cpu: &Cpu,
        pool: &Pool,
        x: &Activations,
        out: &mut [f32],
    ) -> Result<(), JobPanicked> {
        assert!(
            x.n_rows() == 1 && x.n_columns() <= self.n_columns,
            "one row"
        );
        assert_eq!(out.len(), self.n_rows, "the product's size");
        let mut columns = Vec::new();
        let mut blocks = Vec::new();
        for panel in x.panels() {
            let values = panel.values.chunks_exact(BLOCK).zip(panel.scales);
            for (block, (values, &scale)) in values.enumerate() {
                let start = columns.len();
                let active = values.iter().enumerate().filter(|(_, value)| **value != 0);
                columns.extend(active.map(|(i, &value)| (block * BLOCK + i, i16::from(value))));
                // A scale that is no number is to be seen in the result.
                if columns.len() > start || !scale.is_finite() {
                    let columns = start..columns.len();
                    blocks.push(ActiveBlock {
                        block,
                        scale,
                        columns,
                    });
                }
            }
        }
        let parts: Vec<_> = out.chunks_mut(TASK_ROWS).map(Mutex::new).collect();
        pool.run(parts.len(), |n| {
            let mut out = parts[n].lock().unwrap_or_else(PoisonError::into_inner);
            product_of_rows(cpu, self, n * TASK_ROWS, &blocks, &columns, &mut out);
        })
    }

    fn scales(&self, block: usize, rows: Range<usize>) -> &[u16] {
        &self.scales[block * self.n_rows..][rows]
    }

    fn column(&self, column: usize, rows: Range<usize>) -> &[u8] {
        &self.weights[column * self.n_rows / 2..][rows.start / 2..rows.end / 2]
    }
}

/// Writes the columns of block `n` of every row.
fn turn_block(matrix: &Matrix, n: usize, scales: &mut [u16], weights: &mut [u8]) {
    let n_rows = matrix.n_rows();
    let block_bytes = Format::Q4_0.block_bytes();
    for (row, scale) in scales.iter_mut().enumerate() {
        let block = &matrix.row(row)[n * block_bytes..][..block_bytes];
        *scale = u16::from_le_bytes([block[0], block[1]]);
        let at = row / GROUP * (GROUP / 2) + row % (GROUP / 2);
        let shift = row % GROUP / (GROUP / 2) * 4;
        for (i, &both) in block[2..].iter().enumerate() {
            // The lower halves are the first 16 columns.
            weights[i * n_rows / 2 + at] |= (both & 15) << shift;
            weights[(i + BLOCK / 2) * n_rows / 2 + at] |= (both >> 4) << shift;
        }
    }
}

vectorised! {
    /// The rows from `first` on, as many as `out` has.
    fn product_of_rows(
        matrix: &ColumnMatrix,
        first: usize,
        blocks: &[ActiveBlock],
        columns: &[(usize, i16)],
        out: &mut [f32],
    ) {
        let rows = first..first + out.len();
        out.fill(0.0);
        for (n, active) in blocks.iter().enumerate() {
            if let Some(next) = blocks.get(n + 1) {
                prefetch(matrix.scales(next.block, rows.clone()));
                for &(column, _) in &columns[next.columns.clone()] {
                    prefetch(matrix.column(column, rows.clone()));
                }
            }
            // 32 products of at most 8 * 127 fit.
            let mut sums = [0i16; TASK_ROWS];
            for &(column, value) in &columns[active.columns.clone()] {
                let bytes = matrix.column(column, rows.clone()).as_chunks::<{ GROUP / 2 }>().0;
                for (sums, bytes) in sums.as_chunks_mut::<GROUP>().0.iter_mut().zip(bytes) {
                    let (low, high) = sums.split_at_mut(GROUP / 2);
                    for ((low, high), &both) in low.iter_mut().zip(high).zip(bytes) {
                        *low += (i16::from(both & 15) - 8) * value;
                        *high += (i16::from(both >> 4) - 8) * value;
                    }
                }
            }
            let scales = matrix.scales(active.block, rows.clone());
            for ((out, &sum), &scale) in out.iter_mut().zip(&sums).zip(scales) {
                *out += f32::from(sum) * (half_to_f32(scale) * active.scale);
            }
        }
    }
}

/// A number in half precision, in operations that vector registers have.
#[inline(always)]
fn half_to_f32(half: u16) -> f32 {
    let half = u32::from(half);
    let (sign, rest) = ((half & 0x8000) << 16, half & 0x7fff);
    // The exponents differ by 112; what is below the smallest normal number comes out right as well.
    let finite = f32::from_bits(rest << 13) * f32::from_bits((112 + 127) << 23);
    let other = f32::from_bits(0x7f80_0000 | rest << 13);
    let magnitude = if rest >= 0x7c00 { other } else { finite };
    f32::from_bits(magnitude.to_bits() | sign)
}

/// Asks for memory that is read soon.
#[inline(always)]
fn prefetch<T>(soon: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in soon.chunks((64 / size_of::<T>()).max(1)) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint about an address, and part of what every CPU of the target has.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use half::f16;

    #[test]
    fn halves_are_the_libraries() {
        for bits in 0..=u16::MAX {
            let (ours, exact) = (half_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(ours == exact || ours.is_nan() && exact.is_nan(), "{bits:x}");
        }
    }

    #[test]
    fn sparse_products_are_the_dense_ones() {
        let pool = Pool::new(3);
        for (n_rows, n_columns, used) in [(64, 32, 32), (640, 96, 64), (1088, 256, 256)] {
            let mut bytes: Vec<u8> = (0..n_rows * n_columns / 32 * 18)
                .map(|i| ((i * 2_654_435_761) >> 7) as u8)
                .collect();
            for (n, block) in bytes.chunks_exact_mut(18).enumerate() {
                let scale = f16::from_f32(0.01 * (n % 17) as f32 - 0.05);
                block[..2].copy_from_slice(&scale.to_le_bytes());
            }
            let matrix = Matrix::new(Format::Q4_0, &bytes, n_rows, n_columns)
                .expect("as many bytes as the shape takes");
            let turned = ColumnMatrix::new(&pool, &matrix, used)
                .expect("no task panics")
                .expect("a shape that fits");
            // One in twenty, none at all, and all of them at the limit.
            for kind in 0..3 {
                let x: Vec<f32> = (0..used)
                    .map(|i| match kind {
                        0 if i % 20 == 3 => (i as f32).sin(),
                        2 => 1.0,
                        _ => 0.0,
                    })
                    .collect();
                let x = Activations::new(&x, used);
                let exact = x.dequantise();
                for cpu in Cpu::all() {
                    let mut out = vec![f32::NAN; n_rows];
                    turned
                        .product(&cpu, &pool, &x, &mut out)
                        .expect("no task panics");
                    for (row, &ours) in out.iter().enumerate() {
                        let weights = reference::dequantise(&matrix, row);
                        let sum: f32 = weights.iter().zip(&exact).map(|(w, x)| w * x).sum();
                        assert!(
                            (ours - sum).abs() < 1e-4,
                            "{} {row}: {ours} {sum}",
                            cpu.name()
                        );
                    }
                }
            }
        }
    }
}

//! Products shared out among the threads.

use std::ops::Range;

use crate::activations::{Activations, PANEL, Panel};
use crate::cpu::Cpu;
use crate::decode::Decoding;
use crate::format::{Format, Matrix};
use crate::pool::{JobPanicked, Pool};
use crate::reference;
use crate::simd::MAX_LANES;
use crate::strip::row_pointers;

/// Which rows of a matrix are multiplied.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// The first so many.
    First(usize),
    /// These, in this order.
    These(&'a [u32]),
}

impl Rows<'_> {
    fn len(&self) -> usize {
        match self {
            Self::First(n) => *n,
            Self::These(list) => list.len(),
        }
    }

    fn at(&self, i: usize) -> usize {
        match self {
            Self::First(_) => i,
            Self::These(list) => list[i] as usize,
        }
    }
}

/// One of several products with the same activations.
#[derive(Debug)]
pub struct Part<'a> {
    pub matrix: Matrix<'a>,
    pub rows: Rows<'a>,
    /// `[activation rows, matrix rows]`, overwritten.
    pub out: &'a mut [f32],
}

/// A stretch of the rows of one part.
struct Task {
    part: usize,
    rows: Range<usize>,
}

/// Where a part's results go. Tasks write to different columns of it.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: tasks share the address and write to different places, see `products`.
unsafe impl Sync for Out {}

/// Rows of a task at least: below this, handing it out costs more than it brings.
const FEWEST_ROWS: usize = 32;

/// Multiplies some matrices, or the first columns of them, with the same activations.
///
/// # Panics
///
/// Panics if the activations are wider than a matrix, if a matrix has no such row, or if an output has not
/// the size of the product.
pub fn products(
    cpu: &Cpu,
    pool: &Pool,
    x: &Activations,
    parts: &mut [Part],
) -> Result<(), JobPanicked> {
    let mut tasks = Vec::new();
    let mut outs = Vec::with_capacity(parts.len());
    let n_threads = pool.n_threads();
    for (part, it) in parts.iter_mut().enumerate() {
        assert!(
            x.n_columns() <= it.matrix.n_columns(),
            "as wide as the matrix"
        );
        assert_eq!(
            it.out.len(),
            it.rows.len() * x.n_rows(),
            "the product's size"
        );
        let in_matrix = match it.rows {
            Rows::First(n) => n <= it.matrix.n_rows(),
            Rows::These(list) => list.iter().all(|&i| (i as usize) < it.matrix.n_rows()),
        };
        assert!(in_matrix, "rows of the matrix");
        share_out(it.rows.len(), n_threads, |rows| {
            tasks.push(Task { part, rows })
        });
        outs.push(Out(it.out.as_mut_ptr()));
    }
    let parts = &*parts;
    let outs = &outs[..];
    let decoding = Format::ALL.map(|format| {
        let is_met = parts.iter().any(|part| part.matrix.format() == format);
        let kernels = cpu.decode.as_ref().filter(|_| is_met)?;
        Decoding::new(kernels, format, x)
    });
    pool.run(tasks.len(), |n| {
        let Task { part, rows } = &tasks[n];
        let (part, out) = (&parts[*part], outs[*part]);
        let format = part.matrix.format();
        match decoding.iter().flatten().find(|it| it.format() == format) {
            Some(decoding) => decoding.multiply(
                &part.matrix,
                rows.clone(),
                |i| part.rows.at(i),
                // SAFETY: within the output, whose size was checked above, and in columns of this task only.
                |i, sum| unsafe { *out.0.add(i) = sum },
            ),
            None => multiply(cpu, x, part, rows.clone(), out),
        }
    })
}

/// Cuts `n` rows into large tasks first and small ones last, so that no thread waits long for another and each
/// still reads long stretches of memory.
pub(crate) fn share_out(n: usize, n_threads: usize, mut task: impl FnMut(Range<usize>)) {
    let mut start = 0;
    while start < n {
        let share = (n - start).div_ceil(2 * n_threads);
        let len = share.max(FEWEST_ROWS).next_multiple_of(MAX_LANES);
        let end = (start + len).min(n);
        task(start..end);
        start = end;
    }
}

fn multiply(cpu: &Cpu, x: &Activations, part: &Part, rows: Range<usize>, out: Out) {
    let n_out = part.rows.len();
    let put = |panel: &Panel, first: usize, lanes: usize, stride: usize, sums: &[f32]| {
        for m in 0..panel.n_rows {
            let to = (panel.first_row + m) * n_out + first;
            // SAFETY: within the output, whose size `products` has checked, and in columns of this task only.
            let to = unsafe { std::slice::from_raw_parts_mut(out.0.add(to), lanes) };
            let from = &sums[m * stride..][..lanes];
            // A copy of known length is a move of one register instead of a call.
            match (to.first_chunk_mut::<MAX_LANES>(), from.first_chunk()) {
                (Some(to), Some(from)) => *to = *from,
                _ => to.copy_from_slice(from),
            }
        }
    };
    let Some(strips) = cpu.strips else {
        let mut sums = [0f32; PANEL];
        for i in rows {
            for panel in x.panels() {
                let sums = &mut sums[..panel.n_rows];
                reference::row_times_panel(&part.matrix, part.rows.at(i), &panel, sums);
                put(&panel, i, 1, 1, sums);
            }
        }
        return;
    };
    let strip = strips.of(part.matrix.format());
    debug_assert!(part.matrix.used_bytes(x.n_columns()) <= part.matrix.row(0).len());
    let mut sums = [0f32; PANEL * MAX_LANES];
    for first in rows.clone().step_by(strips.lanes) {
        let lanes = strips.lanes.min(rows.end - first);
        let pointers = |first| row_pointers(&part.matrix, |i| part.rows.at(i), first, rows.end);
        let these = pointers(first);
        let mut next = (first + strips.lanes < rows.end).then(|| pointers(first + strips.lanes));
        for panel in x.panels() {
            // SAFETY: `cpu` is proof of the instruction set. Rows are whole, and at least as wide as the panel, which
            // `products` has checked. `sums` holds a full panel of the widest vectors.
            unsafe { strip(&these, next.as_ref(), &panel, sums.as_mut_ptr()) };
            next = None;
            put(&panel, first, lanes, strips.lanes, &sums);
        }
    }
}

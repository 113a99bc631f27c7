//! Grouped-query attention over blocks of cached keys and values.
//!
//! Scores are never held for a whole context: block by block the sums are rescaled to the highest score so far
//! (Dao et al. 2022, "FlashAttention"). Values lie transposed, so both products of attention are those of
//! [`crate::dense_product`].

use std::ops::Range;
use std::sync::OnceLock;

use half::f16;

use crate::cpu::Cpu;
use crate::dense::{TILE, TileFn};
use crate::math;
use crate::pool::{JobPanicked, Pool};
use crate::rows::vectorised;

/// Positions in a block of keys and values.
pub const KV_BLOCK: usize = 256;

/// Numbers of a cache.
#[derive(Clone, Copy, Debug)]
pub enum Floats<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl Floats<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F16(x) => x.len(),
        }
    }

    fn at(&self, i: usize) -> *const u8 {
        match self {
            Self::F32(x) => x[i..].as_ptr().cast(),
            Self::F16(x) => x[i..].as_ptr().cast(),
        }
    }

    /// For one and for [`TILE`] rows of activations.
    fn tiles(&self, cpu: &Cpu) -> [TileFn; 2] {
        match self {
            Self::F32(_) => cpu.dense.f32,
            Self::F16(_) => cpu.dense.f16,
        }
    }
}

/// Keys and values of [`KV_BLOCK`] positions. What is not filled yet holds finite numbers.
#[derive(Clone, Copy, Debug)]
pub struct KvBlock<'a> {
    /// Position of the first.
    pub start: usize,
    /// `[n_kv_heads, KV_BLOCK, head_dim]`
    pub keys: Floats<'a>,
    /// `[n_kv_heads, head_dim, KV_BLOCK]`
    pub values: Floats<'a>,
}

/// Queries and what they look at.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// `[rows, n_heads, head_dim]`, already scaled.
    pub queries: &'a [f32],
    /// The positions that each row sees, never none.
    pub visible: &'a [Range<usize>],
    /// In order of their positions, without gaps, and all that is visible.
    pub blocks: &'a [KvBlock<'a>],
}

/// Queries of a task: a query of one head each. Their sums stay in the second-level cache.
const TASK_QUERIES: usize = 64;

/// Writes `[rows, n_heads, head_dim]`: values weighted by the softmax of the scores.
///
/// # Panics
///
/// Panics if sizes do not fit each other.
pub fn attend(
    cpu: &Cpu,
    pool: &Pool,
    attention: &Attention,
    out: &mut [f32],
) -> Result<(), JobPanicked> {
    let a = attention;
    let n_rows = a.visible.len();
    if n_rows == 0 {
        return Ok(());
    }
    assert_eq!(a.queries.len(), n_rows * a.n_heads * a.head_dim, "queries");
    assert_eq!(out.len(), a.queries.len(), "outputs");
    assert!(a.n_heads.is_multiple_of(a.n_kv_heads), "whole groups");
    let block_len = a.n_kv_heads * KV_BLOCK * a.head_dim;
    for block in a.blocks {
        assert_eq!(
            (block.keys.len(), block.values.len()),
            (block_len, block_len)
        );
    }
    for range in a.visible {
        let end = a.blocks.last().map_or(0, |block| block.start + KV_BLOCK);
        assert!(
            a.blocks
                .first()
                .is_some_and(|block| block.start <= range.start)
        );
        assert!(
            !range.is_empty() && range.end <= end,
            "what is seen is there"
        );
    }
    let rows_per_task = (TASK_QUERIES / (a.n_heads / a.n_kv_heads)).max(1);
    let n_row_tasks = n_rows.div_ceil(rows_per_task);
    // A few queries make too few tasks, so theirs are cut by blocks of keys as well and the parts joined.
    let blocks_per_task = if n_row_tasks == 1 { 1 } else { a.blocks.len() };
    let n_parts = a.blocks.len().div_ceil(blocks_per_task);
    let n_tasks = a.n_kv_heads * n_row_tasks * n_parts;
    let sums: Vec<OnceLock<Sums>> = (0..n_tasks).map(|_| OnceLock::new()).collect();
    pool.run(n_tasks, |task| {
        let (part, n) = (task % n_parts, task / n_parts);
        let (rows, kv_head) = (n % n_row_tasks, n / n_row_tasks);
        let rows = rows * rows_per_task..((rows + 1) * rows_per_task).min(n_rows);
        let first = part * blocks_per_task;
        let blocks = &a.blocks[first..(first + blocks_per_task).min(a.blocks.len())];
        let mut done = Sums::new(rows.len() * a.n_heads / a.n_kv_heads, a.head_dim);
        done.add_blocks(cpu, a, kv_head, rows, blocks);
        let _ = sums[task].set(done); // Each task is done once.
    })?;
    let sums: Vec<Sums> = (sums.into_iter())
        .map(|done| done.into_inner().expect("every task was done"))
        .collect();
    let groups = a.n_heads / a.n_kv_heads;
    for (n, parts) in sums.chunks_exact(n_parts).enumerate() {
        let (first_row, kv_head) = (n % n_row_tasks * rows_per_task, n / n_row_tasks);
        for query in 0..parts[0].highest.len() {
            let (row, head) = (
                first_row + query / groups,
                kv_head * groups + query % groups,
            );
            let out = &mut out[(row * a.n_heads + head) * a.head_dim..][..a.head_dim];
            join(cpu, parts, query, out);
        }
    }
    Ok(())
}

/// Weighted sums of values over some blocks.
struct Sums {
    /// Of each query, the highest score so far.
    highest: Vec<f32>,
    /// Sum of the weights, which are relative to that score.
    total: Vec<f32>,
    /// `[queries, head_dim]`
    values: Vec<f32>,
}

impl Sums {
    fn new(n_queries: usize, head_dim: usize) -> Self {
        Self {
            highest: vec![f32::NEG_INFINITY; n_queries],
            total: vec![0.0; n_queries],
            values: vec![0.0; n_queries * head_dim],
        }
    }

    fn add_blocks(
        &mut self,
        cpu: &Cpu,
        a: &Attention,
        kv_head: usize,
        rows: Range<usize>,
        blocks: &[KvBlock],
    ) {
        let (groups, dim) = (a.n_heads / a.n_kv_heads, a.head_dim);
        let visible = &a.visible[rows.clone()];
        let first = visible.iter().map(|v| v.start).min().unwrap_or(0);
        let last = visible.iter().map(|v| v.end).max().unwrap_or(0);
        let n_queries = self.highest.len();
        let query = |n: usize| {
            let (row, head) = (rows.start + n / groups, kv_head * groups + n % groups);
            a.queries[(row * a.n_heads + head) * dim..].as_ptr()
        };
        let mut weights = vec![0f32; n_queries * KV_BLOCK];
        for block in blocks {
            // Whole vectors of positions; those that are not seen get the weight 0.
            const VECTOR: usize = 16;
            let from = first.max(block.start) - block.start;
            let to = last.saturating_sub(block.start).min(KV_BLOCK);
            if from >= to {
                continue;
            }
            let used = from / VECTOR * VECTOR..to.next_multiple_of(VECTOR);
            let key = |i: usize| {
                block
                    .keys
                    .at((kv_head * KV_BLOCK + i.min(KV_BLOCK - 1)) * dim)
            };
            let tiles = block.keys.tiles(cpu);
            // SAFETY: `attend` has compared the sizes: a key is `dim` numbers, as is a query, and `cpu` is proof of
            // the instruction set.
            unsafe {
                products(
                    tiles,
                    used.clone(),
                    n_queries,
                    dim,
                    key,
                    query,
                    |n, i, score| {
                        weights[n * KV_BLOCK + i] = score;
                    },
                );
            }
            for (n, weights) in weights.chunks_exact_mut(KV_BLOCK).enumerate() {
                let seen = &visible[n / groups];
                let seen = seen.start.max(block.start) - block.start
                    ..seen.end.saturating_sub(block.start).min(KV_BLOCK);
                if seen.is_empty() {
                    weights[used.clone()].fill(0.0);
                    continue;
                }
                weights[used.start..seen.start].fill(0.0);
                weights[seen.end..used.end].fill(0.0);
                let old = self.highest[n];
                let (highest, total) = softmax_weights(cpu, old, &mut weights[seen]);
                self.highest[n] = highest;
                let shrink = math::exp(old - highest);
                self.total[n] = self.total[n] * shrink + total;
                if shrink != 1.0 {
                    crate::rows::scale(cpu, shrink, &mut self.values[n * dim..][..dim]);
                }
            }
            let value = |d: usize| {
                block
                    .values
                    .at((kv_head * dim + d.min(dim - 1)) * KV_BLOCK + used.start)
            };
            let weights = |n: usize| weights[n * KV_BLOCK + used.start..].as_ptr();
            let tiles = block.values.tiles(cpu);
            // SAFETY: as above; a row of values and a row of weights are KV_BLOCK numbers, of which `used` is a part.
            unsafe {
                products(
                    tiles,
                    0..dim,
                    n_queries,
                    used.len(),
                    value,
                    weights,
                    |n, d, sum| {
                        self.values[n * dim + d] += sum;
                    },
                );
            }
        }
    }
}

/// Calls `put(x, w, product)` for every row `w` of `weights` and every row of `n_x` activations.
///
/// # Safety
///
/// As for [`TileFn`]; `weight` is asked for up to three rows more than there are and gives a valid one.
#[inline(always)]
unsafe fn products(
    tiles: [TileFn; 2],
    weights: Range<usize>,
    n_x: usize,
    n_columns: usize,
    weight: impl Fn(usize) -> *const u8,
    x: impl Fn(usize) -> *const f32,
    mut put: impl FnMut(usize, usize, f32),
) {
    let mut sums = [[0f32; TILE]; TILE];
    for w in weights.clone().step_by(TILE) {
        let w_rows = std::array::from_fn(|i| weight(w + i));
        let n_w = TILE.min(weights.end - w);
        let mut n = 0;
        while n < n_x {
            let together = if n_x - n >= TILE { TILE } else { 1 };
            let x_rows = std::array::from_fn(|j| x(n + j.min(together - 1)));
            // SAFETY: as promised to this function.
            unsafe { tiles[usize::from(together == TILE)](&w_rows, &x_rows, n_columns, &mut sums) };
            for j in 0..together {
                for (i, sums) in sums.iter().enumerate().take(n_w) {
                    put(n + j, w + i, sums[j]);
                }
            }
            n += together;
        }
    }
}

vectorised! {
    /// Turns scores into weights relative to the highest, which is at least `highest`; gives it and the weights' sum.
    fn softmax_weights(highest: f32, scores: &mut [f32]) -> (f32, f32) {
        let highest = scores.iter().fold(highest, |a, &b| a.max(b));
        let mut sums = [0f32; 16];
        let (chunks, rest) = scores.as_chunks_mut::<16>();
        for chunk in chunks {
            for (score, sum) in chunk.iter_mut().zip(&mut sums) {
                *score = math::exp(*score - highest);
                *sum += *score;
            }
        }
        for (score, sum) in rest.iter_mut().zip(&mut sums) {
            *score = math::exp(*score - highest);
            *sum += *score;
        }
        (highest, sums.iter().sum())
    }
}

/// The result of one query from the sums over all blocks.
fn join(cpu: &Cpu, parts: &[Sums], query: usize, out: &mut [f32]) {
    let highest = parts.iter().fold(f32::NEG_INFINITY, |highest, part| {
        highest.max(part.highest[query])
    });
    let share = |part: &Sums| match part.total[query] {
        0.0 => 0.0,
        _ => math::exp(part.highest[query] - highest),
    };
    let total: f32 = parts
        .iter()
        .map(|part| share(part) * part.total[query])
        .sum();
    out.fill(0.0);
    for part in parts {
        let values = &part.values[query * out.len()..][..out.len()];
        crate::rows::add_scaled(cpu, share(part) / total, values, out);
    }
}

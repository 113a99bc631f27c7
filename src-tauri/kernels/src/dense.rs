//! Products with matrices of 16-bit or 32-bit floats as they lie in a file, with activations in f32.

use std::ops::Range;

use half::{bf16, f16};

use crate::cpu::Cpu;
use crate::pool::{JobPanicked, Pool};
use crate::product::share_out;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenseType {
    F32,
    F16,
    Bf16,
}

impl DenseType {
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A matrix `[n_rows, n_columns]` of floats, borrowed. Its bytes need no alignment.
#[derive(Clone, Copy, Debug)]
pub struct DenseMatrix<'a> {
    dtype: DenseType,
    bytes: &'a [u8], // Invariant: n_rows * stride numbers, and n_columns <= stride.
    n_rows: usize,
    n_columns: usize,
    stride: usize,
}

impl<'a> DenseMatrix<'a> {
    /// `None` if the bytes are not as many as the shape takes.
    pub fn new(dtype: DenseType, bytes: &'a [u8], n_rows: usize, n_columns: usize) -> Option<Self> {
        let len = n_rows.checked_mul(n_columns)?.checked_mul(dtype.bytes())?;
        (len == bytes.len() && n_columns > 0).then_some(Self {
            dtype,
            bytes,
            n_rows,
            n_columns,
            stride: n_columns,
        })
    }

    /// The first rows and columns, at most as many as there are.
    pub fn corner(self, n_rows: usize, n_columns: usize) -> Self {
        Self {
            n_rows: n_rows.min(self.n_rows),
            n_columns: n_columns.min(self.n_columns),
            ..self
        }
    }

    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub fn n_columns(&self) -> usize {
        self.n_columns
    }
}

/// Up to [`TILE`] rows of weights times up to [`TILE`] rows of activations, both given by their addresses; the number
/// of columns; the sums, weights' row by weights' row.
///
/// # Safety
///
/// The CPU must have the instruction set, and all rows as many numbers.
pub(crate) type TileFn =
    unsafe fn(&[*const u8; TILE], &[*const f32; TILE], usize, &mut [[f32; TILE]; TILE]);

/// The tile functions of an instruction set.
#[derive(Clone, Copy)]
pub(crate) struct DenseKernels {
    pub(crate) f32: [TileFn; 2],
    pub(crate) f16: [TileFn; 2],
    bf16: [TileFn; 2],
}

/// Rows of either side that are multiplied at once: sixteen sums stay in registers.
pub(crate) const TILE: usize = 4;

/// Rows of weights and of activations that are multiplied with each other before the next ones are touched.
const WEIGHT_ROWS: usize = 32;
const ACTIVATION_ROWS: usize = 32;

/// `x` `[rows, n_columns]` times the matrix, into `out` `[rows, n_rows]`.
///
/// # Panics
///
/// Panics if the sizes do not fit each other.
pub fn dense_product(
    cpu: &Cpu,
    pool: &Pool,
    x: &[f32],
    matrix: &DenseMatrix,
    out: &mut [f32],
) -> Result<(), JobPanicked> {
    let n_x = x.len() / matrix.n_columns;
    assert_eq!(
        x.len(),
        n_x * matrix.n_columns,
        "rows as wide as the matrix"
    );
    assert_eq!(out.len(), n_x * matrix.n_rows, "the product's size");
    if n_x == 0 {
        return Ok(());
    }
    let mut tasks = Vec::new();
    share_out(matrix.n_rows, pool.n_threads(), |rows| tasks.push(rows));
    let out = Out(out.as_mut_ptr());
    let out = &out;
    pool.run(tasks.len(), |n| {
        let rows = tasks[n].clone();
        for first in rows.clone().step_by(WEIGHT_ROWS) {
            let weights = first..(first + WEIGHT_ROWS).min(rows.end);
            for first in (0..n_x).step_by(ACTIVATION_ROWS) {
                let activations = first..(first + ACTIVATION_ROWS).min(n_x);
                // SAFETY: the sizes were compared above, `cpu` is proof of the instruction set, and each task writes
                // to the columns of its own rows.
                unsafe { block(cpu, x, matrix, weights.clone(), activations, out) };
            }
        }
    })
}

struct Out(*mut f32);

// SAFETY: tasks share the address and write to different places.
unsafe impl Sync for Out {}

/// # Safety
///
/// Rows must be rows, and no other thread may write to the outputs of these weights.
unsafe fn block(
    cpu: &Cpu,
    x: &[f32],
    matrix: &DenseMatrix,
    weights: Range<usize>,
    activations: Range<usize>,
    out: &Out,
) {
    let width = matrix.n_columns;
    let tiles = match matrix.dtype {
        DenseType::F32 => cpu.dense.f32,
        DenseType::F16 => cpu.dense.f16,
        DenseType::Bf16 => cpu.dense.bf16,
    };
    let mut sums = [[0f32; TILE]; TILE];
    for w in weights.clone().step_by(TILE) {
        let w_rows = std::array::from_fn(|i| {
            let row = (w + i).min(weights.end - 1);
            matrix.bytes[row * matrix.stride * matrix.dtype.bytes()..].as_ptr()
        });
        let mut a = activations.start;
        while a < activations.end {
            let n_x = if activations.end - a >= TILE { TILE } else { 1 };
            let x_rows = std::array::from_fn(|i| x[(a + i.min(n_x - 1)) * width..].as_ptr());
            // SAFETY: all addresses are those of whole rows.
            unsafe { tiles[usize::from(n_x == TILE)](&w_rows, &x_rows, width, &mut sums) };
            for (i, sums) in sums.iter().enumerate().take(weights.end - w) {
                for (j, &sum) in sums.iter().enumerate().take(n_x) {
                    // SAFETY: within the output, and in a column of this task.
                    unsafe { *out.0.add((a + j) * matrix.n_rows + w + i) = sum };
                }
            }
            a += n_x;
        }
    }
}

/// A number of a dense type.
trait Number {
    /// # Safety
    ///
    /// There must be `n + 1` numbers at `at`.
    unsafe fn get(at: *const u8, n: usize) -> f32;
}

macro_rules! number {
    ($type:ty, $raw:ty, $to_f32:expr) => {
        impl Number for $type {
            #[inline(always)]
            unsafe fn get(at: *const u8, n: usize) -> f32 {
                // SAFETY: as promised to this function; the read is unaligned.
                $to_f32(unsafe { at.cast::<$raw>().add(n).read_unaligned() })
            }
        }
    };
}

number!(f32, f32, |v| v);
number!(f16, u16, |v| f16::from_bits(v).to_f32());
number!(bf16, u16, |v: u16| f32::from_bits(u32::from(v) << 16));

/// The plain tile; `N` rows of activations.
///
/// # Safety
///
/// See [`TileFn`].
unsafe fn plain<T: Number, const N: usize>(
    weights: &[*const u8; TILE],
    x: &[*const f32; TILE],
    n_columns: usize,
    sums: &mut [[f32; TILE]; TILE],
) {
    const LANES: usize = 8;
    for (weights, sums) in weights.iter().zip(sums) {
        for (x, sum) in x.iter().zip(sums).take(N) {
            let mut lanes = [0f32; LANES];
            for n in 0..n_columns {
                // SAFETY: as promised to this function.
                lanes[n % LANES] += unsafe { T::get(*weights, n) * *x.add(n) };
            }
            *sum = lanes.iter().sum();
        }
    }
}

pub(crate) const PLAIN: DenseKernels = DenseKernels {
    f32: [plain::<f32, 1>, plain::<f32, TILE>],
    f16: [plain::<f16, 1>, plain::<f16, TILE>],
    bf16: [plain::<bf16, 1>, plain::<bf16, TILE>],
};

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{AVX2, AVX512};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::*;

    use half::{bf16, f16};

    use super::{DenseKernels, Number, TILE};

    /// How far ahead a matrix is fetched, in bytes, where each of its numbers is used once: memory is the limit then.
    const AHEAD: usize = 16 << 10;

    /// A tile function for vectors of `$lanes` floats, with a way to load weights.
    macro_rules! tile {
        ($name:ident, $features:literal, $lanes:literal, $number:ty, $weights:expr,
         $zero:ident, $load:ident, $fma:ident, $sum:expr) => {
            #[target_feature(enable = $features)]
            unsafe fn $name<const N: usize>(
                weights: &[*const u8; TILE],
                x: &[*const f32; TILE],
                n_columns: usize,
                sums: &mut [[f32; TILE]; TILE],
            ) {
                // SAFETY: as promised to this function: all rows have `n_columns` numbers.
                unsafe {
                    let mut totals = [[$zero(); N]; TILE];
                    let whole = n_columns / $lanes * $lanes;
                    let mut n = 0;
                    while n < whole {
                        let mut values = [$zero(); N];
                        let mut j = 0;
                        while j < N {
                            values[j] = $load(x[j].add(n));
                            j += 1;
                        }
                        let mut i = 0;
                        while i < TILE {
                            if N == 1 {
                                // The address may lie outside the matrix, and is only a number.
                                let ahead =
                                    weights[i].wrapping_add(n * size_of::<$number>() + AHEAD);
                                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                            }
                            let w = $weights(weights[i], n);
                            let mut j = 0;
                            while j < N {
                                totals[i][j] = $fma(w, values[j], totals[i][j]);
                                j += 1;
                            }
                            i += 1;
                        }
                        n += $lanes;
                    }
                    let mut i = 0;
                    while i < TILE {
                        let mut j = 0;
                        while j < N {
                            let mut sum: f32 = $sum(totals[i][j]);
                            let mut n = whole;
                            while n < n_columns {
                                sum += <$number as Number>::get(weights[i], n) * *x[j].add(n);
                                n += 1;
                            }
                            sums[i][j] = sum;
                            j += 1;
                        }
                        i += 1;
                    }
                }
            }
        };
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn sum_256(v: __m256) -> f32 {
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
    }

    macro_rules! tile_256 {
        ($name:ident, $number:ty, $weights:expr) => {
            tile!(
                $name,
                "avx2,fma,f16c",
                8,
                $number,
                $weights,
                _mm256_setzero_ps,
                _mm256_loadu_ps,
                _mm256_fmadd_ps,
                sum_256
            );
        };
    }
    tile_256!(f32_256, f32, |w: *const u8, n| _mm256_loadu_ps(
        w.cast::<f32>().add(n)
    ));
    tile_256!(f16_256, f16, |w: *const u8, n: usize| _mm256_cvtph_ps(
        _mm_loadu_si128(w.add(2 * n).cast())
    ));
    tile_256!(bf16_256, bf16, |w: *const u8, n: usize| {
        let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(w.add(2 * n).cast()));
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
    });

    macro_rules! tile_512 {
        ($name:ident, $number:ty, $weights:expr) => {
            tile!(
                $name,
                "avx2,fma,f16c,avx512f,avx512bw,avx512vl",
                16,
                $number,
                $weights,
                _mm512_setzero_ps,
                _mm512_loadu_ps,
                _mm512_fmadd_ps,
                |v| _mm512_reduce_add_ps(v)
            );
        };
    }
    tile_512!(f32_512, f32, |w: *const u8, n| _mm512_loadu_ps(
        w.cast::<f32>().add(n)
    ));
    tile_512!(f16_512, f16, |w: *const u8, n: usize| _mm512_cvtph_ps(
        _mm256_loadu_si256(w.add(2 * n).cast())
    ));
    tile_512!(bf16_512, bf16, |w: *const u8, n: usize| {
        let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(w.add(2 * n).cast()));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
    });

    pub(crate) const AVX2: DenseKernels = DenseKernels {
        f32: [f32_256::<1>, f32_256::<TILE>],
        f16: [f16_256::<1>, f16_256::<TILE>],
        bf16: [bf16_256::<1>, bf16_256::<TILE>],
    };
    pub(crate) const AVX512: DenseKernels = DenseKernels {
        f32: [f32_512::<1>, f32_512::<TILE>],
        f16: [f16_512::<1>, f16_512::<TILE>],
        bf16: [bf16_512::<1>, bf16_512::<TILE>],
    };
}

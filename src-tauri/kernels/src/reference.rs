//! What the kernels have to compute, written as plainly as can be. Also what a CPU without any of the
//! instruction sets runs.

use half::f16;

use crate::activations::{BLOCK, Panel};
use crate::format::{Format, Matrix};

/// The numbers of a row of a matrix.
pub fn dequantise(matrix: &Matrix, row: usize) -> Vec<f32> {
    let format = matrix.format();
    let mut out = Vec::with_capacity(matrix.n_columns());
    for block in matrix.row(row).chunks_exact(format.block_bytes()) {
        for n in 0..format.block_len() / BLOCK {
            let unpacked = unpack(format, block, n);
            for (half, weights) in unpacked.weights.as_chunks::<16>().0.iter().enumerate() {
                out.extend(
                    weights
                        .iter()
                        .map(|&w| f32::from(w) * unpacked.scales[half] - unpacked.minimum),
                );
            }
        }
    }
    out
}

/// 32 weights as whole numbers: `weight * scale - minimum`.
struct Unpacked {
    weights: [i8; BLOCK],
    /// Of either half.
    scales: [f32; 2],
    minimum: f32,
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Weights `32 * n ..` of a block.
fn unpack(format: Format, block: &[u8], n: usize) -> Unpacked {
    match format {
        Format::Q4_0 => Unpacked {
            weights: std::array::from_fn(|i| {
                let byte = block[2 + i % 16];
                (if i < 16 { byte & 15 } else { byte >> 4 }) as i8 - 8
            }),
            scales: [half_at(block, 0); 2],
            minimum: 0.0,
        },
        Format::Q8_0 => Unpacked {
            weights: std::array::from_fn(|i| block[2 + i] as i8),
            scales: [half_at(block, 0); 2],
            minimum: 0.0,
        },
        Format::Q4K => {
            let packed = &block[4..16];
            let (scale, minimum) = if n < 4 {
                (packed[n] & 63, packed[n + 4] & 63)
            } else {
                (
                    packed[n + 4] & 15 | packed[n - 4] >> 6 << 4,
                    packed[n + 4] >> 4 | packed[n] >> 6 << 4,
                )
            };
            Unpacked {
                weights: std::array::from_fn(|i| {
                    let byte = block[16 + n / 2 * 32 + i];
                    (if n.is_multiple_of(2) {
                        byte & 15
                    } else {
                        byte >> 4
                    }) as i8
                }),
                scales: [half_at(block, 0) * f32::from(scale); 2],
                minimum: half_at(block, 2) * f32::from(minimum),
            }
        }
        Format::Q6K => {
            let (group, in_group) = (n / 4, n % 4);
            let scale = |half: usize| f32::from(block[192 + 2 * n + half] as i8);
            Unpacked {
                weights: std::array::from_fn(|i| {
                    let low = block[64 * group + 32 * (in_group % 2) + i] >> (in_group / 2 * 4);
                    let high = block[128 + 32 * group + i] >> (in_group * 2);
                    (low & 15 | (high & 3) << 4) as i8 - 32
                }),
                scales: [0, 1].map(|half| half_at(block, 208) * scale(half)),
                minimum: 0.0,
            }
        }
    }
}

/// One row of a matrix times a panel, one sum for each row of the panel.
pub(crate) fn row_times_panel(matrix: &Matrix, row: usize, panel: &Panel, sums: &mut [f32]) {
    sums.fill(0.0);
    let format = matrix.format();
    let per_block = format.block_len() / BLOCK;
    let blocks = matrix.row(row).chunks_exact(format.block_bytes());
    let blocks = blocks.flat_map(|block| (0..per_block).map(move |n| (block, n)));
    for (n_block, (block, n)) in blocks.take(panel.n_blocks).enumerate() {
        for (m, sum) in sums.iter_mut().enumerate() {
            *sum += block_times(format, block, n, panel, n_block, m);
        }
    }
}

/// Weights `32 * n ..` of a block times block `n_block` of row `m` of a panel.
pub(crate) fn block_times(
    format: Format,
    block: &[u8],
    n: usize,
    panel: &Panel,
    n_block: usize,
    m: usize,
) -> f32 {
    let unpacked = unpack(format, block, n);
    let at = n_block * panel.n_rows + m;
    let values = &panel.values[at * BLOCK..][..BLOCK];
    let dot = |half: usize| {
        let range = half * 16..half * 16 + 16;
        let pairs = unpacked.weights[range.clone()].iter().zip(&values[range]);
        pairs
            .map(|(&w, &x)| i32::from(w) * i32::from(x))
            .sum::<i32>() as f32
    };
    let both = dot(0) * unpacked.scales[0] + dot(1) * unpacked.scales[1];
    both * panel.scales[at] + unpacked.minimum * panel.scaled_sums[at]
}

//! Attention against the plain definition.

use std::ops::Range;

use half::f16;
use kernels::{Attention, Cpu, Floats, KV_BLOCK, KvBlock, Pool, attend};

fn value(i: usize, seed: usize) -> f32 {
    let x = (i * 7919 + seed * 104_729) % 10_007;
    x as f32 / 5003.5 - 1.0
}

struct Shape {
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
}

/// Keys or values of one block in both types; `at(head, position, d)` says where a number lies.
fn block(shape: &Shape, seed: usize, at: impl Fn(usize, usize, usize) -> usize) -> Vec<f32> {
    let mut out = vec![0.0; shape.n_kv_heads * KV_BLOCK * shape.head_dim];
    for head in 0..shape.n_kv_heads {
        for position in 0..KV_BLOCK {
            for d in 0..shape.head_dim {
                let i = (position * shape.n_kv_heads + head) * shape.head_dim + d;
                // In f16 exactly, so that both types are compared with the same.
                out[at(head, position, d)] = f16::from_f32(value(i, seed)).to_f32();
            }
        }
    }
    out
}

fn check(cpu: &Cpu, shape: &Shape, start: usize, n_blocks: usize, visible: &[Range<usize>]) {
    let Shape {
        n_heads,
        n_kv_heads,
        head_dim,
    } = *shape;
    let n_rows = visible.len();
    let queries: Vec<f32> = (0..n_rows * n_heads * head_dim)
        .map(|i| value(i, 3) * 0.7)
        .collect();
    let key_at = |head, position, d| (head * KV_BLOCK + position) * head_dim + d;
    let value_at = |head, position, d| (head * head_dim + d) * KV_BLOCK + position;
    let keys: Vec<_> = (0..n_blocks)
        .map(|n| block(shape, 2 * n + 10, key_at))
        .collect();
    let values: Vec<_> = (0..n_blocks)
        .map(|n| block(shape, 2 * n + 11, value_at))
        .collect();
    let mut expected = Vec::new();
    for (row, seen) in visible.iter().enumerate() {
        for head in 0..n_heads {
            let kv_head = head / (n_heads / n_kv_heads);
            let q = &queries[(row * n_heads + head) * head_dim..][..head_dim];
            let number =
                |from: &[Vec<f32>], at: &dyn Fn(usize, usize, usize) -> usize, pos: usize, d| {
                    let pos = pos - start;
                    f64::from(from[pos / KV_BLOCK][at(kv_head, pos % KV_BLOCK, d)])
                };
            let scores: Vec<f64> = (seen.clone())
                .map(|pos| {
                    (0..head_dim)
                        .map(|d| f64::from(q[d]) * number(&keys, &key_at, pos, d))
                        .sum()
                })
                .collect();
            let highest = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for d in 0..head_dim {
                let sum: f64 = (seen.clone().zip(&weights))
                    .map(|(pos, w)| w * number(&values, &value_at, pos, d))
                    .sum();
                expected.push(sum / total);
            }
        }
    }
    let half = |all: &[Vec<f32>]| -> Vec<Vec<f16>> {
        all.iter()
            .map(|b| b.iter().map(|&x| f16::from_f32(x)).collect())
            .collect()
    };
    let (half_keys, half_values) = (half(&keys), half(&values));
    for is_half in [false, true] {
        let blocks: Vec<KvBlock> = (0..n_blocks)
            .map(|n| KvBlock {
                start: start + n * KV_BLOCK,
                keys: if is_half {
                    Floats::F16(&half_keys[n])
                } else {
                    Floats::F32(&keys[n])
                },
                values: if is_half {
                    Floats::F16(&half_values[n])
                } else {
                    Floats::F32(&values[n])
                },
            })
            .collect();
        let attention = Attention {
            n_heads,
            n_kv_heads,
            head_dim,
            queries: &queries,
            visible,
            blocks: &blocks,
        };
        let mut results = [1, 3].map(|n_threads| {
            let mut out = vec![f32::NAN; queries.len()];
            attend(cpu, &Pool::new(n_threads), &attention, &mut out)
                .expect("no task panics and every shape fits");
            out
        });
        assert_eq!(
            results[0], results[1],
            "the same for every number of threads"
        );
        for (ours, expected) in std::mem::take(&mut results[0]).into_iter().zip(&expected) {
            assert!(
                (f64::from(ours) - expected).abs() < 2e-5,
                "{} {ours} {expected}",
                cpu.name()
            );
        }
    }
}

#[test]
fn attention_is_the_softmax_weighted_sum() {
    for cpu in Cpu::all() {
        let small = Shape {
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 10,
        };
        let real = Shape {
            n_heads: 8,
            n_kv_heads: 2,
            head_dim: 64,
        };
        for shape in [&small, &real] {
            // One token: at the start, in a block, at its last position, in the third block, in a window.
            for seen in [0..1, 0..77, 0..256, 0..700, 300..700, 255..257] {
                check(&cpu, shape, 0, 3, &[seen]);
            }
            // A chunk, whole and in a window, with positions before and behind it.
            let causal: Vec<_> = (100..190).map(|pos| 0..pos + 1).collect();
            check(&cpu, shape, 0, 1, &causal);
            let window: Vec<_> = (600..700).map(|pos| pos - 127..pos + 1).collect();
            check(&cpu, shape, 256, 2, &window);
            // Two rows far from each other.
            check(&cpu, shape, 0, 3, &[0..3, 512..768]);
        }
    }
}

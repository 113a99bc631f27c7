//! The kernels beside what this machine can do at most: `cargo bench -p kernels`.
//!
//! With one activation row a product is bound by memory and is to be compared with `read`; with 512 rows by
//! arithmetic and is to be compared with `int8`. `SOTTO_THREADS` sets the number of threads.

#![allow(unsafe_code)] // To measure what the instructions can do.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{
    Activations, Cpu, DenseMatrix, DenseType, Format, Matrix, Part, Pool, Rows, dense_product,
    physical_cores, products,
};

/// Far more than the caches hold.
const MEMORY: usize = 256 << 20;
const N_ROWS: usize = 8192;
const N_COLUMNS: usize = 2048;
const PROMPT: usize = 512;

fn pool() -> Pool {
    let asked = std::env::var("SOTTO_THREADS").ok();
    Pool::new(
        asked
            .and_then(|n| n.parse().ok())
            .unwrap_or_else(physical_cores),
    )
}

/// Bytes of which any two make a finite number in half precision, below 1.
fn memory(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| {
            (i as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(9) as u8
                & 0x3b
        })
        .collect()
}

fn roof(c: &mut Criterion) {
    let (pool, bytes) = (pool(), memory(MEMORY));
    let mut group = c.benchmark_group("roof");
    group.throughput(Throughput::Bytes(MEMORY as u64));
    let n_tasks = pool.n_threads() * 16;
    let sum = AtomicU64::new(0);
    group.bench_function("read", |b| {
        b.iter(|| {
            pool.run(n_tasks, |n| {
                let part = &bytes[n * (MEMORY / n_tasks)..][..MEMORY / n_tasks];
                let (words, _) = part.as_chunks::<64>();
                let mut lanes = [0u64; 8];
                for words in words {
                    for (lane, word) in lanes.iter_mut().zip(words.as_chunks::<8>().0) {
                        *lane ^= u64::from_le_bytes(*word);
                    }
                }
                sum.fetch_add(lanes.iter().fold(0, |a, b| a ^ b), Ordering::Relaxed);
            })
            .expect("no task panics and every shape fits");
        });
    });
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512f") {
        const ROUNDS: u64 = 1 << 20;
        // Two operations for each of 64 bytes in 16 registers.
        let operations = ROUNDS * 16 * 64 * 2 * pool.n_threads() as u64;
        group.throughput(Throughput::Elements(operations));
        group.bench_function("int8", |b| {
            b.iter(|| {
                // SAFETY: the CPU was asked just now.
                pool.run(pool.n_threads(), |_| unsafe { int8(ROUNDS) })
                    .expect("no task panics and every shape fits");
            });
        });
    }
    group.finish();
}

/// Products of bytes that depend on nothing but their own sum.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn int8(rounds: u64) {
    use std::arch::x86_64::*;
    let (a, b) = (
        _mm512_set1_epi8(black_box(3)),
        _mm512_set1_epi8(black_box(5)),
    );
    let mut sums = [_mm512_setzero_si512(); 16];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, a, b);
        }
    }
    black_box(sums);
}

fn quantised(c: &mut Criterion) {
    let (pool, bytes) = (pool(), memory(MEMORY));
    for (name, n_x) in [("matvec", 1), ("matmul", PROMPT)] {
        let x: Vec<f32> = (0..n_x * N_COLUMNS).map(|i| (i as f32).sin()).collect();
        let x = Activations::new(&x, N_COLUMNS);
        let mut out = vec![0.0; n_x * N_ROWS];
        for format in Format::ALL {
            let len = N_ROWS * N_COLUMNS / format.block_len() * format.block_bytes();
            let matrices: Vec<_> = bytes
                .chunks_exact(len)
                .map(|bytes| Matrix::new(format, bytes, N_ROWS, N_COLUMNS).expect("the shape fits"))
                .collect();
            for cpu in Cpu::all() {
                if cpu.name() == "plain" && n_x > 1 {
                    continue; // Takes seconds.
                }
                let mut group = c.benchmark_group(format!("{name}/{format:?}"));
                group.throughput(match n_x {
                    1 => Throughput::Bytes(len as u64),
                    _ => Throughput::Elements((2 * N_ROWS * N_COLUMNS * n_x) as u64),
                });
                let mut turn = 0;
                group.bench_function(cpu.name(), |b| {
                    b.iter(|| {
                        turn = (turn + 1) % matrices.len();
                        let (matrix, rows) = (matrices[turn], Rows::First(N_ROWS));
                        let out = &mut out;
                        products(&cpu, &pool, &x, &mut [Part { matrix, rows, out }])
                            .expect("no task panics and every shape fits");
                    });
                });
                group.finish();
            }
        }
    }
}

fn dense(c: &mut Criterion) {
    let (pool, bytes) = (pool(), memory(MEMORY));
    for (name, n_x) in [("matvec", 1), ("matmul", PROMPT)] {
        let x: Vec<f32> = (0..n_x * N_COLUMNS).map(|i| (i as f32).sin()).collect();
        let mut out = vec![0.0; n_x * N_COLUMNS];
        for dtype in DenseType::ALL {
            let len = N_COLUMNS * N_COLUMNS * dtype.bytes();
            let matrices: Vec<_> = bytes
                .chunks_exact(len)
                .map(|bytes| {
                    DenseMatrix::new(dtype, bytes, N_COLUMNS, N_COLUMNS).expect("the shape fits")
                })
                .collect();
            let cpu = Cpu::best();
            let mut group = c.benchmark_group(format!("{name}/{dtype:?}"));
            group.throughput(match n_x {
                1 => Throughput::Bytes(len as u64),
                _ => Throughput::Elements((2 * N_COLUMNS * N_COLUMNS * n_x) as u64),
            });
            let mut turn = 0;
            group.bench_function(cpu.name(), |b| {
                b.iter(|| {
                    turn = (turn + 1) % matrices.len();
                    dense_product(&cpu, &pool, &x, &matrices[turn], &mut out)
                        .expect("no task panics and every shape fits");
                });
            });
            group.finish();
        }
    }
}

fn overhead(c: &mut Criterion) {
    let pool = pool();
    c.bench_function("empty job", |b| {
        b.iter(|| {
            pool.run(4, |n| {
                black_box(n);
            })
        })
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = roof, quantised, dense, overhead
}
criterion_main!(benches);

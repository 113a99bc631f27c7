//! Every instruction set that this machine has, against the numbers that the blocks stand for.

use half::{bf16, f16};
use kernels::{
    Activations, Cpu, DenseMatrix, DenseType, Format, Matrix, Part, Pool, Rows, dense_product,
    products, reference,
};

/// A small generator, so that a failure comes back.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// About normal, with a few values far out.
    fn value(&mut self) -> f32 {
        let sum: f32 = (0..4)
            .map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32)
            .sum();
        let value = sum - 2.0;
        if self.next().is_multiple_of(50) {
            value * 20.0
        } else {
            value
        }
    }

    fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.value()).collect()
    }

    /// Blocks of random bytes with scales of sensible size. Weights of all values come up, the lowest too.
    fn blocks(&mut self, format: Format, n: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..n * format.block_bytes())
            .map(|_| (self.next() >> 32) as u8)
            .collect();
        let places: &[usize] = match format {
            Format::Q4_0 | Format::Q8_0 => &[0],
            Format::Q4K => &[0, 2],
            Format::Q6K => &[208],
        };
        for block in bytes.chunks_exact_mut(format.block_bytes()) {
            for &place in places {
                let scale = f16::from_f32(0.01 * self.value()).to_le_bytes();
                block[place..place + 2].copy_from_slice(&scale);
            }
        }
        bytes
    }
}

/// f32 sums of a few thousand products: a part of the sum of the products' magnitudes.
const TOLERANCE: f64 = 2e-6;

/// Compares `[x rows, matrix rows]` with the exact product of `x` and `weights`, row by row.
#[track_caller]
fn compare(what: &str, ours: &[f32], x: &[f32], weights: &[Vec<f32>]) {
    let width = weights[0].len();
    assert_eq!(ours.len(), x.len() / width * weights.len(), "{what}");
    for (x, ours) in x.chunks_exact(width).zip(ours.chunks_exact(weights.len())) {
        for (n, (weights, &ours)) in weights.iter().zip(ours).enumerate() {
            let products = x
                .iter()
                .zip(weights)
                .map(|(&x, &w)| f64::from(x) * f64::from(w));
            let (sum, size) = products.fold((0.0, 0.0), |(s, a), p| (s + p, a + p.abs()));
            let off = (f64::from(ours) - sum).abs();
            assert!(
                off <= TOLERANCE * size + 1e-9,
                "{what}: {ours} for {sum} in row {n}"
            );
        }
    }
}

/// The product of some rows and the first columns of a random matrix with random activations.
fn check(
    cpu: &Cpu,
    format: Format,
    n_rows: usize,
    n_columns: usize,
    used: usize,
    n_x: usize,
    seed: u64,
) {
    let mut random = Random(seed);
    let blocks = n_rows * n_columns / format.block_len();
    // One byte further, so that no address is a multiple of anything.
    let bytes = [vec![0], random.blocks(format, blocks)].concat();
    let matrix = Matrix::new(format, &bytes[1..], n_rows, n_columns)
        .expect("as many bytes as the shape takes");
    let x = Activations::new(&random.values(n_x * used), used);
    let weights: Vec<Vec<f32>> = (0..n_rows)
        .map(|row| reference::dequantise(&matrix, row)[..used].to_vec())
        .collect();
    let list: Vec<u32> = (0..random.next() % 40)
        .map(|_| (random.next() % n_rows as u64) as u32)
        .collect();
    let first = 1 + random.next() as usize % n_rows;
    let pool = Pool::new(2);
    let (mut whole, mut some, mut begin) = (
        vec![f32::NAN; n_x * n_rows],
        vec![f32::NAN; n_x * list.len()],
        vec![f32::NAN; n_x * first],
    );
    let mut parts = [
        Part {
            matrix,
            rows: Rows::First(n_rows),
            out: &mut whole,
        },
        Part {
            matrix,
            rows: Rows::These(&list),
            out: &mut some,
        },
        Part {
            matrix,
            rows: Rows::First(first),
            out: &mut begin,
        },
    ];
    products(cpu, &pool, &x, &mut parts).expect("no task panics");
    let exact = x.dequantise();
    let what = format!(
        "{} {format:?} {n_rows} x {used} of {n_columns}, {n_x}, seed {seed}",
        cpu.name()
    );
    compare(&what, &whole, &exact, &weights);
    compare(&what, &begin, &exact, &weights[..first]);
    for (ours, whole) in some
        .chunks_exact(list.len().max(1))
        .zip(whole.chunks_exact(n_rows))
    {
        for (ours, &row) in ours.iter().zip(&list) {
            assert_eq!(
                ours.to_bits(),
                whole[row as usize].to_bits(),
                "{what}: row {row}"
            );
        }
    }
}

#[test]
fn every_format_at_ragged_sizes() {
    for cpu in Cpu::all() {
        for format in Format::ALL {
            for n_rows in 1..=20 {
                check(
                    &cpu,
                    format,
                    n_rows,
                    512,
                    512,
                    1 + n_rows % 4,
                    n_rows as u64,
                );
            }
            for n_x in [1, 2, 3, 5, 17, 127, 128, 129, 260] {
                check(&cpu, format, 33, 256, 256, n_x, n_x as u64);
            }
            for used in [32, 64, 96, 224, 256, 288, 480, 736, 768] {
                check(&cpu, format, 19, 768, used, 2, used as u64);
            }
            check(&cpu, format, 300, 2048, 2048, 1, 9);
        }
    }
}

#[test]
fn random_shapes() {
    let mut random = Random(11);
    for round in 0..200 {
        let format = Format::ALL[random.next() as usize % 4];
        let n_rows = 1 + random.next() as usize % 150;
        let n_columns = 256 * (1 + random.next() as usize % 5);
        let used = 32 * (1 + random.next() as usize % (n_columns / 32));
        let n_x = 1 + random.next() as usize % 9;
        for cpu in Cpu::all() {
            check(&cpu, format, n_rows, n_columns, used, n_x, 1000 + round);
        }
    }
}

#[test]
fn the_extremes_of_8_bits_do_not_overflow() {
    for cpu in Cpu::all() {
        for format in Format::ALL {
            for (weight, x) in [
                (0x00, 1.0),
                (0x80, 1.0),
                (0x7f, 1.0),
                (0xff, 1.0),
                (0x80, -1.0),
                (0xff, -1.0),
            ] {
                let mut bytes = vec![weight; 16 * 512 / format.block_len() * format.block_bytes()];
                let mut one = Random(3).blocks(format, 1);
                for block in bytes.chunks_exact_mut(format.block_bytes()) {
                    match format {
                        Format::Q4_0 | Format::Q8_0 => block[..2].copy_from_slice(&one[..2]),
                        Format::Q4K => block[..16].copy_from_slice(&one[..16]),
                        Format::Q6K => block[192..].copy_from_slice(&one[192..]),
                    }
                }
                one.clear();
                let matrix = Matrix::new(format, &bytes, 16, 512).unwrap();
                let weights: Vec<_> = (0..16)
                    .map(|row| reference::dequantise(&matrix, row))
                    .collect();
                let x = Activations::new(&vec![x; 1024], 512);
                let mut out = vec![0.0; 32];
                let rows = Rows::First(16);
                products(
                    &cpu,
                    &Pool::new(1),
                    &x,
                    &mut [Part {
                        matrix,
                        rows,
                        out: &mut out,
                    }],
                )
                .unwrap();
                compare(cpu.name(), &out, &x.dequantise(), &weights);
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let bytes = Random(5).blocks(Format::Q4_0, 700 * 16);
    let matrix = Matrix::new(Format::Q4_0, &bytes, 700, 512).unwrap();
    let x = Activations::new(&Random(6).values(3 * 512), 512);
    for cpu in Cpu::all() {
        let results: Vec<Vec<u32>> = [1, 2, 3, 7]
            .map(|n_threads| {
                let mut out = vec![0.0; 3 * 700];
                let rows = Rows::First(700);
                let part = Part {
                    matrix,
                    rows,
                    out: &mut out,
                };
                products(&cpu, &Pool::new(n_threads), &x, &mut [part]).unwrap();
                out.iter().map(|v| v.to_bits()).collect()
            })
            .into();
        assert!(results.iter().all(|r| *r == results[0]), "{}", cpu.name());
    }
}

#[test]
fn a_matrix_is_refused_whose_bytes_are_not_its_shape() {
    let bytes = vec![0; 18 * 6];
    assert!(Matrix::new(Format::Q4_0, &bytes, 3, 64).is_some());
    assert!(Matrix::new(Format::Q4_0, &bytes, 2, 64).is_none());
    assert!(Matrix::new(Format::Q4_0, &bytes, 6, 33).is_none());
    assert!(Matrix::new(Format::Q4_0, &bytes, 6, 0).is_none());
    assert!(Matrix::new(Format::Q4_0, &bytes, usize::MAX, 64).is_none());
    assert!(Matrix::new(Format::Q4K, &bytes, 1, 32).is_none());
    assert!(DenseMatrix::new(DenseType::F16, &bytes, 6, 9).is_some());
    assert!(DenseMatrix::new(DenseType::F32, &bytes, 6, 9).is_none());
}

#[test]
fn dense_types_at_ragged_sizes() {
    let mut random = Random(7);
    for dtype in DenseType::ALL {
        for (n_rows, width, n_x) in [
            (1, 1, 1),
            (3, 2, 2),
            (4, 15, 4),
            (5, 16, 5),
            (7, 17, 33),
            (70, 64, 37),
            (16, 4, 3),
            (129, 100, 1),
        ] {
            let (mut bytes, mut weights) = (vec![0], vec![Vec::new(); n_rows]);
            for row in &mut weights {
                for _ in 0..width {
                    let value = random.value();
                    match dtype {
                        DenseType::F32 => bytes.extend(value.to_le_bytes()),
                        DenseType::F16 => bytes.extend(f16::from_f32(value).to_le_bytes()),
                        DenseType::Bf16 => bytes.extend(bf16::from_f32(value).to_le_bytes()),
                    }
                    row.push(match dtype {
                        DenseType::F32 => value,
                        DenseType::F16 => f16::from_f32(value).to_f32(),
                        DenseType::Bf16 => bf16::from_f32(value).to_f32(),
                    });
                }
            }
            let matrix = DenseMatrix::new(dtype, &bytes[1..], n_rows, width).unwrap();
            let x = random.values(n_x * width);
            for cpu in Cpu::all() {
                let mut out = vec![f32::NAN; n_x * n_rows];
                dense_product(&cpu, &Pool::new(2), &x, &matrix, &mut out).unwrap();
                compare(
                    &format!("{} {dtype:?} {n_rows} x {width}, {n_x}", cpu.name()),
                    &out,
                    &x,
                    &weights,
                );

                let (some, narrow) = (n_rows.div_ceil(2), width.div_ceil(2));
                let x: Vec<f32> = x
                    .chunks(width)
                    .flat_map(|x| &x[..narrow])
                    .copied()
                    .collect();
                let weights: Vec<_> = weights.iter().map(|w| w[..narrow].to_vec()).collect();
                out.truncate(n_x * some);
                let corner = matrix.corner(some, narrow);
                dense_product(&cpu, &Pool::new(2), &x, &corner, &mut out).unwrap();
                compare(cpu.name(), &out, &x, &weights[..some]);
            }
        }
    }
}

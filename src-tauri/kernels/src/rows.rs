//! What a pass does with rows of activations between two products.
//!
//! Each function takes one row, so that callers can join several while the row is in the cache. They are plain
//! loops, compiled for the vector registers of every [`Cpu`].

use crate::cpu::Cpu;
use crate::math;

/// Compiles functions for the registers of each kind of CPU and puts a `cpu: &Cpu` before their arguments.
macro_rules! vectorised {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$meta])*
        $vis fn $name(cpu: &Cpu, $($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn baseline($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $type),*) $(-> $ret)? {
                baseline($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
            fn avx512($($arg: $type),*) $(-> $ret)? {
                baseline($($arg),*)
            }
            match cpu.vectors {
                crate::cpu::Vectors::Baseline => baseline($($arg),*),
                // SAFETY: a `Cpu` is proof that this machine has what it names.
                #[cfg(target_arch = "x86_64")]
                crate::cpu::Vectors::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                crate::cpu::Vectors::Avx512 => unsafe { avx512($($arg),*) },
            }
        }
    )*};
}
pub(crate) use vectorised;

/// Lanes of a sum: what lets the compiler use vector registers, and the order in which every CPU adds.
const LANES: usize = 32;

/// Sums `term` over all indices below `n`.
#[inline(always)]
fn sum(n: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let whole = n / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    let rest: f32 = (whole..n).map(term).sum();
    sums.iter().sum::<f32>() + rest
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let squares = sum(x.len(), |i| x[i] * x[i]);
    1.0 / (squares / x.len() as f32 + eps).sqrt()
}

vectorised! {
    /// `out = x / sqrt(mean(x^2) + eps) * weight`
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let factor = inverse_rms(x, eps);
        for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * factor * weight;
        }
    }

    /// [`rms_norm`] in place.
    pub fn rms_norm_in_place(x: &mut [f32], weight: &[f32], eps: f32) {
        let factor = inverse_rms(x, eps);
        for (x, &weight) in x.iter_mut().zip(weight) {
            *x = *x * factor * weight;
        }
    }

    /// `out += rms_norm(x)`
    pub fn add_rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let factor = inverse_rms(x, eps);
        for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
            *out += x * factor * weight;
        }
    }

    pub fn mean_square(x: &[f32]) -> f32 {
        sum(x.len(), |i| x[i] * x[i]) / x.len() as f32
    }

    /// Mean and population standard deviation.
    pub fn mean_and_deviation(x: &[f32]) -> (f32, f32) {
        let n = x.len() as f32;
        let mean = sum(x.len(), |i| x[i]) / n;
        let squares = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean));
        (mean, (squares / n).sqrt())
    }

    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        sum(a.len().min(b.len()), |i| a[i] * b[i])
    }

    /// `out += factor * x`
    pub fn add_scaled(factor: f32, x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out += factor * x;
        }
    }

    pub fn scale(factor: f32, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x *= factor);
    }

    /// `out += a * b`
    pub fn add_product(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out += a * b;
        }
    }

    /// `out[i]` is the sum over `taps`, which are places in `data` and in `weights`, of the products behind them: a
    /// pixel of a depthwise convolution.
    pub fn weighted_sum(data: &[f32], weights: &[f32], taps: &[(usize, usize)], out: &mut [f32]) {
        const TOGETHER: usize = 64;
        for (n, out) in out.chunks_mut(TOGETHER).enumerate() {
            let first = n * TOGETHER;
            if let Ok(out) = <&mut [f32; TOGETHER]>::try_from(&mut *out) {
                let mut sums = [0f32; TOGETHER];
                for &(pixel, weight) in taps {
                    let pixel = &data[pixel + first..][..TOGETHER];
                    let weight = &weights[weight + first..][..TOGETHER];
                    for ((sum, &a), &b) in sums.iter_mut().zip(pixel).zip(weight) {
                        *sum += a * b;
                    }
                }
                *out = sums;
            } else {
                out.fill(0.0);
                for &(pixel, weight) in taps {
                    let pixel = &data[pixel + first..];
                    let weight = &weights[weight + first..];
                    for ((sum, &a), &b) in out.iter_mut().zip(pixel).zip(weight) {
                        *sum += a * b;
                    }
                }
            }
        }
    }

    /// `out = a * b`
    pub fn multiply(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = a * b;
        }
    }

    pub fn gelu(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = math::gelu(*x));
    }

    /// `gate = gelu(gate) * up`
    pub fn gelu_times(gate: &mut [f32], up: &[f32]) {
        for (gate, &up) in gate.iter_mut().zip(up) {
            *gate = math::gelu(*gate) * up;
        }
    }

    /// `gate = gelu(max(gate - cutoff, 0)) * up`
    pub fn sparse_gelu_times(gate: &mut [f32], cutoff: f32, up: &[f32]) {
        for (gate, &up) in gate.iter_mut().zip(up) {
            // Written so that NaN stays.
            let above = *gate - cutoff;
            *gate = math::gelu(if above < 0.0 { 0.0 } else { above }) * up;
        }
    }

    /// `x = cap * tanh(x / cap)`
    pub fn soft_cap(x: &mut [f32], cap: f32) {
        x.iter_mut().for_each(|x| *x = cap * math::tanh(*x / cap));
    }

    /// Rotary embedding of a head in halves: `[a, b]` becomes `[a cos - b sin, b cos + a sin]`.
    pub fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
        let (a, b) = head.split_at_mut(head.len() / 2);
        for (((a, b), &cos), &sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }

    /// `out[o] = streams[o] + sum over i of coefs[n * o + i] * streams[i]`, with `n` streams in a row.
    pub fn mix_streams(streams: &[f32], coefs: &[f32], out: &mut [f32]) {
        let n = coefs.len().isqrt();
        let width = streams.len() / n;
        out.copy_from_slice(streams);
        for (out, coefs) in out.chunks_exact_mut(width).zip(coefs.chunks_exact(n)) {
            for (x, &coef) in streams.chunks_exact(width).zip(coefs) {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out += coef * x;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: usize, seed: f32) -> Vec<f32> {
        (0..n)
            .map(|i| (i as f32 * 0.7 + seed).sin() * 2.0)
            .collect()
    }

    #[track_caller]
    fn close(ours: &[f32], exact: impl Fn(usize) -> f64) {
        for (i, &x) in ours.iter().enumerate() {
            let exact = exact(i);
            assert!(
                (f64::from(x) - exact).abs() < 2e-6 * (1.0 + exact.abs()),
                "{x} {exact}"
            );
        }
    }

    #[test]
    fn every_cpu_computes_the_same_at_ragged_lengths() {
        for cpu in Cpu::all() {
            for n in (1..20).chain([31, 32, 33, 64, 100, 150]) {
                let (x, w) = (row(n, 0.3), row(n, 1.9));
                let f = |v: f32| f64::from(v);
                let mean = |t: &dyn Fn(usize) -> f64| (0..n).map(t).sum::<f64>() / n as f64;
                let rms = (mean(&|i| f(x[i]).powi(2)) + 1e-6).sqrt();
                let mut out = row(n, 5.0);
                add_rms_norm(&cpu, &x, &w, 1e-6, &mut out);
                close(&out, |i| f(row(n, 5.0)[i]) + f(x[i]) / rms * f(w[i]));
                rms_norm(&cpu, &x, &w, 1e-6, &mut out);
                close(&out, |i| f(x[i]) / rms * f(w[i]));
                let mut same = x.clone();
                rms_norm_in_place(&cpu, &mut same, &w, 1e-6);
                assert_eq!(same, out);
                let (m, d) = mean_and_deviation(&cpu, &x);
                let exact = mean(&|i| f(x[i]));
                let deviation = mean(&|i| (f(x[i]) - exact).powi(2)).sqrt();
                close(&[m, d], |i| [exact, deviation][i]);
                close(&[dot(&cpu, &x, &w)], |_| {
                    mean(&|i| f(x[i]) * f(w[i])) * n as f64
                });
                let mut gate = x.clone();
                sparse_gelu_times(&cpu, &mut gate, 0.5, &w);
                let gelu =
                    |x: f64| 0.5 * x * (1.0 + (0.7978845608 * (x + 0.044715 * x * x * x)).tanh());
                close(&gate, |i| gelu((f(x[i]) - 0.5).max(0.0)) * f(w[i]));
                let mut capped = x.clone();
                soft_cap(&cpu, &mut capped, 3.0);
                close(&capped, |i| 3.0 * (f(x[i]) / 3.0).tanh());
                let streams = row(2 * n, 0.1);
                let (coefs, mut mixed) = ([0.5, -1.0, 2.0, 0.25], vec![0.0; 2 * n]);
                mix_streams(&cpu, &streams, &coefs, &mut mixed);
                close(&mixed, |i| {
                    let (o, i) = (i / n, i % n);
                    let s = |k: usize| f(streams[k * n + i]);
                    s(o) + f(coefs[2 * o]) * s(0) + f(coefs[2 * o + 1]) * s(1)
                });
                let mut sum = row(n, 0.4);
                add_product(&cpu, &x, &w, &mut sum);
                close(&sum, |i| f(row(n, 0.4)[i]) + f(x[i]) * f(w[i]));
                // Three taps over two rows of data: the places decide, not the order.
                let taps = [(n, 0), (0, n), (n, n)];
                weighted_sum(
                    &cpu,
                    &streams,
                    &[x.clone(), w.clone()].concat(),
                    &taps,
                    &mut sum,
                );
                close(&sum, |i| {
                    let (a, b) = (f(streams[i]), f(streams[n + i]));
                    b * f(x[i]) + a * f(w[i]) + b * f(w[i])
                });
                let mut head = row(2 * n, 0.2);
                rotate(&cpu, &mut head, &x, &w);
                let before = row(2 * n, 0.2);
                close(&head[..n], |i| {
                    f(before[i]) * f(x[i]) - f(before[n + i]) * f(w[i])
                });
                close(&head[n..], |i| {
                    f(before[n + i]) * f(x[i]) + f(before[i]) * f(w[i])
                });
            }
        }
    }
}

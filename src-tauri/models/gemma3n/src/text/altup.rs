//! AltUp: several streams of hidden states, of which a layer computes one and predicts the others.
//!
//! Alternating Updates for Efficient Transformers, Baykal et al. 2023.

use kernels::{Activations, Cpu, Rows, rows};

use super::PREFIX;
use crate::config::TextConfig;
use crate::error::Result;
use crate::linear::{Linear, Product, multiply};
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::workers::{Operand, Workers};

#[derive(Debug)]
pub(super) struct AltUp {
    /// `modality_router` `[streams, hidden]` times the weight of `router_norm`, over the hidden size.
    router: Vec<f32>,
    /// `[streams * streams, streams]`
    prediction_coefs: Vec<f32>,
    /// `[streams, streams]`
    correction_coefs: Vec<f32>,
    eps: f32,
    n_streams: usize,
    active: usize,
    hidden_size: usize,
}

impl AltUp {
    pub fn load(loader: &Loader, config: &TextConfig, layer: usize) -> Result<Self> {
        let prefix = format!("{PREFIX}.layers.{layer}.altup");
        let (hidden, n) = (config.hidden_size, config.altup_num_inputs);
        let values =
            |name: &str, shape: &[usize]| loader.values(&format!("{prefix}.{name}.weight"), shape);
        let norm = values("router_norm", &[hidden])?;
        let mut router = values("modality_router", &[n, hidden])?;
        for row in router.chunks_exact_mut(hidden) {
            for (x, norm) in row.iter_mut().zip(&norm) {
                *x *= norm / hidden as f32;
            }
        }
        Ok(Self {
            router,
            prediction_coefs: values("prediction_coefs", &[n * n, n])?,
            correction_coefs: values("correction_coefs", &[n, n])?,
            eps: config.rms_norm_eps as f32,
            n_streams: n,
            active: config.altup_active_idx,
            hidden_size: hidden,
        })
    }

    /// How much of each modality a row `[hidden]` has, `[streams]`.
    fn modalities(&self, cpu: &Cpu, x: &[f32]) -> Vec<f32> {
        let inverse_rms = 1.0 / (rows::mean_square(cpu, x) + self.eps).sqrt();
        let router = self.router.chunks_exact(self.hidden_size);
        router
            .map(|row| (rows::dot(cpu, row, x) * inverse_rms).tanh())
            .collect()
    }

    fn coefs(&self, cpu: &Cpu, matrix: &[f32], x: &[f32]) -> Vec<f32> {
        let modalities = self.modalities(cpu, x);
        let product = |row: &[f32]| row.iter().zip(&modalities).map(|(a, b)| a * b).sum();
        matrix.chunks_exact(self.n_streams).map(product).collect()
    }

    /// The stream that the layer works on, of a row of streams `[streams, hidden]`.
    pub fn active<'a>(&self, streams: &'a [f32]) -> &'a [f32] {
        &streams[self.active * self.hidden_size..][..self.hidden_size]
    }

    /// Guesses every stream after the layer from the streams before it; a row `[streams, hidden]` of each.
    pub fn predict(&self, cpu: &Cpu, streams: &[f32], predictions: &mut [f32]) {
        let coefs = self.coefs(cpu, &self.prediction_coefs, self.active(streams));
        rows::mix_streams(cpu, streams, &coefs, predictions);
    }

    /// Moves all streams of a row by what the layer's output `[hidden]` differs from its prediction. What is left in
    /// `activated` is that difference.
    pub fn correct(&self, cpu: &Cpu, predictions: &mut [f32], activated: &mut [f32]) {
        let coefs = self.coefs(cpu, &self.correction_coefs, activated);
        rows::add_scaled(cpu, -1.0, self.active(predictions), activated);
        let streams = predictions.chunks_exact_mut(self.hidden_size);
        for (stream, coef) in streams.zip(coefs) {
            rows::add_scaled(cpu, coef + 1.0, activated, stream);
        }
    }
}

/// Projections between one hidden state and the streams: one for each stream but the first.
#[derive(Debug)]
pub(super) struct StreamProjections {
    projections: Vec<Linear>,
    hidden_size: usize,
}

impl StreamProjections {
    pub fn load(loader: &Loader, config: &TextConfig, prefix: &str) -> Result<Self> {
        let hidden = config.hidden_size;
        let projections = (0..config.altup_num_inputs - 1)
            .map(|i| loader.linear(&format!("{prefix}.{i}.weight"), hidden, hidden))
            .collect::<Result<_>>()?;
        Ok(Self {
            projections,
            hidden_size: hidden,
        })
    }

    /// `[rows, hidden] -> [rows, streams, hidden]`
    pub fn spread(
        &self,
        workers: &Workers,
        x: &[f32],
        rounded: &mut Activations,
    ) -> Result<Vec<f32>> {
        let (hidden, n) = (self.hidden_size, self.projections.len());
        let n_rows = x.len() / hidden;
        let mut projected = vec![vec![0.0; x.len()]; n];
        let mut products: Vec<Product> = (self.projections.iter().zip(&mut projected))
            .map(|(linear, out)| Product {
                linear,
                rows: Rows::First(hidden),
                out,
            })
            .collect();
        multiply(
            workers,
            &mut Operand::new(x, hidden, rounded),
            &mut products,
        )?;
        let mut streams = vec![0.0; x.len() * (n + 1)];
        let Workers { cpu, pool } = workers;
        pool.for_rows(n_rows, [&mut streams], |row, [streams]| {
            let of_row = row * hidden..(row + 1) * hidden;
            let (first, others) = streams.split_at_mut(hidden);
            first.copy_from_slice(&x[of_row.clone()]);
            for (stream, projected) in others.chunks_exact_mut(hidden).zip(&projected) {
                stream.copy_from_slice(&projected[of_row.clone()]);
                rows::scale(cpu, magnitude_ratio(cpu, first, stream), stream);
            }
        })?;
        Ok(streams)
    }

    /// `[rows, streams, hidden] -> [rows, hidden]`, normed.
    pub fn merge(
        &self,
        workers: &Workers,
        streams: &[f32],
        norm: &RmsNorm,
        rounded: &mut Activations,
    ) -> Result<Vec<f32>> {
        let (hidden, n) = (self.hidden_size, self.projections.len());
        let n_rows = streams.len() / (hidden * (n + 1));
        let stream = |i: usize| -> Vec<f32> {
            let rows = streams.chunks_exact(hidden).skip(i).step_by(n + 1);
            rows.flatten().copied().collect()
        };
        let first = stream(0);
        let mut sum = first.clone();
        let mut projected = vec![0.0; first.len()];
        let Workers { cpu, pool } = workers;
        for (i, linear) in self.projections.iter().enumerate() {
            let x = stream(i + 1);
            let product = Product {
                linear,
                rows: Rows::First(hidden),
                out: &mut projected,
            };
            multiply(
                workers,
                &mut Operand::new(&x, hidden, rounded),
                &mut [product],
            )?;
            pool.for_rows(n_rows, [&mut sum, &mut projected], |row, [sum, x]| {
                let first = &first[row * hidden..][..hidden];
                rows::add_scaled(cpu, magnitude_ratio(cpu, first, x), x, sum);
            })?;
        }
        pool.for_rows(n_rows, [&mut sum], |_, [sum]| {
            rows::scale(cpu, 1.0 / (n + 1) as f32, sum);
            norm.apply(cpu, sum);
        })?;
        Ok(sum)
    }
}

/// What brings a vector to the root mean square of another.
fn magnitude_ratio(cpu: &Cpu, wanted: &[f32], x: &[f32]) -> f32 {
    // The floor is the reference's; it applies to the mean square of the new vector only.
    let own = rows::mean_square(cpu, x).max(1e-5).sqrt();
    rows::mean_square(cpu, wanted).sqrt() / own
}

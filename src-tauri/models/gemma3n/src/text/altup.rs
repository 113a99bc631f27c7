//! AltUp: several streams of hidden states, of which a layer computes one and predicts the others.
//!
//! Alternating Updates for Efficient Transformers, Baykal et al. 2023.

use candle_core::{D, Tensor};

use super::PREFIX;
use crate::config::TextConfig;
use crate::error::Result;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::RmsNorm;

#[derive(Debug)]
pub(super) struct AltUp {
    router_norm: RmsNorm,
    modality_router: Linear,
    prediction_coefs: Linear,
    correction_coefs: Linear,
    n_streams: usize,
    active: usize,
    hidden_size: usize,
}

impl AltUp {
    pub fn load(loader: &Loader, config: &TextConfig, layer: usize) -> Result<Self> {
        let prefix = format!("{PREFIX}.layers.{layer}.altup");
        let (hidden, n) = (config.hidden_size, config.altup_num_inputs);
        Ok(Self {
            router_norm: RmsNorm::load(
                loader,
                &format!("{prefix}.router_norm.weight"),
                hidden,
                config.rms_norm_eps,
            )?,
            modality_router: loader.linear(
                &format!("{prefix}.modality_router.weight"),
                n,
                hidden,
            )?,
            prediction_coefs: loader.linear(
                &format!("{prefix}.prediction_coefs.weight"),
                n * n,
                n,
            )?,
            correction_coefs: loader.linear(&format!("{prefix}.correction_coefs.weight"), n, n)?,
            n_streams: n,
            active: config.altup_active_idx,
            hidden_size: hidden,
        })
    }

    /// `[rows, hidden] -> [rows, streams]`
    fn modalities(&self, x: &Tensor) -> Result<Tensor> {
        let scaled = (self.router_norm.forward(x)? / self.hidden_size as f64)?;
        Ok(self.modality_router.forward(&scaled)?.tanh()?)
    }

    /// The stream that the layer works on, `[rows, hidden]`.
    pub fn active(&self, streams: &Tensor) -> Result<Tensor> {
        Ok(streams
            .narrow(1, self.active, 1)?
            .squeeze(1)?
            .contiguous()?)
    }

    /// Guesses every stream after the layer from the streams before it, `[rows, streams, hidden]`.
    pub fn predict(&self, streams: &Tensor) -> Result<Tensor> {
        let rows = streams.dim(0)?;
        let modalities = self.modalities(&self.active(streams)?)?;
        let coefs = self.prediction_coefs.forward(&modalities)?.reshape((
            rows,
            self.n_streams,
            self.n_streams,
        ))?;
        Ok((coefs.matmul(streams)? + streams)?)
    }

    /// Moves all streams by what the layer's output differs from its prediction.
    pub fn correct(&self, predictions: &Tensor, activated: &Tensor) -> Result<Tensor> {
        let coefs = (self
            .correction_coefs
            .forward(&self.modalities(activated)?)?
            + 1.0)?;
        let innovation = (activated - self.active(predictions)?)?.unsqueeze(1)?;
        let moved = innovation.broadcast_mul(&coefs.unsqueeze(D::Minus1)?)?;
        Ok((predictions + moved)?)
    }
}

/// Projections between one hidden state and the streams: one for each stream but the first.
#[derive(Debug)]
pub(super) struct StreamProjections(Vec<Linear>);

impl StreamProjections {
    pub fn load(loader: &Loader, config: &TextConfig, prefix: &str) -> Result<Self> {
        let hidden = config.hidden_size;
        let projections = (0..config.altup_num_inputs - 1)
            .map(|i| loader.linear(&format!("{prefix}.{i}.weight"), hidden, hidden))
            .collect::<Result<_>>()?;
        Ok(Self(projections))
    }

    /// `[rows, hidden] -> [rows, streams, hidden]`
    pub fn spread(&self, x: &Tensor) -> Result<Tensor> {
        let magnitude = rms(x)?;
        let mut streams = vec![x.clone()];
        for projection in &self.0 {
            streams.push(with_magnitude(&projection.forward(x)?, &magnitude)?);
        }
        Ok(Tensor::stack(&streams, 1)?)
    }

    /// `[rows, streams, hidden] -> [rows, hidden]`
    pub fn merge(&self, streams: &Tensor) -> Result<Tensor> {
        let stream = |i: usize| streams.narrow(1, i, 1)?.squeeze(1)?.contiguous();
        let first = stream(0)?;
        let magnitude = rms(&first)?;
        let mut sum = first;
        for (i, projection) in self.0.iter().enumerate() {
            let projected = projection.forward(&stream(i + 1)?)?;
            sum = (sum + with_magnitude(&projected, &magnitude)?)?;
        }
        Ok((sum / (self.0.len() + 1) as f64)?)
    }
}

fn rms(x: &Tensor) -> Result<Tensor> {
    Ok(x.sqr()?.mean_keepdim(D::Minus1)?.sqrt()?)
}

/// Rescales every row to the given root mean square.
fn with_magnitude(x: &Tensor, magnitude: &Tensor) -> Result<Tensor> {
    // The floor is the reference's; it applies to the mean square of the new vector only.
    let own = x.sqr()?.mean_keepdim(D::Minus1)?.maximum(1e-5)?.sqrt()?;
    Ok(x.broadcast_mul(&(magnitude / own)?)?)
}

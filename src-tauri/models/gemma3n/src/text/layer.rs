//! One decoder layer: AltUp around LAuReL, attention and FFN, then the per-layer input.

use std::f32::consts::FRAC_1_SQRT_2;

use kernels::{Rows, rows};

use super::altup::AltUp;
use super::attention::Attention;
use super::mlp::{FfnScratch, Mlp};
use super::scratch::{Scratch, room};
use super::{PREFIX, Pass};
use crate::config::TextConfig;
use crate::error::Result;
use crate::linear::{Linear, Product, multiply};
use crate::loader::Loader;
use crate::norm::RmsNorm;
use crate::workers::{Operand, Workers};

/// What the layers hand on to each other.
pub(super) struct State {
    /// `[rows, streams, hidden]`
    pub streams: Vec<f32>,
    /// The same of the layer at hand, in the making.
    pub predictions: Vec<f32>,
    /// Inputs of all layers, `[rows, layers, width]`.
    pub per_layer: Vec<f32>,
    pub n_rows: usize,
}

/// What a submodel makes of a layer.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The layer's index in the whole model.
    pub index: usize,
    /// And among the submodel's layers.
    pub kept: usize,
    /// The same of the layer whose keys and values it reads.
    pub kv_source: usize,
    /// Columns of the FFN that are used, the first ones.
    pub ffn_width: usize,
}

#[derive(Debug)]
pub(super) struct Layer {
    altup: AltUp,
    input_layernorm: RmsNorm,
    laurel: Laurel,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    mlp: Mlp,
    post_feedforward_layernorm: RmsNorm,
    per_layer_input: PerLayerInput,
    hidden_size: usize,
}

impl Layer {
    pub fn load(loader: &Loader, config: &TextConfig, layer: usize) -> Result<Self> {
        let prefix = format!("{PREFIX}.layers.{layer}");
        let norm = |name: &str| {
            RmsNorm::load(
                loader,
                &format!("{prefix}.{name}.weight"),
                config.hidden_size,
                config.rms_norm_eps,
            )
        };
        Ok(Self {
            altup: AltUp::load(loader, config, layer)?,
            input_layernorm: norm("input_layernorm")?,
            laurel: Laurel::load(loader, config, &format!("{prefix}.laurel"))?,
            self_attn: Attention::load(loader, config, layer)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm")?,
            mlp: Mlp::load(loader, config, layer, &format!("{prefix}.mlp"))?,
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
            per_layer_input: PerLayerInput::load(loader, config, &prefix)?,
            hidden_size: config.hidden_size,
        })
    }

    /// Lets go of what was copied out of the files.
    pub fn forget_copies(&self) {
        self.mlp.forget_copy();
    }

    pub fn forward(
        &self,
        state: &mut State,
        place: Place,
        pass: &mut Pass,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (workers, n_rows, hidden) = (pass.workers, state.n_rows, self.hidden_size);
        let Workers { cpu, pool } = workers;
        let streams_width = state.streams.len() / n_rows;
        let x = room(&mut scratch.x, n_rows * hidden);
        pool.for_rows(
            n_rows,
            [&mut state.predictions, x],
            |row, [predictions, x]| {
                let streams = &state.streams[row * streams_width..][..streams_width];
                self.altup.predict(cpu, streams, predictions);
                self.input_layernorm
                    .write(cpu, self.altup.active(predictions), x);
            },
        )?;

        let Scratch {
            queries,
            keys,
            values,
            low_rank,
            laurel,
            ..
        } = scratch;
        let mut products = self.self_attn.projections(n_rows, queries, keys, values);
        products.push(self.laurel.down(n_rows, low_rank));
        let mut operand = Operand::new(&scratch.x, hidden, &mut scratch.rounded);
        multiply(workers, &mut operand, &mut products)?;
        drop(products);
        let mut operand = Operand::new(low_rank, self.laurel.rank(), &mut scratch.rounded);
        multiply(workers, &mut operand, &mut [self.laurel.up(n_rows, laurel)])?;
        self.self_attn
            .forward(n_rows, place.kept, place.kv_source, pass, scratch)?;

        let residual = room(&mut scratch.residual, n_rows * hidden);
        let buffers = [residual, scratch.x.as_mut_slice()];
        pool.for_rows(n_rows, buffers, |row, [residual, x]| {
            let of_row = row * hidden..(row + 1) * hidden;
            let predictions = &state.predictions[row * streams_width..][..streams_width];
            residual.copy_from_slice(self.altup.active(predictions));
            let attention = &scratch.branch[of_row.clone()];
            self.post_attention_layernorm.add(cpu, attention, residual);
            rows::add_scaled(cpu, 1.0, x, residual);
            self.laurel
                .post_laurel_norm
                .add(cpu, &scratch.laurel[of_row], residual);
            rows::scale(cpu, FRAC_1_SQRT_2, residual);
            self.pre_feedforward_layernorm.write(cpu, residual, x);
        })?;

        let memory = FfnScratch {
            rounded: &mut scratch.rounded,
            gate: &mut scratch.gate,
            up: &mut scratch.up,
        };
        let (x, width) = (&scratch.x, place.ffn_width);
        self.mlp
            .forward(workers, x, width, memory, &mut scratch.branch)?;

        let buffers = [state.predictions.as_mut_slice(), &mut scratch.x];
        pool.for_rows(n_rows, buffers, |row, [predictions, x]| {
            let of_row = row * hidden..(row + 1) * hidden;
            x.copy_from_slice(&scratch.residual[of_row.clone()]);
            self.post_feedforward_layernorm
                .add(cpu, &scratch.branch[of_row], x);
            self.altup.correct(cpu, predictions, x);
            let active = self.altup.active(predictions);
            match &self.per_layer_input.correct_output_scale {
                Some(scale) => rows::multiply(cpu, active, scale, x),
                None => x.copy_from_slice(active),
            }
        })?;
        self.per_layer_input
            .forward(state, place.index, workers, scratch)?;
        std::mem::swap(&mut state.streams, &mut state.predictions);
        Ok(())
    }
}

/// Learned augmented residual layer: a low-rank bypass of the normed input.
#[derive(Debug)]
struct Laurel {
    linear_left: Linear,
    linear_right: Linear,
    post_laurel_norm: RmsNorm,
}

impl Laurel {
    fn load(loader: &Loader, config: &TextConfig, prefix: &str) -> Result<Self> {
        let (hidden, rank) = (config.hidden_size, config.laurel_rank);
        Ok(Self {
            linear_left: loader.linear(&format!("{prefix}.linear_left.weight"), rank, hidden)?,
            linear_right: loader.linear(&format!("{prefix}.linear_right.weight"), hidden, rank)?,
            post_laurel_norm: RmsNorm::load(
                loader,
                &format!("{prefix}.post_laurel_norm.weight"),
                hidden,
                config.rms_norm_eps,
            )?,
        })
    }

    fn rank(&self) -> usize {
        self.linear_left.n_out()
    }

    /// From the normed input, `[rows, hidden] -> [rows, rank]`.
    fn down<'a>(&'a self, n_rows: usize, out: &'a mut Vec<f32>) -> Product<'a> {
        whole(&self.linear_left, n_rows, out)
    }

    /// `[rows, rank] -> [rows, hidden]`
    fn up<'a>(&'a self, n_rows: usize, out: &'a mut Vec<f32>) -> Product<'a> {
        whole(&self.linear_right, n_rows, out)
    }
}

fn whole<'a>(linear: &'a Linear, n_rows: usize, out: &'a mut Vec<f32>) -> Product<'a> {
    Product {
        linear,
        rows: Rows::First(linear.n_out()),
        out: room(out, n_rows * linear.n_out()),
    }
}

/// Lets the token's own vector for this layer into the streams that the layer did not compute.
#[derive(Debug)]
struct PerLayerInput {
    correct_output_scale: Option<Vec<f32>>,
    per_layer_input_gate: Linear,
    per_layer_projection: Linear,
    post_per_layer_input_norm: RmsNorm,
    width: usize,
}

impl PerLayerInput {
    fn load(loader: &Loader, config: &TextConfig, prefix: &str) -> Result<Self> {
        let (hidden, width) = (config.hidden_size, config.hidden_size_per_layer_input);
        Ok(Self {
            correct_output_scale: if config.altup_correct_scale {
                Some(loader.values(&format!("{prefix}.altup.correct_output_scale"), &[hidden])?)
            } else {
                None
            },
            per_layer_input_gate: loader.linear(
                &format!("{prefix}.per_layer_input_gate.weight"),
                width,
                hidden,
            )?,
            per_layer_projection: loader.linear(
                &format!("{prefix}.per_layer_projection.weight"),
                hidden,
                width,
            )?,
            post_per_layer_input_norm: RmsNorm::load(
                loader,
                &format!("{prefix}.post_per_layer_input_norm.weight"),
                hidden,
                config.rms_norm_eps,
            )?,
            width,
        })
    }

    /// Adds to the predictions, which are corrected by now, what the gate lets through of the layer's own input. The
    /// gate's input is the scaled active stream, in `x` of the scratch.
    fn forward(
        &self,
        state: &mut State,
        layer: usize,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (n_rows, width) = (state.n_rows, self.width);
        let hidden = scratch.x.len() / n_rows;
        let Workers { cpu, pool } = workers;
        let gate = whole(&self.per_layer_input_gate, n_rows, &mut scratch.narrow);
        let mut operand = Operand::new(&scratch.x, hidden, &mut scratch.rounded);
        multiply(workers, &mut operand, &mut [gate])?;
        let all_layers = state.per_layer.len() / n_rows;
        pool.for_rows(n_rows, [&mut scratch.narrow], |row, [gate]| {
            let input = &state.per_layer[row * all_layers + layer * width..][..width];
            rows::gelu_times(cpu, gate, input);
        })?;
        let projection = whole(&self.per_layer_projection, n_rows, &mut scratch.branch);
        let mut operand = Operand::new(&scratch.narrow, width, &mut scratch.rounded);
        multiply(workers, &mut operand, &mut [projection])?;
        let buffers = [state.predictions.as_mut_slice(), &mut scratch.branch];
        pool.for_rows(n_rows, buffers, |_, [streams, extra]| {
            self.post_per_layer_input_norm.apply(cpu, extra);
            // The first stream never gets it, whichever stream is the active one.
            for stream in streams.chunks_exact_mut(hidden).skip(1) {
                rows::add_scaled(cpu, 1.0, extra, stream);
            }
        })?;
        Ok(())
    }
}

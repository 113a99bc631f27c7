//! What the products of a model run on.

use kernels::{Activations, Cpu, JobPanicked, Pool};

/// An instruction set and the threads that share out the work.
#[derive(Debug)]
pub(crate) struct Workers {
    pub cpu: Cpu,
    pub pool: Pool,
}

/// Rows of activations that are multiplied with several matrices, and rounded to 8 bits once if one of them asks for it.
pub(crate) struct Operand<'a> {
    x: &'a [f32],
    width: usize,
    rounded: &'a mut Activations,
    is_rounded: bool,
}

impl<'a> Operand<'a> {
    /// `x` `[rows, width]`. `rounded` lends its memory.
    pub fn new(x: &'a [f32], width: usize, rounded: &'a mut Activations) -> Self {
        Self {
            x,
            width,
            rounded,
            is_rounded: false,
        }
    }

    pub fn x(&self) -> &'a [f32] {
        self.x
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn n_rows(&self) -> usize {
        self.x.len() / self.width
    }

    pub fn rounded(&mut self, workers: &Workers) -> Result<&Activations, JobPanicked> {
        if !self.is_rounded {
            let Workers { cpu, pool } = workers;
            self.rounded.assign(cpu, pool, self.x, self.width)?;
            self.is_rounded = true;
        }
        Ok(self.rounded)
    }
}

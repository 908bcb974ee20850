//! Matrix product with a packed weight matrix and a fused epilogue.

use super::error::{OpError, require, require_len};
use super::matrix::TILE;
use super::{Backend, Buffer, MatrixInfo, row_stride};
use crate::model::config::Activation;

/// What happens to `sum + bias` of each output element, all in f32.
pub enum Epilogue<'a, B: Backend> {
    /// `output = value`; `[rows, outputs]`
    Store(&'a mut B::Floats),
    /// `residual = residual + value`; `[rows, outputs]`
    AddTo(&'a mut B::Floats),
    /// `output = activation(value)` as bf16 operands; `[rows, row_stride(outputs)]`.
    /// SwiGLU needs a gated matrix: `silu(gate value) * up value`; the others an ungated one.
    Activate(Activation, &'a mut B::Halves),
}

/// `value[r, n] = sum over k of input[r, k] * weight[n, k]  (+ bias[n])`, one chain over k per element (see [`crate::ops`]).
pub struct Matmul<'a, B: Backend> {
    /// Rows of input.
    pub rows: usize,
    /// `[rows, row_stride(inputs)]`; an odd width has a zero after it.
    pub input: &'a B::Halves,
    /// `[outputs, inputs]`
    pub weight: &'a B::Matrix,
    /// `[tiles * 16]` in the order of the matrix's tiles.
    pub bias: Option<&'a B::Floats>,
    /// Where the result goes.
    pub epilogue: Epilogue<'a, B>,
}

impl<B: Backend> Matmul<'_, B> {
    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "matmul";
        let layout = self.weight.layout();
        require_len(OP, "input", self.input.len(), self.rows * row_stride(layout.inputs))?;
        if let Some(bias) = self.bias {
            require_len(OP, "bias", bias.len(), layout.tiles() * TILE)?;
        }
        let (len, needed, gated) = match &self.epilogue {
            Epilogue::Store(output) | Epilogue::AddTo(output) => {
                (output.len(), self.rows * layout.outputs, false)
            }
            Epilogue::Activate(activation, output) => {
                (output.len(), self.rows * row_stride(layout.outputs), activation.is_gated())
            }
        };
        require(OP, gated == layout.gated, || {
            format!("the epilogue expects gated = {gated}, the matrix has gated = {}", layout.gated)
        })?;
        require_len(OP, "output", len, needed)
    }
}

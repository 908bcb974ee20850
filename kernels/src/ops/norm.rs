//! Normalisation of the residual stream: f32 in, bf16 operands out.

use super::error::{OpError, require, require_len};
use super::{Backend, BatchInfo, Buffer, row_stride};

/// Which statistics a row is normalised by. LayerNorm1p is LayerNorm whose weights had 1 added when they were packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + epsilon) * weight`
    Rms,
    /// `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * weight + bias`
    Layer,
}

/// Which rows are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSelection {
    /// All rows of the batch.
    All,
    /// The rows that go through the LM head, gathered.
    Head,
}

/// `output[i] = normalised(input[selected(i)])`. Sums: 16 strided lanes, then a fixed tree.
pub struct Norm<'a, B: Backend> {
    /// Number of rows, and which of them are head rows.
    pub batch: &'a B::Batch,
    /// Rows to normalise.
    pub selection: RowSelection,
    /// Width of a row.
    pub width: usize,
    /// Statistics.
    pub kind: NormKind,
    /// Added to the variance.
    pub epsilon: f32,
    /// `[width]`
    pub weight: &'a B::Floats,
    /// `[width]`
    pub bias: Option<&'a B::Floats>,
    /// `[rows, width]`
    pub input: &'a B::Floats,
    /// `[selected rows, row_stride(width)]`
    pub output: &'a mut B::Halves,
}

impl<B: Backend> Norm<'_, B> {
    /// Rows written.
    pub fn output_rows(&self) -> usize {
        match self.selection {
            RowSelection::All => self.batch.rows(),
            RowSelection::Head => self.batch.head_rows(),
        }
    }

    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "norm";
        require(OP, self.width > 0, || "width is 0".to_owned())?;
        require_len(OP, "weight", self.weight.len(), self.width)?;
        if let Some(bias) = self.bias {
            require_len(OP, "bias", bias.len(), self.width)?;
        }
        require_len(OP, "input", self.input.len(), self.batch.rows() * self.width)?;
        require_len(OP, "output", self.output.len(), self.output_rows() * row_stride(self.width))
    }
}

//! Token embedding, plus a learned position embedding where the architecture has one.

use super::error::{OpError, require, require_len};
use super::{Backend, BatchInfo, Buffer, MatrixInfo};

/// `hidden[row] = tokens_table[token[row]] (+ positions_table[position[row]])`.
pub struct Embedding<'a, B: Backend> {
    /// Token ids and positions, `rows` of them.
    pub batch: &'a B::Batch,
    /// `[vocab_size, hidden]`
    pub token_table: &'a B::Matrix,
    /// `[max_positions, hidden]`
    pub position_table: Option<&'a B::Matrix>,
    /// `[rows, hidden]`, f32, overwritten.
    pub hidden: &'a mut B::Floats,
}

impl<B: Backend> Embedding<'_, B> {
    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "embedding";
        let table = self.token_table.layout();
        require_len(OP, "hidden", self.hidden.len(), self.batch.rows() * table.inputs)?;
        if let Some(positions) = self.position_table.map(MatrixInfo::layout) {
            require(OP, positions.inputs == table.inputs, || {
                format!("positions have width {}, tokens {}", positions.inputs, table.inputs)
            })?;
            require(OP, self.batch.max_position() < positions.outputs, || {
                format!("position {} of a table of {}", self.batch.max_position(), positions.outputs)
            })?;
        }
        Ok(())
    }
}

//! The likeliest tokens of rows whose logits are kept.

use super::error::{OpError, require, require_len};
use super::{Backend, Buffer};

/// One row whose likeliest tokens are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopRow {
    /// Slot of the logits buffer.
    pub slot: usize,
    /// How many tokens, from 1 to the size of the vocabulary.
    pub count: usize,
}

/// The order of tokens with their logits: largest first, equal ones by id.
pub fn best_first(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// `found[i]` = the `rows[i].count` tokens with the largest logits of a slot and these logits, largest first, equal ones by id.
pub struct TopN<'a, B: Backend> {
    /// Logits per slot.
    pub vocab_size: usize,
    /// `[slots, vocab_size]`
    pub logits: &'a B::Floats,
    /// What is wanted.
    pub rows: &'a [TopRow],
    /// `[rows]`, overwritten; on the host when the call returns.
    pub found: &'a mut Vec<Vec<(u32, f32)>>,
}

impl<B: Backend> TopN<'_, B> {
    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "top_n";
        for row in self.rows {
            require_len(OP, "logits", self.logits.len(), (row.slot + 1) * self.vocab_size)?;
            require(OP, (1..=self.vocab_size).contains(&row.count), || {
                format!("{} tokens of a vocabulary of {}", row.count, self.vocab_size)
            })?;
        }
        Ok(())
    }
}

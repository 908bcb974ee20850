//! LM head with the statistics of log-softmax; logits are kept only for rows that are sampled from.

use super::error::{OpError, require_len};
use super::{Backend, BatchInfo, Buffer, MatrixInfo, row_stride};

/// Logits that share one partial sum; chunks combine in index order.
pub const VOCAB_CHUNK: usize = 256;

/// What is known of one row's next-token distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeadStatistics {
    /// `ln(sum(exp(logits)))`
    pub log_sum_exp: f32,
    /// The largest logit ...
    pub max_logit: f32,
    /// ... and its token, the lowest id of equals.
    pub argmax: u32,
    /// Logit of the row's target, 0 without one.
    pub target_logit: f32,
}

/// `logits[i] = weight . input[i]` for every head row of the batch.
///
/// `log_sum_exp`: chunks of [`VOCAB_CHUNK`] logits; in a chunk the maximum `m`, then `sum exp(x - m)` with 16 strided
/// lanes and the fixed tree; `M` = largest `m`; the total is the f32 sum, in chunk order, of `s * exp(m - M)`;
/// `log_sum_exp = M + ln(total)`, the logarithm and this addition in f64.
pub struct LmHead<'a, B: Backend> {
    /// Which rows, their targets and logits slots.
    pub batch: &'a B::Batch,
    /// `[head rows, row_stride(hidden)]`
    pub input: &'a B::Halves,
    /// `[vocab_size, hidden]`
    pub weight: &'a B::Matrix,
    /// `[logits slots, vocab_size]`
    pub logits: &'a mut B::Floats,
    /// `[head rows]`, overwritten; on the host when the call returns.
    pub statistics: &'a mut Vec<HeadStatistics>,
}

impl<B: Backend> LmHead<'_, B> {
    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "lm_head";
        let layout = self.weight.layout();
        require_len(OP, "input", self.input.len(), self.batch.head_rows() * row_stride(layout.inputs))?;
        require_len(OP, "logits", self.logits.len(), self.batch.logits_slots() * layout.outputs)
    }
}

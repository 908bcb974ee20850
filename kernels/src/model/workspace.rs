//! Activations of a step: buffers that grow to the largest step seen and are then reused.

use super::config::GptConfig;
use crate::ops::error::OpError;
use crate::ops::lm_head::HeadStatistics;
use crate::ops::rotary::query_stride;
use crate::ops::sampling::Drawn;
use crate::ops::{Backend, row_stride};

/// Rows are allocated in steps of this many.
const ROW_STEP: usize = 32;

/// Buffers of one model.
pub(super) struct Workspace<B: Backend> {
    pub(super) batch: B::Batch,
    /// `[rows, hidden]` residual stream.
    pub(super) hidden: B::Floats,
    /// `[rows, hidden]`
    pub(super) normed: B::Halves,
    /// `[rows, (heads + 2 groups) * kv_channels]`
    pub(super) qkv: B::Floats,
    /// `[rows, heads, query_stride]`
    pub(super) queries: B::Halves,
    /// `[rows, heads * kv_channels]`
    pub(super) context: B::Halves,
    /// `[rows, ffn]`
    pub(super) mlp: B::Halves,
    /// `[rows, rotary_dim]`
    pub(super) angles: B::Floats,
    /// `[logits slots, vocab]`
    pub(super) logits: B::Floats,
    pub(super) statistics: Vec<HeadStatistics>,
    pub(super) drawn: Vec<Drawn>,
    /// Per row whose likeliest tokens are wanted: these, with their logits.
    pub(super) found: Vec<Vec<(u32, f32)>>,
    /// `[logits slots, vocab]` on the host, where a step needs them there.
    pub(super) kept: Vec<f32>,
    rows: usize,
    slots: usize,
}

impl<B: Backend> Workspace<B> {
    /// No rows yet.
    pub(super) fn new(backend: &mut B) -> Result<Self, OpError> {
        Ok(Self {
            batch: backend.batch()?,
            hidden: backend.floats(0)?,
            normed: backend.halves(0)?,
            qkv: backend.floats(0)?,
            queries: backend.halves(0)?,
            context: backend.halves(0)?,
            mlp: backend.halves(0)?,
            angles: backend.floats(0)?,
            logits: backend.floats(0)?,
            statistics: Vec::new(),
            drawn: Vec::new(),
            found: Vec::new(),
            kept: Vec::new(),
            rows: 0,
            slots: 0,
        })
    }

    /// Makes room for a step of `rows` rows that keeps the logits of `slots` of them.
    pub(super) fn reserve(
        &mut self,
        backend: &mut B,
        config: &GptConfig,
        rows: usize,
        slots: usize,
    ) -> Result<(), OpError> {
        if rows > self.rows {
            let rows = rows.next_multiple_of(ROW_STEP);
            self.rows = 0;
            self.hidden = backend.floats(rows * config.hidden_size)?;
            self.normed = backend.halves(rows * row_stride(config.hidden_size))?;
            self.qkv = backend.floats(rows * (config.query_size() + 2 * config.kv_size()))?;
            self.queries =
                backend.halves(rows * config.num_attention_heads * query_stride(config.kv_channels))?;
            self.context = backend.halves(rows * row_stride(config.query_size()))?;
            self.mlp = backend.halves(rows * row_stride(config.ffn_hidden_size))?;
            self.angles = backend.floats(rows * config.rotary_dim())?;
            self.rows = rows;
        }
        if slots > self.slots {
            self.slots = 0;
            self.logits = backend.floats(slots * config.vocab_size)?;
            self.slots = slots;
        }
        Ok(())
    }
}

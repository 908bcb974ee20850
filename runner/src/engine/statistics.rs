//! What a replica did since its clock started, for the run's record.

use goldlap_kernels::model::step::StepCost;

use super::outcome::StepSummary;

/// Totals over the steps that ran a forward pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Requests finished with a result.
    pub num_requests_finished: u64,
    /// Steps that ran a forward pass.
    pub num_steps: u64,
    /// Sum over steps of sequences in the batch.
    pub sum_batch_size: u64,
    /// Largest batch, in sequences.
    pub max_batch_size: u64,
    /// Most tokens of one step.
    pub max_step_tokens: u64,
    /// Prompt tokens computed, recomputed ones included.
    pub num_prefill_tokens: u64,
    /// Decode tokens computed.
    pub num_decode_tokens: u64,
    /// Times a sequence lost its KV blocks.
    pub num_evictions: u64,
    /// Times the engine was suspended.
    pub num_suspensions: u64,
    /// Times a sequence lost its KV blocks because the engine was suspended.
    pub num_recomputations: u64,
    /// Times a suspended engine's KV cache was brought to the host's memory.
    pub num_offloads: u64,
    /// The generation epoch that was set last.
    pub generation_epoch: Option<i64>,
    /// Times a sequence waited for a block and kept those it had.
    pub num_pauses: u64,
    /// Prompt tokens found in the prefix cache, and therefore not computed.
    pub num_cached_tokens: u64,
    /// Times a sequence waited for a block that another one was about to compute.
    pub num_deferred: u64,
    /// Most KV blocks in use at once.
    pub max_kv_blocks_used: u64,
    /// Seconds inside forward passes.
    pub step_seconds: f64,
    /// Seconds of a core that the engine's own thread had inside forward passes.
    pub forward_cpu_s: f64,
    /// Least work of each step, in order.
    pub step_costs: Vec<StepCost>,
}

/// Steps whose costs fit without an allocation in the middle of a step: 1.5 MiB, touched as it fills.
const STEPS_AHEAD: usize = 1 << 16;

impl Statistics {
    pub(super) fn new() -> Self {
        Self { step_costs: Vec::with_capacity(STEPS_AHEAD), ..Self::default() }
    }

    pub(super) fn add(&mut self, step: &StepSummary, cost: StepCost, max_kv_blocks_used: usize) {
        self.num_steps += 1;
        self.sum_batch_size += step.batch_size as u64;
        self.max_batch_size = self.max_batch_size.max(step.batch_size as u64);
        let num_tokens = step.num_prefill_tokens + step.num_decode_tokens;
        self.max_step_tokens = self.max_step_tokens.max(num_tokens as u64);
        self.num_prefill_tokens += step.num_prefill_tokens as u64;
        self.num_decode_tokens += step.num_decode_tokens as u64;
        self.num_evictions += step.num_evicted as u64;
        self.num_pauses += step.num_paused as u64;
        self.num_cached_tokens += step.num_cached_tokens as u64;
        self.num_deferred += step.num_deferred as u64;
        self.num_requests_finished += step.finished.len() as u64;
        self.max_kv_blocks_used = max_kv_blocks_used as u64;
        self.step_seconds += step.forward_s;
        self.forward_cpu_s += step.forward_cpu_s;
        self.step_costs.push(cost);
    }
}

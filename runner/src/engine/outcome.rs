//! What comes out of an engine step.

use goldlap_kernels::model::step::SampledToken;

/// Everything one step produced. Requests appear in the order they were admitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepSummary {
    /// Sequences in the batch; 0 = there was nothing to do.
    pub batch_size: usize,
    /// Prompt tokens computed (and tokens recomputed after an eviction).
    pub num_prefill_tokens: usize,
    /// Decode tokens computed.
    pub num_decode_tokens: usize,
    /// Sequences that lost their KV blocks and wait to be recomputed.
    pub num_evicted: usize,
    /// Sequences that wait for a block from this step on, and keep those they have.
    pub num_paused: usize,
    /// Prompt tokens found in the prefix cache by sequences admitted in this step.
    pub num_cached_tokens: usize,
    /// Times a sequence waited for another one of the same step to compute a block that both need.
    pub num_deferred: usize,
    /// Seconds inside the forward pass.
    pub forward_s: f64,
    /// Of these, seconds of a core that the calling thread had.
    pub forward_cpu_s: f64,
    /// One entry per sequence that got a token, the finished ones included.
    pub new_tokens: Vec<NewToken>,
    /// Requests that got their last token.
    pub finished: Vec<FinishedRequest>,
    /// Requests that ended without a result.
    pub failed: Vec<FailedRequest>,
}

impl StepSummary {
    /// Nothing happened; the memory of the lists is kept.
    pub(super) fn clear(&mut self) {
        let Self { mut new_tokens, mut finished, mut failed, .. } = std::mem::take(self);
        new_tokens.clear();
        finished.clear();
        failed.clear();
        *self = Self { new_tokens, finished, failed, ..Self::default() };
    }
}

/// One generated token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewToken {
    /// The request.
    pub id: u64,
    /// Vocabulary id.
    pub token: u32,
    /// Its logprob under the unmodified distribution.
    pub logprob: f32,
}

/// Why a request stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The termination token came; it is the last generated token.
    Termination,
    /// All tokens that were asked for (or that fitted) are there.
    Length,
    /// It was aborted; the tokens it had by then are there.
    Aborted,
}

/// A request with its result. Times are on the engine's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedRequest {
    /// The request.
    pub id: u64,
    /// Its prompt.
    pub prompt: Vec<u32>,
    /// Generated ids, a termination id included.
    pub generated_tokens: Vec<u32>,
    /// Logprobs of prompt positions 1.., where asked for.
    pub prompt_logprobs: Option<Vec<f32>>,
    /// Per prompt position 1.. the likeliest tokens in its place, likeliest first, where asked for.
    pub prompt_alternatives: Option<Vec<Vec<SampledToken>>>,
    /// Logprob of each generated token, where asked for.
    pub generated_logprobs: Option<Vec<f32>>,
    /// Per generated token the likeliest ones in its place, likeliest first, where asked for.
    pub generated_alternatives: Option<Vec<Vec<SampledToken>>>,
    /// Why it stopped.
    pub reason: FinishReason,
    /// Tokens it could generate at most.
    pub num_tokens_to_generate: usize,
    /// What was asked for, where `max_sequence_length` allowed less.
    pub clamped_from: Option<usize>,
    /// Times it lost its KV blocks and was recomputed.
    pub num_evictions: u32,
    /// Prompt tokens that were in the prefix cache when it was admitted first.
    pub num_cached_tokens: usize,
    /// When it was submitted.
    pub submitted_s: f64,
    /// When its first token was there.
    pub first_token_s: Option<f64>,
    /// When its last token was there.
    pub finished_s: f64,
}

/// A request that ended without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    /// The request.
    pub id: u64,
    /// Why.
    pub reason: String,
}

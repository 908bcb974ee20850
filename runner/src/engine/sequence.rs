//! A request in flight: its tokens, how far they are computed, and which KV blocks hold them.

use goldlap_kernels::model::step::{Detail, Extras, SampleArgs, SampledToken, SequenceOutput, SequenceSlice};

use super::outcome::{FinishReason, FinishedRequest, NewToken};
use super::request::{EngineRequest, ResolvedOutput};
use super::sampling::Sampling;

/// A live request. `tokens[..num_computed_tokens]` are in the KV cache; the rest waits to be computed:
/// a whole prompt, the rest of one, or the token sampled last.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: u64,
    /// Prompt, then generated tokens.
    tokens: Vec<u32>,
    num_prompt_tokens: usize,
    output: ResolvedOutput,
    sampling: Sampling,
    ends: Vec<u32>,
    pub(super) block_table: Vec<u32>,
    num_computed_tokens: usize,
    /// Share of the current step.
    num_scheduled_tokens: usize,
    /// Of positions `1..=len`; survives an eviction.
    prompt_logprobs: Vec<f32>,
    /// Of the same positions, where they are wanted.
    prompt_alternatives: Vec<Vec<SampledToken>>,
    generated_logprobs: Vec<f32>,
    generated_alternatives: Vec<Vec<SampledToken>>,
    num_evictions: u32,
    /// Names of the prompt's complete blocks; none where nothing is shared.
    block_hashes: Vec<u64>,
    num_registered_blocks: usize,
    /// Of its first admission.
    num_cached_tokens: Option<usize>,
    finish: Option<FinishReason>,
    submitted_s: f64,
    first_token_s: Option<f64>,
}

impl Sequence {
    /// `block_hashes` name the complete blocks of the prompt, or are empty where nothing is shared.
    pub(super) fn new(
        request: EngineRequest,
        output: ResolvedOutput,
        block_hashes: Vec<u64>,
        submitted_s: f64,
    ) -> Self {
        Self {
            id: request.id,
            num_prompt_tokens: request.prompt.len(),
            tokens: request.prompt,
            output,
            sampling: request.sampling,
            ends: request.ends,
            block_table: Vec::new(),
            num_computed_tokens: 0,
            num_scheduled_tokens: 0,
            prompt_logprobs: Vec::new(),
            prompt_alternatives: Vec::new(),
            generated_logprobs: Vec::new(),
            generated_alternatives: Vec::new(),
            num_evictions: 0,
            block_hashes,
            num_registered_blocks: 0,
            num_cached_tokens: None,
            finish: None,
            submitted_s,
            first_token_s: None,
        }
    }

    /// Prompt and generated tokens so far.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens whose K/V are in its blocks.
    pub(super) fn num_computed_tokens(&self) -> usize {
        self.num_computed_tokens
    }

    /// Tokens not computed yet; at least one in a live sequence.
    pub(super) fn num_remaining(&self) -> usize {
        self.tokens.len() - self.num_computed_tokens
    }

    /// Only the token sampled last is missing.
    pub(super) fn is_decoding(&self) -> bool {
        self.tokens.len() > self.num_prompt_tokens && self.num_remaining() == 1
    }

    /// It was computed before, and need not fit a step: a first prompt does, or prompts may be chunked.
    pub(super) fn is_recomputed(&self) -> bool {
        self.num_evictions > 0
    }

    /// Why it stopped, once it has.
    pub(super) fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    pub(super) fn prompt_logprobs(&self) -> Option<&[f32]> {
        self.sampling.wants_prompt_logprobs().then_some(&self.prompt_logprobs)
    }

    pub(super) fn prompt_alternatives(&self) -> Option<&[Vec<SampledToken>]> {
        self.sampling.wants_prompt_alternatives().then_some(&self.prompt_alternatives)
    }

    /// Every prompt row must be computed for this very request: nobody keeps alternatives with a cached block, and a block's
    /// logprobs are raw.
    pub(super) fn needs_all_rows(&self, processed: bool) -> bool {
        self.sampling.wants_prompt_alternatives() || (processed && self.sampling.wants_prompt_logprobs())
    }

    pub(super) fn schedule(&mut self, num_tokens: usize) {
        self.num_scheduled_tokens = num_tokens;
    }

    pub(super) fn num_scheduled_tokens(&self) -> usize {
        self.num_scheduled_tokens
    }

    pub(super) fn block_hashes(&self) -> &[u64] {
        &self.block_hashes
    }

    /// Tokens it has when it ends, at the most.
    pub(super) fn max_len(&self) -> usize {
        self.num_prompt_tokens + self.output.num_tokens
    }

    /// It owns the blocks of `num_tokens` that are computed already; `logprobs` are those of the prompt positions
    /// 1..=num_tokens, where they are wanted. From here on its lists do not move: memory that they never fill is never touched.
    pub(super) fn begin_after(&mut self, num_tokens: usize, logprobs: &[f32]) {
        self.tokens.reserve_exact(self.max_len() - self.tokens.len());
        if self.sampling.return_log_probs {
            self.generated_logprobs.reserve_exact(self.max_len() - self.tokens.len());
        }
        self.num_computed_tokens = num_tokens;
        self.num_cached_tokens.get_or_insert(num_tokens);
        let num_known = self.prompt_logprobs.len();
        self.prompt_logprobs.extend(logprobs.iter().skip(num_known));
    }

    /// Complete prompt blocks, if some of them were computed since this was asked last.
    pub(super) fn newly_computed_blocks(&mut self, block_size: usize) -> Option<usize> {
        let num_blocks = (self.num_computed_tokens / block_size).min(self.block_hashes.len());
        (std::mem::replace(&mut self.num_registered_blocks, num_blocks) < num_blocks).then_some(num_blocks)
    }

    /// Logprobs of the prompt tokens in a block, position 0 excepted, if all of them are known.
    pub(super) fn logprobs_of_block(&self, block: usize, block_size: usize) -> Option<&[f32]> {
        let (start, end) = (block * block_size, (block + 1) * block_size);
        self.prompt_logprobs.get(start.saturating_sub(1)..end - 1)
    }

    /// Its blocks are gone: everything must be computed again. What was returned or recorded stays.
    pub(super) fn restart(&mut self) {
        self.num_computed_tokens = 0;
        self.num_scheduled_tokens = 0;
        self.num_registered_blocks = 0;
        self.num_evictions += 1;
    }

    /// This step's share, as the model takes it.
    pub(super) fn slice(&self, seed: u64) -> SequenceSlice<'_> {
        let (start, end) = (self.num_computed_tokens, self.num_computed_tokens + self.num_scheduled_tokens);
        SequenceSlice {
            tokens: &self.tokens[start..end],
            start,
            block_table: &self.block_table,
            targets: self.targets(),
            sample: self.samples().then(|| self.sample_args(seed)),
        }
    }

    /// Prompt logprobs are wanted and not all known.
    pub(super) fn lacks_prompt_logprobs(&self) -> bool {
        self.sampling.wants_prompt_logprobs() && self.prompt_logprobs.len() + 1 < self.num_prompt_tokens
    }

    /// Prompt tokens whose logprobs this step's rows give; empty once all are known. After an eviction halfway
    /// the first of them are known already.
    fn targets(&self) -> &[u32] {
        if !self.lacks_prompt_logprobs() {
            return &[];
        }
        let end = self.num_computed_tokens + self.num_scheduled_tokens;
        &self.tokens[self.num_computed_tokens + 1..(end + 1).min(self.num_prompt_tokens)]
    }

    /// The step computes the last known token and another one is wanted.
    fn samples(&self) -> bool {
        self.num_scheduled_tokens == self.num_remaining() && self.output.num_tokens > 0
    }

    /// Keyed by request and position alone, so that a recomputed or re-dispatched request draws the same tokens.
    fn sample_args(&self, seed: u64) -> SampleArgs {
        let Sampling { temperature, top_k, top_p, .. } = self.sampling;
        SampleArgs {
            temperature: if self.sampling.is_greedy() { 1.0 } else { temperature },
            top_k,
            top_p,
            seed,
            request_key: self.id,
            position: self.tokens.len() as u64,
        }
    }

    /// Does `output` have the shape that [`Self::slice`] asked for?
    pub(super) fn expects(
        &self,
        output: &SequenceOutput,
        detail: &Detail,
        vocab_size: usize,
    ) -> Result<(), String> {
        let (wanted, got) = (self.targets().len(), output.target_logprobs.len());
        let num_lists = detail.target_alternatives.len();
        if self.sampling.wants_prompt_alternatives() && num_lists != wanted {
            return Err(format!(
                "the model returned alternatives to {num_lists} targets for request {}, expected {wanted}",
                self.id
            ));
        }
        if wanted != got {
            return Err(format!(
                "the model returned {got} target logprobs for request {}, expected {wanted}",
                self.id
            ));
        }
        match (self.samples(), output.sampled) {
            (true, Some(sampled)) if sampled.token as usize >= vocab_size => Err(format!(
                "the model sampled token {} for request {}, expected below the vocabulary's {vocab_size}",
                sampled.token, self.id
            )),
            (true, Some(_)) | (false, None) => Ok(()),
            (wanted, got) => Err(format!(
                "the model returned {} sampled token for request {}, expected {}",
                if got.is_some() { "a" } else { "no" },
                self.id,
                if wanted { "one" } else { "none" }
            )),
        }
    }

    /// Whether [`Self::extras`] may ask for something.
    pub(super) fn wants_extras(&self, processed: bool) -> bool {
        self.sampling.top_n_logprobs > 0 || (processed && self.sampling.return_log_probs)
    }

    /// What this step is to give beside tokens and raw logprobs.
    pub(super) fn extras(&self, seed: u64, processed: bool) -> Extras {
        let count = self.sampling.top_n_logprobs as usize;
        let is_wanted = self.sampling.return_log_probs && (self.samples() || !self.targets().is_empty());
        Extras {
            alternatives: if self.samples() { count } else { 0 },
            target_alternatives: if self.targets().is_empty() { 0 } else { count },
            processed: (processed && is_wanted).then(|| self.sample_args(seed)),
        }
    }

    /// Alternatives to the last `count` generated tokens, where they are wanted.
    pub(super) fn latest_alternatives(&self, count: usize) -> Option<&[Vec<SampledToken>]> {
        let all = &self.generated_alternatives;
        (self.sampling.top_n_logprobs > 0).then(|| &all[all.len().saturating_sub(count)..])
    }

    /// Takes over what the step computed; the new token, if there is one.
    pub(super) fn absorb(
        &mut self,
        (output, detail): &(SequenceOutput, Detail),
        now_s: f64,
    ) -> Option<NewToken> {
        let num_known = self.prompt_logprobs.len().saturating_sub(self.num_computed_tokens);
        self.prompt_logprobs.extend(output.target_logprobs.iter().skip(num_known));
        self.prompt_alternatives.extend(detail.target_alternatives.iter().skip(num_known).cloned());
        self.num_computed_tokens += self.num_scheduled_tokens;
        self.num_scheduled_tokens = 0;
        let Some(sampled) = output.sampled else {
            if self.output.num_tokens == 0 && self.num_remaining() == 0 {
                self.finish = Some(FinishReason::Length);
            }
            return None;
        };
        self.tokens.push(sampled.token);
        self.first_token_s.get_or_insert(now_s);
        if self.sampling.return_log_probs {
            self.generated_logprobs.push(sampled.logprob);
        }
        if self.sampling.top_n_logprobs > 0 {
            self.generated_alternatives.push(detail.alternatives.clone());
        }
        self.finish = self.ends_with(sampled.token);
        Some(NewToken { id: self.id, token: sampled.token, logprob: sampled.logprob })
    }

    fn ends_with(&self, token: u32) -> Option<FinishReason> {
        if self.sampling.termination_id == Some(token) || self.ends.contains(&token) {
            Some(FinishReason::Termination)
        } else if self.tokens.len() - self.num_prompt_tokens >= self.output.num_tokens {
            Some(FinishReason::Length)
        } else {
            None
        }
    }

    /// Splits a finished sequence into its result.
    pub(super) fn into_result(self, reason: FinishReason, now_s: f64) -> FinishedRequest {
        let mut prompt = self.tokens;
        let generated_tokens = prompt.split_off(self.num_prompt_tokens);
        FinishedRequest {
            id: self.id,
            prompt,
            generated_tokens,
            prompt_logprobs: self.sampling.wants_prompt_logprobs().then_some(self.prompt_logprobs),
            prompt_alternatives: self
                .sampling
                .wants_prompt_alternatives()
                .then_some(self.prompt_alternatives),
            generated_logprobs: self.sampling.return_log_probs.then_some(self.generated_logprobs),
            generated_alternatives: (self.sampling.top_n_logprobs > 0).then_some(self.generated_alternatives),
            reason,
            num_tokens_to_generate: self.output.num_tokens,
            clamped_from: self.output.clamped_from,
            num_evictions: self.num_evictions,
            num_cached_tokens: self.num_cached_tokens.unwrap_or_default(),
            submitted_s: self.submitted_s,
            first_token_s: self.first_token_s,
            finished_s: now_s,
        }
    }
}

//! The door between engine and model: one forward step over a ragged batch.

use crate::ops::graph_counts::GraphCounts;

/// One sequence's share of a step.
#[derive(Clone, Debug)]
pub struct SequenceSlice<'a> {
    /// New tokens, at least one: a chunk of the prompt, or the one token sampled last.
    pub tokens: &'a [u32],
    /// Position of `tokens[0]`; all lower positions are in the KV cache already.
    pub start: usize,
    /// KV blocks of the sequence in order, covering at least `start + tokens.len()` positions.
    pub block_table: &'a [u32],
    /// `targets[i]` is the token whose logprob is wanted after `tokens[i]`; may be shorter than `tokens`.
    pub targets: &'a [u32],
    /// Sample a token from the last row.
    pub sample: Option<SampleArgs>,
}

/// How to sample one token. Greedy iff `top_k == 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleArgs {
    /// Divides the logits; > 0.
    pub temperature: f32,
    /// Keep the k best logits (ties with the k-th are kept); 0 = all, 1 = argmax with the lowest id winning.
    pub top_k: u32,
    /// Nucleus mass in (0, 1]; 0 = off. Not together with `top_k > 0`.
    pub top_p: f32,
    /// Key of the counter-based generator (Philox4x32-10): the run's seed ...
    pub seed: u64,
    /// ... the request's identity, the same whichever replica serves it ...
    pub request_key: u64,
    /// ... and the absolute position of the token being sampled.
    pub position: u64,
}

/// What a step computed for one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SequenceOutput {
    /// `log_softmax(logits)[target]` for each entry of [`SequenceSlice::targets`].
    pub target_logprobs: Vec<f32>,
    /// Present iff [`SequenceSlice::sample`] was.
    pub sampled: Option<SampledToken>,
}

/// What a step is to give for a sequence beside its tokens and their raw logprobs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extras {
    /// So many of the likeliest tokens in the place of the sampled one, if one is sampled.
    pub alternatives: usize,
    /// So many of the likeliest tokens in the place of each target.
    pub target_alternatives: usize,
    /// Logprobs, those of targets and alternatives included, are of the distribution that tokens are drawn from with these
    /// arguments, after temperature and filter. A token that the filter drops has -inf.
    pub processed: Option<SampleArgs>,
}

impl Extras {
    /// Whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// For models that offer none.
    ///
    /// # Errors
    /// Somebody asks for something.
    pub fn refuse(all: &[Self]) -> Result<(), StepError> {
        if all.iter().all(Self::is_nothing) {
            return Ok(());
        }
        Err(StepError("this model returns nothing beside tokens and raw logprobs".to_owned()))
    }

    /// Each target's logits are needed, not its logprob alone.
    pub(crate) fn keep_targets(&self) -> bool {
        self.target_alternatives > 0 || self.processed.is_some()
    }
}

/// What [`Extras`] ask for. Likeliest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// In the place of the sampled token.
    pub alternatives: Vec<SampledToken>,
    /// In the place of each target; empty where none are wanted.
    pub target_alternatives: Vec<Vec<SampledToken>>,
}

/// Everything a step gives for one sequence.
pub type StepOutput = (SequenceOutput, Detail);

/// Makes `outputs` one empty entry per sequence of the batch, and keeps the memory of those that were there.
pub fn clear_outputs(outputs: &mut Vec<StepOutput>, batch_size: usize) {
    outputs.resize_with(batch_size, StepOutput::default);
    for (output, detail) in outputs {
        output.target_logprobs.clear();
        output.sampled = None;
        detail.alternatives.clear();
        detail.target_alternatives.clear();
    }
}

/// A sampled token and its logprob under the unmodified distribution, or the processed one where that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledToken {
    /// Vocabulary id.
    pub token: u32,
    /// log_softmax of the f32 logits at `token`: raw (no temperature, no filter), or processed.
    pub logprob: f32,
}

/// Work a step had to do at the least, for the roofline: counted from shapes, not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StepCost {
    /// Bytes of weights that must be read at least once (embedding rows gathered, not the whole table).
    pub weight_bytes: u64,
    /// Bytes of KV cache read and written.
    pub kv_bytes: u64,
    /// Multiply-adds count twice.
    pub flops: u64,
}

impl std::ops::AddAssign for StepCost {
    fn add_assign(&mut self, other: Self) {
        self.weight_bytes += other.weight_bytes;
        self.kv_bytes += other.kv_bytes;
        self.flops += other.flops;
    }
}

/// Size and shape of the paged KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KvCacheShape {
    /// Tokens per block.
    pub block_size: usize,
    /// Blocks in the pool; ids are `0..num_blocks`.
    pub num_blocks: usize,
}

/// Why a step was refused or failed. The text names the sequence, what was expected and got.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StepError(pub String);

/// A model an engine can drive. Implemented by the GPT on any backend, and by fakes in engine tests.
pub trait LanguageModel {
    /// Rows of the LM head: every token id is below it.
    fn vocab_size(&self) -> usize;

    /// Shape of the cache this model was built with.
    fn kv_cache(&self) -> KvCacheShape;

    /// Runs one step: appends K/V of the new tokens to the cache, then attends, then samples. Afterwards `outputs` has one
    /// entry per sequence, in batch order; what it held before is dropped, and its memory used again, so that a steady stream of
    /// steps allocates nothing. The same slice gives the same bits whatever else is in the batch.
    ///
    /// For sequence i it also has what `extras[i]` asks for; no token changes by that. `extras` may be shorter than the batch. A
    /// model need not offer extras ([`Extras::refuse`]).
    ///
    /// # Errors
    /// The step was refused or failed; what `outputs` holds then means nothing.
    fn step_into(
        &mut self,
        batch: &[SequenceSlice<'_>],
        extras: &[Extras],
        outputs: &mut Vec<StepOutput>,
    ) -> Result<(), StepError>;

    /// [`Self::step_into`] a list of its own.
    fn step_with_extras(
        &mut self,
        batch: &[SequenceSlice<'_>],
        extras: &[Extras],
    ) -> Result<Vec<StepOutput>, StepError> {
        let mut outputs = Vec::new();
        self.step_into(batch, extras, &mut outputs)?;
        Ok(outputs)
    }

    /// The same without extras.
    fn step(&mut self, batch: &[SequenceSlice<'_>]) -> Result<Vec<SequenceOutput>, StepError> {
        let outputs = self.step_with_extras(batch, &[])?;
        Ok(outputs.into_iter().map(|(output, _)| output).collect())
    }

    /// Gives up the KV cache's place on the device until the next step; `is_kept`: what is in it goes to the host's memory and
    /// comes back, else it is lost. Nothing happens where the cache lies in the host's memory anyway. Gives whether the cache
    /// was brought to the host's memory now.
    fn release_kv_cache(&mut self, is_kept: bool) -> Result<bool, StepError> {
        let _ = is_kept;
        Ok(false)
    }

    /// Cost of the last step.
    fn last_step_cost(&self) -> StepCost;

    /// How steps ran as captured graphs since the last reset; `None` where nothing is captured.
    fn graph_counts(&self) -> Option<GraphCounts> {
        None
    }

    /// Starts [`LanguageModel::graph_counts`] anew: what warms up is not counted.
    fn reset_graph_counts(&mut self) {}
}

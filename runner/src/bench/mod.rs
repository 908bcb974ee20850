//! How fast a model steps on a platform: prefill of single prompts, and decode of batches over a filled KV cache. No engine
//! and no sockets take part; what those cost is measured by cases.
//!
//! A *prefill* pass computes one prompt from an empty cache, in steps of at most [`PREFILL_CHUNK`] tokens, and samples one token
//! from its last row. A *decode* pass of batch B advances B sequences, each with `context` tokens in its cache, by
//! `generate` greedy tokens, one of each sequence a step; every pass starts from the same context. All sequences have KV blocks of
//! their own, filled by prefill. Only time inside `step` counts.

mod report;

use std::path::Path;

use goldlap_kernels::model::step::{LanguageModel, SampleArgs, SequenceSlice, StepCost, StepError};

use crate::engine::{Backend, BackendError};
use crate::metrics::Clock;
use crate::plan::{EngineFeatures, EnginePlan, Platform};

pub use report::{Figures, Report, Row, Spread};

/// Tokens of a prompt that one step computes at most.
pub const PREFILL_CHUNK: usize = 512;
const BLOCK_SIZE: usize = 256;
const GREEDY: SampleArgs =
    SampleArgs { temperature: 1.0, top_k: 1, top_p: 0.0, seed: 0, request_key: 0, position: 0 };

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Tokens of the prompt whose prefill is measured.
    pub prompt: usize,
    /// Tokens that a decode pass generates for each sequence.
    pub generate: usize,
    /// Batch sizes of decode.
    pub batches: Vec<usize>,
    /// Tokens that each sequence has in its cache when it decodes.
    pub context: usize,
}

/// A measurement failed, or makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A size that cannot be.
    #[error("{0}")]
    Workload(String),
    /// The model cannot be opened.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// One measured pass.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// Time inside the model's steps.
    pub seconds: f64,
    /// Prompt tokens computed, or tokens generated.
    pub tokens: usize,
    /// What each step had to do at the least.
    pub costs: Vec<StepCost>,
}

/// A model with a KV cache for the workload.
pub struct Bench {
    model: Box<dyn LanguageModel>,
    device: String,
    workload: Workload,
    /// One table a sequence; the last one is of the prompt whose prefill is measured.
    tables: Vec<Vec<u32>>,
    clock: Clock,
}

impl Workload {
    /// The sizes can be measured. Zeros cannot.
    ///
    /// # Errors
    /// Says which size, and what was expected.
    pub fn check(&self) -> Result<(), BenchError> {
        let sizes = [("prompt", self.prompt), ("generate", self.generate), ("context", self.context)];
        let zero = sizes.iter().find(|(_, size)| *size == 0).map(|(name, _)| *name);
        let zero = zero.or((self.batches.is_empty() || self.batches.contains(&0)).then_some("batch"));
        match zero {
            Some(name) => Err(BenchError::Workload(format!("--{name}: expected at least 1, got 0"))),
            None => Ok(()),
        }
    }

    /// Sequences in the cache.
    pub fn sequences(&self) -> usize {
        self.batches.iter().copied().max().unwrap_or(1)
    }

    fn blocks_per_sequence(&self) -> usize {
        self.prompt.max(self.context + self.generate).div_ceil(BLOCK_SIZE)
    }
}

impl Bench {
    /// Opens the packed model at `packed` on device `ordinal` (meaningless on the CPU) with a cache that holds the workload. The cache is empty: [`Self::fill`] it.
    ///
    /// # Errors
    /// The workload makes no sense, or the backend refuses the model.
    pub fn open(
        platform: &Platform,
        packed: &Path,
        num_threads: usize,
        kv_bytes_per_token: u64,
        workload: &Workload,
        ordinal: usize,
    ) -> Result<Self, BenchError> {
        workload.check()?;
        let per_sequence = workload.blocks_per_sequence();
        let blocks = (workload.sequences() as u64 + 1).saturating_mul(per_sequence as u64);
        let too_large = || BenchError::Workload("the workload's KV cache has no size in bytes".to_owned());
        let kv_buffer_bytes = (blocks.max(2) * BLOCK_SIZE as u64)
            .checked_mul(kv_bytes_per_token)
            .filter(|_| blocks <= u64::from(u32::MAX))
            .ok_or_else(too_large)?;
        let engine = EnginePlan {
            kv_buffer_bytes,
            block_size: BLOCK_SIZE,
            max_requests: None,
            max_tokens: PREFILL_CHUNK.max(workload.sequences()),
            max_sequence_length: per_sequence * BLOCK_SIZE,
            num_threads: Some(num_threads),
            features: EngineFeatures::OFF,
        };
        let Backend { model, device, num_kv_blocks, .. } = Backend::open(platform, packed, &engine, ordinal)?;
        if (num_kv_blocks as u64) < blocks {
            let text = format!(
                "the workload needs {blocks} KV blocks of {BLOCK_SIZE} tokens, {device} has room for {num_kv_blocks}: \
                 lower --batch, --context or --prompt"
            );
            return Err(BenchError::Workload(text));
        }
        let table = |sequence| (sequence * per_sequence..(sequence + 1) * per_sequence).map(|b| b as u32);
        let tables = (0..=workload.sequences()).map(|sequence| table(sequence).collect()).collect();
        Ok(Self { model, device, workload: workload.clone(), tables, clock: Clock::start() })
    }

    /// What runs the kernels.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Computes the workload's prompt.
    ///
    /// # Errors
    /// A step failed.
    pub fn prefill(&mut self) -> Result<Pass, BenchError> {
        self.compute(self.workload.sequences(), self.workload.prompt)
    }

    /// Computes a prompt of `length` tokens into the cache of `sequence`.
    fn compute(&mut self, sequence: usize, length: usize) -> Result<Pass, BenchError> {
        let mut pass = Pass { tokens: length, ..Pass::default() };
        for start in (0..length).step_by(PREFILL_CHUNK) {
            let end = length.min(start + PREFILL_CHUNK);
            let tokens: Vec<u32> = (start..end).map(|position| self.token(sequence, position)).collect();
            let slice = SequenceSlice {
                tokens: &tokens,
                start,
                block_table: &self.tables[sequence],
                targets: &[],
                sample: (end == length).then_some(GREEDY),
            };
            timed_step(&mut *self.model, self.clock, &[slice], &mut pass)?;
        }
        Ok(pass)
    }

    /// Fills the caches of all sequences with their context; a pass each.
    ///
    /// # Errors
    /// A step failed.
    pub fn fill(&mut self) -> Result<Vec<Pass>, BenchError> {
        (0..self.workload.sequences()).map(|sequence| self.compute(sequence, self.workload.context)).collect()
    }

    /// Generates the workload's tokens for the first `batch` sequences, from the end of their contexts.
    ///
    /// # Errors
    /// A step failed.
    pub fn decode(&mut self, batch: usize) -> Result<Pass, BenchError> {
        let context = self.workload.context;
        let mut pass = Pass { tokens: batch * self.workload.generate, ..Pass::default() };
        let mut tokens: Vec<u32> = (0..batch).map(|sequence| self.token(sequence, context)).collect();
        for start in context..context + self.workload.generate {
            let slices: Vec<SequenceSlice<'_>> = tokens
                .iter()
                .zip(&self.tables)
                .map(|(token, block_table)| SequenceSlice {
                    tokens: std::slice::from_ref(token),
                    start,
                    block_table,
                    targets: &[],
                    sample: Some(GREEDY),
                })
                .collect();
            let sampled = timed_step(&mut *self.model, self.clock, &slices, &mut pass)?;
            tokens = sampled.into_iter().map(|token| token.unwrap_or(0)).collect();
        }
        Ok(pass)
    }

    /// Tokens that look arbitrary: a prompt's speed does not depend on them.
    fn token(&self, sequence: usize, position: usize) -> u32 {
        ((sequence * 7919 + position * 37) % self.model.vocab_size()) as u32
    }
}

/// Runs a step, adds its time and cost to `pass`, and returns the sampled tokens.
fn timed_step(
    model: &mut dyn LanguageModel,
    clock: Clock,
    slices: &[SequenceSlice<'_>],
    pass: &mut Pass,
) -> Result<Vec<Option<u32>>, StepError> {
    let before_s = clock.now_s();
    let outputs = model.step(slices)?;
    pass.seconds += clock.now_s() - before_s;
    pass.costs.push(model.last_step_cost());
    Ok(outputs.into_iter().map(|output| output.sampled.map(|sampled| sampled.token)).collect())
}

//! How fast a model steps on a platform: prefill of single prompts, and decode of batches over a filled KV cache. No engine
//! and no sockets take part; what those cost is measured by cases.
//!
//! A *prefill* pass computes one prompt from an empty cache, in steps of at most [`PREFILL_CHUNK`] tokens, and samples one token
//! from its last row. A *decode* pass of batch B advances B sequences, each with `context` tokens in its cache, by
//! `generate` greedy tokens, one of each sequence a step; every pass starts from the same context. All sequences have KV blocks of
//! their own, filled by prefill. Only time inside `step` counts.

mod report;

use std::path::Path;

use goldlap_kernels::model::packed::PackedModel;
use goldlap_kernels::model::step::{LanguageModel, SampleArgs, SequenceSlice, StepCost, StepError};
use goldlap_kernels::model::weights::CheckpointError;

use serde::Serialize;

use crate::engine::{Backend, BackendError};
use crate::metrics::Clock;
use crate::plan::{EngineFeatures, EnginePlan, Platform};

pub use report::{Figures, Report, Row, Spread};

/// Tokens of a prompt that one step computes at most.
pub const PREFILL_CHUNK: usize = 512;
const BLOCK_SIZE: usize = 256;
/// No size is larger; positions are 32 bits wide.
const MOST: usize = u32::MAX as usize;
const GREEDY: SampleArgs =
    SampleArgs { temperature: 1.0, top_k: 1, top_p: 0.0, seed: 0, request_key: 0, position: 0 };

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// The packed file cannot be read.
    #[error(transparent)]
    Packed(#[from] CheckpointError),
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
    /// The sizes can be measured: none is zero, and all are numbers of tokens or sequences that a batch can have.
    ///
    /// # Errors
    /// Says which size, and what was expected.
    pub fn check(&self) -> Result<(), BenchError> {
        let sizes = [("prompt", self.prompt), ("generate", self.generate), ("context", self.context)];
        let batches = self.batches.iter().map(|&batch| ("batch", batch));
        let mut all = sizes.into_iter().chain(batches);
        match all.find(|(_, size)| !(1..=MOST).contains(size)) {
            Some((name, size)) => {
                Err(BenchError::Workload(format!("--{name}: expected 1 to {MOST}, got {size}")))
            }
            None if self.batches.is_empty() => {
                Err(BenchError::Workload("--batch: expected at least one size".to_owned()))
            }
            None => Ok(()),
        }
    }

    /// Its KV cache at `bytes_per_token` fits beside weights of `weight_bytes` into memory of `memory_bytes`: the host gives out
    /// memory that it does not have, and ends whoever uses it.
    fn check_room(
        &self,
        bytes_per_token: u64,
        weight_bytes: u64,
        memory_bytes: u64,
    ) -> Result<(), BenchError> {
        let tokens = (self.sequences() as u64 + 1).saturating_mul(self.blocks_per_sequence() as u64);
        let cache = tokens.saturating_mul(BLOCK_SIZE as u64).saturating_mul(bytes_per_token);
        if cache.saturating_add(weight_bytes) <= memory_bytes {
            return Ok(());
        }
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let text = format!(
            "the KV cache of the workload takes {:.1} GiB and the weights {:.1}, this machine has {:.1}: lower --batch, --context or \
             --prompt",
            gib(cache),
            gib(weight_bytes),
            gib(memory_bytes)
        );
        Err(BenchError::Workload(text))
    }

    /// Sequences in the cache.
    pub fn sequences(&self) -> usize {
        self.batches.iter().copied().max().unwrap_or(1)
    }

    fn blocks_per_sequence(&self) -> usize {
        self.longest().div_ceil(BLOCK_SIZE)
    }

    /// Tokens of the longest sequence.
    fn longest(&self) -> usize {
        self.prompt.max(self.context + self.generate)
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
        let weight_bytes = PackedModel::open(packed)?.num_bytes() as u64;
        if *platform == Platform::Cpu {
            workload.check_room(kv_bytes_per_token, weight_bytes, host_memory())?;
        }
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
        let Backend { model, device, num_kv_blocks, limits } =
            Backend::open(platform, packed, &engine, ordinal)?;
        if limits.max_sequence_length < workload.longest() {
            let text = format!(
                "the workload has sequences of {} tokens, and the model has positions for {}: lower --context, --generate or --prompt",
                workload.longest(),
                limits.max_sequence_length
            );
            return Err(BenchError::Workload(text));
        }
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

    /// The workload's prompt, and the logprob of each of its tokens but the first; to compare with another implementation.
    ///
    /// # Errors
    /// A step failed.
    pub fn prompt_logprobs(&mut self) -> Result<(Vec<u32>, Vec<f32>), BenchError> {
        let (sequence, length) = (self.workload.sequences(), self.workload.prompt);
        let tokens: Vec<u32> = (0..length).map(|position| self.token(sequence, position)).collect();
        let mut logprobs = Vec::with_capacity(length);
        for start in (0..length).step_by(PREFILL_CHUNK) {
            let end = length.min(start + PREFILL_CHUNK);
            let slice = SequenceSlice {
                tokens: &tokens[start..end],
                start,
                block_table: &self.tables[sequence],
                targets: &tokens[start + 1..length.min(end + 1)],
                sample: None,
            };
            let outputs = self.model.step(&[slice])?;
            logprobs.extend(outputs.into_iter().flat_map(|output| output.target_logprobs));
        }
        Ok((tokens, logprobs))
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

/// Bytes of this machine's memory.
fn host_memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_that_cannot_be_are_refused_with_their_numbers() {
        let workload = Workload { prompt: 512, generate: 32, batches: vec![1, 7], context: 512 };
        assert!(workload.check().is_ok());
        let zero = Workload { batches: vec![8, 0], ..workload.clone() };
        assert_eq!(zero.check().unwrap_err().to_string(), "--batch: expected 1 to 4294967295, got 0");
        // Eight sequences of three blocks of 256 tokens.
        let cache = 8 * 3 * 256 * 1000;
        assert!(workload.check_room(1000, 10, cache + 10).is_ok());
        let error = workload.check_room(1 << 30, 1 << 31, 1 << 32).unwrap_err().to_string();
        assert!(error.contains("takes 6144.0 GiB and the weights 2.0, this machine has 4.0"), "{error}");
        let endless = Workload { context: usize::MAX, ..workload.clone() };
        assert!(endless.check().is_err());
        let largest = Workload { context: MOST, batches: vec![MOST], ..workload };
        assert!(largest.check().is_ok() && largest.check_room(1, 1, u64::MAX - 1).is_err());
    }
}

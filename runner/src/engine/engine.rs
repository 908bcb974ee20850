//! One replica's engine: requests in, tokens out, one step at a time.

use goldlap_kernels::model::step::{
    Extras, LanguageModel, SampledToken, SequenceSlice, StepError, StepOutput,
};
use goldlap_kernels::ops::graph_counts::GraphCounts;

use super::block_hash::block_hashes;
use super::limits::EngineLimits;
use super::outcome::{FailedRequest, FinishReason, FinishedRequest, StepSummary};
use super::prefix_cache::CacheChanges;
use super::request::{EngineRequest, Rejection};
use super::scheduler::Scheduler;
use super::sequence::Sequence;
use super::statistics::Statistics;
use crate::metrics::{Clock, CpuTime};
use crate::plan::SuspendedKv;

/// Continuous batching over one model. Single-threaded; the model may use threads of its own.
pub struct Engine {
    model: Box<dyn LanguageModel>,
    limits: EngineLimits,
    seed: u64,
    clock: Clock,
    scheduler: Scheduler,
    statistics: Statistics,
    is_paused: bool,
    door: Door,
}

/// What crosses the door to the model, kept so that a steady step allocates nothing.
#[derive(Default)]
struct Door {
    /// Empty between steps; kept for its memory.
    slices: Vec<SequenceSlice<'static>>,
    /// Up to the last sequence that wants some.
    extras: Vec<Extras>,
    outputs: Vec<StepOutput>,
}

/// How a forward pass went.
struct Forward {
    result: Result<(), String>,
    seconds: f64,
    cpu_s: f64,
    ended_s: f64,
}

impl Engine {
    /// An idle engine. `limits` were made for the model's cache; `seed` keys all sampling.
    pub fn new(model: Box<dyn LanguageModel>, limits: EngineLimits, seed: u64, clock: Clock) -> Self {
        Self {
            model,
            limits,
            seed,
            clock,
            scheduler: Scheduler::new(limits),
            statistics: Statistics::new(),
            is_paused: false,
            door: Door::default(),
        }
    }

    /// Queues a request, or says why it can never be served. Accepted also while paused.
    pub fn submit(&mut self, request: EngineRequest) -> Result<(), Rejection> {
        if self.scheduler.contains(request.id) {
            return Err(Rejection::DuplicateId { id: request.id });
        }
        let output = request.resolve(&self.limits, self.model.vocab_size())?;
        let hashes = match self.limits.features.prefix_caching {
            Some(_) => block_hashes(&request.prompt, self.limits.block_size),
            None => Vec::new(),
        };
        self.scheduler.enqueue(Sequence::new(request, output, hashes, self.clock.now_s()));
        Ok(())
    }

    /// Ends a request at its current length, in any state; `None` if it is unknown. A prompt that was not computed
    /// yet has no logprobs.
    pub fn abort(&mut self, id: u64) -> Option<FinishedRequest> {
        let sequence = self.scheduler.remove(id)?;
        Some(sequence.into_result(FinishReason::Aborted, self.clock.now_s()))
    }

    /// Freezes requests where they are; they keep their blocks.
    pub fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Freezes requests, and does with the KV cache what the plan says. [`Self::unpause`] goes on.
    ///
    /// # Errors
    /// The device failed to give up the cache.
    pub fn suspend(&mut self) -> Result<(), StepError> {
        self.is_paused = true;
        self.statistics.num_suspensions += 1;
        match self.limits.features.suspended_kv {
            SuspendedKv::Recompute => {
                self.statistics.num_recomputations += self.scheduler.restart_all() as u64;
                self.model.release_kv_cache(false)?;
            }
            SuspendedKv::Offload => {
                self.statistics.num_offloads += u64::from(self.model.release_kv_cache(true)?);
            }
            SuspendedKv::Persist => {}
        }
        Ok(())
    }

    /// Notes the epoch that later tokens belong to.
    pub fn set_generation_epoch(&mut self, epoch: i64) {
        self.statistics.generation_epoch = Some(epoch);
    }

    /// Goes on after [`Self::pause`].
    pub fn unpause(&mut self) {
        self.is_paused = false;
    }

    /// A step would bring a request forward.
    pub fn has_work(&self) -> bool {
        !self.is_paused && self.num_unfinished() > 0
    }

    /// Requests that are neither finished, failed nor aborted.
    pub fn num_unfinished(&self) -> usize {
        self.scheduler.num_sequences()
    }

    /// Logprobs of prompt positions 1.. of a request in the batch, where it asked for them.
    pub fn prompt_logprobs(&self, id: u64) -> Option<&[f32]> {
        self.scheduler.running().iter().find(|sequence| sequence.id == id)?.prompt_logprobs()
    }

    /// Alternatives to prompt positions 1.. of a request in the batch, where it asked for them.
    pub fn prompt_alternatives(&self, id: u64) -> Option<&[Vec<SampledToken>]> {
        self.scheduler.running().iter().find(|sequence| sequence.id == id)?.prompt_alternatives()
    }

    /// Alternatives to the last `count` tokens of a request in the batch, where it asked for them.
    pub fn latest_alternatives(&self, id: u64, count: usize) -> Option<&[Vec<SampledToken>]> {
        self.scheduler.running().iter().find(|sequence| sequence.id == id)?.latest_alternatives(count)
    }

    /// Requests in the batch and requests that wait, now.
    pub fn num_running_and_waiting(&self) -> (usize, usize) {
        let num_running = self.scheduler.running().len();
        (num_running, self.scheduler.num_sequences() - num_running)
    }

    /// KV blocks in use now.
    pub fn num_kv_blocks_used(&self) -> usize {
        self.scheduler.blocks().num_used()
    }

    /// What the prefix cache learned and forgot since this was asked last.
    pub fn take_cache_changes(&mut self) -> CacheChanges {
        self.scheduler.take_cache_changes()
    }

    /// Totals since the start.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How steps ran as CUDA graphs; `None` where nothing is captured.
    pub fn graph_counts(&self) -> Option<GraphCounts> {
        self.model.graph_counts()
    }

    /// The limits it runs with.
    pub fn limits(&self) -> &EngineLimits {
        &self.limits
    }

    #[cfg(test)]
    pub(super) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// [`Self::step_into`] a summary of its own.
    pub fn step(&mut self) -> StepSummary {
        let mut summary = StepSummary::default();
        self.step_into(&mut summary);
        summary
    }

    /// Brings every request in the batch forward by one token (or by its prompt), and says so in `summary`, whose former
    /// content is dropped and whose memory is used again. Sampling is the last operator of the forward pass. When the model
    /// fails, the requests of the batch fail, and the engine goes on with the rest.
    pub fn step_into(&mut self, summary: &mut StepSummary) {
        summary.clear();
        if !self.has_work() {
            return;
        }
        self.schedule(summary);
        let forward = self.forward();
        self.postprocess(forward, summary);
    }

    fn schedule(&mut self, summary: &mut StepSummary) {
        let scheduled = self.scheduler.schedule();
        let batch = self.scheduler.batch();
        let num_decode_tokens = batch.iter().filter(|sequence| sequence.is_decoding()).count();
        let num_tokens: usize = batch.iter().map(Sequence::num_scheduled_tokens).sum();
        summary.batch_size = batch.len();
        summary.num_prefill_tokens = num_tokens - num_decode_tokens;
        summary.num_decode_tokens = num_decode_tokens;
        summary.num_evicted = scheduled.num_evicted;
        summary.num_paused = scheduled.num_paused;
        summary.num_cached_tokens = scheduled.num_cached_tokens;
        summary.num_deferred = scheduled.num_deferred;
    }

    fn forward(&mut self) -> Forward {
        let (batch, seed) = (self.scheduler.batch(), self.seed);
        let mut slices: Vec<SequenceSlice<'_>> = std::mem::take(&mut self.door.slices);
        slices.extend(batch.iter().map(|sequence| sequence.slice(seed)));
        let processed = self.limits.features.processed_logprobs;
        self.door.extras.clear();
        for (index, sequence) in
            batch.iter().enumerate().filter(|(_, sequence)| sequence.wants_extras(processed))
        {
            self.door.extras.resize(index, Extras::default());
            self.door.extras.push(sequence.extras(seed, processed));
        }
        let (started_s, started_cpu_s) = (self.clock.now_s(), CpuTime::of_thread_s());
        let result = self.model.step_into(&slices, &self.door.extras, &mut self.door.outputs);
        let (ended_s, cpu_s) = (self.clock.now_s(), CpuTime::of_thread_s() - started_cpu_s);
        self.door.slices = emptied(slices);
        let result = result.map_err(|error| error.to_string()).and_then(|()| self.check_outputs());
        Forward { result, seconds: ended_s - started_s, cpu_s, ended_s }
    }

    /// A backend that answers another question than the one asked must not be believed.
    fn check_outputs(&self) -> Result<(), String> {
        let (batch, outputs) = (self.scheduler.batch(), &self.door.outputs);
        if outputs.len() != batch.len() {
            return Err(format!(
                "the model returned {} outputs for {} sequences",
                outputs.len(),
                batch.len()
            ));
        }
        let vocab_size = self.model.vocab_size();
        batch
            .iter()
            .zip(outputs)
            .try_for_each(|(sequence, (output, detail))| sequence.expects(output, detail, vocab_size))
    }

    fn postprocess(&mut self, forward: Forward, summary: &mut StepSummary) {
        summary.forward_s = forward.seconds;
        summary.forward_cpu_s = forward.cpu_s;
        match forward.result {
            Ok(()) => self.absorb(forward.ended_s, summary),
            Err(reason) => summary.failed = self.fail_batch(&reason),
        }
        self.statistics.add(summary, self.model.last_step_cost(), self.scheduler.blocks().max_touched());
    }

    fn absorb(&mut self, now_s: f64, summary: &mut StepSummary) {
        let batch = self.scheduler.batch_mut();
        summary.new_tokens.reserve_exact(batch.len());
        for (sequence, output) in batch.iter_mut().zip(&self.door.outputs) {
            summary.new_tokens.extend(sequence.absorb(output, now_s));
        }
        self.scheduler.share_computed();
        let finished = self.scheduler.take_finished();
        summary.finished.extend(finished.into_iter().filter_map(|sequence| {
            let reason = sequence.finish_reason()?;
            Some(sequence.into_result(reason, now_s))
        }));
    }

    fn fail_batch(&mut self, reason: &str) -> Vec<FailedRequest> {
        let batch = self.scheduler.take_batch();
        let reason = format!("a step of {} sequences failed: {reason}", batch.len());
        batch.into_iter().map(|sequence| FailedRequest { id: sequence.id, reason: reason.clone() }).collect()
    }
}

/// The list's memory, free of what it borrowed: collecting from a list in place keeps it.
fn emptied(mut slices: Vec<SequenceSlice<'_>>) -> Vec<SequenceSlice<'static>> {
    slices.clear();
    slices.into_iter().map_while(|_| None).collect()
}

//! Steps before the clock starts: pages are mapped, threads are awake, caches know the weights.

use std::fmt;

use goldlap_kernels::model::step::{LanguageModel, SampleArgs, SequenceSlice, StepError};

use crate::engine::EngineLimits;
use crate::metrics::Clock;

/// Warm-up ends by then, steady or not (the step that is running then is the last one): a fleet is to be ready within a
/// second.
const PATIENCE_S: f64 = 0.5;
/// Sequences in the batch, step after step, and then the last of these for as long as it pays.
const BATCH_SIZES: [usize; 4] = [1, 2, 4, 8];
/// Prompt of each scratch sequence.
const PROMPT: [u32; 4] = [0, 1, 2, 3];
/// Length of a scratch sequence: its prompt and one token decoded over and over.
const LENGTH: usize = PROMPT.len() + 1;
/// A step that is less than this much faster than the best one so far is no progress.
const PROGRESS: f64 = 0.95;
/// Steps without progress that mean steady.
const STEADY_STEPS: usize = 2;

/// How the warm-up went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WarmUp {
    pub(super) num_steps: usize,
    pub(super) seconds: f64,
    pub(super) fastest_step_s: f64,
    pub(super) is_steady: bool,
}

/// Runs prefill and decode steps on scratch blocks until the step time stops improving.
pub(super) fn warm_up(
    model: &mut dyn LanguageModel,
    limits: &EngineLimits,
    clock: Clock,
) -> Result<WarmUp, StepError> {
    let began_s = clock.now_s();
    let prompt = PROMPT.map(|token| token % model.vocab_size() as u32);
    let mut course = Course { model, limits, clock, num_steps: 0 };
    let mut largest = 0;
    for num_sequences in BATCH_SIZES {
        if !course.holds(num_sequences) || clock.now_s() - began_s > PATIENCE_S {
            break;
        }
        course.step(num_sequences, &prompt, 0)?;
        largest = num_sequences;
    }
    let (mut fastest_step_s, mut num_without_progress) = (f64::INFINITY, 0);
    while largest > 0 && num_without_progress < STEADY_STEPS {
        let step_s = course.step(largest, &prompt[..1], prompt.len())?;
        num_without_progress = if step_s < PROGRESS * fastest_step_s { 0 } else { num_without_progress + 1 };
        fastest_step_s = fastest_step_s.min(step_s);
        if clock.now_s() - began_s > PATIENCE_S {
            break;
        }
    }
    let is_steady = num_without_progress >= STEADY_STEPS;
    Ok(WarmUp { num_steps: course.num_steps, seconds: clock.now_s() - began_s, fastest_step_s, is_steady })
}

struct Course<'a> {
    model: &'a mut dyn LanguageModel,
    limits: &'a EngineLimits,
    clock: Clock,
    num_steps: usize,
}

impl Course<'_> {
    /// The limits allow so many scratch sequences.
    fn holds(&self, num_sequences: usize) -> bool {
        num_sequences <= self.limits.max_requests
            && num_sequences * PROMPT.len() <= self.limits.max_tokens
            && num_sequences * self.limits.blocks_for(LENGTH) <= self.limits.num_usable_blocks
            && LENGTH <= self.limits.max_sequence_length
    }

    /// One step in which every sequence gets `tokens` at `start`; its seconds.
    fn step(&mut self, num_sequences: usize, tokens: &[u32], start: usize) -> Result<f64, StepError> {
        let num_blocks = self.limits.blocks_for(LENGTH);
        let blocks: Vec<u32> = (0..(num_sequences * num_blocks) as u32).collect();
        let position = (start + tokens.len()) as u64;
        let sample =
            Some(SampleArgs { temperature: 1.0, top_k: 1, top_p: 0.0, seed: 0, request_key: 0, position });
        let slice = |block_table| SequenceSlice { tokens, start, block_table, targets: &[], sample };
        let batch: Vec<SequenceSlice<'_>> = blocks.chunks(num_blocks).map(slice).collect();
        let began_s = self.clock.now_s();
        self.model.step(&batch)?;
        self.num_steps += 1;
        Ok(self.clock.now_s() - began_s)
    }
}

impl fmt::Display for WarmUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { num_steps, seconds, fastest_step_s, is_steady } = self;
        if *num_steps == 0 {
            return f.write_str("not warmed up: the engine's limits are too small for it");
        }
        let state = if *is_steady { "steady" } else { "not yet steady" };
        write!(
            f,
            "{state} after {num_steps} warm-up steps in {seconds:.2} s, the fastest took {fastest_step_s:.4} s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{FakeModel, cache};
    use crate::plan::EngineFeatures;

    const LIMITS: EngineLimits = EngineLimits {
        block_size: 4,
        num_usable_blocks: 6,
        max_requests: 8,
        max_tokens: 64,
        max_sequence_length: 64,
        num_paused_blocks: 0,
        features: EngineFeatures::OFF,
    };

    #[test]
    fn the_batch_grows_as_far_as_the_pool_allows_and_stays_in_range() {
        let mut model = FakeModel::new(cache(&LIMITS));
        let log = model.log();
        let warmed = warm_up(&mut model, &LIMITS, Clock::start()).unwrap();
        let steps = &log.borrow().steps;
        assert_eq!(steps.len(), warmed.num_steps);
        let sizes: Vec<(usize, usize)> = steps.iter().map(|step| (step.len(), step[0].0)).collect();
        assert_eq!(sizes[..3], [(1, 0), (2, 0), (2, 4)], "6 blocks hold no 4 sequences of 2 blocks each");
        assert!(warmed.seconds < 60.0 && warmed.fastest_step_s.is_finite());
    }

    #[test]
    fn limits_too_small_for_a_scratch_sequence_mean_no_warm_up() {
        let limits = EngineLimits { max_sequence_length: 4, ..LIMITS };
        let mut model = FakeModel::new(cache(&limits));
        assert_eq!(warm_up(&mut model, &limits, Clock::start()).unwrap().num_steps, 0);
    }
}

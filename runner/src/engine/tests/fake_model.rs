//! A deterministic stand-in for the GPT: the next token is a hash of the sequence so far, read back from its own
//! paged cache through the block table, so that any mistake with blocks or positions changes tokens or fails the step.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use goldlap_kernels::model::step::{
    Detail, Extras, KvCacheShape, LanguageModel, SampleArgs, SampledToken, SequenceOutput, SequenceSlice,
    StepCost, StepError, StepOutput,
};

pub(in crate::engine) const VOCAB_SIZE: usize = 1000;

/// What the model was asked to do, for tests to look at.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Log {
    /// Per step, per sequence: (start, new tokens, logprob rows).
    pub(in crate::engine) steps: Vec<Vec<(usize, usize, usize)>>,
}

pub(in crate::engine) struct FakeModel {
    cache: KvCacheShape,
    /// Token at (block, offset) and the position it was written for.
    slots: Vec<Option<(u32, usize)>>,
    log: Rc<RefCell<Log>>,
    /// Steps that fail.
    failing_steps: Vec<usize>,
}

impl FakeModel {
    pub(in crate::engine) fn new(cache: KvCacheShape) -> Self {
        Self {
            cache,
            slots: vec![None; cache.block_size * cache.num_blocks],
            log: Rc::default(),
            failing_steps: Vec::new(),
        }
    }

    pub(in crate::engine) fn failing_at(cache: KvCacheShape, steps: &[usize]) -> Self {
        Self { failing_steps: steps.to_vec(), ..Self::new(cache) }
    }

    pub(in crate::engine) fn log(&self) -> Rc<RefCell<Log>> {
        Rc::clone(&self.log)
    }

    fn slot(
        &mut self,
        sequence: &SequenceSlice<'_>,
        position: usize,
    ) -> Result<&mut Option<(u32, usize)>, StepError> {
        let (block, offset) = (position / self.cache.block_size, position % self.cache.block_size);
        let block = *sequence
            .block_table
            .get(block)
            .ok_or_else(|| StepError(format!("position {position} is beyond the block table")))?;
        Ok(&mut self.slots[block as usize * self.cache.block_size + offset])
    }

    fn write(&mut self, sequence: &SequenceSlice<'_>) -> Result<(), StepError> {
        for (position, &token) in (sequence.start..).zip(sequence.tokens) {
            *self.slot(sequence, position)? = Some((token, position));
        }
        Ok(())
    }

    fn read(&mut self, sequence: &SequenceSlice<'_>) -> Result<Vec<u32>, StepError> {
        let end = sequence.start + sequence.tokens.len();
        (0..end)
            .map(|position| match *self.slot(sequence, position)? {
                Some((token, written_for)) if written_for == position => Ok(token),
                other => Err(StepError(format!("the slot of position {position} holds {other:?}"))),
            })
            .collect()
    }

    fn run(&mut self, sequence: &SequenceSlice<'_>) -> Result<SequenceOutput, StepError> {
        let context = self.read(sequence)?;
        let after = |row: usize| &context[..=sequence.start + row];
        let target_logprobs =
            sequence.targets.iter().enumerate().map(|(row, &target)| logprob(after(row), target)).collect();
        let sampled = sequence.sample.map(|args| sample(&context, args));
        Ok(SequenceOutput { target_logprobs, sampled })
    }

    fn check_batch(&self, batch: &[SequenceSlice<'_>]) -> Result<(), StepError> {
        let is_written = |sequence: &SequenceSlice<'_>, at: usize| {
            let first = sequence.start / self.cache.block_size;
            (first..=(sequence.start + sequence.tokens.len() - 1) / self.cache.block_size).contains(&at)
        };
        let mut readers: HashMap<u32, usize> = HashMap::new();
        batch.iter().flat_map(|s| s.block_table).for_each(|&block| *readers.entry(block).or_default() += 1);
        for sequence in batch {
            let too_many = sequence.targets.len() > sequence.tokens.len();
            if sequence.tokens.is_empty() || too_many {
                return Err(StepError("a slice without tokens, or with more targets than tokens".to_owned()));
            }
            for (at, &block) in sequence.block_table.iter().enumerate() {
                let is_shared = readers[&block] > 1 && is_written(sequence, at);
                if block as usize >= self.cache.num_blocks - 1 || is_shared {
                    return Err(StepError(format!(
                        "block {block} is the dummy, out of range, or written and shared"
                    )));
                }
            }
        }
        Ok(())
    }
}

impl LanguageModel for FakeModel {
    fn vocab_size(&self) -> usize {
        VOCAB_SIZE
    }

    fn kv_cache(&self) -> KvCacheShape {
        self.cache
    }

    fn step_into(
        &mut self,
        batch: &[SequenceSlice<'_>],
        extras: &[Extras],
        outputs: &mut Vec<StepOutput>,
    ) -> Result<(), StepError> {
        let step = self.log.borrow().steps.len();
        let shares = batch.iter().map(|s| (s.start, s.tokens.len(), s.targets.len())).collect();
        self.log.borrow_mut().steps.push(shares);
        if self.failing_steps.contains(&step) {
            return Err(StepError(format!("step {step} was made to fail")));
        }
        self.check_batch(batch)?;
        batch.iter().try_for_each(|sequence| self.write(sequence))?;
        outputs.clear();
        for (index, sequence) in batch.iter().enumerate() {
            let extras = extras.get(index).copied().unwrap_or_default();
            outputs.push(with_extras(self.run(sequence)?, sequence, extras));
        }
        Ok(())
    }

    fn last_step_cost(&self) -> StepCost {
        StepCost { flops: 1, ..StepCost::default() }
    }
}

/// Processed logprobs are twice the raw ones here.
fn with_extras(mut output: SequenceOutput, slice: &SequenceSlice<'_>, extras: Extras) -> StepOutput {
    if extras.processed.is_some() {
        output.target_logprobs.iter_mut().for_each(|logprob| *logprob *= 2.0);
        output.sampled.iter_mut().for_each(|sampled| sampled.logprob *= 2.0);
    }
    let best = output.sampled.into_iter().flat_map(|sampled| alternatives(sampled, extras.alternatives));
    let targets = slice.targets.iter().zip(&output.target_logprobs);
    let of_target = |(&token, &logprob): (&u32, &f32)| {
        alternatives(SampledToken { token, logprob }, extras.target_alternatives)
    };
    let target_alternatives =
        if extras.target_alternatives > 0 { targets.map(of_target).collect() } else { Vec::new() };
    let detail = Detail { alternatives: best.collect(), target_alternatives };
    (output, detail)
}

/// Made up from the token itself.
pub(in crate::engine) fn alternatives(sampled: SampledToken, count: usize) -> Vec<SampledToken> {
    let other =
        |rank| SampledToken { token: sampled.token + rank as u32, logprob: sampled.logprob - rank as f32 };
    (0..count).map(other).collect()
}

/// FNV-1a over the tokens and a salt.
fn hash(tokens: &[u32], salt: u64) -> u64 {
    let words = tokens.iter().map(|&token| u64::from(token)).chain([salt]);
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
    })
}

pub(in crate::engine) fn logprob(context: &[u32], target: u32) -> f32 {
    -((hash(context, u64::from(target) + 1_000_000) % 10_007) as f32) / 1000.0
}

/// Greedy: by context alone. Otherwise keyed like the real sampler.
pub(in crate::engine) fn sample(context: &[u32], args: SampleArgs) -> SampledToken {
    let salt = match args.top_k {
        1 => 0,
        _ => args.seed ^ args.request_key.rotate_left(20) ^ args.position.rotate_left(40),
    };
    let token = (hash(context, salt) % VOCAB_SIZE as u64) as u32;
    SampledToken { token, logprob: logprob(context, token) }
}

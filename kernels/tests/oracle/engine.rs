//! The engine against the reference: the same checkpoint, the same tokens, bf16 on one side.

use std::path::Path;

use goldlap_kernels::model::gpt::CpuModel;
use goldlap_kernels::model::packed::pack;
use goldlap_kernels::model::step::{KvCacheShape, LanguageModel, SampleArgs, SequenceOutput, SequenceSlice};
use goldlap_kernels::model::weights::WeightSource;

use crate::reference::{Reference, argmax};

/// Largest mean and largest single difference of logprobs, and the margin between the two likeliest tokens
/// below which rounding may choose either.
pub(crate) const MAX_MEAN_DIFFERENCE: f64 = 0.01;
const MAX_DIFFERENCE: f64 = 0.1;
const SAFE_MARGIN: f64 = 0.05;

const GREEDY: SampleArgs =
    SampleArgs { temperature: 1.0, top_k: 1, top_p: 0.0, seed: 0, request_key: 0, position: 0 };

/// One sequence in an engine with a cache of its own.
pub(crate) struct Engine {
    model: CpuModel,
    blocks: Vec<u32>,
}

/// How far engine and reference are apart, over all compared logprobs.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    differences: Vec<f64>,
    /// Greedy tokens that were compared before the first margin that was too small.
    pub(crate) tokens_compared: usize,
}

impl Engine {
    pub(crate) fn open(source: &dyn WeightSource, folder: &Path) -> Self {
        const SHAPE: KvCacheShape = KvCacheShape { block_size: 16, num_blocks: 16 };
        let packed = folder.join("packed");
        pack(source, &packed, 2).expect("packed");
        let model = CpuModel::open(&packed, SHAPE, 2).expect("opens");
        // Blocks out of order, as a busy engine would have them.
        Self { model, blocks: (0..SHAPE.num_blocks as u32).rev().collect() }
    }

    fn step(&mut self, start: usize, tokens: &[u32], targets: &[u32]) -> SequenceOutput {
        let block_table = &self.blocks[..(start + tokens.len()).div_ceil(16)];
        let slice = SequenceSlice { tokens, start, block_table, targets, sample: Some(GREEDY) };
        self.model.step(&[slice]).expect("a sound step").remove(0)
    }
}

/// Compares the logprobs of `prompt` and of `count` greedily chosen tokens after it.
pub(crate) fn compare(reference: &Reference, engine: &mut Engine, prompt: &[u32], count: usize) -> Agreement {
    let mut agreement = Agreement::default();
    let mut tokens = prompt.to_vec();
    let first = engine.step(0, prompt, &prompt[1..]);
    let expected = reference.logprobs(prompt);
    for (position, &logprob) in first.target_logprobs.iter().enumerate() {
        agreement.add(f64::from(logprob), expected[position][prompt[position + 1] as usize]);
    }
    let mut sampled = first.sampled.expect("asked for");
    for _ in 0..count {
        let expected = reference.logprobs(&tokens).pop().expect("one for each token");
        let best = argmax(&expected);
        if margin(&expected) < SAFE_MARGIN {
            break;
        }
        assert_eq!(sampled.token, best, "greedy token {} after {tokens:?}", agreement.tokens_compared);
        agreement.add(f64::from(sampled.logprob), expected[best as usize]);
        agreement.tokens_compared += 1;
        tokens.push(best);
        sampled = engine.step(tokens.len() - 1, &[best], &[]).sampled.expect("asked for");
    }
    agreement
}

impl Agreement {
    fn add(&mut self, got: f64, expected: f64) {
        self.differences.push((got - expected).abs());
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.tokens_compared += other.tokens_compared;
    }

    pub(crate) fn check(&self, name: &str) {
        let max = self.differences.iter().copied().fold(0.0, f64::max);
        let count = self.differences.len();
        let mean = self.differences.iter().sum::<f64>() / count as f64;
        println!(
            "{name}: {count} logprobs, mean difference {mean:.5}, max {max:.5}; {} tokens",
            self.tokens_compared
        );
        assert!(mean < MAX_MEAN_DIFFERENCE, "{name}: mean difference {mean} of {count} logprobs");
        assert!(max < MAX_DIFFERENCE, "{name}: largest difference {max} of {count} logprobs");
        assert!(self.tokens_compared > 0, "{name}: no greedy token was compared");
    }
}

/// Difference between the two largest values.
fn margin(logprobs: &[f64]) -> f64 {
    let best = argmax(logprobs) as usize;
    let others = logprobs.iter().enumerate().filter(|&(index, _)| index != best);
    logprobs[best] - others.map(|(_, &value)| value).fold(f64::NEG_INFINITY, f64::max)
}

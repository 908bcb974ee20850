//! The model against an f64 reference, and its invariants, bit for bit, on small random models of many architectures.

mod alternatives;
mod architectures;
mod invariants;
mod reference;
mod refusals;

use super::*;
use crate::model::packed::pack;
use crate::model::random::RandomWeights;
use crate::model::step::SampleArgs;

/// A packed random model in a folder of its own.
struct TestModel {
    weights: RandomWeights,
    folder: tempfile::TempDir,
}

impl TestModel {
    fn new(config: GptConfig) -> Self {
        let weights = RandomWeights::new(config, 7, 0.08).unwrap().with_vector_noise(0.2);
        let folder = tempfile::tempdir().unwrap();
        pack(&weights, &folder.path().join("model"), 2).unwrap();
        Self { weights, folder }
    }

    fn open(&self, isa: Isa, threads: usize, block_size: usize) -> CpuModel {
        let packed = PackedModel::open(&self.folder.path().join("model")).unwrap();
        let shape = KvCacheShape { block_size, num_blocks: 2048 / block_size };
        Gpt::new(CpuBackend::new(isa, threads).unwrap(), &packed, shape).unwrap()
    }
}

/// `len` tokens of a vocabulary, different for each seed.
fn tokens(vocab_size: usize, len: usize, seed: u32) -> Vec<u32> {
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 8) % vocab_size as u32)
    };
    std::iter::successors(Some(seed), |seed| Some(*seed))
        .scan(seed.wrapping_mul(2_654_435_761), |s, _| next(s))
        .take(len)
        .collect()
}

const SAMPLED: SampleArgs =
    SampleArgs { temperature: 0.7, top_k: 0, top_p: 0.9, seed: 3, request_key: 5, position: 0 };

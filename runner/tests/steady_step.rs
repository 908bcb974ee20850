//! A steady stream of decode steps allocates nothing, from the engine down to the kernels' threads.
//!
//! One test alone: what is counted is the whole process.

#[path = "../benches/overhead/allocations.rs"]
mod allocations;

use std::path::Path;

use goldlap::engine::{Engine, EngineLimits, EngineRequest, OutputLength, Sampling, StepSummary};
use goldlap::metrics::Clock;
use goldlap::plan::EngineFeatures;
use goldlap_kernels::cpu::{CpuBackend, Isa};
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::gpt::CpuModel;
use goldlap_kernels::model::packed::{PackedModel, pack};
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::step::KvCacheShape;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

const SEQUENCES: usize = 32;
const BLOCK_SIZE: usize = 16;
/// Decoding passes the end of a block, and of a split of the attention (512 keys).
const PROMPT: usize = 500;
/// More than a block.
const STEPS: usize = 40;
const MODEL: GptConfig = GptConfig {
    num_layers: 1,
    hidden_size: 32,
    num_attention_heads: 2,
    num_query_groups: 1,
    kv_channels: 16,
    ffn_hidden_size: 48,
    vocab_size: 300,
    max_position_embeddings: 1024,
    ..GptConfig::GPT_583M
};

#[test]
fn a_steady_decode_step_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("packed");
    pack(&RandomWeights::new(MODEL, 1, 0.05).unwrap(), &packed, 2).unwrap();
    let nucleus = Sampling { top_k: 0, top_p: 0.9, ..Sampling::GREEDY };
    for sampling in [Sampling::GREEDY, nucleus] {
        let sampling = Sampling { return_log_probs: true, skip_prompt_log_probs: true, ..sampling };
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for threads in [1, 2] {
                let mut engine = decoding(&packed, isa, threads, sampling);
                // A second thread's scratch grows with the first task of a kind that it gets, whenever that is.
                let windows = if threads == 1 { 1 } else { 10 };
                let counts: Vec<u64> = (0..windows).map(|_| allocations_of(&mut engine)).collect();
                let least = counts.iter().min();
                assert_eq!(
                    least,
                    Some(&0),
                    "allocations per {STEPS} steps on {isa}, {threads} threads, {sampling:?}: {counts:?}"
                );
            }
        }
    }
}

/// In so many steps, when lists have grown to what a decode needs.
fn allocations_of(engine: &mut Engine) -> u64 {
    let mut summary = StepSummary::default();
    engine.step_into(&mut summary);
    allocations::during(|| {
        for _ in 0..STEPS {
            engine.step_into(&mut summary);
            assert_eq!(summary.new_tokens.len(), SEQUENCES);
        }
    })
}

/// An engine whose sequences all decode, far from their ends.
fn decoding(packed: &Path, isa: Isa, threads: usize, sampling: Sampling) -> Engine {
    let blocks_each = MODEL.max_position_embeddings / BLOCK_SIZE;
    let shape = KvCacheShape { block_size: BLOCK_SIZE, num_blocks: SEQUENCES * blocks_each + 1 };
    let backend = CpuBackend::new(isa, threads).unwrap();
    let model = CpuModel::new(backend, &PackedModel::open(packed).unwrap(), shape).unwrap();
    let limits = EngineLimits {
        block_size: BLOCK_SIZE,
        num_usable_blocks: shape.num_blocks - 1,
        max_requests: SEQUENCES,
        max_tokens: 4096,
        max_sequence_length: MODEL.max_position_embeddings,
        num_paused_blocks: 0,
        features: EngineFeatures::OFF,
    };
    let mut engine = Engine::new(Box::new(model), limits, 1, Clock::start());
    for id in 0..SEQUENCES {
        let prompt = (0..PROMPT).map(|i| (i * 7 + id) as u32 % 300).collect();
        let output_length = OutputLength::Fill;
        let request = EngineRequest { id: id as u64, prompt, output_length, sampling, ends: Vec::new() };
        engine.submit(request).unwrap();
    }
    let mut summary = StepSummary::default();
    while summary.num_decode_tokens < SEQUENCES {
        engine.step_into(&mut summary);
        assert_eq!(summary.failed, []);
    }
    engine
}

//! The engine on the real model: a request's tokens and logprobs are the same bits whatever the batch, the arrival
//! order, the limits, the block size, the instruction set and the number of threads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use goldlap::engine::{
    Engine, EngineLimits, EngineRequest, FinishedRequest, OutputLength, Sampling, generate,
};
use goldlap::metrics::Clock;
use goldlap::plan::{CacheEviction, EngineFeatures};
use goldlap_kernels::cpu::{CpuBackend, Isa};
use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};
use goldlap_kernels::model::gpt::CpuModel;
use goldlap_kernels::model::packed::{PackedModel, pack};
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::step::{KvCacheShape, SampledToken};
use proptest::prelude::*;
use tempfile::TempDir;

const SEED: u64 = 42;
const VOCAB_SIZE: usize = 512;

const CONFIG: GptConfig = GptConfig {
    num_layers: 2,
    hidden_size: 64,
    num_attention_heads: 4,
    num_query_groups: 2,
    kv_channels: 16,
    ffn_hidden_size: 96,
    vocab_size: VOCAB_SIZE,
    max_position_embeddings: 1024,
    normalization: Normalization::RmsNorm,
    norm_epsilon: 1e-5,
    position_embedding: PositionEmbedding::Rope { base: 10_000.0, percent: 1.0, scaling: None },
    activation: Activation::SwiGlu,
    qkv_bias: true,
    attention_output_bias: false,
    mlp_bias: false,
    qk_norm: false,
    tied_embeddings: true,
};

/// Room for everything at once.
const ROOMY: EngineLimits = EngineLimits {
    block_size: 16,
    num_usable_blocks: 400,
    max_requests: 64,
    max_tokens: 4096,
    max_sequence_length: 1024,
    num_paused_blocks: 0,
    features: EngineFeatures::OFF,
};

/// The packed model, written once for all tests of this process.
fn packed() -> &'static PackedModel {
    static PACKED: OnceLock<PackedModel> = OnceLock::new();
    PACKED.get_or_init(|| {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("tiny");
        // Wide enough a distribution that logits, and thereby tokens, differ.
        let weights =
            RandomWeights::new(CONFIG, 7, 0.15).expect("the architecture is possible").with_vector_noise(0.1);
        pack(&weights, Path::new(&path), 1).expect("the model can be packed");
        // The folder goes at once, for statics are never dropped; the mapping stays.
        PackedModel::open(&path).expect("the packed model opens")
    })
}

fn model(limits: &EngineLimits, isa: Isa, num_threads: usize) -> Box<CpuModel> {
    let backend = CpuBackend::new(isa, num_threads).expect("the instruction set is available");
    let cache = KvCacheShape { block_size: limits.block_size, num_blocks: limits.num_usable_blocks + 1 };
    Box::new(CpuModel::new(backend, packed(), cache).expect("the cache fits"))
}

/// A dozen requests of many lengths, across the borders of all block sizes; every third one greedy.
fn requests() -> Vec<EngineRequest> {
    let lengths = [1, 2, 15, 16, 17, 31, 48, 63, 65, 90, 129, 250];
    let request = |(id, length): (usize, usize)| {
        let token =
            |position: usize| ((id * 131 + position * position * 7 + position * 31) % VOCAB_SIZE) as u32;
        let (top_k, top_p, temperature) = match id % 6 {
            0 | 3 => (1, 0.0, 1.0),
            1 => (0, 0.0, 0.7),
            2 => (20, 0.0, 1.3),
            4 => (0, 0.9, 1.0),
            _ => (0, 0.0, 1.0),
        };
        EngineRequest {
            id: id as u64,
            prompt: (0..length).map(token).collect(),
            ends: Vec::new(),
            output_length: OutputLength::Generate(4 + (id as i64 * 5) % 19),
            sampling: Sampling {
                temperature,
                top_k,
                top_p,
                return_log_probs: true,
                skip_prompt_log_probs: id % 4 == 1,
                top_n_logprobs: (id % 5) as u32,
                termination_id: None,
            },
        }
    };
    lengths.into_iter().enumerate().map(request).collect()
}

/// What must not change, with logprobs as bits.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    tokens: Vec<u32>,
    generated: Vec<u32>,
    alternatives: Vec<Vec<(u32, u32)>>,
    prompt_alternatives: Vec<Vec<(u32, u32)>>,
    prompt: Option<Vec<u32>>,
}

impl Answer {
    fn of(finished: &FinishedRequest) -> Self {
        let bits_of_all = |alternatives: &Vec<SampledToken>| {
            alternatives.iter().map(|other| (other.token, other.logprob.to_bits())).collect()
        };
        let bits = |logprobs: &Vec<f32>| logprobs.iter().map(|logprob| logprob.to_bits()).collect();
        Self {
            tokens: finished.generated_tokens.clone(),
            generated: finished.generated_logprobs.as_ref().map(bits).expect("logprobs were asked for"),
            alternatives: finished.generated_alternatives.iter().flatten().map(bits_of_all).collect(),
            prompt_alternatives: finished.prompt_alternatives.iter().flatten().map(bits_of_all).collect(),
            prompt: finished.prompt_logprobs.as_ref().map(bits),
        }
    }
}

type Answers = BTreeMap<u64, Answer>;

fn offline(limits: EngineLimits, isa: Isa, num_threads: usize, requests: Vec<EngineRequest>) -> Answers {
    let model = model(&limits, isa, num_threads);
    let run = generate(model, limits, SEED, Clock::start(), requests, |_| {});
    let answer = |result: Result<FinishedRequest, String>| {
        let finished = result.expect("the request is served");
        (finished.id, Answer::of(&finished))
    };
    run.results.into_iter().map(answer).collect()
}

/// Each request alone in a fresh engine.
fn alone() -> &'static Answers {
    static ALONE: OnceLock<Answers> = OnceLock::new();
    ALONE.get_or_init(|| {
        requests().into_iter().flat_map(|request| offline(ROOMY, Isa::best(), 1, vec![request])).collect()
    })
}

fn assert_same(answers: &Answers, what: &str) {
    assert_eq!(answers.len(), alone().len(), "{what}");
    for (id, answer) in answers {
        assert_eq!(answer, &alone()[id], "request {id}: {what}");
    }
}

#[test]
fn the_requests_exercise_what_they_should() {
    let answers: Vec<&Answer> = alone().values().collect();
    let mut distinct: Vec<u32> = answers.iter().flat_map(|answer| answer.tokens.clone()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 50, "only {} different tokens: the model says too little", distinct.len());
    let all_finite = |bits: &[u32]| bits.iter().all(|&bits| f32::from_bits(bits).is_finite());
    for (answer, request) in answers.iter().zip(requests()) {
        assert_eq!(answer.generated.len(), answer.tokens.len());
        if request.sampling.top_n_logprobs > 0 {
            assert_eq!(answer.alternatives.len(), answer.tokens.len());
            for (alternatives, sampled) in
                answer.alternatives.iter().zip(answer.tokens.iter().zip(&answer.generated))
            {
                assert_eq!(alternatives.len(), request.sampling.top_n_logprobs as usize);
                let logprobs = alternatives.iter().map(|&(_, bits)| f32::from_bits(bits));
                assert!(logprobs.is_sorted_by(|a, b| a >= b), "likeliest first");
                let is_greedy = request.sampling.top_k == 1;
                assert!(!is_greedy || alternatives[0] == (*sampled.0, *sampled.1), "argmax is the likeliest");
            }
        }
        assert!(all_finite(&answer.generated));
        let num_prompt_logprobs = answer.prompt.as_ref().map(Vec::len);
        let expected = request.sampling.wants_prompt_logprobs().then_some(request.prompt.len() - 1);
        assert_eq!(num_prompt_logprobs, expected);
    }
}

#[test]
fn one_at_a_time_is_all_at_once() {
    assert_same(&offline(ROOMY, Isa::best(), 1, requests()), "all at once");
    assert_same(&offline(ROOMY, Isa::best(), 1, requests().into_iter().rev().collect()), "in reverse");
    assert_same(
        &offline(EngineLimits { max_requests: 1, ..ROOMY }, Isa::best(), 1, requests()),
        "one sequence a step",
    );
}

#[test]
fn block_sizes_do_not_show() {
    for block_size in [16, 48, 64, 256] {
        let limits = EngineLimits { block_size, num_usable_blocks: 12 * 256 / block_size, ..ROOMY };
        assert_same(&offline(limits, Isa::best(), 1, requests()), &format!("blocks of {block_size}"));
    }
}

#[test]
fn instruction_sets_and_threads_do_not_show() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for num_threads in [1, 2, 3] {
            let answers = offline(ROOMY, isa, num_threads, requests());
            assert_same(&answers, &format!("{isa} with {num_threads} threads"));
        }
    }
}

#[test]
fn chunks_do_not_show() {
    let features = EngineFeatures { chunked_prefill: true, ..EngineFeatures::OFF };
    for max_tokens in [2, 7, 16, 33, 100] {
        let limits = EngineLimits { max_requests: 2, max_tokens, features, ..ROOMY };
        assert_same(&offline(limits, Isa::best(), 1, requests()), &format!("steps of {max_tokens} tokens"));
    }
}

#[test]
fn cached_prefixes_do_not_show() {
    for eviction in [CacheEviction::RefZero, CacheEviction::Lru] {
        let features = EngineFeatures { prefix_caching: Some(eviction), ..EngineFeatures::OFF };
        let limits = EngineLimits { features, ..ROOMY };
        // Each request twice, the second time under another number, greedily: only its own sampling would differ.
        let greedy = |mut request: EngineRequest| {
            request.sampling = Sampling { top_k: 1, top_p: 0.0, temperature: 1.0, ..request.sampling };
            request
        };
        let twins = |request: EngineRequest| {
            let twin = EngineRequest { id: request.id + 100, ..request.clone() };
            [request, twin]
        };
        let requests: Vec<EngineRequest> = requests().into_iter().map(greedy).flat_map(twins).collect();
        let run =
            generate(model(&limits, Isa::best(), 1), limits, SEED, Clock::start(), requests.clone(), |_| {});
        let plain = offline(ROOMY, Isa::best(), 1, requests);
        for finished in run.results.iter().map(|result| result.as_ref().expect("the request is served")) {
            assert_eq!(Answer::of(finished), plain[&finished.id], "request {}", finished.id);
            let is_hit = finished.id >= 100 && finished.prompt.len() > 2 * 16 + 1;
            // Alternatives to a prompt are computed anew for each request.
            let may_hit = finished.prompt_alternatives.is_none();
            assert!(!may_hit || finished.num_cached_tokens > 0 || !is_hit, "request {}", finished.id);
        }
        assert!(run.statistics.num_cached_tokens > 100, "{}", run.statistics.num_cached_tokens);
    }
}

#[test]
fn processed_logprobs_are_the_same_bits_whatever_the_engine_does() {
    let features = EngineFeatures { processed_logprobs: true, ..EngineFeatures::OFF };
    let requests = || {
        let mut requests = requests();
        for EngineRequest { sampling, .. } in &mut requests {
            sampling.skip_prompt_log_probs |= sampling.top_k > 0 || sampling.top_p > 0.0;
        }
        requests
    };
    let plain = offline(EngineLimits { features, ..ROOMY }, Isa::best(), 1, requests());
    let caching = Some(CacheEviction::Lru);
    let all = EngineFeatures { chunked_prefill: true, prefix_caching: caching, ..features };
    let tight =
        EngineLimits { max_tokens: 40, max_requests: 3, num_usable_blocks: 20, features: all, ..ROOMY };
    assert_eq!(offline(tight, Isa::Scalar, 2, requests()), plain);
    for (id, answer) in &plain {
        assert_eq!(answer.tokens, alone()[id].tokens, "request {id}");
    }
}

#[test]
fn eviction_does_not_show() {
    // 255 tokens of the longest request and little more: the others come and go.
    let limits = EngineLimits { num_usable_blocks: 18, max_tokens: 256, ..ROOMY };
    let run = generate(model(&limits, Isa::best(), 1), limits, SEED, Clock::start(), requests(), |_| {});
    assert!(run.statistics.num_evictions > 0, "nothing was evicted");
    let finished = run.results.iter().map(|result| result.as_ref().expect("the request is served"));
    assert_same(
        &finished.map(|finished| (finished.id, Answer::of(finished))).collect(),
        "evicted and recomputed",
    );
}

/// Requests in the order of `arrivals`, each submitted before the step that `arrivals` says.
fn online(limits: EngineLimits, arrivals: &[usize]) -> Answers {
    let mut engine = Engine::new(model(&limits, Isa::best(), 1), limits, SEED, Clock::start());
    let requests = requests();
    let last_arrival = arrivals.iter().copied().max().unwrap_or(0);
    let (mut answers, mut step) = (Answers::new(), 0);
    while step <= last_arrival || engine.has_work() {
        for (request, _) in requests.iter().zip(arrivals).filter(|(_, arrival)| **arrival == step) {
            engine.submit(request.clone()).expect("the request is accepted");
        }
        let summary = engine.step();
        assert_eq!(summary.failed, []);
        answers.extend(summary.finished.iter().map(|finished| (finished.id, Answer::of(finished))));
        step += 1;
    }
    answers
}

fn features() -> impl Strategy<Value = EngineFeatures> {
    let policies = [None, Some(CacheEviction::RefZero), Some(CacheEviction::Lru)];
    (any::<bool>(), prop::sample::select(policies.to_vec())).prop_map(|(chunked_prefill, prefix_caching)| {
        EngineFeatures { chunked_prefill, prefix_caching, ..EngineFeatures::OFF }
    })
}

fn limits() -> impl Strategy<Value = EngineLimits> {
    // The longest request needs 255 slots; less than twice that makes for evictions.
    let block_size = prop::sample::select(vec![16, 32, 64, 256]);
    (block_size, 256..1200usize, 1..14usize, 250..600usize, features()).prop_map(
        |(block_size, slots, max_requests, max_tokens, features)| EngineLimits {
            block_size,
            num_usable_blocks: slots.div_ceil(block_size),
            max_requests,
            max_tokens,
            max_sequence_length: 1024,
            num_paused_blocks: slots / block_size / 3,
            features,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_limits_and_arrivals_give_the_same_bits(
        limits in limits(),
        arrivals in prop::collection::vec(0..40usize, requests().len()),
    ) {
        assert_same(&online(limits, &arrivals), &format!("{limits:?}, arrivals {arrivals:?}"));
    }
}

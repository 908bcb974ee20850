//! The engine as a whole, on a model that is a hash function.

mod fake_model;
mod features;
mod logprobs;
mod pool_model;
mod properties;
mod scenarios;

use goldlap_kernels::model::step::{KvCacheShape, SampleArgs, SampledToken};

use super::*;
use crate::metrics::Clock;
use crate::plan::{CacheEviction, EngineFeatures, SuspendedKv};
pub(in crate::engine) use fake_model::FakeModel;

const SEED: u64 = 42;

impl Engine {
    fn check(&self) -> Result<(), String> {
        self.scheduler().check()
    }
}

pub(in crate::engine) fn cache(limits: &EngineLimits) -> KvCacheShape {
    KvCacheShape { block_size: limits.block_size, num_blocks: limits.num_usable_blocks + 1 }
}

fn engine(limits: EngineLimits) -> Engine {
    Engine::new(Box::new(FakeModel::new(cache(&limits))), limits, SEED, Clock::start())
}

fn request(id: u64, prompt: &[u32], num_tokens: i64) -> EngineRequest {
    EngineRequest {
        id,
        prompt: prompt.to_vec(),
        output_length: OutputLength::Generate(num_tokens),
        sampling: Sampling::GREEDY,
        ends: Vec::new(),
    }
}

/// What the fake model says for `request` when nothing else runs and nothing limits it.
struct Expected {
    tokens: Vec<u32>,
    generated_logprobs: Vec<f32>,
    generated_alternatives: Vec<Vec<SampledToken>>,
    prompt_logprobs: Vec<f32>,
    prompt_alternatives: Vec<Vec<SampledToken>>,
    reason: FinishReason,
}

fn expected(request: &EngineRequest, num_tokens: usize) -> Expected {
    let mut context = request.prompt.clone();
    let prompt_logprobs: Vec<f32> =
        (1..context.len()).map(|at| fake_model::logprob(&context[..at], context[at])).collect();
    let of_prompt = |(&token, &logprob): (&u32, &f32)| {
        fake_model::alternatives(SampledToken { token, logprob }, request.sampling.top_n_logprobs as usize)
    };
    let prompt_alternatives = context[1..].iter().zip(&prompt_logprobs).map(of_prompt).collect();
    let (mut generated_logprobs, mut generated_alternatives) = (Vec::new(), Vec::new());
    let mut reason = FinishReason::Length;
    while context.len() < request.prompt.len() + num_tokens {
        let Sampling { temperature, top_k, top_p, top_n_logprobs, termination_id, .. } = request.sampling;
        let position = context.len() as u64;
        let args = SampleArgs { temperature, top_k, top_p, seed: SEED, request_key: request.id, position };
        let sampled = fake_model::sample(&context, args);
        context.push(sampled.token);
        generated_logprobs.push(sampled.logprob);
        generated_alternatives.push(fake_model::alternatives(sampled, top_n_logprobs as usize));
        if termination_id == Some(sampled.token) {
            reason = FinishReason::Termination;
            break;
        }
    }
    let tokens = context.split_off(request.prompt.len());
    Expected {
        tokens,
        generated_logprobs,
        generated_alternatives,
        prompt_logprobs,
        prompt_alternatives,
        reason,
    }
}

fn assert_as_expected(request: &EngineRequest, finished: &FinishedRequest) {
    let expected = expected(request, finished.num_tokens_to_generate);
    assert_eq!(finished.prompt, request.prompt);
    assert_eq!(finished.generated_tokens, expected.tokens, "tokens of request {}", request.id);
    assert_eq!(finished.reason, expected.reason);
    let sampling = request.sampling;
    assert_eq!(finished.generated_logprobs, sampling.return_log_probs.then_some(expected.generated_logprobs));
    let wants_alternatives = sampling.top_n_logprobs > 0;
    assert_eq!(
        finished.generated_alternatives,
        wants_alternatives.then_some(expected.generated_alternatives)
    );
    assert_eq!(
        finished.prompt_alternatives,
        sampling.wants_prompt_alternatives().then_some(expected.prompt_alternatives)
    );
    assert_eq!(
        finished.prompt_logprobs,
        sampling.wants_prompt_logprobs().then_some(expected.prompt_logprobs)
    );
}

//! Alternatives, processed logprobs and ends: what they do together with chunks, evictions and cached prefixes.

use super::scenarios::{ROOMY, drain, with_logprobs};
use super::*;

const CACHING: EngineFeatures =
    EngineFeatures { prefix_caching: Some(CacheEviction::Lru), ..EngineFeatures::OFF };

fn with_alternatives(request: EngineRequest, count: u32) -> EngineRequest {
    let mut request = with_logprobs(request, false);
    request.sampling.top_n_logprobs = count;
    request
}

fn finish(limits: EngineLimits, requests: &[EngineRequest]) -> Vec<FinishedRequest> {
    let mut engine = engine(limits);
    requests.iter().for_each(|request| engine.submit(request.clone()).unwrap());
    let mut finished = drain(&mut engine);
    finished.sort_by_key(|finished| finished.id);
    finished
}

#[test]
fn prompt_alternatives_are_whole_under_chunks_evictions_and_cached_prefixes() {
    let prompt: Vec<u32> = (100..114).collect();
    let wants = |id| with_alternatives(request(id, &prompt, 6), 3);
    let requests = [wants(0), request(1, &prompt, 6), wants(2)];
    let chunked = EngineFeatures { chunked_prefill: true, ..EngineFeatures::OFF };
    for limits in [
        ROOMY,
        EngineLimits { features: CACHING, ..ROOMY },
        EngineLimits { features: chunked, max_tokens: 5, ..ROOMY },
        EngineLimits { num_usable_blocks: 8, ..ROOMY },
    ] {
        let finished = finish(limits, &requests);
        finished.iter().zip(&requests).for_each(|(finished, request)| assert_as_expected(request, finished));
        let lengths = |finished: &FinishedRequest| finished.prompt_alternatives.as_ref().map(Vec::len);
        assert_eq!(finished.iter().map(lengths).collect::<Vec<_>>(), [Some(13), None, Some(13)]);
        assert_eq!(finished[2].num_cached_tokens, 0, "its rows are computed for it");
    }
}

#[test]
fn alternatives_to_a_prompt_are_not_wanted_where_its_logprobs_are_skipped() {
    let mut skipping = with_alternatives(request(0, &[1, 2, 3], 2), 3);
    skipping.sampling.skip_prompt_log_probs = true;
    let finished = finish(ROOMY, &[skipping]).remove(0);
    assert_eq!(finished.prompt_alternatives, None);
    assert_eq!(finished.generated_alternatives.map(|list| list.len()), Some(2));
}

#[test]
fn processed_logprobs_change_no_token_and_are_kept_with_no_block() {
    let prompt: Vec<u32> = (100..114).collect();
    let any = Sampling { top_k: 0, return_log_probs: true, ..Sampling::GREEDY };
    let wants = |id, sampling| EngineRequest { sampling, ..request(id, &prompt, 3) };
    let requests =
        [wants(0, any), wants(1, Sampling { temperature: 0.5, ..any }), wants(2, Sampling::GREEDY)];
    let raw = finish(ROOMY, &requests);
    let features = EngineFeatures { processed_logprobs: true, ..CACHING };
    let processed = finish(EngineLimits { features, ..ROOMY }, &requests);
    for (raw, processed) in raw.iter().zip(&processed) {
        assert_eq!(raw.generated_tokens, processed.generated_tokens);
        let twice = |list: &Vec<f32>| list.iter().map(|logprob| logprob * 2.0).collect::<Vec<_>>();
        // What the fake model says instead.
        assert_eq!(raw.prompt_logprobs.as_ref().map(twice), processed.prompt_logprobs);
        assert_eq!(raw.generated_logprobs.as_ref().map(twice), processed.generated_logprobs);
    }
    assert_eq!(processed[1].num_cached_tokens, 0, "another request's logprobs are not its own");
    assert!(processed[2].num_cached_tokens > 0, "who wants none shares blocks all the same");
}

#[test]
fn processed_logprobs_of_a_filtered_prompt_are_refused() {
    let features = EngineFeatures { processed_logprobs: true, ..EngineFeatures::OFF };
    let mut engine = engine(EngineLimits { features, ..ROOMY });
    let refusal = engine.submit(with_logprobs(request(0, &[1, 2], 1), false)).unwrap_err().to_string();
    assert!(refusal.contains("minus infinity") && refusal.contains("skip_prompt_log_probs"), "{refusal}");
    engine.submit(with_logprobs(request(0, &[1, 2], 1), true)).unwrap();
}

#[test]
fn each_of_several_ends_ends_a_sequence() {
    let plain = finish(ROOMY, &[request(0, &[1, 2, 3], 6)]).remove(0).generated_tokens;
    for ends in [vec![plain[3]], vec![plain[4], plain[3]], vec![u32::MAX, plain[3]]] {
        let request = EngineRequest { ends, ..request(0, &[1, 2, 3], 6) };
        let finished = finish(ROOMY, &[request]).remove(0);
        let first = plain.iter().position(|token| *token == plain[3]).unwrap();
        assert_eq!(finished.generated_tokens, plain[..=first], "the end itself is kept");
        assert_eq!(finished.reason, FinishReason::Termination);
    }
}

//! Chunked prefill, prefix caching, the paused buffer: what they do, and that nobody sees it in an output.

use super::scenarios::{ROOMY, drain, with_logprobs};
use super::*;

const CHUNKED: EngineFeatures = EngineFeatures { chunked_prefill: true, ..EngineFeatures::OFF };

const fn caching(eviction: CacheEviction) -> EngineFeatures {
    EngineFeatures { prefix_caching: Some(eviction), ..EngineFeatures::OFF }
}

type Steps = Vec<Vec<(usize, usize, usize)>>;

/// The steps that the model saw, and the results by id.
fn run(limits: EngineLimits, requests: &[EngineRequest]) -> (Steps, Vec<FinishedRequest>) {
    let model = FakeModel::new(cache(&limits));
    let log = model.log();
    let mut engine = Engine::new(Box::new(model), limits, SEED, Clock::start());
    requests.iter().for_each(|request| engine.submit(request.clone()).unwrap());
    let mut finished = drain(&mut engine);
    finished.sort_by_key(|finished| finished.id);
    finished.iter().zip(requests).for_each(|(finished, request)| assert_as_expected(request, finished));
    (log.take().steps, finished)
}

#[test]
fn long_prompts_are_fed_in_chunks_behind_the_decodes() {
    let limits = EngineLimits { max_tokens: 6, max_requests: 4, features: CHUNKED, ..ROOMY };
    let requests =
        [request(0, &[1, 2], 4), with_logprobs(request(1, &[3; 11], 2), false), request(2, &[4; 5], 1)];
    let (steps, _) = run(limits, &requests);
    let expected: Steps = vec![
        vec![(0, 2, 0), (0, 4, 4)],
        vec![(2, 1, 0), (4, 5, 5)],
        // Two tokens of request 1 are left, which goes first; request 2 gets what remains.
        vec![(3, 1, 0), (9, 2, 1), (0, 3, 0)],
        vec![(4, 1, 0), (11, 1, 0), (3, 2, 0)],
    ];
    assert_eq!(steps, expected);
}

#[test]
fn the_last_chunk_is_never_a_single_token() {
    let limits = EngineLimits { max_tokens: 4, features: CHUNKED, ..ROOMY };
    let chunks = |length: usize| -> Vec<usize> {
        let (steps, _) = run(limits, &[request(0, &vec![7; length], 1)]);
        steps.into_iter().flatten().map(|(_, num_tokens, _)| num_tokens).collect()
    };
    assert_eq!(chunks(4), [4]);
    assert_eq!(chunks(5), [3, 2]);
    assert_eq!(chunks(9), [4, 3, 2]);
    assert_eq!(chunks(10), [4, 4, 2]);
}

#[test]
fn a_chunk_that_would_leave_one_token_waits_for_room() {
    // One token is free beside three decodes: two tokens of the prompt are left, and neither goes alone.
    let limits = EngineLimits { max_tokens: 4, features: CHUNKED, ..ROOMY };
    let requests = [request(0, &[1], 3), request(1, &[2], 3), request(2, &[3], 3), request(3, &[4, 5], 1)];
    let (steps, _) = run(limits, &requests);
    let shares = |step: &[(usize, usize, usize)]| step.iter().map(|share| share.1).collect::<Vec<_>>();
    let shares: Vec<_> = steps.iter().map(|step| shares(step)).collect();
    assert_eq!(shares, [vec![1, 1, 1], vec![1, 1, 1], vec![1, 1, 1], vec![2]]);
}

#[test]
fn equal_prefixes_are_computed_once() {
    for eviction in [CacheEviction::RefZero, CacheEviction::Lru] {
        let limits = EngineLimits { features: caching(eviction), ..ROOMY };
        let system: Vec<u32> = (100..112).collect();
        let with_tail = |id: u64| request(id, &[&system[..], &[id as u32, 5]].concat(), 3);
        let (steps, finished) = run(limits, &[with_tail(0), with_tail(1), with_tail(2)]);
        let expected: Steps = vec![
            vec![(0, 14, 0)],
            // The others waited for the blocks of the first one.
            vec![(14, 1, 0), (12, 2, 0), (12, 2, 0)],
            vec![(15, 1, 0), (14, 1, 0), (14, 1, 0)],
            vec![(15, 1, 0), (15, 1, 0)],
        ];
        assert_eq!(steps, expected);
        assert_eq!(
            finished.iter().map(|finished| finished.num_cached_tokens).collect::<Vec<_>>(),
            [0, 12, 12]
        );
    }
}

#[test]
fn a_request_without_common_blocks_overtakes_one_that_waits_for_them() {
    let limits = EngineLimits { features: caching(CacheEviction::Lru), ..ROOMY };
    let requests = [request(0, &[1; 9], 2), request(1, &[1; 10], 2), request(2, &[2; 9], 2)];
    let (steps, _) = run(limits, &requests);
    assert_eq!(steps[0], [(0, 9, 0), (0, 9, 0)]);
    assert_eq!(steps[1], [(9, 1, 0), (9, 1, 0), (8, 2, 0)]);
}

#[test]
fn two_tokens_at_least_are_computed() {
    let limits = EngineLimits { features: caching(CacheEviction::Lru), ..ROOMY };
    let cached = |length: usize| {
        let prompts = [vec![3; 16], vec![3; length]];
        let (_, finished) = run(limits, &[request(0, &prompts[0], 1), request(1, &prompts[1], 1)]);
        finished[1].num_cached_tokens
    };
    assert_eq!([8, 9, 10, 16, 17, 18].map(cached), [4, 4, 8, 12, 12, 16]);
}

#[test]
fn prompt_logprobs_are_whole_right_after_a_hit() {
    let limits = EngineLimits { features: caching(CacheEviction::Lru), ..ROOMY };
    let prompt: Vec<u32> = (20..35).collect();
    let requests = [
        with_logprobs(request(0, &prompt, 1), false),
        with_logprobs(request(1, &[&prompt[..14], &[9, 9]].concat(), 2), false),
        with_logprobs(request(2, &prompt, 2), true),
    ];
    let (steps, finished) = run(limits, &requests);
    // Three blocks are cached; with logprobs the third is computed again, for the token after it.
    assert_eq!(steps[1], [(8, 8, 7), (12, 3, 0)]);
    assert_eq!(finished.iter().map(|finished| finished.num_cached_tokens).collect::<Vec<_>>(), [0, 8, 12]);
}

#[test]
fn blocks_cached_without_logprobs_are_no_hit_for_who_wants_them() {
    let limits = EngineLimits { features: caching(CacheEviction::Lru), max_requests: 1, ..ROOMY };
    let prompt = [4; 15];
    let wants = |id| with_logprobs(request(id, &prompt, 1), false);
    let (_, finished) = run(limits, &[request(0, &prompt, 1), wants(1), wants(2)]);
    assert_eq!(finished.iter().map(|finished| finished.num_cached_tokens).collect::<Vec<_>>(), [0, 0, 8]);
}

#[test]
fn with_ref_zero_a_prefix_is_forgotten_with_its_last_owner() {
    for (eviction, expected) in [(CacheEviction::RefZero, 0), (CacheEviction::Lru, 8)] {
        let limits = EngineLimits { features: caching(eviction), max_requests: 1, ..ROOMY };
        let (_, finished) = run(limits, &[request(0, &[6; 10], 2), request(1, &[6; 10], 2)]);
        assert_eq!(finished[1].num_cached_tokens, expected, "{eviction:?}");
    }
}

#[test]
fn cached_blocks_give_way_to_requests_that_need_the_memory() {
    // Five blocks; the first request leaves three of them cached, the second needs four.
    let limits = EngineLimits {
        num_usable_blocks: 5,
        features: caching(CacheEviction::Lru),
        max_requests: 1,
        ..ROOMY
    };
    let requests = [request(0, &[6; 12], 1), request(1, &[7; 14], 2), request(2, &[6; 14], 1)];
    let (_, finished) = run(limits, &requests);
    assert_eq!(finished[2].num_cached_tokens, 4, "the start of the chain is what stays");
}

#[test]
fn blocks_of_a_failed_step_are_not_cached() {
    let limits = EngineLimits { features: caching(CacheEviction::Lru), ..ROOMY };
    let model = FakeModel::failing_at(cache(&limits), &[0]);
    let mut engine = Engine::new(Box::new(model), limits, SEED, Clock::start());
    engine.submit(request(0, &[3; 10], 1)).unwrap();
    assert_eq!(engine.step().failed.len(), 1);
    engine.submit(request(1, &[3; 10], 1)).unwrap();
    assert_eq!(drain(&mut engine)[0].num_cached_tokens, 0);
}

#[test]
fn a_suspension_keeps_the_cache_or_has_it_computed_again() {
    for (suspended_kv, evictions) in
        [(SuspendedKv::Persist, 0), (SuspendedKv::Offload, 0), (SuspendedKv::Recompute, 1)]
    {
        let features = EngineFeatures { suspended_kv, ..caching(CacheEviction::Lru) };
        let mut engine = engine(EngineLimits { features, ..ROOMY });
        let requests = [with_logprobs(request(0, &[1, 2, 3, 4, 5, 6], 4), false), request(1, &[7; 9], 5)];
        requests.iter().for_each(|request| engine.submit(request.clone()).unwrap());
        engine.step();
        engine.suspend().unwrap();
        engine.check().unwrap();
        assert!(!engine.has_work());
        assert_eq!(engine.num_kv_blocks_used() == 0, suspended_kv == SuspendedKv::Recompute);
        engine.unpause();
        for finished in drain(&mut engine) {
            assert_as_expected(&requests[finished.id as usize], &finished);
            assert_eq!(finished.num_evictions, evictions, "{suspended_kv:?}");
        }
        // The fake's cache lies where the host is: nothing has to be brought there.
        let statistics = engine.statistics();
        let counts = (statistics.num_suspensions, statistics.num_recomputations, statistics.num_offloads);
        assert_eq!(counts, (1, u64::from(evictions) * 2, 0), "{suspended_kv:?}");
    }
}

#[test]
fn a_sequence_without_a_block_waits_within_the_paused_buffer_and_is_evicted_beyond_it() {
    // Request 1 needs a third block while request 0 still runs; there are four.
    let requests = [request(0, &[1, 2, 3, 4], 5), request(1, &[5, 6, 7, 8, 9, 9], 7), request(2, &[3], 1)];
    for (num_paused_blocks, evictions, pauses) in [(0, 1, 0), (1, 1, 0), (2, 0, 1)] {
        let limits = EngineLimits { num_usable_blocks: 4, num_paused_blocks, max_requests: 2, ..ROOMY };
        let mut engine = engine(limits);
        requests.iter().for_each(|request| engine.submit(request.clone()).unwrap());
        for finished in drain(&mut engine) {
            assert_as_expected(&requests[finished.id as usize], &finished);
            let expected = if finished.id == 1 { evictions } else { 0 };
            assert_eq!(u64::from(finished.num_evictions), expected, "{num_paused_blocks} blocks");
        }
        assert_eq!((engine.statistics().num_evictions, engine.statistics().num_pauses), (evictions, pauses));
    }
}

#[test]
fn a_sequence_that_waits_can_be_aborted() {
    let limits = EngineLimits { num_usable_blocks: 4, num_paused_blocks: 2, ..ROOMY };
    let mut engine = engine(limits);
    engine.submit(request(0, &[1, 2, 3, 4], 5)).unwrap();
    engine.submit(request(1, &[5, 6, 7, 8, 9, 9], 7)).unwrap();
    while engine.statistics().num_pauses == 0 {
        engine.step();
    }
    assert!(engine.abort(1).is_some());
    engine.check().unwrap();
    assert_eq!(drain(&mut engine).len(), 1);
}

#[test]
fn prompt_logprobs_are_whole_though_the_hit_gives_way_to_its_own_request() {
    // Two blocks are cached; the second request shares one, and needs the memory of the other.
    let features = caching(CacheEviction::Lru);
    let limits = EngineLimits { num_usable_blocks: 3, max_requests: 1, features, ..ROOMY };
    let wants = |id, length| with_logprobs(request(id, &vec![4; length], 1), false);
    let (_, finished) = run(limits, &[wants(0, 8), request(1, &[5; 4], 1), wants(2, 12)]);
    assert_eq!(finished[2].num_cached_tokens, 4);
}

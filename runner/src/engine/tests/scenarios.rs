//! What the engine does in situations a reader may ask about.

use super::*;

pub(super) const ROOMY: EngineLimits = EngineLimits {
    block_size: 4,
    num_usable_blocks: 64,
    max_requests: 8,
    max_tokens: 64,
    max_sequence_length: 100,
    num_paused_blocks: 0,
    features: EngineFeatures::OFF,
};

pub(super) fn with_logprobs(mut request: EngineRequest, skip_prompt: bool) -> EngineRequest {
    request.sampling.return_log_probs = true;
    request.sampling.skip_prompt_log_probs = skip_prompt;
    request
}

/// Steps until nothing is left; all results.
pub(super) fn drain(engine: &mut Engine) -> Vec<FinishedRequest> {
    let mut finished = Vec::new();
    while engine.has_work() {
        let summary = engine.step();
        assert_eq!(summary.failed, []);
        engine.check().unwrap();
        finished.extend(summary.finished);
    }
    finished
}

#[test]
fn prefill_and_decode_share_a_step_and_decodes_come_first() {
    let model = FakeModel::new(cache(&ROOMY));
    let log = model.log();
    let mut engine = Engine::new(Box::new(model), ROOMY, SEED, Clock::start());
    engine.submit(request(0, &[1, 2, 3], 3)).unwrap();
    engine.step();
    engine.submit(request(1, &[4, 5], 1)).unwrap();
    let summary = engine.step();
    assert_eq!((summary.num_decode_tokens, summary.num_prefill_tokens, summary.batch_size), (1, 2, 2));
    assert_eq!(summary.finished.len(), 1, "the request that wanted one token is done after its prefill");
    drain(&mut engine);
    assert_eq!(log.borrow().steps, vec![vec![(0, 3, 0)], vec![(3, 1, 0), (0, 2, 0)], vec![(4, 1, 0)]]);
}

#[test]
fn the_first_prompt_that_does_not_fit_stops_the_rest() {
    let limits = EngineLimits { max_tokens: 10, ..ROOMY };
    let mut engine = engine(limits);
    for (id, length) in [(0, 6), (1, 5), (2, 1)] {
        engine.submit(request(id, &vec![9; length], 2)).unwrap();
    }
    let ids = |summary: StepSummary| summary.new_tokens.iter().map(|new| new.id).collect::<Vec<_>>();
    assert_eq!(ids(engine.step()), [0], "request 2 would fit, but request 1 is before it");
    assert_eq!(ids(engine.step()), [0, 1, 2]);
}

#[test]
fn rows_of_the_head_are_asked_for_only_where_logprobs_are_wanted() {
    let model = FakeModel::new(cache(&ROOMY));
    let log = model.log();
    let mut engine = Engine::new(Box::new(model), ROOMY, SEED, Clock::start());
    let requests = [
        request(0, &[1, 2, 3, 4], 2),
        with_logprobs(request(1, &[1, 2, 3, 4], 2), false),
        with_logprobs(request(2, &[1, 2, 3, 4], 2), true),
        with_logprobs(request(3, &[1], 2), false),
    ];
    requests.iter().for_each(|request| engine.submit(request.clone()).unwrap());
    for finished in drain(&mut engine) {
        assert_as_expected(&requests[finished.id as usize], &finished);
    }
    assert_eq!(log.borrow().steps[0], [(0, 4, 0), (0, 4, 3), (0, 4, 0), (0, 1, 0)]);
}

#[test]
fn the_termination_token_is_kept_and_ends_the_request() {
    let mut request = request(0, &[5, 6, 7], 20);
    request.sampling.termination_id = Some(expected(&request, 20).tokens[4]);
    let mut engine = engine(ROOMY);
    engine.submit(request.clone()).unwrap();
    let finished = drain(&mut engine);
    assert_as_expected(&request, &finished[0]);
    assert_eq!((finished[0].generated_tokens.len(), finished[0].reason), (5, FinishReason::Termination));
}

#[test]
fn nothing_to_generate_gives_prompt_logprobs_only() {
    let request = with_logprobs(request(0, &[5, 6, 7], 0), false);
    let mut engine = engine(ROOMY);
    engine.submit(request.clone()).unwrap();
    let finished = drain(&mut engine);
    assert_as_expected(&request, &finished[0]);
    assert_eq!(finished[0].prompt_logprobs.as_ref().unwrap().len(), 2);
    assert_eq!((finished[0].generated_logprobs.as_deref(), finished[0].first_token_s), (Some(&[][..]), None));
}

#[test]
fn the_latest_request_gives_way_and_is_recomputed_with_the_same_tokens() {
    // Two requests of 12 slots each share 4 blocks of 4, and the recomputed one is longer than a step.
    let limits = EngineLimits { num_usable_blocks: 4, max_tokens: 5, ..ROOMY };
    let requests = [request(0, &[1, 2, 3, 4], 9), with_logprobs(request(1, &[7, 8, 9, 7], 9), false)];
    let model = FakeModel::new(cache(&limits));
    let log = model.log();
    let mut engine = Engine::new(Box::new(model), limits, SEED, Clock::start());
    requests.iter().for_each(|request| engine.submit(request.clone()).unwrap());
    let finished = drain(&mut engine);
    finished.iter().zip(&requests).for_each(|(finished, request)| assert_as_expected(request, finished));
    assert_eq!(finished.iter().map(|finished| finished.num_evictions).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(engine.statistics().num_evictions, 1);
    let chunks =
        log.borrow().steps.iter().flatten().filter(|(start, tokens, _)| *start > 0 && *tokens > 1).count();
    assert!(chunks > 0, "the recomputed sequence was fed in chunks");
}

#[test]
fn a_failing_step_fails_its_batch_and_nothing_else() {
    let limits = EngineLimits { max_requests: 2, ..ROOMY };
    let model = FakeModel::failing_at(cache(&limits), &[1]);
    let mut engine = Engine::new(Box::new(model), limits, SEED, Clock::start());
    (0..3).for_each(|id| engine.submit(request(id, &[3, id as u32], 4)).unwrap());
    engine.step();
    let summary = engine.step();
    engine.check().unwrap();
    let ids: Vec<u64> = summary.failed.iter().map(|failed| failed.id).collect();
    assert_eq!(ids, [0, 1]);
    assert_eq!(summary.failed[0].reason, "a step of 2 sequences failed: step 1 was made to fail");
    assert_eq!(drain(&mut engine).iter().map(|finished| finished.id).collect::<Vec<_>>(), [2]);
}

#[test]
fn paused_requests_freeze_and_new_ones_queue() {
    let mut engine = engine(ROOMY);
    engine.submit(request(0, &[1, 2], 3)).unwrap();
    engine.step();
    engine.pause();
    engine.submit(request(1, &[3], 1)).unwrap();
    assert!(!engine.has_work());
    assert_eq!(engine.step(), StepSummary::default());
    engine.unpause();
    assert_eq!(drain(&mut engine).len(), 2);
}

#[test]
fn an_id_is_free_again_once_its_request_ended() {
    let mut engine = engine(ROOMY);
    engine.submit(request(4, &[1], 2)).unwrap();
    assert_eq!(engine.submit(request(4, &[1], 2)), Err(Rejection::DuplicateId { id: 4 }));
    engine.step();
    let aborted = engine.abort(4).unwrap();
    assert_eq!((aborted.generated_tokens.len(), aborted.reason), (1, FinishReason::Aborted));
    assert!(engine.abort(4).is_none() && !engine.has_work());
    engine.check().unwrap();
    engine.submit(request(4, &[1], 2)).unwrap();
    assert_eq!(drain(&mut engine).len(), 1);
}

#[test]
fn offline_results_come_in_the_order_of_the_requests() {
    let requests = vec![request(5, &[1, 2], 9), request(3, &[], 1), request(4, &[3], 1), request(5, &[3], 1)];
    let model = Box::new(FakeModel::new(cache(&ROOMY)));
    let run = generate(model, ROOMY, SEED, Clock::start(), requests.clone(), |_| {});
    assert_as_expected(&requests[0], run.results[0].as_ref().unwrap());
    assert_eq!(run.results[1].as_ref().unwrap_err(), "the prompt is empty, expected at least one token");
    assert_as_expected(&requests[2], run.results[2].as_ref().unwrap());
    assert!(run.results[3].as_ref().unwrap_err().contains("in use"));
    assert_eq!((run.statistics.num_requests_finished, run.statistics.num_steps), (2, 9));
    assert_eq!(run.statistics.step_costs.len(), 9);
}

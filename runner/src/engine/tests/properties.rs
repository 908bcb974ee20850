//! Whatever the limits, arrivals and aborts: each request ends exactly once, with tokens that depend on it alone.

use proptest::prelude::*;

use super::*;

/// A request and when things happen to it, in steps.
#[derive(Clone, Debug)]
struct Visitor {
    request: EngineRequest,
    arrives_at: usize,
    aborted_at: Option<usize>,
}

fn limits() -> impl Strategy<Value = EngineLimits> {
    (1..9usize, 1..24usize, 1..7usize, (0..40usize, 0..12usize), 4..60usize, features()).prop_map(
        |(
            block_size,
            num_usable_blocks,
            max_requests,
            (more_tokens, num_paused_blocks),
            max_sequence_length,
            features,
        )| {
            EngineLimits {
                block_size,
                num_usable_blocks,
                max_requests,
                max_tokens: max_requests + more_tokens,
                max_sequence_length,
                num_paused_blocks,
                features,
            }
        },
    )
}

fn features() -> impl Strategy<Value = EngineFeatures> {
    let policies = [None, Some(CacheEviction::RefZero), Some(CacheEviction::Lru)];
    (any::<bool>(), prop::sample::select(policies.to_vec())).prop_map(|(chunked_prefill, prefix_caching)| {
        EngineFeatures { chunked_prefill, prefix_caching, ..EngineFeatures::OFF }
    })
}

/// Prompts with starts in common, and others.
fn prompt() -> impl Strategy<Value = Vec<u32>> {
    let own = prop::collection::vec(0..fake_model::VOCAB_SIZE as u32, 1..24);
    let shared = (0..3usize, 1..24usize, own.clone()).prop_map(|(family, num_shared, own)| {
        let start = (0..num_shared).map(|at| (family * 100 + at) as u32);
        start.chain(own).collect()
    });
    prop_oneof![own, shared]
}

fn sampling() -> impl Strategy<Value = Sampling> {
    (0..3u32, any::<bool>(), any::<bool>(), 0..3u32, prop::option::of(0..fake_model::VOCAB_SIZE as u32))
        .prop_map(|(top_k, return_log_probs, skip_prompt_log_probs, top_n, termination_id)| Sampling {
            top_n_logprobs: if return_log_probs { top_n } else { 0 },
            top_k,
            return_log_probs,
            skip_prompt_log_probs,
            termination_id,
            ..Sampling::GREEDY
        })
}

fn visitors() -> impl Strategy<Value = Vec<Visitor>> {
    let output = prop_oneof![(0..24i64).prop_map(OutputLength::Generate), Just(OutputLength::Fill)];
    let visitor = (prompt(), output, sampling(), 0..30usize, prop::option::weighted(0.2, 0..40usize));
    prop::collection::vec(visitor, 1..16).prop_map(|visitors| {
        let with_id = |(id, (prompt, output_length, sampling, arrives_at, aborted_at))| Visitor {
            request: EngineRequest { id: id as u64, prompt, output_length, sampling, ends: Vec::new() },
            arrives_at,
            aborted_at,
        };
        visitors.into_iter().enumerate().map(with_id).collect()
    })
}

/// How each request ended, by id: `None` = not yet.
#[derive(Clone, Debug)]
enum End {
    Finished(Box<FinishedRequest>),
    Refused,
    Aborted,
}

struct Visit<'a> {
    engine: Engine,
    visitors: &'a [Visitor],
    ends: Vec<Option<End>>,
    streamed: Vec<Vec<u32>>,
}

impl Visit<'_> {
    fn end(&mut self, id: usize, end: End) {
        let earlier = self.ends[id].replace(end);
        assert!(earlier.is_none(), "request {id} ended twice");
    }

    fn events_before(&mut self, step: usize) {
        for (id, visitor) in self.visitors.iter().enumerate() {
            if visitor.arrives_at == step && self.engine.submit(visitor.request.clone()).is_err() {
                self.end(id, End::Refused);
            }
            if visitor.aborted_at == Some(step)
                && let Some(aborted) = self.engine.abort(id as u64)
            {
                assert_eq!(aborted.generated_tokens, self.streamed[id]);
                self.end(id, End::Aborted);
            }
        }
    }

    fn step(&mut self) {
        let summary = self.engine.step();
        self.engine.check().unwrap();
        assert_eq!(summary.failed, [], "the model saw consistent block tables and positions");
        let limits = self.engine.limits();
        assert!(summary.batch_size <= limits.max_requests);
        assert!(summary.num_prefill_tokens + summary.num_decode_tokens <= limits.max_tokens);
        for new in summary.new_tokens {
            self.streamed[new.id as usize].push(new.token);
        }
        for finished in summary.finished {
            self.end(finished.id as usize, End::Finished(Box::new(finished)));
        }
    }
}

fn visit(limits: EngineLimits, visitors: &[Visitor]) -> Visit<'_> {
    let num = visitors.len();
    let mut visit =
        Visit { engine: engine(limits), visitors, ends: vec![None; num], streamed: vec![Vec::new(); num] };
    let mut step = 0;
    while step < 40 || visit.engine.has_work() {
        assert!(step < 5000, "somebody waits forever");
        visit.events_before(step);
        visit.step();
        step += 1;
    }
    visit
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_request_ends_once_with_tokens_of_its_own(limits in limits(), visitors in visitors()) {
        let visit = visit(limits, &visitors);
        prop_assert_eq!(visit.engine.num_unfinished(), 0);
        for ((visitor, end), streamed) in visitors.iter().zip(&visit.ends).zip(&visit.streamed) {
            match end.as_ref().expect("every request ends") {
                End::Finished(finished) => {
                    assert_as_expected(&visitor.request, finished);
                    prop_assert_eq!(&finished.generated_tokens, streamed);
                }
                End::Refused => prop_assert!(streamed.is_empty()),
                End::Aborted => {
                    let whole = expected(&visitor.request, limits.max_sequence_length).tokens;
                    prop_assert!(whole.starts_with(streamed));
                }
            }
        }
    }
}

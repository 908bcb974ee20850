//! A small run, for tests of whatever looks at runs.

use goldlap_kernels::model::step::StepCost;

use crate::metrics::{
    Iteration, MachineLimits, RankRecord, RequestOutcome, RequestRecord, RunRecord, TokenArrival,
};

/// A run of three requests, ten tokens each, one of them per 0.1 s.
pub(crate) fn record(platform: &str) -> RunRecord {
    let request = |id: u64| {
        let tokens: Vec<u32> = (0..10).map(|i| 100 * id as u32 + i).collect();
        RequestRecord {
            id,
            prompt: Some(format!("prompt {id}")),
            num_prompt_tokens: 3,
            num_tokens_to_generate: 10,
            rank: Some(0),
            num_dispatches: 1,
            sent_s: 0.0,
            arrivals: (1..=10).map(|i| TokenArrival { at_s: 0.1 * f64::from(i), num_tokens: 1 }).collect(),
            finished_s: Some(1.0 + id as f64 / 10.0),
            outcome: RequestOutcome::Completed,
            generated_text: format!("reply {id}\nof ten words"),
            prompt_logprobs: Some(vec![-3.25, -1.5]),
            generated_logprobs: Some(tokens.iter().map(|&t| -0.1 - t as f32 / 1000.0).collect()),
            generated_tokens: tokens,
            ..RequestRecord::default()
        }
    };
    RunRecord {
        schema_version: crate::metrics::RECORD_SCHEMA_VERSION,
        case: "gpt::tiny".to_owned(),
        platform: platform.to_owned(),
        commit: Some("0123abc".to_owned()),
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        num_parameters: 1000,
        model_fingerprint: "f".to_owned(),
        data_parallel: 1,
        repeat: 0,
        startup_s: 0.5,
        plan: serde_json::json!({"workload": {"n": 3}}),
        machine_limits: Some(MachineLimits {
            read_bytes_per_second: 1000.0,
            flops_per_second: 1e6,
            num_threads: 2,
        }),
        workload: Default::default(),
        requests: (0..3).map(request).collect(),
        ranks: vec![RankRecord {
            num_prefill_tokens: 9,
            step_costs: vec![StepCost { weight_bytes: 400, kv_bytes: 80, flops: 10 }],
            peak_rss_bytes: 1 << 20,
            device: "avx2".to_owned(),
            ..RankRecord::default()
        }],
        incidents: Vec::new(),
        signals: Vec::new(),
        rank_faults: Vec::new(),
        ranks_memory_bytes: None,
        parent_cpu: None,
    }
}

/// A performance case: batch sizes 1 and 2, one warm-up and two measured iterations of each, one prompt, five tokens.
pub(crate) fn performance_record(platform: &str) -> RunRecord {
    let mut run = record(platform);
    run.requests.clear();
    for batch_size in [1, 2] {
        for iteration in 0..3 {
            let first_request = run.requests.len();
            let is_warm_up = iteration == 0;
            let iterations = &mut run.workload.iterations;
            iterations.push(Iteration { first_request, num_requests: batch_size, batch_size, is_warm_up });
            let start_s = 2.0 * first_request as f64;
            for place in 0..batch_size {
                let end_s = start_s + 1.0 + 0.2 * place as f64;
                let arrivals = [(start_s + 0.2, 1), (end_s, 4)];
                run.requests.push(RequestRecord {
                    id: run.requests.len() as u64,
                    prompt: Some("hello hello".to_owned()),
                    num_prompt_tokens: 2,
                    num_tokens_to_generate: 5,
                    sent_s: start_s,
                    arrivals: arrivals.map(|(at_s, num_tokens)| TokenArrival { at_s, num_tokens }).into(),
                    finished_s: Some(end_s),
                    outcome: RequestOutcome::Completed,
                    generated_tokens: vec![1, 2, 3, 4, 5],
                    ..RequestRecord::default()
                });
            }
        }
    }
    run
}

/// Metrics that this run has.
pub(crate) const ALL: [&str; 7] = [
    "generated_tokens",
    "generated_text",
    "logprobs",
    "throughput",
    "efficiency",
    "mem-max-allocated-bytes",
    "lifetime_prefill_token_count",
];

/// As METRICS.
pub(crate) fn names(metrics: &[&str]) -> Vec<String> {
    metrics.iter().map(|&name| name.to_owned()).collect()
}

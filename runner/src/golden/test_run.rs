//! A small run, for tests of whatever looks at runs.

use goldlap_kernels::model::step::StepCost;

use crate::metrics::{MachineLimits, RankRecord, RequestOutcome, RequestRecord, RunRecord, TokenArrival};

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
        requests: (0..3).map(request).collect(),
        ranks: vec![RankRecord {
            num_prefill_tokens: 9,
            step_costs: vec![StepCost { weight_bytes: 400, kv_bytes: 80, flops: 10 }],
            peak_rss_bytes: 1 << 20,
            device: "avx2".to_owned(),
            ..RankRecord::default()
        }],
        incidents: Vec::new(),
        rank_faults: Vec::new(),
    }
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

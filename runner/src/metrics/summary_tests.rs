//! The summary's formulas on runs small enough to compute by hand.

use goldlap_kernels::model::step::StepCost;

use super::*;
use crate::metrics::{MachineLimits, RankRecord, TokenArrival};

fn request(id: u64, sent_s: f64, arrivals: &[(f64, u32)], finished_s: f64) -> RequestRecord {
    let num_tokens: u32 = arrivals.iter().map(|a| a.1).sum();
    RequestRecord {
        id,
        num_prompt_tokens: 10,
        sent_s,
        arrivals: arrivals.iter().map(|&(at_s, num_tokens)| TokenArrival { at_s, num_tokens }).collect(),
        finished_s: Some(finished_s),
        outcome: RequestOutcome::Completed,
        generated_tokens: (0..num_tokens).collect(),
        ..RequestRecord::default()
    }
}

fn record(requests: Vec<RequestRecord>) -> RunRecord {
    RunRecord {
        schema_version: crate::metrics::RECORD_SCHEMA_VERSION,
        case: "gpt::tiny".to_owned(),
        platform: "cpu".to_owned(),
        commit: None,
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        num_parameters: 1,
        model_fingerprint: String::new(),
        data_parallel: 2,
        repeat: 0,
        startup_s: 0.0,
        plan: serde_json::Value::Null,
        machine_limits: None,
        workload: Default::default(),
        requests,
        ranks: Vec::new(),
        incidents: Vec::new(),
        signals: Vec::new(),
        rank_faults: Vec::new(),
        ranks_memory_bytes: None,
        parent_cpu: None,
    }
}

fn close(measured: &Measured, expected: f64) {
    let value = measured.value().unwrap_or_else(|| panic!("{measured}"));
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[test]
fn two_requests_by_hand() {
    // Request 0: sent 1.0, tokens at 1.5, 1.7 and two at 2.1, final 2.1. Request 1: sent 2.0, one token at 3.0.
    let run = record(vec![
        request(0, 1.0, &[(1.5, 1), (1.7, 1), (2.1, 2)], 2.1),
        request(1, 2.0, &[(3.0, 1)], 3.0),
    ]);
    let metrics = Metrics::of(&run, None);
    assert_eq!((metrics.num_requests, metrics.num_completed, metrics.num_generated_tokens), (2, 2, 5));
    close(&metrics.wall_s, 2.0);
    close(&metrics.ttft_ms.mean, 750.0);
    assert_eq!(metrics.itl_ms.n, 3);
    close(&metrics.itl_ms.mean, 200.0);
    assert_eq!(metrics.tpot_ms.n, 1);
    close(&metrics.tpot_ms.median, 200.0);
    close(&metrics.e2el_ms.median, 1050.0);
    assert!((metrics.throughput[0] - 4.0 / 1.1).abs() < 1e-9);
    assert!((metrics.throughput[1] - 1.0).abs() < 1e-9);
    close(&metrics.output_throughput, 2.5);
    close(&metrics.request_throughput, 1.0);
    assert_eq!(metrics.goodput, None);
}

#[test]
fn an_empty_first_reply_is_no_first_token() {
    let metrics = Metrics::of(&record(vec![request(0, 0.0, &[(0.1, 0), (0.5, 1)], 0.5)]), None);
    close(&metrics.ttft_ms.median, 500.0);
}

#[test]
fn goodput_counts_requests_that_meet_every_objective() {
    let run = record(vec![
        request(0, 0.0, &[(0.1, 1), (0.2, 1)], 0.2),
        request(1, 0.0, &[(0.9, 1), (1.0, 1)], 1.0),
        request(2, 0.0, &[(0.1, 1)], 0.1),
    ]);
    let strict = Objectives { ttft_ms: Some(200.0), tpot_ms: Some(150.0), e2el_ms: Some(500.0) };
    close(&Metrics::of(&run, Some(&strict)).goodput.unwrap(), 2.0);
    let free = Objectives::default();
    close(&Metrics::of(&run, Some(&free)).goodput.unwrap(), 3.0);
}

#[test]
fn efficiency_is_roofline_over_wall() {
    let mut run = record(vec![request(0, 0.0, &[(1.0, 1), (2.0, 1)], 2.0)]);
    run.machine_limits =
        Some(MachineLimits { read_bytes_per_second: 100.0, flops_per_second: 1000.0, num_threads: 2 });
    // Rank 0: 60 bytes = 0.6 s against 0.1 s of operations. Rank 1: 10 bytes = 0.1 s against 0.4 s.
    let memory_bound = StepCost { weight_bytes: 50, kv_bytes: 10, flops: 100 };
    let compute_bound = StepCost { weight_bytes: 10, kv_bytes: 0, flops: 400 };
    let rank = |rank, cost| RankRecord {
        rank,
        step_costs: vec![cost],
        device: "d".to_owned(),
        ..Default::default()
    };
    run.ranks = vec![rank(0, memory_bound), rank(1, compute_bound)];
    close(&Metrics::of(&run, None).efficiency, 0.5);
    // On two GPUs the same work had twice the hardware.
    run.platform = "dgx_h100".to_owned();
    run.ranks[1].device = "e".to_owned();
    close(&Metrics::of(&run, None).efficiency, 0.25);
}

#[test]
fn efficiency_says_why_there_is_none() {
    let mut run = record(vec![request(0, 0.0, &[(1.0, 1)], 1.0)]);
    assert!(Metrics::of(&run, None).efficiency.to_string().contains("limits were not measured"));
    let limits = MachineLimits { read_bytes_per_second: 100.0, flops_per_second: 0.0, num_threads: 1 };
    run.machine_limits = Some(limits);
    assert!(Metrics::of(&run, None).efficiency.to_string().contains("zero or not finite"));
    run.machine_limits = Some(MachineLimits { flops_per_second: 1.0, ..limits });
    assert!(Metrics::of(&run, None).efficiency.to_string().contains("no rank reported"));
}

#[test]
fn memory_is_the_largest_rank_and_prefill_the_sum() {
    let mut run = record(vec![]);
    assert_eq!(Metrics::of(&run, None).mem_max_allocated_bytes.value(), None);
    let rank = |peak_rss_bytes| RankRecord { peak_rss_bytes, num_prefill_tokens: 7, ..Default::default() };
    run.ranks = vec![rank(5), rank(9)];
    let metrics = Metrics::of(&run, None);
    close(&metrics.mem_max_allocated_bytes, 9.0);
    assert_eq!(metrics.lifetime_prefill_token_count, 14);
}

#[test]
fn nothing_and_no_time_are_not_measurable() {
    for run in [
        record(vec![]),
        record(vec![RequestRecord::default()]),
        record(vec![request(0, 1.0, &[], 1.0)]),
        record(vec![RequestRecord { finished_s: None, ..request(0, 1.0, &[(2.0, 1)], 0.0) }]),
    ] {
        let metrics = Metrics::of(&run, Some(&Objectives::default()));
        for measured in [&metrics.output_throughput, &metrics.request_throughput, &metrics.efficiency] {
            assert_eq!(measured.value(), None, "{metrics:?}");
        }
        assert!(metrics.throughput.is_empty());
        assert_eq!(metrics.tpot_ms.median.value(), None);
    }
}

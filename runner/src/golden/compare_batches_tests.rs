//! Tests of the comparison of a performance case with its baseline.

use super::*;
use crate::golden::compare::{Run, compare};
use crate::golden::test_run::{names, performance_record};
use crate::golden::verdict::Verdict;
use crate::metrics::RunRecord;
use crate::plan::PerformancePlan;

const ALL: [&str; 7] = [
    "throughput_tok_per_sec",
    "avg_latency_ms",
    "p50_latency_ms",
    "p99_latency_ms",
    "tpot_ms_per_tok",
    "decode_tpot_ms",
    "batch_ttft_ms",
];

fn plan() -> PerformancePlan {
    PerformancePlan { tolerance: 0.1, upper_tolerance: 0.2, ..PerformancePlan::default() }
}

fn golden(platform: &Platform) -> Golden {
    let record = performance_record(&platform.to_string());
    let summary = Metrics::of(&record, None);
    let runs = [Run { record: &record, summary: &summary }];
    let golden = Golden::from_runs(platform, &names(&ALL), &runs, "c").unwrap();
    Golden::from_bytes(golden.to_json().pretty().as_bytes()).unwrap()
}

fn judge(platform: &Platform, golden: &Golden, change: impl Fn(&mut RunRecord)) -> Verdict {
    let mut record = performance_record(&platform.to_string());
    change(&mut record);
    let summary = Metrics::of(&record, None);
    let (metrics, plan) = (names(&ALL), plan());
    let performance = Some(&plan);
    let rules = Rules {
        platform,
        metrics: &metrics,
        tolerances: &[],
        performance,
        num_runs: 1,
        accept_command: "accept",
    };
    compare(&rules, Run { record: &record, summary: &summary }, golden)
}

/// Stretches every time within each iteration: everything takes `factor` times as long.
fn slower(factor: f64) -> impl Fn(&mut RunRecord) {
    move |record: &mut RunRecord| {
        for request in &mut record.requests {
            let from_start = |at_s: f64| request.sent_s + (at_s - request.sent_s) * factor;
            request.finished_s = request.finished_s.map(from_start);
            request.arrivals.iter_mut().for_each(|arrival| arrival.at_s = from_start(arrival.at_s));
        }
    }
}

fn failed(verdict: &Verdict) -> Vec<&str> {
    let failed = verdict.metrics.iter().filter(|metric| metric.outcome == Outcome::Failed);
    failed.map(|metric| metric.metric.as_str()).collect()
}

#[test]
fn a_baseline_has_its_numbers_and_no_requests() {
    let golden = golden(&Platform::Cpu);
    assert!(golden.requests.is_empty() && golden.system.is_empty(), "{golden:?}");
    assert_eq!(golden.batches.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(golden.batches[&2].number(Metric::Batch(BatchMetric::WallTpot)), Some(240.0));
}

#[test]
fn the_originals_bounds_hold_where_the_platform_is_known() {
    let platform = Platform::Gpu("h100x1".to_owned());
    let golden = golden(&platform);
    let latencies = &ALL[1..];
    for (factor, expected) in
        [(1.0, &[][..]), (1.09, &[]), (1.12, &ALL), (0.9, &[]), (0.8, &ALL[..1]), (1.101, latencies)]
    {
        let verdict = judge(&platform, &golden, slower(factor));
        assert_eq!(failed(&verdict), expected, "{factor} times as long");
        assert_eq!(verdict.num_assertions(), 14, "{factor}");
    }
}

#[test]
fn on_cpu_speed_is_recorded_and_must_have_been_measured() {
    let golden = golden(&Platform::Cpu);
    let verdict = judge(&Platform::Cpu, &golden, slower(10.0));
    assert!(verdict.passed() && verdict.num_assertions() == 14, "{verdict:?}");
    assert!(verdict.metrics.iter().all(|m| matches!(m.outcome, Outcome::RecordedOnly(_))));
    let silent = judge(&Platform::Cpu, &golden, |record| record.requests[2].finished_s = None);
    assert!(!silent.passed());
    assert_eq!(failed(&silent), ALL);
}

#[test]
fn a_number_or_a_batch_that_one_side_lacks_fails() {
    let platform = Platform::Gpu("h100x1".to_owned());
    let whole = golden(&platform);
    let mut fewer = whole.clone();
    fewer.batches.remove(&2);
    let verdict = judge(&platform, &fewer, |_| {});
    let first = verdict.metrics[0].first.as_ref().unwrap();
    assert_eq!(first.golden, "batch 2: no number");
    let verdict = judge(&platform, &whole, |record| record.workload.iterations.truncate(3));
    assert_eq!(verdict.metrics[0].first.as_ref().unwrap().current, "this batch size was not run");
    let mut hole = whole;
    hole.batches.get_mut(&1).unwrap().0.retain(|(key, _)| key != "avg_latency_ms");
    assert_eq!(failed(&judge(&platform, &hole, |_| {})), ["avg_latency_ms"]);
}

#[test]
fn outputs_of_another_length_fail_whatever_they_took() {
    let golden = golden(&Platform::Cpu);
    let verdict = judge(&Platform::Cpu, &golden, |record| record.requests[0].generated_tokens.truncate(4));
    assert!(!verdict.passed() && verdict.has_mishap);
    assert!(verdict.problems[0].contains("expected exactly 5"), "{:?}", verdict.problems);
}

#[test]
fn a_slower_baseline_is_the_wrong_way() {
    let platform = Platform::Gpu("h100x1".to_owned());
    let old = golden(&platform);
    let mut new = old.clone();
    let throughput = |golden: &mut Golden, value: f64| {
        let fields = &mut golden.batches.get_mut(&1).unwrap().0;
        let field = fields.iter_mut().find(|(key, _)| key == "throughput_tok_per_sec").unwrap();
        field.1 = crate::golden::Json::float(value);
    };
    throughput(&mut new, 2.5);
    let row = Metric::Batch(BatchMetric::Throughput).row();
    let change = batch_change(row, Some(&old), &new, &platform).unwrap();
    assert_eq!(change.summary, "batch 1: golden 5.000, now 2.500 (-50.0 %)");
    assert!(change.wrong_way);
    assert!(!batch_change(row, Some(&new), &old, &platform).unwrap().wrong_way, "faster is not");
    assert_eq!(batch_change(row, Some(&old), &old, &platform), None);
}

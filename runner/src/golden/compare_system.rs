//! Compares the metrics that a run has as a whole: speed, efficiency, memory, counts.

use super::comparator::{Comparator, settled};
use super::compare::{Rules, Run};
use super::golden_file::Golden;
use super::metric::{Happening, Latency, Metric, Origin, Peak};
use super::verdict::{Difference, MetricVerdict, Outcome};
use crate::metrics::{Distribution, Measured, Metrics, Statistic, median, min_samples, significant};

/// Compares one system metric. Where the platform does not gate it, what is asserted is that it was measured.
pub(super) fn compare_system(
    metric: Metric,
    rules: &Rules<'_>,
    run: Run<'_>,
    golden: &Golden,
) -> MetricVerdict {
    let declared = golden.provenance.as_ref().and_then(|p| p.bands.get(metric.name()).copied());
    let comparator = metric.comparator(rules.platform, golden.origin(), declared, rules.tolerance(metric));
    let mut verdict = MetricVerdict::new(metric.name(), comparator.to_string());
    let current = match measured_list(metric, rules, run, golden.origin()) {
        Ok(current) => current,
        Err(why) => return not_measured(verdict, &why),
    };
    let list = golden.system(metric).map(super::SystemValue::numbers).unwrap_or_default();
    if metric == Metric::CudaGraphSizes {
        verdict.assert(list == current.as_slice(), || {
            difference(&format!("{list:?}"), &format!("{current:?}"), None)
        });
        return verdict.finished();
    }
    let (Some(expected), Some(got)) = (representative(metric, list), representative(metric, &current)) else {
        return not_measured(verdict, "there is no number on one side");
    };
    verdict.summary = in_words(expected, got);
    if list.iter().any(|x| !x.is_finite()) {
        verdict.assert(false, || difference("a number that is not finite", &significant(got), None));
        return verdict;
    }
    if let Err(why) = rules_out(metric, rules, run.summary) {
        // Being measurable is what is asserted here; `measured_list` has just made sure of it.
        verdict.assert(got > 0.0, || difference("a number above 0", &significant(got), None));
        if verdict.outcome == Outcome::Passed {
            verdict.outcome = Outcome::RecordedOnly(why);
        }
        return verdict.finished();
    }
    verdict.assert(comparator.holds(expected, got), || {
        let allowed = match comparator.allowed(expected) {
            Some((low, high)) => {
                format!("{} (allowed: {} to {})", significant(expected), significant(low), significant(high))
            }
            None => expected.to_string(),
        };
        let exactly = if comparator == Comparator::Exact { got.to_string() } else { significant(got) };
        difference(&allowed, &exactly, Some((expected - got).abs()))
    });
    verdict.finished()
}

/// Why the metric is recorded and not gated in this run, if so.
fn rules_out(metric: Metric, rules: &Rules<'_>, summary: &Metrics) -> Result<(), String> {
    metric.gates_on(rules.platform)?;
    let Metric::Latency(kind, statistic) = metric else {
        return Ok(());
    };
    let n = latency(summary, kind).n;
    if statistic != Statistic::Median && n < min_samples(statistic) {
        return Err(format!("recorded, not gated: needs {} samples, had {n}", min_samples(statistic)));
    }
    Ok(())
}

/// The run's value or values; an error says why there is none.
fn measured_list(
    metric: Metric,
    rules: &Rules<'_>,
    run: Run<'_>,
    origin: Origin,
) -> Result<Vec<f64>, String> {
    let summary = run.summary;
    if metric == Metric::Throughput {
        let (entries, requests) = (summary.throughput.len(), run.record.requests.len());
        // A foreign list has one entry per repeat or per request; ours has one per request.
        if origin == Origin::Own && entries != requests {
            return Err(format!("{entries} of {requests} requests have a throughput; expected one each"));
        }
        return match summary.throughput.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            Some(bad) => Err(format!("a request's throughput is {bad}; expected a finite number above 0")),
            None if entries == 0 => Err("no request has a throughput".to_owned()),
            None => Ok(summary.throughput.clone()),
        };
    }
    if metric == Metric::CudaGraphSizes {
        let sizes = graph_sizes(summary);
        return if sizes.is_empty() { Err("no rank made a step".to_owned()) } else { Ok(sizes) };
    }
    if metric == Metric::Count(Happening::Repeats) {
        return Ok(vec![rules.num_runs as f64]);
    }
    match current_number(metric, summary) {
        Measured::Value(value) => Ok(vec![value]),
        Measured::NotMeasurable(reason) => Err(reason),
    }
}

/// A system metric of one run that is a single number. `throughput` is its settled median.
pub(super) fn current_number(metric: Metric, summary: &Metrics) -> Measured {
    match metric {
        Metric::Throughput => match settled(&summary.throughput) {
            Some(value) => Measured::Value(value),
            None => Measured::not("no request has a throughput"),
        },
        Metric::OutputThroughput => summary.output_throughput.clone(),
        Metric::Efficiency => summary.efficiency.clone(),
        Metric::MemMaxAllocatedBytes => summary.mem_max_allocated_bytes.clone(),
        Metric::LifetimePrefillTokenCount => of_ranks(summary, summary.lifetime_prefill_token_count),
        Metric::Latency(kind, statistic) => latency(summary, kind).get(statistic).clone(),
        Metric::Count(happening) => count(summary, happening),
        Metric::Peak(Peak::Requests) => of_ranks(summary, summary.max_step_requests),
        Metric::Peak(Peak::Tokens) => of_ranks(summary, summary.max_step_tokens),
        Metric::CudaGraphSizes => Measured::not("it is a list"),
        Metric::GeneratedTokens
        | Metric::GeneratedText
        | Metric::Fact(_)
        | Metric::Logprobs
        | Metric::PromptLogprobs
        | Metric::GeneratedLogprobs
        | Metric::Batch(_) => Measured::not("it is no system metric"),
    }
}

fn count(summary: &Metrics, happening: Happening) -> Measured {
    let count = match happening {
        Happening::Evictions => summary.num_evictions,
        Happening::Pauses => summary.num_pauses,
        Happening::Suspensions => summary.num_suspensions,
        // The client's own doing.
        Happening::Drains => return Measured::Value(summary.num_drains as f64),
        Happening::Recomputations => summary.num_recomputations,
        Happening::Offloads => summary.num_offloads,
        Happening::Repeats => return Measured::not("one run does not know of the others"),
    };
    of_ranks(summary, count)
}

/// What only ranks know.
fn of_ranks(summary: &Metrics, count: u64) -> Measured {
    if summary.ranks_are_known {
        Measured::Value(count as f64)
    } else {
        Measured::not("the ranks are somebody else's, and nothing is known of their steps")
    }
}

/// Sizes of the CUDA graphs that were replayed, 0 for steps without one.
pub(super) fn graph_sizes(summary: &Metrics) -> Vec<f64> {
    summary.cuda_graph_sizes.iter().map(|&size| size as f64).collect()
}

fn latency(summary: &Metrics, kind: Latency) -> &Distribution {
    match kind {
        Latency::Ttft => &summary.ttft_ms,
        Latency::Itl => &summary.itl_ms,
        Latency::Tpot => &summary.tpot_ms,
        Latency::E2el => &summary.e2el_ms,
    }
}

/// The number that stands for a golden's list. Megatron's rule for memory is the same as for throughput.
pub(super) fn representative(metric: Metric, list: &[f64]) -> Option<f64> {
    match metric {
        Metric::Throughput | Metric::MemMaxAllocatedBytes => settled(list),
        Metric::OutputThroughput
        | Metric::Efficiency
        | Metric::LifetimePrefillTokenCount
        | Metric::Count(_)
        | Metric::Peak(_)
        | Metric::CudaGraphSizes
        | Metric::Latency(_, _)
        | Metric::Fact(_)
        | Metric::Batch(_)
        | Metric::GeneratedTokens
        | Metric::GeneratedText
        | Metric::Logprobs
        | Metric::PromptLogprobs
        | Metric::GeneratedLogprobs => median(list),
    }
}

/// `golden 0.4100, now 0.4305 (+5.0 %)`.
pub(super) fn in_words(golden: f64, current: f64) -> String {
    // Adding 0 makes a rounded -0 a 0.
    let change = ((current / golden - 1.0) * 1000.0).round() / 10.0 + 0.0;
    let change = if change.is_finite() { format!(" ({change:+.1} %)") } else { String::new() };
    format!("golden {}, now {}{change}", significant(golden), significant(current))
}

fn not_measured(mut verdict: MetricVerdict, why: &str) -> MetricVerdict {
    verdict.outcome = Outcome::Failed;
    verdict.summary = format!("not measurable in this run: {why}");
    verdict
}

fn difference(golden: &str, current: &str, size: Option<f64>) -> Difference {
    Difference { request: None, index: None, golden: golden.to_owned(), current: current.to_owned(), size }
}

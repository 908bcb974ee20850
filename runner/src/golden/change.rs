//! What accepting a pending golden would change, metric by metric.

use std::fmt;

use super::compare_batches::batch_change;
use super::compare_system::{in_words, representative};
use super::golden_file::{Golden, SystemValue};
use super::metric::{Better, METRICS, Metric, MetricRow, Origin, Scope};
use super::text_diff;
use crate::metrics::significant;
use crate::plan::Platform;

/// One metric's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The metric.
    pub metric: Metric,
    /// Old and new, in a line.
    pub summary: String,
    /// It got worse by more than its band allows: slower, less efficient, more memory.
    pub wrong_way: bool,
    /// More detail, for a person who reviews it.
    pub diff: Option<String>,
}

/// Changes from `old` (`None` = there is no golden yet) to `new` on `platform`.
pub fn changes(old: Option<&Golden>, new: &Golden, platform: &Platform) -> Vec<Change> {
    let of = |row: &MetricRow| match row.scope {
        Scope::PerRequest => request_change(row.metric, old, new),
        Scope::System => system_change(row, old, new, platform),
        Scope::PerBatch => batch_change(row, old, new, platform),
    };
    METRICS.iter().filter_map(of).collect()
}

fn request_change(metric: Metric, old: Option<&Golden>, new: &Golden) -> Option<Change> {
    let change = |summary: String, diff| Some(Change { metric, summary, wrong_way: false, diff });
    let count = |golden: &Golden| golden.requests.values().filter(|r| r.holds(metric)).count();
    let before = old.map_or(0, count);
    let now = count(new);
    match (before, now) {
        (0, 0) => return None,
        (0, now) => return change(format!("new, in {now} requests"), None),
        (before, 0) => return change(format!("no longer there (it was in {before} requests)"), None),
        (_, _) => {}
    }
    let old = old?;
    let differing: Vec<u64> = new
        .requests
        .iter()
        .filter(|(id, request)| {
            old.requests.get(id).is_none_or(|before| before.value(metric) != request.value(metric))
        })
        .map(|(id, _)| *id)
        .collect();
    let gone = old.requests.keys().filter(|id| !new.requests.contains_key(id)).count();
    if differing.is_empty() && gone == 0 {
        return None;
    }
    let first = differing.first().copied();
    let diff = first.and_then(|id| diff_of(metric, id, old, new));
    let at = first.map(|id| format!(", first in request {id}")).unwrap_or_default();
    let gone = if gone > 0 { format!("; {gone} requests are no longer there") } else { String::new() };
    change(format!("differs in {} of {now} requests{at}{gone}", differing.len()), diff)
}

fn diff_of(metric: Metric, id: u64, old: &Golden, new: &Golden) -> Option<String> {
    let (before, now) = (old.requests.get(&id)?, new.requests.get(&id)?);
    match metric {
        Metric::GeneratedTokens => {
            Some(text_diff::tokens(before.generated_tokens.as_deref()?, now.generated_tokens.as_deref()?))
        }
        Metric::GeneratedText => {
            Some(text_diff::words(before.generated_text.as_deref()?, now.generated_text.as_deref()?))
        }
        Metric::Logprobs | Metric::PromptLogprobs | Metric::GeneratedLogprobs => {
            let (before, now) = (before.logprobs_of(metric)?, now.logprobs_of(metric)?);
            let size = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
            let largest = before.iter().zip(now).map(size).fold(0.0, f64::max);
            Some(format!("largest difference in request {id}: {}", significant(largest)))
        }
        Metric::Fact(_)
        | Metric::Throughput
        | Metric::OutputThroughput
        | Metric::Efficiency
        | Metric::MemMaxAllocatedBytes
        | Metric::LifetimePrefillTokenCount
        | Metric::Count(_)
        | Metric::Peak(_)
        | Metric::CudaGraphSizes
        | Metric::Latency(_, _)
        | Metric::Batch(_) => None,
    }
}

fn system_change(row: &MetricRow, old: Option<&Golden>, new: &Golden, platform: &Platform) -> Option<Change> {
    let metric = row.metric;
    let value = |golden: &Golden| golden.system(metric).map(SystemValue::numbers).map(<[f64]>::to_vec);
    let (before, now) = (old.and_then(value), value(new));
    let change = |summary: String, wrong_way| Some(Change { metric, summary, wrong_way, diff: None });
    let number = |list: &[f64]| representative(metric, list).unwrap_or(f64::NAN);
    match (before, now) {
        (None, None) => None,
        (None, Some(now)) => change(format!("new: {}", significant(number(&now))), false),
        (Some(before), None) => {
            change(format!("no longer there (was {})", significant(number(&before))), false)
        }
        (Some(before), Some(now)) if before == now => None,
        (Some(before), Some(now)) if metric == Metric::CudaGraphSizes => {
            change(format!("golden {before:?}, now {now:?}"), false)
        }
        (Some(before), Some(now)) => {
            let (before, now) = (number(&before), number(&now));
            change(in_words(before, now), is_wrong_way(row, platform, before, now))
        }
    }
}

/// Worse than the metric's own band allows, where the platform gates it.
fn is_wrong_way(row: &MetricRow, platform: &Platform, before: f64, now: f64) -> bool {
    if row.metric.gates_on(platform).is_err() {
        return false;
    }
    let Some((low, high)) = row.metric.comparator(platform, Origin::Own, None, None).allowed(before) else {
        return false;
    };
    match row.better {
        Better::Same => false,
        Better::Higher => now < low,
        Better::Lower => now > high,
    }
}

/// `throughput: golden 100.0, now 80.00 (-20.0 %)  [the wrong way]`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = if self.wrong_way { "  [the wrong way]" } else { "" };
        write!(f, "{}: {}{flag}", self.metric, self.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(text: &str) -> Golden {
        Golden::from_bytes(text.as_bytes()).unwrap()
    }

    fn lines(old: Option<&str>, new: &str) -> Vec<String> {
        let old = old.map(golden);
        changes(old.as_ref(), &golden(new), &Platform::Gpu("h100x1".to_owned()))
            .iter()
            .map(Change::to_string)
            .collect()
    }

    #[test]
    fn slower_is_the_wrong_way_and_faster_is_not() {
        let old = r#"{"throughput": [1, 100], "mem-max-allocated-bytes": 1000, "ttft_ms": 10}"#;
        assert_eq!(
            lines(Some(old), r#"{"throughput": [1, 80], "mem-max-allocated-bytes": 1200, "ttft_ms": 20}"#),
            [
                "throughput: golden 100.0, now 80.00 (-20.0 %)  [the wrong way]",
                "mem-max-allocated-bytes: golden 1000, now 1200 (+20.0 %)  [the wrong way]",
                "ttft_ms: golden 10.00, now 20.00 (+100.0 %)  [the wrong way]",
            ]
        );
        assert_eq!(
            lines(Some(old), r#"{"throughput": [1, 95], "mem-max-allocated-bytes": 500, "ttft_ms": 10}"#),
            [
                "throughput: golden 100.0, now 95.00 (-5.0 %)",
                "mem-max-allocated-bytes: golden 1000, now 500.0 (-50.0 %)",
            ]
        );
    }

    #[test]
    fn on_cpu_absolute_speed_has_no_wrong_way() {
        let (old, new) = (golden(r#"{"throughput": [100]}"#), golden(r#"{"throughput": [10]}"#));
        assert!(!changes(Some(&old), &new, &Platform::Cpu)[0].wrong_way);
    }

    #[test]
    fn requests_are_counted_and_the_first_is_shown() {
        let old = r#"{"0": {"generated_tokens": [1]}, "1": {"generated_tokens": [2]}, "2": {"generated_tokens": [3]}}"#;
        let new = r#"{"0": {"generated_tokens": [1]}, "1": {"generated_tokens": [9]}}"#;
        assert_eq!(
            lines(Some(old), new),
            [
                "generated_tokens: differs in 1 of 2 requests, first in request 1; 1 requests are no longer there"
            ]
        );
        assert_eq!(lines(None, new), ["generated_tokens: new, in 2 requests"]);
        assert_eq!(lines(Some(new), r#"{"throughput": [5]}"#).len(), 2);
        assert!(lines(Some(old), old).is_empty());
    }
}

//! Compares what a performance case measured by batch size with its baseline: the original's rules, and every number that
//! one side lacks fails, where the original passes over it.

use std::collections::{BTreeMap, BTreeSet};

use super::batches::GoldenBatch;
use super::change::Change;
use super::comparator::Comparator;
use super::compare::Rules;
use super::compare_system::in_words;
use super::golden_file::Golden;
use super::metric::{Better, Metric, MetricRow};
use super::provenance::Band;
use super::verdict::{Difference, MetricVerdict, Outcome};
use crate::metrics::{BatchMetric, Measured, Metrics, significant};
use crate::plan::Platform;

/// How tolerances, as shares, compare a metric: only a throughput can be too high.
pub(super) fn rule_within(metric: BatchMetric, tolerance: f64, upper_tolerance: f64) -> Comparator {
    if metric == BatchMetric::Throughput {
        Comparator::RatioBand(Band { low: 1.0 - tolerance, high: 1.0 + upper_tolerance })
    } else {
        Comparator::AtMost(1.0 + tolerance)
    }
}

/// Compares one metric in every batch size that either side has.
pub(super) fn compare_batches(
    metric: BatchMetric,
    rules: &Rules<'_>,
    summary: &Metrics,
    golden: &Golden,
) -> MetricVerdict {
    let name = Metric::Batch(metric);
    let comparator = match rules.performance {
        Some(plan) => rule_within(metric, plan.tolerance, plan.upper_tolerance),
        None => name.comparator(rules.platform, golden.origin(), None, None),
    };
    let gates = name.gates_on(rules.platform);
    let number = |measured: &Measured| match measured {
        Measured::Value(value) => Ok(*value),
        Measured::NotMeasurable(_) => Err(measured.to_string()),
    };
    let measured = summary.batches.iter().map(|b| (b.batch_size as u64, number(b.get(metric)))).collect();
    let mut verdict =
        compare_sizes(metric, comparator, gates.is_ok(), &numbers(metric, &golden.batches), &measured);
    match gates {
        Err(why) if verdict.outcome == Outcome::Passed && verdict.assertions > 0 => {
            verdict.outcome = Outcome::RecordedOnly(why);
        }
        Err(_) | Ok(()) => {}
    }
    verdict.finished()
}

/// One metric of every batch size, or what there is instead of a number.
pub(super) type BySize = BTreeMap<u64, Result<f64, String>>;

/// A metric's numbers in the entries of a golden, or of any file like it.
pub(super) fn numbers(metric: BatchMetric, batches: &BTreeMap<u64, GoldenBatch>) -> BySize {
    let number =
        |batch: &GoldenBatch| batch.number(Metric::Batch(metric)).ok_or_else(|| "no number".to_owned());
    batches.iter().map(|(size, batch)| (*size, number(batch))).collect()
}

/// Compares every batch size that either side has. Where a metric does not gate, what is recorded only must have been
/// measured all the same.
pub(super) fn compare_sizes(
    metric: BatchMetric,
    comparator: Comparator,
    gates: bool,
    golden: &BySize,
    current: &BySize,
) -> MetricVerdict {
    let mut verdict = MetricVerdict::new(Metric::Batch(metric).name(), comparator.to_string());
    let mut told = Vec::new();
    let (no_golden, not_run) = (Err("no number".to_owned()), Err("this batch size was not run".to_owned()));
    for size in golden.keys().chain(current.keys()).copied().collect::<BTreeSet<u64>>() {
        let expected = golden.get(&size).unwrap_or(&no_golden);
        match (expected, current.get(&size).unwrap_or(&not_run)) {
            (&Ok(expected), &Ok(got)) => {
                told.push(format!("batch {size}: {}", in_words(expected, got)));
                let holds = if gates { comparator.holds(expected, got) } else { got > 0.0 };
                let distance = Some((expected - got).abs());
                verdict.assert(holds, || {
                    difference(size, allowed(comparator, expected), significant(got), distance)
                });
            }
            (expected, got) => {
                let shown =
                    |side: &Result<f64, String>| side.as_ref().map_or_else(Clone::clone, |x| significant(*x));
                verdict.assert(false, || difference(size, shown(expected), shown(got), None));
            }
        }
    }
    verdict.summary = told.join("; ");
    verdict
}

fn allowed(comparator: Comparator, expected: f64) -> String {
    match comparator.allowed(expected) {
        Some((low, high)) => {
            format!("{} (allowed: {} to {})", significant(expected), significant(low), significant(high))
        }
        None => significant(expected),
    }
}

fn difference(batch: u64, golden: String, current: String, size: Option<f64>) -> Difference {
    Difference { request: None, index: None, golden: format!("batch {batch}: {golden}"), current, size }
}

/// What a new golden would change of one metric, over all batch sizes.
pub(super) fn batch_change(
    row: &MetricRow,
    old: Option<&Golden>,
    new: &Golden,
    platform: &Platform,
) -> Option<Change> {
    let metric = row.metric;
    let number =
        |golden: &Golden, size: u64| golden.batches.get(&size).and_then(|batch| batch.number(metric));
    let mut told = Vec::new();
    let mut wrong_way = false;
    let sizes = old.into_iter().chain([new]).flat_map(|golden| golden.batches.keys().copied());
    for size in sizes.collect::<BTreeSet<u64>>() {
        match (old.and_then(|old| number(old, size)), number(new, size)) {
            (Some(before), Some(now)) if before == now => {}
            (None, None) => {}
            (None, Some(now)) => told.push(format!("batch {size}: new: {}", significant(now))),
            (Some(before), None) => {
                told.push(format!("batch {size}: no longer there (was {})", significant(before)));
            }
            (Some(before), Some(now)) => {
                told.push(format!("batch {size}: {}", in_words(before, now)));
                let worse = match row.better {
                    Better::Same => false,
                    Better::Higher => now < before,
                    Better::Lower => now > before,
                };
                let comparator = metric.comparator(platform, new.origin(), None, None);
                wrong_way |= worse && metric.gates_on(platform).is_ok() && !comparator.holds(before, now);
            }
        }
    }
    let summary = told.join("; ");
    (!told.is_empty()).then_some(Change { metric, summary, wrong_way, diff: None })
}

#[cfg(test)]
#[path = "compare_batches_tests.rs"]
mod tests;

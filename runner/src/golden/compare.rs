//! Compares one run with its golden. Pure: nothing is read or written here.

use std::collections::{BTreeMap, BTreeSet};

use super::compare_batches::compare_batches;
use super::compare_requests::compare_requests;
use super::compare_system::compare_system;
use super::golden_file::{Golden, Integrity};
use super::metric::{Metric, Scope};
use super::verdict::{MetricVerdict, Verdict};
use crate::metrics::{Metrics, RequestOutcome, RunRecord, batch_faults};
use crate::plan::{CasePlan, PerformancePlan, Platform};

/// Requests named in one sentence at most.
const MAX_NAMED: usize = 5;

/// What a comparison needs to know about a case.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Where the case ran.
    pub platform: &'a Platform,
    /// METRICS.
    pub metrics: &'a [String],
    /// TOLERANCES by metric name.
    pub tolerances: &'a [(String, f64)],
    /// Batch sizes and their tolerances, in a performance case.
    pub performance: Option<&'a PerformancePlan>,
    /// Runs of the case that are judged: this one and the others.
    pub num_runs: usize,
    /// Command that accepts a pending golden of the case.
    pub accept_command: &'a str,
}

/// One run: its record and the summary of it.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The record.
    pub record: &'a RunRecord,
    /// Its summary.
    pub summary: &'a Metrics,
}

impl<'a> Rules<'a> {
    /// The rules of a plan.
    pub fn of(plan: &'a CasePlan, num_runs: usize, accept_command: &'a str) -> Self {
        Self {
            platform: &plan.platform,
            metrics: &plan.metrics,
            tolerances: &plan.tolerances,
            performance: plan.performance.as_ref(),
            num_runs,
            accept_command,
        }
    }

    /// The case's tolerance for a metric.
    pub(super) fn tolerance(&self, metric: Metric) -> Option<f64> {
        self.tolerances.iter().find(|(name, _)| name == metric.name()).map(|(_, tolerance)| *tolerance)
    }
}

/// Compares `run` with `golden` by `rules`.
pub fn compare(rules: &Rules<'_>, run: Run<'_>, golden: &Golden) -> Verdict {
    let problems = mishaps(run.record);
    let mut verdict = Verdict { has_mishap: !problems.is_empty(), problems, ..Verdict::default() };
    verdict.problems.extend(untrusted(rules, golden));
    if rules.metrics.is_empty() {
        verdict.problems.push(
            "METRICS is empty: the case compares nothing with its golden; name at least one metric"
                .to_owned(),
        );
    }
    let metrics: Vec<Result<Metric, Box<MetricVerdict>>> =
        rules.metrics.iter().map(|name| usable(name, rules, golden)).collect();
    let any_per_request =
        metrics.iter().any(|m| m.as_ref().is_ok_and(|m| m.row().scope == Scope::PerRequest));
    if any_per_request || !golden.requests.is_empty() {
        verdict.problems.extend(unmatched(run.record, golden));
    }
    for metric in metrics {
        verdict.metrics.push(match metric {
            Err(failed) => *failed,
            Ok(Metric::Batch(metric)) => compare_batches(metric, rules, run.summary, golden),
            Ok(metric) => match metric.row().scope {
                Scope::PerRequest => compare_requests(metric, rules, run.record, golden),
                Scope::System | Scope::PerBatch => compare_system(metric, rules, run, golden),
            },
        });
    }
    verdict.notes.extend(changed_case(run.record, golden));
    verdict.guarded()
}

/// The metric of that name, or why it cannot be compared.
fn usable(name: &str, rules: &Rules<'_>, golden: &Golden) -> Result<Metric, Box<MetricVerdict>> {
    let failed = |what: String| Box::new(MetricVerdict::failed(name, what));
    let metric: Metric = name.parse().map_err(failed)?;
    if let Some(tolerance) = rules.tolerance(metric) {
        if !metric.takes_tolerance() {
            return Err(failed(format!(
                "TOLERANCES gives it {tolerance}, but it is compared exactly and takes no tolerance"
            )));
        }
        if !(tolerance.is_finite() && tolerance >= 0.0) {
            return Err(failed(format!("TOLERANCES gives it {tolerance}; expected a number from 0")));
        }
    }
    let held = golden.held_metrics();
    if held.contains(&name) {
        return Ok(metric);
    }
    let held = if held.is_empty() { "no metric at all".to_owned() } else { held.join(", ") };
    Err(failed(format!("METRICS names it, but the golden does not have it; the golden has {held}")))
}

/// What fails a run whatever it is compared with: requests and ranks that did not end well.
pub(super) fn mishaps(record: &RunRecord) -> Vec<String> {
    let mut problems = unfinished(record);
    problems.extend(record.rank_faults.iter().cloned());
    problems.extend(batch_faults(record));
    problems
}

/// Requests that did not end well fail the case whatever METRICS says.
fn unfinished(record: &RunRecord) -> Vec<String> {
    let mut problems = Vec::new();
    if record.requests.is_empty() {
        problems.push("the run had no requests".to_owned());
    }
    let mut silent = Vec::new();
    let mut failed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for request in &record.requests {
        match &request.outcome {
            RequestOutcome::Completed => {}
            RequestOutcome::Unanswered => silent.push(request.id.to_string()),
            RequestOutcome::Failed { reason } => {
                failed.entry(reason).or_default().push(request.id.to_string());
            }
        }
    }
    let total = record.requests.len();
    if !silent.is_empty() {
        problems.push(format!(
            "{} of {total} requests got no final reply before the deadline: {}",
            silent.len(),
            some_of(&silent)
        ));
    }
    if !failed.is_empty() {
        let num_failed: usize = failed.values().map(Vec::len).sum();
        let reasons: Vec<String> =
            failed.iter().map(|(reason, ids)| format!("{} ({reason})", some_of(ids))).collect();
        problems.push(format!("{num_failed} of {total} requests failed: {}", some_of(&reasons)));
    }
    problems
}

/// A golden that was edited, or that another platform recorded, proves nothing.
fn untrusted(rules: &Rules<'_>, golden: &Golden) -> Option<String> {
    let platform = rules.platform;
    let accept = rules.accept_command;
    match (&golden.provenance, &golden.integrity) {
        (Some(_), Integrity::Edited) => Some(format!(
            "the golden was edited by hand: provenance.content_hash does not match its content; \
             re-accept it with `{accept}`"
        )),
        (Some(provenance), Integrity::Intact | Integrity::Unsealed) => {
            (provenance.platform != platform.to_string()).then(|| {
                format!(
                    "the golden was recorded on platform {}, and this run is on {platform}; record one here \
                     with `{accept}`",
                    provenance.platform
                )
            })
        }
        (None, _) => match platform {
            Platform::Cpu | Platform::Vcuda => Some(format!(
                "the golden has no provenance, so Goldlap did not write it, and nobody else records goldens \
                 of platform {platform}; re-accept it with `{accept}`"
            )),
            Platform::Gpu(_) => None,
        },
    }
}

/// Request ids must be the same on both sides.
fn unmatched(record: &RunRecord, golden: &Golden) -> Vec<String> {
    let served: BTreeSet<u64> = record.requests.iter().map(|r| r.id).collect();
    let known: BTreeSet<u64> = golden.requests.keys().copied().collect();
    let missing: Vec<_> = known.difference(&served).map(u64::to_string).collect();
    let extra: Vec<_> = served.difference(&known).map(u64::to_string).collect();
    let mut problems = Vec::new();
    if !missing.is_empty() {
        let n = missing.len();
        problems
            .push(format!("{n} request(s) of the golden are missing from the run: {}", some_of(&missing)));
    }
    if !extra.is_empty() {
        problems.push(format!(
            "{} request(s) of the run are not in the golden: {}",
            extra.len(),
            some_of(&extra)
        ));
    }
    problems
}

/// A note for whoever reads a failure: the golden answers another question than the case now asks.
fn changed_case(record: &RunRecord, golden: &Golden) -> Option<String> {
    let provenance = golden.provenance.as_ref()?;
    let changed = provenance.case_hash != super::case_hash(&record.plan);
    changed.then(|| {
        format!(
            "the case has changed since its golden was recorded ({}); differences may come from that",
            provenance.date
        )
    })
}

/// The first few of a list, and how many more there are.
fn some_of(items: &[String]) -> String {
    let shown = items.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;

//! What a comparison found, metric by metric, with the number of assertions that were evaluated.

use serde::Serialize;

/// The result of comparing one run with its golden.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// By metric, in the order of METRICS.
    pub metrics: Vec<MetricVerdict>,
    /// What fails the case whatever the metrics say, each a sentence.
    pub problems: Vec<String>,
    /// What a reader of a failure should know, each a sentence.
    pub notes: Vec<String>,
    /// Some of `problems` are the run's own: requests or ranks that did not end well.
    pub has_mishap: bool,
}

/// One metric's part of a verdict.
#[derive(Clone, Debug, Serialize)]
pub struct MetricVerdict {
    /// Name under METRICS.
    pub metric: String,
    /// The rule in words.
    pub comparator: String,
    /// Comparisons evaluated: one per token, logprob, text or system metric.
    pub assertions: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was compared, in a line: `golden 0.41, now 0.43 (+4.9 %)`.
    pub summary: String,
    /// Comparisons that failed.
    pub num_differences: u64,
    /// The one that comes first by request id and position.
    pub first: Option<Difference>,
    /// The largest, where differences have a size and it is not the first.
    pub worst: Option<Difference>,
    /// Diff of the first request that differs, for people.
    pub diff: Option<String>,
}

/// How a metric ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every assertion held.
    Passed,
    /// Measured, but not compared here; why.
    RecordedOnly(String),
    /// An assertion failed, or none could be made.
    Failed,
}

/// One place where run and golden differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Request, for metrics per request.
    pub request: Option<u64>,
    /// Position in the list, for lists.
    pub index: Option<usize>,
    /// What the golden has.
    pub golden: String,
    /// What the run had.
    pub current: String,
    /// |golden - current|, for numbers.
    pub size: Option<f64>,
}

impl Verdict {
    /// Nothing failed, and something was asserted.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
            && self.metrics.iter().all(|metric| metric.outcome != Outcome::Failed)
            && self.num_assertions() > 0
    }

    /// Assertions evaluated over all metrics.
    pub fn num_assertions(&self) -> u64 {
        self.metrics.iter().map(|metric| metric.assertions).sum()
    }

    /// A verdict that fails for one reason.
    pub fn failure(problem: impl Into<String>) -> Self {
        Self { problems: vec![problem.into()], ..Self::default() }
    }

    /// Makes sure that a verdict without assertions says so itself.
    pub(super) fn guarded(mut self) -> Self {
        if self.num_assertions() == 0 && self.problems.is_empty() {
            self.problems
                .push("no assertion was evaluated: this case checks nothing, which is a failure".to_owned());
        }
        self
    }
}

impl MetricVerdict {
    /// A metric about which nothing has been said yet.
    pub(super) fn new(metric: &str, comparator: String) -> Self {
        Self {
            metric: metric.to_owned(),
            comparator,
            assertions: 0,
            outcome: Outcome::Passed,
            summary: String::new(),
            num_differences: 0,
            first: None,
            worst: None,
            diff: None,
        }
    }

    /// A metric that fails without a comparison.
    pub(super) fn failed(metric: &str, summary: impl Into<String>) -> Self {
        let new = Self::new(metric, "cannot be compared".to_owned());
        Self { outcome: Outcome::Failed, summary: summary.into(), ..new }
    }

    /// Counts one assertion; `difference` is built where it failed.
    pub(super) fn assert(&mut self, holds: bool, difference: impl FnOnce() -> Difference) {
        self.assertions += 1;
        if !holds {
            self.add(difference());
        }
    }

    fn add(&mut self, difference: Difference) {
        self.outcome = Outcome::Failed;
        self.num_differences += 1;
        let larger = |than: &Option<Difference>| match than {
            None => true,
            Some(than) => difference.size.unwrap_or(-1.0).total_cmp(&than.size.unwrap_or(-1.0)).is_gt(),
        };
        if larger(&self.worst) && difference.size.is_some() {
            self.worst = Some(difference.clone());
        }
        self.first.get_or_insert(difference);
    }

    /// Drops a worst difference that is the first one.
    pub(super) fn finished(mut self) -> Self {
        if self.worst == self.first {
            self.worst = None;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_verdict_does_not_pass_and_says_why() {
        let verdict = Verdict::default().guarded();
        assert!(!Verdict::default().passed() && !verdict.passed());
        assert!(verdict.problems[0].contains("checks nothing"));
    }

    #[test]
    fn first_and_worst_are_kept_and_nan_is_worst_of_all() {
        let mut metric = MetricVerdict::new("logprobs", String::new());
        for (index, size) in [(3, 0.1), (5, 0.4), (7, 0.2), (9, f64::NAN)] {
            metric.assert(false, || Difference {
                request: Some(0),
                index: Some(index),
                golden: String::new(),
                current: String::new(),
                size: Some(size),
            });
            metric.assert(true, || unreachable!());
        }
        assert_eq!((metric.assertions, metric.num_differences), (8, 4));
        assert_eq!(metric.first.as_ref().unwrap().index, Some(3));
        assert_eq!(metric.worst.as_ref().unwrap().index, Some(9));
    }
}

//! The machine-readable result of a whole run of cases (`goldlap run --json FILE`).

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::atomic_file::write_atomically;
use crate::golden::Judgement;
use crate::metrics::Metrics;

/// Version of the file's layout; raised on every change that a reader could notice.
pub const RESULTS_SCHEMA_VERSION: u32 = 1;

/// Everything that was run, and how it ended.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// [`RESULTS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When the first case started, RFC 3339, UTC.
    pub started_at: String,
    /// Platform of all cases.
    pub platform: String,
    /// How many cases ended which way.
    pub counts: Counts,
    /// In the order in which they ended.
    pub cases: Vec<CaseResult>,
}

/// Cases by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Not run.
    pub skipped: usize,
    /// Failed as it is known to.
    pub known_failures: usize,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseResult {
    /// `group::folder`.
    pub name: String,
    /// How it ended.
    pub outcome: CaseOutcome,
    /// What was measured, in one line; empty where it was not run.
    pub summary: String,
    /// Launch to verdict, seconds; 0 where it was not run.
    pub duration_s: f64,
    /// Assertions that were evaluated.
    pub assertions: u64,
    /// Verdicts on each repeat, where the case got that far.
    pub judgement: Option<Judgement>,
    /// Summary of each repeat.
    pub summaries: Vec<Metrics>,
    /// Record file of each repeat.
    pub records: Vec<PathBuf>,
}

/// The ways in which a case ends. There is no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CaseOutcome {
    /// Every assertion held, and there was one.
    Passed,
    /// It did not.
    Failed {
        /// The text that a person is shown.
        why: String,
    },
    /// It was decided before the run not to run it.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It failed, as it is known to.
    KnownFailure {
        /// Why it fails.
        reason: String,
        /// Where that is tracked.
        issue: String,
    },
}

impl CaseResult {
    /// A case that could not run.
    pub fn failed(name: &str, why: String) -> Self {
        Self::not_run(name, CaseOutcome::Failed { why })
    }

    /// A case that is not to run here.
    pub fn skipped(name: &str, reason: String) -> Self {
        Self::not_run(name, CaseOutcome::Skipped { reason })
    }

    fn not_run(name: &str, outcome: CaseOutcome) -> Self {
        Self {
            name: name.to_owned(),
            outcome,
            summary: String::new(),
            duration_s: 0.0,
            assertions: 0,
            judgement: None,
            summaries: Vec::new(),
            records: Vec::new(),
        }
    }
}

impl Results {
    /// Results of `cases`.
    pub fn new(started_at: String, platform: String, cases: Vec<CaseResult>) -> Self {
        let mut counts = Counts::default();
        for case in &cases {
            match case.outcome {
                CaseOutcome::Passed => counts.passed += 1,
                CaseOutcome::Failed { .. } => counts.failed += 1,
                CaseOutcome::Skipped { .. } => counts.skipped += 1,
                CaseOutcome::KnownFailure { .. } => counts.known_failures += 1,
            }
        }
        Self { schema_version: RESULTS_SCHEMA_VERSION, started_at, platform, counts, cases }
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        write_atomically(path, text.as_bytes())
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_and_tagged() {
        let case = |name: &str, outcome| CaseResult { assertions: 7, ..CaseResult::not_run(name, outcome) };
        let skipped = CaseOutcome::Skipped { reason: "tensor parallel".to_owned() };
        let known = CaseOutcome::KnownFailure { reason: "slow".to_owned(), issue: "#1".to_owned() };
        let cases = vec![case("a", CaseOutcome::Passed), case("b", skipped), case("c", known)];
        let results = Results::new("2026-01-01T00:00:00Z".to_owned(), "cpu".to_owned(), cases);
        let folder = tempfile::tempdir().unwrap();
        results.write(&folder.path().join("r.json")).unwrap();
        let text = std::fs::read_to_string(folder.path().join("r.json")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema_version"], 1);
        assert_eq!(value["counts"]["passed"], 1);
        assert_eq!(value["counts"]["known_failures"], 1);
        assert_eq!(value["cases"][1]["outcome"]["kind"], "skipped");
        assert_eq!(value["cases"][1]["outcome"]["reason"], "tensor parallel");
    }
}

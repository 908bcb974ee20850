//! The way of a golden: none, pending, accepted, broken, pending again.

use std::fs;
use std::path::Path;

use super::*;
use crate::golden::test_run::{ALL, names, record};
use crate::golden::{Metric, ReviewError, SystemValue};
use crate::metrics::{Metrics, RunRecord};
use crate::plan::Platform;

struct Bench {
    _root: tempfile::TempDir,
    store: Store,
    plan: CasePlan,
    id: GoldenId,
}

fn bench(platform: &str) -> Bench {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let store = Store::new(at("cases"), at("goldens"), root.path());
    let platform: Platform = platform.parse().unwrap();
    let id = GoldenId { case: "gpt::tiny".to_owned(), platform: platform.clone() };
    Bench { plan: plan(platform), store, id, _root: root }
}

fn plan(platform: Platform) -> CasePlan {
    crate::golden::test_plan::plan("gpt::tiny", platform, names(&ALL))
}

impl Bench {
    fn judge(&self, record: &RunRecord, policy: Policy) -> Judgement {
        let summary = Metrics::of(record, None);
        judge(&self.plan, &[Run { record, summary: &summary }], policy, &self.store)
    }

    fn accept(&self, metric: Option<Metric>, reason: Option<&str>) -> Result<(), ReviewError> {
        let how = Acceptance { metric, reason: reason.map(str::to_owned), command: "xtask".to_owned() };
        Review::load(&self.store, &self.id)?.accept(&self.store, &how)
    }

    fn golden(&self) -> Golden {
        Golden::load(&self.id.below(&self.store.goldens)).unwrap().unwrap()
    }
}

fn files_below(path: &Path) -> usize {
    walkdir::WalkDir::new(path).into_iter().filter_map(Result::ok).filter(|e| e.file_type().is_file()).count()
}

#[test]
fn a_new_case_fails_pends_and_passes_once_accepted() {
    let bench = bench("cpu");
    let run = record("cpu");
    let first = bench.judge(&run, Policy::Pend);
    assert!(!first.passed());
    assert!(first.verdicts[0].problems[0].contains("there is no golden yet"));
    assert!(first.next_steps.last().unwrap().ends_with("cargo xtask update-goldens gpt::tiny --accept"));
    assert_eq!(first.pending, Some(bench.id.below(&bench.store.pending)));
    assert_eq!(files_below(&bench.store.goldens), 0);
    bench.accept(None, None).unwrap();
    assert_eq!(files_below(&bench.store.pending), 0);
    let second = bench.judge(&run, Policy::Pend);
    assert!(second.passed(), "{second:?}");
    assert_eq!(second.num_assertions(), 73);
}

#[test]
fn verify_writes_nothing_and_pend_never_touches_the_golden() {
    let bench = bench("cpu");
    let mut run = record("cpu");
    assert!(!bench.judge(&run, Policy::Verify).passed());
    assert_eq!(files_below(&bench.store.pending), 0);
    assert!(bench.judge(&run, Policy::Accept).passed());
    let before = fs::read(bench.id.below(&bench.store.goldens)).unwrap();
    run.requests[0].generated_tokens[0] = 9;
    assert!(!bench.judge(&run, Policy::Pend).passed());
    assert_eq!(fs::read(bench.id.below(&bench.store.goldens)).unwrap(), before);
    assert_eq!(files_below(&bench.store.pending), 1);
    // Passing again makes the pending file stale: it goes.
    assert!(bench.judge(&record("cpu"), Policy::Pend).passed());
    assert_eq!(files_below(&bench.store.pending), 0);
}

#[test]
fn a_failed_run_cannot_become_a_golden() {
    let bench = bench("cpu");
    let mut run = record("cpu");
    run.requests[2].outcome = crate::metrics::RequestOutcome::Unanswered;
    let judgement = bench.judge(&run, Policy::Pend);
    assert!(judgement.next_steps[0].contains("cannot become the golden: request 2 did not complete"));
    assert_eq!(files_below(&bench.store.pending), 0);
    assert!(matches!(bench.accept(None, None), Err(ReviewError::NothingPending(_))));
}

#[test]
fn what_went_wrong_is_said_even_without_a_golden_and_never_becomes_one() {
    let bench = bench("cpu");
    let mut run = record("cpu");
    run.rank_faults.push("rank 1 hung".to_owned());
    let judgement = bench.judge(&run, Policy::Pend);
    assert_eq!(judgement.next_steps, ["this run cannot become the golden: rank 1 hung"]);
    run.requests[2].outcome = crate::metrics::RequestOutcome::Failed { reason: "too long".to_owned() };
    let problems = bench.judge(&run, Policy::Pend).verdicts.remove(0).problems;
    assert_eq!(problems[1..], ["1 of 3 requests failed: 2 (too long)", "rank 1 hung"]);
    assert_eq!(files_below(&bench.store.pending), 0);
}

#[test]
fn a_broken_golden_is_red_and_can_be_replaced() {
    let bench = bench("cpu");
    let path = bench.id.below(&bench.store.goldens);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{\"0\": [").unwrap();
    let judgement = bench.judge(&record("cpu"), Policy::Pend);
    assert!(judgement.verdicts[0].problems[0].contains("golden_values_dev_cpu.json: not valid JSON: line 1"));
    bench.accept(None, None).unwrap();
    assert!(bench.judge(&record("cpu"), Policy::Verify).passed());
}

#[test]
fn slower_needs_a_reason_which_is_kept() {
    let bench = bench("h100x1");
    let mut run = record("h100x1");
    assert!(bench.judge(&run, Policy::Accept).passed());
    for request in &mut run.requests {
        request.finished_s = request.finished_s.map(|at| at * 2.0);
    }
    let refused = bench.judge(&run, Policy::Accept);
    assert!(!refused.passed());
    assert!(refused.next_steps[0].contains("not accepted"), "{:?}", refused.next_steps);
    let error = bench.accept(None, Some("  ")).unwrap_err().to_string();
    assert!(error.contains("throughput: golden 8.712, now 4.356 (-50.0 %)  [the wrong way]"), "{error}");
    assert!(error.ends_with("say why with --reason TEXT"), "{error}");
    bench.accept(None, Some("safer kernel")).unwrap();
    let provenance = bench.golden().provenance.unwrap();
    assert_eq!((provenance.reason.as_deref(), provenance.command.as_str()), (Some("safer kernel"), "xtask"));
    assert!(bench.judge(&run, Policy::Verify).passed());
}

#[test]
fn one_metric_can_be_taken_over_alone() {
    let bench = bench("h100x1");
    let mut run = record("h100x1");
    assert!(bench.judge(&run, Policy::Accept).passed());
    run.ranks[0].peak_rss_bytes /= 2;
    run.requests[0].generated_text.push('!');
    assert!(!bench.judge(&run, Policy::Pend).passed());
    bench.accept(Some(Metric::MemMaxAllocatedBytes), None).unwrap();
    let golden = bench.golden();
    assert_eq!(golden.system(Metric::MemMaxAllocatedBytes), Some(&SystemValue::Number(f64::from(1 << 19))));
    assert!(!golden.requests[&0].generated_text.as_deref().unwrap().ends_with('!'));
    assert_eq!(golden.provenance.unwrap().accepted_metrics, ["mem-max-allocated-bytes"]);
    // The text is still pending, and is taken over next.
    assert_eq!(files_below(&bench.store.pending), 1);
    bench.accept(Some(Metric::GeneratedText), None).unwrap();
    assert_eq!(files_below(&bench.store.pending), 0);
    assert!(bench.judge(&run, Policy::Verify).passed());
}

#[test]
fn one_metric_cannot_be_merged_into_what_is_not_ours_or_was_edited() {
    let bench = bench("h100x1");
    let run = record("h100x1");
    bench.judge(&run, Policy::Pend);
    let merge = || bench.accept(Some(Metric::Throughput), None).unwrap_err().to_string();
    assert!(merge().contains("no usable golden to merge one metric into"));
    let path = bench.id.below(&bench.store.goldens);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{\"throughput\": [8.7]}").unwrap();
    assert!(merge().contains("has no provenance"));
    let text = fs::read_to_string(bench.id.below(&bench.store.pending)).unwrap();
    fs::write(&path, text.replace("prompt 1", "prompt 8")).unwrap();
    assert!(merge().contains("edited by hand"));
}

#[test]
fn rejecting_removes_the_pending_file_and_its_empty_folders() {
    let bench = bench("cpu");
    bench.judge(&record("cpu"), Policy::Pend);
    reject(&bench.store, &bench.id).unwrap();
    assert_eq!(fs::read_dir(&bench.store.pending).unwrap().count(), 0);
    reject(&bench.store, &bench.id).unwrap();
}

#[test]
fn a_name_that_a_shell_would_take_apart_is_quoted() {
    assert_eq!(accept_command("gpt::dp2-ü.1"), "cargo xtask update-goldens gpt::dp2-ü.1 --accept");
    assert_eq!(accept_command("a b's"), r"cargo xtask update-goldens 'a b'\''s' --accept");
}

#[test]
fn next_steps_say_where_the_command_must_look() {
    let mut bench = bench("cpu");
    bench.store.environment = "GOLDLAP_CASES=/x ".to_owned();
    let steps = bench.judge(&record("cpu"), Policy::Pend).next_steps;
    for (step, end) in steps.iter().zip(["gpt::tiny", "gpt::tiny --accept"]) {
        assert!(step.ends_with(&format!(" GOLDLAP_CASES=/x cargo xtask update-goldens {end}")), "{step}");
    }
    assert_eq!(steps.len(), 2);
}

#[test]
fn nothing_run_is_a_failure() {
    let bench = bench("cpu");
    assert!(bench.judge(&record("cpu"), Policy::Accept).passed());
    let judgement = judge(&bench.plan, &[], Policy::Pend, &bench.store);
    assert!(!judgement.passed());
    assert_eq!(judgement.verdicts[0].problems, ["the case was not run"]);
}

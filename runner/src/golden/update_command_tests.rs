//! The review command on a real folder: flags for scripts, questions for people.

use clap::Parser;

use super::*;
use crate::golden::test_run::{ALL, names, record};
use crate::golden::{Golden, Policy, Run, judge};
use crate::metrics::{Metrics, RunRecord};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    command: UpdateGoldens,
}

struct Bench {
    _root: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let store = Store::new(at("cases"), at("goldens"), &at("output"));
        std::fs::create_dir_all(store.cases.join("gpt/a")).unwrap();
        std::fs::write(store.cases.join("gpt/a/model_config.yaml"), "").unwrap();
        Self { store, _root: root }
    }

    fn pend(&self, case: &str, record: &RunRecord) {
        let platform = record.platform.parse().unwrap();
        let plan = crate::golden::test_plan::plan(case, platform, names(&ALL));
        let summary = Metrics::of(record, None);
        judge(&plan, &[Run { record, summary: &summary }], Policy::Pend, &self.store);
    }

    /// Success and output.
    fn run(&self, line: &str, answers: Option<&str>) -> (bool, String) {
        let line = Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap();
        let mut out = Vec::new();
        let mut answers = answers.map(str::as_bytes);
        let person = answers.as_mut().map(|person| person as &mut dyn BufRead);
        let success = line.command.run(&self.store, &mut out, person).unwrap();
        (success, String::from_utf8(out).unwrap())
    }

    fn golden(&self, case: &str, platform: &str) -> Option<Golden> {
        let id = GoldenId { case: case.to_owned(), platform: platform.parse().unwrap() };
        Golden::load(&id.below(&self.store.goldens)).unwrap()
    }
}

/// Twice as slow as `record`.
fn slow(platform: &str) -> RunRecord {
    let mut run = record(platform);
    for request in &mut run.requests {
        request.finished_s = request.finished_s.map(|at| at * 2.0);
    }
    run
}

#[test]
fn accept_takes_what_matches_and_remembers_the_command() {
    let bench = Bench::new();
    bench.pend("gpt::a", &record("cpu"));
    bench.pend("gpt::b", &record("cpu"));
    let (success, text) = bench.run("gpt::a --accept", None);
    assert!(
        success && text.contains("there is no golden yet") && text.contains("accepted gpt::a (cpu)"),
        "{text}"
    );
    let provenance = bench.golden("gpt::a", "cpu").unwrap().provenance.unwrap();
    assert_eq!(provenance.command, "cargo xtask update-goldens gpt::a --accept");
    assert!(bench.golden("gpt::b", "cpu").is_none());
}

#[test]
fn nothing_pending_says_what_to_run_first() {
    let bench = Bench::new();
    let (success, text) = bench.run("gpt::a --accept", None);
    assert!(!success && text.contains("run the case first: cargo test -- gpt::a"), "{text}");
    assert!(!bench.run("--reject", None).0);
    assert!(bench.run("--list", None).0);
}

#[test]
fn slower_is_refused_until_a_reason_is_given() {
    let bench = Bench::new();
    bench.pend("gpt::a", &record("h100x1"));
    bench.run("--accept", None);
    bench.pend("gpt::a", &slow("h100x1"));
    let (success, text) = bench.run("--accept", None);
    assert!(!success && text.contains("[the wrong way]; say why with --reason TEXT"), "{text}");
    let (success, _) = bench.run("--accept --reason safer", None);
    assert!(success);
    let reason = bench.golden("gpt::a", "h100x1").unwrap().provenance.unwrap().reason;
    assert_eq!(reason.as_deref(), Some("safer"));
}

#[test]
fn a_person_is_asked_one_by_one() {
    let bench = Bench::new();
    for case in ["gpt::a", "gpt::b", "gpt::c", "gpt::d"] {
        bench.pend(case, &record("cpu"));
    }
    let (success, text) = bench.run("", Some("a\nr\ns\nq\n"));
    assert!(success && text.contains("[1 of 4]") && text.contains("[4 of 4]"), "{text}");
    assert!(bench.golden("gpt::a", "cpu").is_some() && bench.golden("gpt::b", "cpu").is_none());
    let left: Vec<_> = bench.store.pending().unwrap().into_iter().map(|id| id.case).collect();
    assert_eq!(left, ["gpt::c", "gpt::d"]);
}

#[test]
fn a_person_is_asked_for_a_reason_and_the_end_of_input_changes_nothing() {
    let bench = Bench::new();
    bench.pend("gpt::a", &record("h100x1"));
    bench.run("--accept", None);
    bench.pend("gpt::a", &slow("h100x1"));
    let before = bench.golden("gpt::a", "h100x1");
    bench.run("", Some(""));
    assert_eq!(bench.golden("gpt::a", "h100x1"), before);
    let (success, text) = bench.run("", Some("a\nmeasured on a cooler day\n"));
    assert!(success, "{text}");
    let reason = bench.golden("gpt::a", "h100x1").unwrap().provenance.unwrap().reason;
    assert_eq!(reason.as_deref(), Some("measured on a cooler day"));
}

#[test]
fn without_a_terminal_an_action_must_be_named() {
    let bench = Bench::new();
    bench.pend("gpt::a", &record("cpu"));
    let (success, text) = bench.run("", None);
    assert!(!success && text.contains("no terminal"), "{text}");
}

#[test]
fn check_is_red_until_everything_is_in_order() {
    let bench = Bench::new();
    let (success, text) = bench.run("--check", None);
    assert!(!success && text.contains("gpt::a (cpu): no golden;") && text.contains("1 finding(s)"), "{text}");
    bench.pend("gpt::a", &record("cpu"));
    assert!(bench.run("--check", None).1.contains("pending, not reviewed"));
    bench.run("--accept", None);
    assert_eq!(bench.run("--check", None), (true, "all goldens are in order\n".to_owned()));
}

#[test]
fn list_and_reject_leave_goldens_alone() {
    let bench = Bench::new();
    bench.pend("gpt::a", &record("cpu"));
    let (success, text) = bench.run("--list --platform cpu", None);
    assert!(success && text.contains("generated_tokens: new, in 3 requests"), "{text}");
    assert_eq!(bench.run("--reject", None), (true, "rejected gpt::a (cpu)\n".to_owned()));
    assert!(bench.golden("gpt::a", "cpu").is_none() && bench.store.pending().unwrap().is_empty());
}

#[test]
fn contradicting_flags_are_refused() {
    for line in ["--accept --reject", "--check --list", "--list --reason x", "--metric nonsense --accept"] {
        assert!(Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).is_err(), "{line}");
    }
}

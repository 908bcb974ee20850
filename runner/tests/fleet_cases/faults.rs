//! Ranks that fail in mid-run: what is survived, what fails the case, and that nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use goldlap::harness::{CaseContext, run_case};
use goldlap::metrics::{RequestOutcome, RunRecord};
use goldlap::report::CaseResult;
use goldlap::topology::Fault;
use libtest_mimic::Failed;

use super::Test;
use super::case_text::CaseText;
use super::processes::{assert_nothing_left, is_alive, processes_of, wait_for};
use super::scene::{CASE, Scene, assert_passed, assert_says, failure, records};

pub(super) const TESTS: &[Test] = &[
    ("a_killed_rank_loses_nothing", a_killed_rank_loses_nothing),
    ("a_rank_that_panics_is_survived_and_fails_the_case", a_rank_that_panics_is_survived_and_fails_the_case),
    ("a_rank_that_hangs_fails_the_case_in_time", a_rank_that_hangs_fails_the_case_in_time),
    ("all_ranks_killed_fail_the_case_at_once", all_ranks_killed_fail_the_case_at_once),
    ("ranks_that_never_come_up_fail_the_case_in_time", ranks_that_never_come_up_fail_the_case_in_time),
    ("a_rank_that_cannot_start_fails_the_case_at_once", a_rank_that_cannot_start_fails_the_case_at_once),
];

/// TIME_LIMIT_S of these cases, far less than anybody would wait for a dead rank.
const TIME_LIMIT_S: f64 = 25.0;

fn scene() -> Result<Scene, Failed> {
    Scene::with_golden(CASE, &CaseText::tiny().more("TIME_LIMIT_S: 25"))
}

/// The one record of a run, whose ranks are all gone.
fn record(scene: &Scene, result: &CaseResult) -> Result<RunRecord, Failed> {
    let record = records(result)?.pop().ok_or("no record was written")?;
    assert_eq!(record.ranks.len(), 2, "each rank is in the record, whatever became of it");
    for rank in &record.ranks {
        assert!(rank.pid > 0 && !is_alive(rank.pid), "process {} is left", rank.pid);
    }
    assert_nothing_left(scene);
    Ok(record)
}

/// The other rank served what this one could not.
fn assert_dispatched_again(record: &RunRecord) {
    assert!(record.requests.iter().all(|request| request.outcome == RequestOutcome::Completed));
    let again: Vec<_> = record.requests.iter().filter(|request| request.num_dispatches > 1).collect();
    assert!(!again.is_empty(), "no request was dispatched again");
    assert!(again.iter().all(|request| request.rank == Some(0)), "{again:?}");
    for request in &record.requests {
        let arrived: usize = request.arrivals.iter().map(|arrival| arrival.num_tokens as usize).sum();
        assert_eq!(arrived, request.generated_tokens.len(), "no token is streamed twice");
    }
}

fn a_killed_rank_loses_nothing() -> Result<(), Failed> {
    let scene = scene()?;
    let result = scene.run(CASE, &[(1, Fault::DieAfterSteps(4))])?;
    assert_passed(&result);
    assert_says(&result.summary, &["; survived: ", "rank 1", "killed by signal 9 (SIGKILL)"]);
    let record = record(&scene, &result)?;
    assert!(!record.incidents.is_empty() && record.rank_faults.is_empty());
    assert_dispatched_again(&record);
    Ok(())
}

fn a_rank_that_panics_is_survived_and_fails_the_case() -> Result<(), Failed> {
    let scene = scene()?;
    let result = scene.run(CASE, &[(1, Fault::PanicAfterSteps(4))])?;
    let expected = [
        "problem: rank 1 exited with status 101 in mid-run",
        "  ok   generated_tokens: 144 comparisons",
        "  ok   logprobs: ",
        "last lines of rank 1's log",
        "panics, as ordered",
    ];
    assert_says(failure(&result), &expected);
    assert_dispatched_again(&record(&scene, &result)?);
    Ok(())
}

fn a_rank_that_hangs_fails_the_case_in_time() -> Result<(), Failed> {
    let scene = scene()?;
    let result = scene.run(CASE, &[(1, Fault::HangAfterSteps(4))])?;
    let expected = [
        "problem: rank 1 hung: ",
        "  ok   generated_tokens: 144 comparisons",
        "incident at ",
        "last lines of rank 1's log",
        "rank 1: hangs, as ordered",
    ];
    assert_says(failure(&result), &expected);
    assert!(result.duration_s < TIME_LIMIT_S, "took {} s", result.duration_s);
    assert_dispatched_again(&record(&scene, &result)?);
    Ok(())
}

fn all_ranks_killed_fail_the_case_at_once() -> Result<(), Failed> {
    let scene = scene()?;
    let result = scene.run(CASE, &[(0, Fault::DieAfterSteps(4)), (1, Fault::DieAfterSteps(3))])?;
    let expected = [
        "12 of 12 requests failed: 0, 1, 2, 3, 4 and 7 more (no rank is left to serve it; the last one lost was rank ",
        "incident at ",
        "last lines of rank 0's log",
        "last lines of rank 1's log",
        "registered at tcp://127.0.0.1:",
    ];
    assert_says(failure(&result), &expected);
    let num_told = failure(&result).matches("was killed by signal 9 (SIGKILL)").count();
    assert!(num_told >= 2, "how each rank ended: {}", failure(&result));
    assert!(result.duration_s < TIME_LIMIT_S / 2.0, "took {} s", result.duration_s);
    assert!(scene.golden_path(CASE).is_file());
    record(&scene, &result)?;
    Ok(())
}

/// Runs the case with a script in the place of the executable.
fn run_with_script(scene: &Scene, script: &str) -> Result<CaseResult, Failed> {
    let executable = scene.at("test_cases/script");
    fs::write(&executable, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&executable, fs::Permissions::from_mode(0o755))?;
    Ok(run_case(&*scene.plan(CASE)?, &CaseContext { executable, ..scene.context()? }))
}

fn ranks_that_never_come_up_fail_the_case_in_time() -> Result<(), Failed> {
    // Five of the eight seconds are kept back for stopping ranks and comparing.
    let scene = Scene::with_golden(CASE, &CaseText::tiny().more("TIME_LIMIT_S: 8"))?;
    let result = run_with_script(&scene, "echo waiting for a bus; sleep 1000")?;
    assert_says(failure(&result), &["the case could not run: ", "rank 0: its log ends:\nwaiting for a bus"]);
    assert!((2.0..8.0).contains(&result.duration_s), "took {} s", result.duration_s);
    // The script's own child was killed with it, and nobody but init can wait for it.
    wait_for("the script's child goes", 5.0, || processes_of(&scene).is_empty());
    assert_nothing_left(&scene);
    Ok(())
}

fn a_rank_that_cannot_start_fails_the_case_at_once() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    let result = run_with_script(&scene, "echo out of luck >&2; exit 3")?;
    let expected = ["was lost before all ranks were ready", "exited with status 3", "out of luck"];
    assert_says(failure(&result), &expected);
    assert!(result.duration_s < TIME_LIMIT_S, "took {} s", result.duration_s);
    assert_nothing_left(&scene);
    Ok(())
}

//! Signals from outside to the program and to its ranks: everybody goes, nothing is left.

use std::io::Read;
use std::process::{Child, Stdio};

use goldlap::metrics::Clock;
use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};

use super::Test;
use super::case_text::CaseText;
use super::processes::{assert_nothing_left, processes_of, ranks_of, wait_for};
use super::scene::{CASE, Scene, assert_says};

pub(super) const TESTS: &[Test] = &[
    ("ctrl_c_ends_everything", || interrupted(Signal::INT, 130)),
    ("term_ends_everything", || interrupted(Signal::TERM, 143)),
    ("a_killed_program_takes_its_ranks_along", a_killed_program_takes_its_ranks_along),
    ("ctrl_c_while_a_model_is_made_leaves_no_part_of_it", ctrl_c_while_a_model_is_made_leaves_no_part_of_it),
    ("a_rank_killed_from_outside_loses_nothing", a_rank_killed_from_outside_loses_nothing),
];

/// From the signal to the end.
const PATIENCE_S: f64 = 2.0;

/// Requests trickle in for about two seconds, so that there is a mid-run.
fn slow() -> CaseText {
    CaseText::tiny().flag("--incoming-requests-per-sec", 6).flag("--num-tokens-to-generate", 40)
}

/// All requests are there at once, and take their time: when their ranks go, nothing is left to wait for.
fn long() -> CaseText {
    let flags = ["--max-position-embeddings", "--seq-length", "--inference-max-seq-length"];
    let roomy = flags.into_iter().fold(CaseText::tiny(), |case, flag| case.flag(flag, 8192));
    roomy.flag("--num-tokens-to-generate", 8000)
}

fn send(pid: u32, signal: Signal) -> Result<(), Failed> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no such pid")?;
    Ok(kill_process(pid, signal)?)
}

/// Starts the program on its cases and waits until both ranks serve.
fn started(scene: &Scene) -> Result<Child, Failed> {
    let child = scene.program(&["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let is_serving = |pid: &u32| {
        let log = std::fs::read_to_string(format!("/proc/{pid}/fd/2")).unwrap_or_default();
        log.contains("registered at")
    };
    wait_for("both ranks serve", 30.0, || ranks_of(scene).iter().filter(|pid| is_serving(pid)).count() == 2);
    Ok(child)
}

fn output(child: &mut Child) -> Result<String, Failed> {
    let mut text = String::new();
    child.stdout.take().ok_or("a standard output")?.read_to_string(&mut text)?;
    child.stderr.take().ok_or("a standard error")?.read_to_string(&mut text)?;
    Ok(text)
}

fn interrupted(signal: Signal, code: i32) -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &long())?;
    let mut child = started(&scene)?;
    let clock = Clock::start();
    send(child.id(), signal)?;
    let status = child.wait()?;
    wait_for("nobody is left", PATIENCE_S - clock.now_s(), || processes_of(&scene).is_empty());
    assert!(clock.now_s() < PATIENCE_S, "it took {} s", clock.now_s());
    let text = output(&mut child)?;
    assert_eq!(status.code(), Some(code), "{text}");
    assert_says(&text, &["ending all ranks"]);
    assert!(!text.contains("FAILED"), "an interrupted case is no failed case: {text}");
    assert_nothing_left(&scene);
    Ok(())
}

fn a_killed_program_takes_its_ranks_along() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &long())?;
    let mut child = started(&scene)?;
    child.kill()?;
    child.wait()?;
    wait_for("nobody is left", PATIENCE_S, || processes_of(&scene).is_empty());
    assert_nothing_left(&scene);
    Ok(())
}

fn ctrl_c_while_a_model_is_made_leaves_no_part_of_it() -> Result<(), Failed> {
    let wide = CaseText::tiny().flag("--hidden-size", 2048);
    let scene = Scene::with_case(CASE, &wide)?;
    let mut child = scene.program(&["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let is_unfinished = || {
        let entries = std::fs::read_dir(scene.at("cache/packed")).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.path().extension().is_some_and(|suffix| suffix == "partial"))
    };
    wait_for("the model is being made", 30.0, is_unfinished);
    send(child.id(), Signal::INT)?;
    let status = child.wait()?;
    assert_eq!(status.code(), Some(130), "{}", output(&mut child)?);
    assert_eq!(std::fs::read_dir(scene.at("cache/packed"))?.count(), 0, "a part of the model is left");
    assert_nothing_left(&scene);
    Ok(())
}

fn a_rank_killed_from_outside_loses_nothing() -> Result<(), Failed> {
    let scene = Scene::with_golden(CASE, &slow())?;
    let mut child = started(&scene)?;
    // Some requests have been served by both by then.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let victim = ranks_of(&scene)[1];
    send(victim, Signal::KILL)?;
    let status = child.wait()?;
    let text = output(&mut child)?;
    assert_eq!(status.code(), Some(0), "{text}");
    assert_says(&text, &["; survived: rank ", "was killed by signal 9 (SIGKILL)"]);
    assert_nothing_left(&scene);
    Ok(())
}

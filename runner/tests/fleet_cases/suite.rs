//! The generated suite, as `cargo test` and nextest start it.

use std::collections::BTreeMap;
use std::fs;

use libtest_mimic::Failed;
use serde_json::Value;

use super::Test;
use super::case_text::CaseText;
use super::processes::assert_nothing_left;
use super::scene::{CASE, Scene, assert_says};

pub(super) const TESTS: &[Test] = &[
    ("its_json_parses_line_by_line", its_json_parses_line_by_line),
    ("its_list_is_what_nextest_expects", its_list_is_what_nextest_expects),
];

const SKIPPED: &str = "gpt_dynamic_inference_tp2_pp1_dp1_tiny";
const NEW: &str = "gpt_dynamic_inference_tp1_pp1_dp1_new";
const STALE: &str = "gpt_dynamic_inference_tp1_pp1_dp1_stale";

/// One case of each fate: passes, fails, is ignored; and a golden without a case.
fn scene() -> Result<Scene, Failed> {
    let scene = Scene::with_golden(CASE, &CaseText::tiny())?;
    scene.add_case(NEW, &CaseText::tiny())?;
    scene.add_case(SKIPPED, &CaseText::tiny().flag("--tensor-model-parallel-size", 2))?;
    let goldens = scene.at("golden_values/gpt");
    fs::create_dir(goldens.join(STALE))?;
    let name = "golden_values_dev_cpu.json";
    fs::copy(goldens.join(CASE).join(name), goldens.join(STALE).join(name))?;
    Ok(scene)
}

fn its_json_parses_line_by_line() -> Result<(), Failed> {
    let scene = scene()?;
    let output = scene.suite(&["--format", "json"])?.output()?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert_eq!(output.status.code(), Some(101), "{out}{err}");
    assert_eq!(err, "", "the suite has nothing to say but its results");
    let mut tests = BTreeMap::new();
    let mut suite = None;
    for line in out.lines() {
        let event: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
        match (event["type"].as_str(), event["event"].as_str()) {
            (Some("test"), Some("started")) | (Some("suite"), Some("started")) => {}
            (Some("test"), Some(ending)) => {
                let name = event["name"].as_str().unwrap_or_default().to_owned();
                tests.insert(
                    name,
                    (ending.to_owned(), event["stdout"].as_str().unwrap_or_default().to_owned()),
                );
            }
            (Some("suite"), Some(_)) => suite = Some(event),
            other => return Err(format!("what is {other:?}? {line}").into()),
        }
    }
    let ending = |folder: &str| tests.get(&format!("gpt::{folder}")).cloned().unwrap_or_default();
    assert_eq!(ending(CASE).0, "ok", "{out}");
    assert_eq!(ending(SKIPPED).0, "ignored", "{out}");
    for (folder, why) in [(NEW, "there is no golden yet"), (STALE, "a golden without a case")] {
        assert_eq!(ending(folder).0, "failed", "{out}");
        assert_says(&ending(folder).1, &[why]);
    }
    let suite = suite.ok_or("the suite did not end")?;
    assert_eq!((&suite["passed"], &suite["failed"], &suite["ignored"]), (&1.into(), &2.into(), &1.into()));
    assert_nothing_left(&scene);
    Ok(())
}

fn its_list_is_what_nextest_expects() -> Result<(), Failed> {
    let scene = scene()?;
    let listed = |arguments: &[&str]| -> Result<Vec<String>, Failed> {
        let output = scene.suite(arguments)?.output()?;
        assert!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
    };
    let line = |folder: &str| format!("gpt::{folder}: test");
    let all = [NEW, CASE, SKIPPED, STALE].map(line);
    assert_eq!(listed(&["--list", "--format", "terse"])?, all);
    assert_eq!(listed(&["--list", "--format", "terse", "--ignored"])?, [line(SKIPPED)]);
    // How nextest runs one test.
    let one =
        scene.suite(&["--exact", &format!("gpt::{CASE}"), "--nocapture"])?.env("NEXTEST", "1").output()?;
    let out = String::from_utf8(one.stdout)?;
    assert!(one.status.success(), "{out}");
    assert_says(&out, &[&format!("test gpt::{CASE} ... ok\n"), "1 passed; 0 failed; "]);
    assert!(!scene.at("target/goldlap/pending/gpt").join(STALE).exists());
    Ok(())
}

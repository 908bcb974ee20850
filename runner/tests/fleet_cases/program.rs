//! The installed program: what it prints, and how it ends.

use std::fs;
use std::process::{Command, Output};

use libtest_mimic::Failed;
use serde_json::Value;

use super::Test;
use super::case_text::CaseText;
use super::processes::assert_nothing_left;
use super::scene::{CASE, Scene, assert_says};

pub(super) const TESTS: &[Test] = &[
    ("a_folder_becomes_a_green_test", a_folder_becomes_a_green_test),
    ("ignored_and_invalid_cases_say_why", ignored_and_invalid_cases_say_why),
    ("usage_errors_end_with_2", usage_errors_end_with_2),
    ("folders_can_be_anywhere", folders_can_be_anywhere),
    ("bench_reports_every_phase", bench_reports_every_phase),
    ("bench_refuses_what_it_cannot_measure", bench_refuses_what_it_cannot_measure),
];

/// Exit code, standard output, standard error.
type Ended = (Option<i32>, String, String);

fn ended(mut command: Command) -> Result<Ended, Failed> {
    let Output { status, stdout, stderr } = command.output()?;
    Ok((status.code(), String::from_utf8(stdout)?, String::from_utf8(stderr)?))
}

fn a_folder_becomes_a_green_test() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    let (code, out, _) = ended(scene.program(&["run", "dp2_tiny"]))?;
    assert_eq!(code, Some(1), "{out}");
    let accept = format!("cargo xtask update-goldens gpt::{CASE} --accept");
    assert_says(&out, &[&format!("test gpt::{CASE} ... FAILED\n"), "there is no golden yet", &accept]);
    scene.accept(CASE)?;
    let json = scene.at("target/goldlap/results.json");
    let path = json.display().to_string();
    let (code, out, err) = ended(scene.program(&["run", "dp2_tiny", "--json", &path]))?;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_clean(&out);
    assert_eq!(err.lines().count(), 1, "standard error names the platform and no more: {err}");
    let results: Value = serde_json::from_slice(&fs::read(&json)?)?;
    assert_eq!(results["counts"]["passed"], 1);
    assert_eq!(results["cases"][0]["outcome"]["kind"], "passed");
    assert!(results["cases"][0]["assertions"].as_u64() > Some(100), "{results}");
    fs::remove_file(json)?;
    assert_nothing_left(&scene);
    Ok(())
}

/// Nothing but libtest's lines and one line on the case.
fn assert_clean(out: &str) {
    assert!(!out.contains('\r') && !out.contains('\u{1b}'), "control characters in piped output: {out:?}");
    let summary = format!("gpt::{CASE}: ");
    let expected = |line: &str| {
        line.is_empty()
            || line == "running 1 test"
            || line == format!("test gpt::{CASE} ... ok")
            || line.starts_with("test result: ok. 1 passed; 0 failed; 0 ignored; ")
            || line.starts_with(&summary)
    };
    let odd: Vec<&str> = out.lines().filter(|line| !expected(line)).collect();
    assert!(odd.is_empty(), "lines of nobody: {odd:?}");
    let line = out.lines().find(|line| line.starts_with(&summary)).unwrap_or_default();
    assert_says(line, &[" assertions; 12 of 12 requests on 2 of 2 ranks; ", " tok/s, "]);
}

fn ignored_and_invalid_cases_say_why() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    let two = "gpt_dynamic_inference_tp2_pp1_dp1_tiny";
    scene.add_case(two, &CaseText::tiny().flag("--tensor-model-parallel-size", 2))?;
    let (code, out, _) = ended(scene.program(&["list"]))?;
    assert_eq!(code, Some(0));
    let skip = format!("gpt::{two}: ignored: ");
    assert_says(
        &out,
        &[
            &format!("gpt::{CASE}: dp2 on cpu, checks generated_tokens, "),
            &skip,
            "1 to run, 0 opt-in, 1 ignored, 0 invalid",
        ],
    );
    let reason = out.lines().find_map(|line| line.strip_prefix(&skip)).unwrap_or_default().to_owned();
    assert!(reason.contains("tensor"), "{reason}");
    let (code, out, err) = ended(scene.program(&["run", "tp2"]))?;
    assert_eq!(code, Some(1), "nothing ran, which is no success: {out}");
    assert_says(&out, &[&format!("test gpt::{two} ... ignored ({reason})\n")]);
    assert_says(&err, &["no case ran: 1 were ignored"]);
    let (code, out, _) = ended(scene.program(&["explain", "tp2"]))?;
    assert!(code == Some(0) && out.contains(&reason), "{out}");
    scene.add_case(CASE, &CaseText::tiny().flag("--num-layer", 2))?;
    let (code, out, _) = ended(scene.program(&["list"]))?;
    assert_eq!(code, Some(1), "{out}");
    assert_says(
        &out,
        &[
            &format!("gpt::{CASE}: invalid: "),
            "model_config.yaml:28:3: ",
            "0 to run, 0 opt-in, 1 ignored, 1 invalid",
        ],
    );
    let (code, out, _) = ended(scene.program(&["run"]))?;
    assert_eq!(code, Some(1), "{out}");
    assert_says(&out, &[&format!("test gpt::{CASE} ... FAILED\n"), "model_config.yaml:28:3: "]);
    Ok(())
}

fn usage_errors_end_with_2() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    let rows: [(&[&str], &str); 5] = [
        (&["run", "--no-such-option"], "--no-such-option"),
        (&["run", "--cases", "no/such/folder"], "no/such/folder"),
        (&["list", "--platform", "dgx_h100"], "dgx_h100"),
        (&["explain", "no_such_case"], "no case's name contains \"no_such_case\""),
        (&["jump"], "jump"),
    ];
    for (arguments, expected) in rows {
        let (code, out, err) = ended(scene.program(arguments))?;
        assert_eq!(code, Some(2), "{arguments:?}: {out}{err}");
        assert_says(&err, &[expected]);
        assert_eq!(out, "", "{arguments:?}: nothing ran");
    }
    let (code, _, err) = ended(scene.program(&["run", "no_such_case"]))?;
    assert_eq!(code, Some(1));
    assert_says(&err, &["no name contains \"no_such_case\"; `goldlap list` shows the names"]);
    Ok(())
}

fn folders_can_be_anywhere() -> Result<(), Failed> {
    let scene = Scene::with_golden(CASE, &CaseText::tiny())?;
    for (from, to) in [("test_cases", "there/cases"), ("golden_values", "elsewhere/goldens")] {
        fs::create_dir_all(scene.at(to).parent().ok_or("a parent")?)?;
        fs::rename(scene.at(from), scene.at(to))?;
    }
    let folders = ["--cases", "there/cases", "--goldens", "elsewhere/goldens", "--output", "out"];
    let (code, out, err) = ended(scene.program(&[&["run"], &folders[..]].concat()))?;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_clean(&out);
    assert_eq!(fs::read_dir(scene.at("out/runs"))?.count(), 1);
    let (code, out, _) = ended(scene.program(&[&["explain", CASE], &folders[..]].concat()))?;
    assert_eq!(code, Some(0), "{out}");
    assert_says(&out, &["--num-layers", "--hidden-size"]);
    Ok(())
}

fn bench_reports_every_phase() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    for platform in ["cpu", "vcuda"] {
        let model = scene.at(&format!("test_cases/gpt/{CASE}/model_config.yaml")).display().to_string();
        let json = scene.at("bench.json");
        let path = json.display().to_string();
        let sizes =
            ["--prompt", "20", "--context", "5", "--generate", "3", "--batch", "1,4", "--passes", "2"];
        let words = [
            &["bench", "--model", &model, "--platform", platform, "--threads", "1", "--json", &path],
            &sizes[..],
        ];
        let (code, out, err) = ended(scene.program(&words.concat()))?;
        assert_eq!(code, Some(0), "{out}{err}");
        assert_eq!(out.contains("interpreter"), platform == "vcuda", "{out}");
        let report: Value = serde_json::from_slice(&fs::read(&json)?)?;
        assert_eq!(report["platform"], platform);
        assert!(report["machine_limits"]["flops_per_second"].as_f64() > Some(0.0), "{report}");
        let rows = report["rows"].as_array().ok_or("no rows")?;
        let sizes: Vec<_> = rows.iter().map(|row| (row["phase"].as_str(), row["batch"].as_u64())).collect();
        let prefill = (Some("prefill"), Some(1));
        assert_eq!(sizes, [prefill, prefill, (Some("decode"), Some(1)), (Some("decode"), Some(4))]);
        for row in rows {
            let figures = &row["figures"];
            let rates = [
                &figures["tokens_per_second"]["median"],
                &figures["flops_per_second"],
                &figures["efficiency"],
            ];
            assert!(rates.iter().all(|rate| rate.as_f64() > Some(0.0)), "{row}");
        }
    }
    Ok(())
}

fn bench_refuses_what_it_cannot_measure() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    let model = scene.at(&format!("test_cases/gpt/{CASE}/model_config.yaml")).display().to_string();
    let folder = scene.at("test_cases").display().to_string();
    let largest = u64::MAX.to_string();
    for (words, expected) in [
        (["--batch", "8,0"], "--batch: expected 1 to 4294967295, got 0"),
        (["--batch", &largest], "--batch: expected 1 to 4294967295, got 18446744073709551615"),
        (["--context", "4000000000"], "lower --batch, --context or --prompt"),
        (["--threads", "0"], "--threads: expected 1 to"),
        (["--threads", "100000"], "--threads: expected 1 to"),
        (["--passes", "0"], "--passes: expected at least 1, got 0"),
        (["--json", &folder], "cannot be written: is a directory"),
        (["--device", "64"], "device 64: expected 0 to 63"),
        (["--model", "/no/such/folder"], "/no/such/folder: expected a folder with config.json"),
        (["--platform", "dgx_h100"], "platform dgx_h100: "),
    ] {
        let platform = if words[0] == "--device" { "vcuda" } else { "cpu" };
        let mut all = vec!["bench"];
        for pair in [["--model", &model], ["--platform", platform]] {
            all.extend(if pair[0] == words[0] { [words[0], words[1]] } else { pair });
        }
        if !["--model", "--platform"].contains(&words[0]) {
            all.extend(words);
        }
        let (code, out, err) = ended(scene.program(&all))?;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{words:?}: {err}");
        assert_says(&err, &[expected]);
    }
    Ok(())
}

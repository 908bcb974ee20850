//! A folder is a test: without a golden it fails, with an accepted one it passes, and its record says how it went.

use std::collections::BTreeSet;
use std::fs;

use goldlap::harness::Fate;
use goldlap::metrics::{Clock, RequestOutcome, RunRecord, overhead};
use goldlap::report::CaseOutcome;
use libtest_mimic::Failed;

use super::Test;
use super::case_text::{CaseText, NUM_PARAMETERS, NUM_REQUESTS};
use super::processes::assert_nothing_left;
use super::scene::{CASE, Scene, assert_passed, assert_says, failure, records};

pub(super) const TESTS: &[Test] = &[
    ("a_new_folder_fails_until_its_golden_is_accepted", a_new_folder_fails_until_its_golden_is_accepted),
    ("a_failing_run_leaves_the_golden_alone", a_failing_run_leaves_the_golden_alone),
    ("the_record_says_what_happened", the_record_says_what_happened),
    ("known_failures_are_strict_both_ways", known_failures_are_strict_both_ways),
    ("every_repeat_runs_and_is_judged", every_repeat_runs_and_is_judged),
    ("a_wrong_file_fails_where_it_is_wrong", a_wrong_file_fails_where_it_is_wrong),
    ("equal_names_of_two_groups_are_two_cases", equal_names_of_two_groups_are_two_cases),
    ("a_golden_without_a_case_fails", a_golden_without_a_case_fails),
    ("a_thousand_folders_list_in_no_time", a_thousand_folders_list_in_no_time),
];

fn a_new_folder_fails_until_its_golden_is_accepted() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    let result = scene.run(CASE, &[])?;
    let command = format!("cargo xtask update-goldens gpt::{CASE} --accept");
    assert_says(failure(&result), &["there is no golden yet: ", "  0 assertions evaluated\n", &command]);
    assert!(!scene.at("golden_values").exists(), "a run wrote where goldens are");
    let accepted = scene.accept(&format!("gpt::{CASE}"))?;
    assert_says(&accepted, &["there is no golden yet", &format!("accepted gpt::{CASE} (cpu)")]);
    assert!(!scene.at("target/goldlap/pending/gpt").exists(), "what was accepted is still pending");
    let result = scene.run(CASE, &[])?;
    assert_passed(&result);
    // Each of twelve requests: twelve tokens, a text, and a logprob for all tokens but the prompt's first.
    assert!(result.assertions > (NUM_REQUESTS * 25) as u64, "{}", result.summary);
    assert_nothing_left(&scene);
    Ok(())
}

fn a_failing_run_leaves_the_golden_alone() -> Result<(), Failed> {
    let scene = Scene::with_golden(CASE, &CaseText::tiny())?;
    let path = scene.golden_path(CASE);
    let mut golden = scene.golden(CASE)?;
    let tokens = golden.requests.get_mut(&3).and_then(|request| request.generated_tokens.as_mut());
    tokens.ok_or("request 3 has tokens")?[2] += 1;
    golden.save(&path)?;
    let before = (fs::read(&path)?, fs::metadata(&path)?.modified()?);
    let text = failure(&scene.run(CASE, &[])?).to_owned();
    assert_says(
        &text,
        &["FAIL generated_tokens: 1 of 144 ", "first: request 3, position 2: golden ", "record:  "],
    );
    assert!(before == (fs::read(&path)?, fs::metadata(&path)?.modified()?), "the golden was touched");
    assert!(fs::read_dir(path.parent().ok_or("a folder")?)?.count() == 1, "something lies beside the golden");
    assert!(scene.at("target/goldlap/pending/gpt").join(CASE).is_dir(), "nothing is pending");
    assert_nothing_left(&scene);
    Ok(())
}

fn the_record_says_what_happened() -> Result<(), Failed> {
    let folder = "gpt_dynamic_inference_tp1_pp1_dp3_tiny";
    let scene = Scene::with_golden(folder, &CaseText::tiny())?;
    let result = scene.run(folder, &[])?;
    assert_passed(&result);
    let [record] = &records(&result)?[..] else { return Err("expected one record".into()) };
    assert_eq!((record.num_parameters, record.data_parallel), (NUM_PARAMETERS, 3));
    assert_eq!((record.case.as_str(), record.platform.as_str()), (result.name.as_str(), "cpu"));
    assert!(record.incidents.is_empty() && record.rank_faults.is_empty(), "{:?}", record.incidents);
    assert_streamed(record);
    let pids: BTreeSet<u32> = record.ranks.iter().map(|rank| rank.pid).collect();
    assert!(pids.len() == 3 && !pids.contains(&std::process::id()), "each rank is a process of its own");
    let served =
        |rank: u32| record.requests.iter().filter(|request| request.rank == Some(rank)).count() as u64;
    for rank in &record.ranks {
        assert_eq!(rank.num_requests_finished, served(rank.rank));
        assert_eq!(
            rank.num_steps > 0 && rank.max_kv_blocks_used > 0,
            served(rank.rank) > 0,
            "rank {}",
            rank.rank
        );
        assert!(rank.peak_rss_bytes > 0);
        let cpu = rank.cpu.ok_or("a rank measures its processor time")?;
        assert!(0.0 < cpu.overhead_s && cpu.overhead_s <= cpu.total_s, "rank {}: {cpu:?}", rank.rank);
        assert_eq!(cpu.overhead_s < cpu.total_s, rank.num_steps > 0, "rank {}: {cpu:?}", rank.rank);
    }
    let parent = record.parent_cpu.ok_or("the parent measures its processor time")?;
    assert!(parent.coordinator_s < parent.total_s, "{parent:?}");
    assert!(
        overhead(record).value().is_some_and(|share| 0.0 < share && share < 1.0),
        "{:?}",
        overhead(record)
    );
    // Not all of them must have: the first may be done before the last request of the burst is sent.
    assert!((0..3).filter(|rank| served(*rank) > 0).count() > 1, "one rank served everything");
    Ok(())
}

/// All requests were answered, token by token.
fn assert_streamed(record: &RunRecord) {
    assert_eq!(record.requests.len(), NUM_REQUESTS);
    for request in &record.requests {
        assert_eq!(request.outcome, RequestOutcome::Completed);
        assert_eq!((request.generated_tokens.len(), request.num_dispatches), (12, 1));
        let arrived: usize = request.arrivals.iter().map(|arrival| arrival.num_tokens as usize).sum();
        assert_eq!(arrived, request.generated_tokens.len());
        assert!(request.arrivals.len() > 1, "request {} was not streamed", request.id);
        let times: Vec<f64> = request.arrivals.iter().map(|arrival| arrival.at_s).collect();
        assert!(times.is_sorted() && request.sent_s <= times[0], "{times:?}");
    }
}

fn known_failures_are_strict_both_ways() -> Result<(), Failed> {
    let known = CaseText::tiny().more("KNOWN_FAILURE: {reason: the moon is full, issue: '#7'}");
    let scene = Scene::with_case(CASE, &known)?;
    let unseen = "has a KNOWN_FAILURE (the moon is full; #7), which only a run that was judged can show";
    let result = scene.run(CASE, &[])?;
    assert_says(failure(&result), &["there is no golden yet", unseen]);
    scene.accept(CASE)?;
    let golden = scene.golden_path(CASE);
    let mut changed = scene.golden(CASE)?;
    changed.requests.get_mut(&2).ok_or("request 2")?.generated_tokens = Some(vec![7]);
    let right = fs::read_to_string(&golden)?;
    changed.save(&golden)?;
    let result = scene.run(CASE, &[])?;
    let expected =
        CaseOutcome::KnownFailure { reason: "the moon is full".to_owned(), issue: "#7".to_owned() };
    assert_eq!(result.outcome, expected, "a token differs, as is known");
    let run = scene.program(&["run"]).output()?;
    let out = String::from_utf8(run.stdout)?;
    assert!(run.status.success(), "what is known to fail does not stop anybody: {out}");
    assert_says(&out, &[&format!("gpt::{CASE}: failed, as is known (the moon is full; #7); ")]);
    let prompts = scene.at("test_cases/gpt").join(CASE).join("prompts.jsonl");
    let text = fs::read(&prompts)?;
    fs::write(&prompts, "{")?;
    let result = scene.run(CASE, &[])?;
    assert_says(failure(&result), &["the case could not run: ", unseen]);
    fs::write(&prompts, text)?;
    fs::write(&golden, right)?;
    let result = scene.run(CASE, &[])?;
    let expected = [
        "passed, but its KNOWN_FAILURE says that it fails",
        "(the moon is full; #7)",
        "remove KNOWN_FAILURE",
    ];
    assert_says(failure(&result), &expected);
    Ok(())
}

fn every_repeat_runs_and_is_judged() -> Result<(), Failed> {
    let scene = Scene::with_golden(CASE, &CaseText::tiny().more("N_REPEAT: 3"))?;
    let repeats = scene.golden(CASE)?.provenance.map(|provenance| provenance.repeats);
    assert_eq!(repeats, Some(3));
    let result = scene.run(CASE, &[])?;
    assert_passed(&result);
    let numbers: Vec<u32> = records(&result)?.iter().map(|record| record.repeat).collect();
    assert_eq!(numbers, [0, 1, 2]);
    let judgement = result.judgement.ok_or("the case was judged")?;
    assert_eq!(judgement.verdicts.len(), 3);
    assert!(judgement.verdicts.iter().all(|verdict| verdict.num_assertions() > 0));
    assert_says(&result.summary, &["assertions in 3 runs"]);
    Ok(())
}

fn a_wrong_file_fails_where_it_is_wrong() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny().flag("--num-layer", 2))?;
    let listed = scene.list()?;
    let Fate::Invalid(why) = &listed[0].fate else { return Err(format!("{:?}", listed[0].fate).into()) };
    let file = scene.at("test_cases/gpt").join(CASE).join("model_config.yaml");
    let place = format!("{}:{}:3:", file.display(), 28);
    assert_says(why, &[&place, "--num-layer", "--num-layers"]);
    scene.add_case(CASE, &CaseText::tiny().metrics(&[]))?;
    let listed = scene.list()?;
    let Fate::Invalid(why) = &listed[0].fate else { return Err(format!("{:?}", listed[0].fate).into()) };
    assert_says(why, &[&format!("{}:{}:", file.display(), 28), "METRICS"]);
    Ok(())
}

fn equal_names_of_two_groups_are_two_cases() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    scene.add_case(&format!("../more/{CASE}"), &CaseText::tiny())?;
    let listed = scene.list()?;
    let names: Vec<&str> = listed.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, [format!("gpt::{CASE}"), format!("more::{CASE}")]);
    assert!(listed.iter().all(|case| matches!(case.fate, Fate::Run(_))), "{listed:?}");
    Ok(())
}

fn a_golden_without_a_case_fails() -> Result<(), Failed> {
    let scene = Scene::with_golden(CASE, &CaseText::tiny())?;
    let stale = "gpt_dynamic_inference_tp1_pp1_dp2_renamed";
    fs::rename(scene.at("golden_values/gpt").join(CASE), scene.at("golden_values/gpt").join(stale))?;
    let listed = scene.list()?;
    let [case, orphan] = &listed[..] else { return Err(format!("{listed:?}").into()) };
    assert!(matches!(case.fate, Fate::Run(_)) && orphan.name == format!("gpt::{stale}"), "{listed:?}");
    let Fate::Invalid(why) = &orphan.fate else { return Err(format!("{:?}", orphan.fate).into()) };
    let file = scene.golden_path(stale).display().to_string();
    assert_says(why, &["a golden without a case: ", &file, "bring the case back, or delete the golden"]);
    let elsewhere = scene.setting().list(|name| name.contains("dp2_tiny"))?;
    assert_eq!(elsewhere.len(), 1, "a filter that does not name it leaves it out");
    Ok(())
}

fn a_thousand_folders_list_in_no_time() -> Result<(), Failed> {
    let scene = Scene::with_case(CASE, &CaseText::tiny())?;
    for i in 1..1000 {
        scene.add_case(&format!("{CASE}_{i}"), &CaseText::tiny())?;
    }
    let clock = Clock::start();
    let listed = scene.list()?;
    println!("1,000 folders were planned in {:.1} ms", clock.now_s() * 1e3);
    assert_eq!(listed.len(), 1000);
    assert!(listed.iter().all(|case| matches!(case.fate, Fate::Run(_))));
    let names: Vec<&str> = listed.iter().map(|case| case.name.as_str()).collect();
    assert!(names.is_sorted());
    Ok(())
}

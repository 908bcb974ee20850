//! Verdicts on synthetic runs: what must be green, and everything that must be red.

use goldlap_kernels::ops::graph_counts::GraphCounts;

use super::*;
use crate::golden::test_run::{ALL, names, record};
use crate::golden::{Difference, Outcome, SystemValue};

/// What `golden` says about `record`, on the record's platform.
fn judge(record: &RunRecord, golden: &Golden, metrics: &[&str]) -> Verdict {
    let platform = record.platform.parse().unwrap();
    let metrics = names(metrics);
    let rules = Rules {
        platform: &platform,
        metrics: &metrics,
        tolerances: &[],
        performance: None,
        num_runs: 1,
        accept_command: "accept it",
    };
    compare(&rules, Run { record, summary: &Metrics::of(record, None) }, golden)
}

/// The golden of a run, as it comes back from its file.
fn golden_of(record: &RunRecord) -> Golden {
    let summary = Metrics::of(record, None);
    let platform = record.platform.parse().unwrap();
    let runs = [Run { record, summary: &summary }];
    reread(&Golden::from_runs(&platform, &names(&ALL), &runs, "accept it").unwrap())
}

fn reread(golden: &Golden) -> Golden {
    Golden::from_bytes(golden.to_json().pretty().as_bytes()).unwrap()
}

fn foreign(golden: &Golden) -> Golden {
    reread(&Golden { provenance: None, ..golden.clone() })
}

fn texts(verdict: &Verdict) -> String {
    let of = |d: &Option<Difference>| d.as_ref().map(|d| format!("{d:?}")).unwrap_or_default();
    let metrics = verdict.metrics.iter().map(|m| format!("{} {} {}", m.summary, of(&m.first), of(&m.worst)));
    verdict.problems.iter().cloned().chain(metrics).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_run_passes_its_own_golden_and_counts_its_assertions() {
    for platform in ["cpu", "dgx_h100", "vcuda"] {
        let run = record(platform);
        let verdict = judge(&run, &golden_of(&run), &ALL);
        assert!(verdict.passed(), "{platform}: {}", texts(&verdict));
        let assertions: Vec<_> = verdict.metrics.iter().map(|m| m.assertions).collect();
        assert_eq!(assertions, [30, 3, 36, 1, 1, 1, 1]);
        assert_eq!(verdict.num_assertions(), 73);
    }
}

#[test]
fn throughput_is_recorded_on_cpu_and_gated_on_gpus() {
    let outcome = |platform: &str| {
        let run = record(platform);
        judge(&run, &golden_of(&run), &["throughput"]).metrics[0].outcome.clone()
    };
    assert_eq!(outcome("cpu"), Outcome::RecordedOnly("recorded, not gated on cpu".to_owned()));
    assert_eq!(outcome("dgx_h100"), Outcome::Passed);
}

/// A change of run or golden, and what the verdict must say about it.
type Red = (&'static str, &'static str, fn(&mut RunRecord, &mut Golden), &'static [&'static str]);

fn scale(golden: &mut Golden, metric: &str, factor: f64) {
    for (key, value) in &mut golden.system {
        if key == metric {
            let scaled: Vec<f64> = value.numbers().iter().map(|x| x * factor).collect();
            *value =
                if scaled.len() == 1 { SystemValue::Number(scaled[0]) } else { SystemValue::List(scaled) };
        }
    }
}

#[rustfmt::skip]
const RED: &[Red] = &[
    ("one token changed", "cpu", |run, _| run.requests[1].generated_tokens[4] = 7,
        &["1 of 30 comparisons differ, in 1 of 3 requests", "request: Some(1), index: Some(4), golden: \"104\", current: \"7\""]),
    ("one token fewer", "cpu", |run, _| { run.requests[2].generated_tokens.pop(); },
        &["request: Some(2), index: Some(9), golden: \"10 tokens\", current: \"9 tokens\""]),
    ("logprob + 0.002", "cpu", |run, _| run.requests[0].prompt_logprobs.as_mut().unwrap()[1] += 0.002,
        &["1 of 36 comparisons differ", "index: Some(1), golden: \"-1.5\", current: \"-1.498\""]),
    ("logprob + 1 bit on cpu", "cpu", |run, _| { let x = &mut run.requests[0].prompt_logprobs.as_mut().unwrap()[1]; *x = f32::from_bits(x.to_bits() + 1); },
        &["1 of 36 comparisons differ", "current: \"-1.5000001\""]),
    ("logprob + 0.002 on a GPU", "dgx_h100", |run, _| run.requests[0].prompt_logprobs.as_mut().unwrap()[1] += 0.002,
        &["1 of 36 comparisons differ"]),
    ("NaN in the run", "cpu", |run, _| run.requests[0].prompt_logprobs.as_mut().unwrap()[0] = f32::NAN,
        &["1 of 36 comparisons differ", "current: \"NaN\""]),
    ("NaN in the golden", "dgx_h100", |_, golden| golden.requests.get_mut(&0).unwrap().logprobs.as_mut().unwrap()[0] = f32::NAN,
        &["golden: \"NaN\""]),
    ("NaN in the golden's throughput, where it is only recorded", "cpu", |_, golden| golden.system = vec![("throughput".into(), SystemValue::Number(f64::NAN))],
        &["a number that is not finite"]),
    ("no logprobs in the run", "cpu", |run, _| run.requests[2].generated_logprobs = None,
        &["none; does the case pass --return-log-probs?"]),
    ("text changed", "cpu", |run, _| run.requests[0].generated_text.push('!'),
        &["1 of 3 comparisons differ", "request: Some(0)"]),
    ("request missing from the run", "cpu", |run, _| { run.requests.remove(1); },
        &["1 request(s) of the golden are missing from the run: 1"]),
    ("request missing from the golden", "cpu", |_, golden| { golden.requests.remove(&1); },
        &["1 request(s) of the run are not in the golden: 1"]),
    ("request unanswered", "cpu", |run, _| run.requests[1].outcome = RequestOutcome::Unanswered,
        &["1 of 3 requests got no final reply before the deadline: 1"]),
    ("request failed", "cpu", |run, _| run.requests[1].outcome = RequestOutcome::Failed { reason: "too long".into() },
        &["1 of 3 requests failed: 1 (too long)"]),
    ("golden throughput doubled", "dgx_h100", |_, golden| scale(golden, "throughput", 2.0), &["now 8.712 (-50.0 %)", "allowed: "]),
    ("golden throughput halved", "dgx_h100", |_, golden| scale(golden, "throughput", 0.5), &["now 8.712 (+100.0 %)", "allowed: "]),
    ("golden efficiency doubled", "cpu", |_, golden| scale(golden, "efficiency", 2.0), &["(-50.0 %)", "allowed: "]),
    ("golden efficiency halved", "cpu", |_, golden| scale(golden, "efficiency", 0.5), &["(+100.0 %)", "allowed: "]),
    ("more memory", "cpu", |run, _| run.ranks[0].peak_rss_bytes += 1 << 17, &["(+12.5 %)"]),
    ("less memory", "cpu", |run, _| run.ranks[0].peak_rss_bytes -= 1 << 17, &["(-12.5 %)"]),
    ("another prefill count", "cpu", |run, _| run.ranks[0].num_prefill_tokens += 1, &["golden 9.000, now 10.00 (+11.1 %)"]),
    ("limits not measured", "cpu", |run, _| run.machine_limits = None, &["not measurable in this run: the machine's limits were not measured"]),
    ("no time passed", "cpu", |run, _| run.requests[0].finished_s = Some(0.0), &["2 of 3 requests have a throughput"]),
    ("golden of another platform", "cpu", |_, golden| golden.provenance.as_mut().unwrap().platform = "vcuda".into(),
        &["the golden was recorded on platform vcuda, and this run is on cpu"]),
    ("golden without provenance on cpu", "cpu", |_, golden| golden.provenance = None,
        &["has no provenance", "`accept it`"]),
    ("nothing in the run", "cpu", |run, _| run.requests.clear(),
        &["the run had no requests", "missing from the run: 0, 1, 2"]),
];

#[test]
fn everything_that_must_be_red_is_red_and_says_why() {
    for (what, platform, change, expected) in RED {
        let mut run = record(platform);
        let mut golden = golden_of(&run);
        change(&mut run, &mut golden);
        let verdict = judge(&run, &reread(&golden), &ALL);
        assert!(!verdict.passed(), "{what} passed");
        let said = texts(&verdict);
        for expected in *expected {
            assert!(said.contains(expected), "{what}\n  said: {said}\n  not:  {expected}");
        }
        assert!(!said.contains("edited by hand"), "{what}: the seal must not hide what the comparison finds");
    }
}

#[test]
fn any_edit_by_hand_is_red_on_every_platform() {
    for platform in ["cpu", "dgx_h100"] {
        let run = record(platform);
        let text = golden_of(&run).to_json().pretty();
        let throughput = format!("{}", golden_of(&run).system(Metric::Throughput).unwrap().numbers()[2]);
        for (from, to) in [("-3.25", "-3.2500001"), (throughput.as_str(), "99.0"), ("prompt 2", "prompt 3")] {
            assert!(text.contains(from), "{from}");
            let golden = Golden::from_bytes(text.replacen(from, to, 1).as_bytes()).unwrap();
            let verdict = judge(&run, &golden, &["generated_tokens"]);
            assert!(!verdict.passed(), "{from} -> {to} passed on {platform}");
            assert!(texts(&verdict).contains(
                "edited by hand: provenance.content_hash does not match its content; re-accept it with \
                     `accept it`"
            ));
        }
    }
}

#[test]
fn metrics_that_check_nothing_are_red() {
    let run = record("cpu");
    let mut golden = golden_of(&run);
    let verdict = judge(&run, &golden, &[]);
    assert!(!verdict.passed() && texts(&verdict).contains("METRICS is empty"));
    let verdict = judge(&run, &golden, &["ttft_ms"]);
    assert!(!verdict.passed());
    assert!(
        texts(&verdict)
            .contains("METRICS names it, but the golden does not have it; the golden has generated_tokens, ")
    );
    let verdict = judge(&run, &golden, &["generated_tokens", "genrated_text"]);
    assert!(!verdict.passed());
    assert!(texts(&verdict).contains("did you mean \"generated_text\"?"), "{}", texts(&verdict));
    // All replies empty on both sides: equal, and yet nothing was compared.
    let mut silent = run;
    for request in &mut silent.requests {
        request.generated_tokens.clear();
        golden.requests.get_mut(&request.id).unwrap().generated_tokens = Some(Vec::new());
    }
    let verdict = judge(&silent, &reread(&golden), &["generated_tokens"]);
    assert!(!verdict.passed() && texts(&verdict).contains("no test performed"), "{}", texts(&verdict));
}

#[test]
fn a_tolerance_of_the_case_wins_and_exact_metrics_take_none() {
    let mut run = record("cpu");
    let golden = golden_of(&run);
    run.requests[0].prompt_logprobs.as_mut().unwrap()[1] += 0.002;
    let (platform, summary) = (Platform::Cpu, Metrics::of(&run, None));
    let with = |metrics: &[&str], tolerances: &[(String, f64)]| {
        let metrics = names(metrics);
        let rules = Rules {
            platform: &platform,
            metrics: &metrics,
            tolerances,
            performance: None,
            num_runs: 1,
            accept_command: "accept it",
        };
        compare(&rules, Run { record: &run, summary: &summary }, &golden)
    };
    assert!(!with(&["logprobs"], &[]).passed());
    assert!(with(&["logprobs"], &[("logprobs".to_owned(), 0.01)]).passed());
    let refused = with(&["generated_tokens"], &[("generated_tokens".to_owned(), 0.01)]);
    assert!(texts(&refused).contains("takes no tolerance") && !refused.passed());
    let refused = with(&["logprobs"], &[("logprobs".to_owned(), f64::NAN)]);
    assert!(texts(&refused).contains("expected a number from 0") && !refused.passed());
}

#[test]
fn a_changed_case_is_a_note_not_a_failure() {
    let mut run = record("cpu");
    let golden = golden_of(&run);
    run.plan = serde_json::json!({"workload": {"n": 4}});
    let verdict = judge(&run, &golden, &ALL);
    assert!(verdict.passed());
    assert!(verdict.notes[0].contains("the case has changed since its golden was recorded"));
}

#[test]
fn a_recorded_spread_widens_the_band_and_never_fails_its_own_runs() {
    let (mut slow, fast) = (record("cpu"), record("cpu"));
    for request in &mut slow.requests {
        request.finished_s = request.finished_s.map(|at| at * 4.0);
    }
    let (a, b) = (Metrics::of(&slow, None), Metrics::of(&fast, None));
    let runs = [Run { record: &slow, summary: &a }, Run { record: &fast, summary: &b }];
    let golden = reread(&Golden::from_runs(&Platform::Cpu, &names(&ALL), &runs, "c").unwrap());
    assert!(golden.provenance.as_ref().unwrap().bands.contains_key("efficiency"));
    for run in [&slow, &fast] {
        let verdict = judge(run, &golden, &["efficiency"]);
        assert!(verdict.passed(), "{}", texts(&verdict));
    }
}

#[test]
fn unstable_or_incomplete_runs_make_no_golden() {
    let good = record("cpu");
    let refuse = |change: fn(&mut RunRecord)| {
        let mut other = record("cpu");
        change(&mut other);
        let (a, b) = (Metrics::of(&good, None), Metrics::of(&other, None));
        let runs = [Run { record: &good, summary: &a }, Run { record: &other, summary: &b }];
        Golden::from_runs(&Platform::Cpu, &names(&ALL), &runs, "c").unwrap_err()
    };
    assert!(
        refuse(|r| r.requests[1].generated_tokens[2] = 9).contains("request 1, token 2 is 102 in one and 9")
    );
    assert!(
        refuse(|r| r.requests[1].prompt_logprobs = None).contains("disagree in the logprobs of request 1")
    );
    assert!(
        refuse(|r| r.requests[0].outcome = RequestOutcome::Unanswered).contains("request 0 did not complete")
    );
    assert!(refuse(|r| r.machine_limits = None).contains("METRICS names efficiency, which was not measured"));
    assert!(Golden::from_runs(&Platform::Cpu, &[], &[], "c").unwrap_err().contains("no run"));
}

/// Sizes are a set, limits are limits, and repeats that were not made are missed.
#[test]
fn graphs_limits_and_repeats_are_noticed() {
    let run = |replayed: &[usize], max_batch_size: u64| {
        let mut run = record("vcuda");
        let rank = &mut run.ranks[0];
        rank.num_steps = 9;
        rank.max_batch_size = max_batch_size;
        let replays = replayed.iter().map(|&rows| (rows, 3)).collect();
        rank.graphs = Some(GraphCounts { replays, eager_steps: 1, ..GraphCounts::default() });
        run
    };
    let metrics = ["cuda_graph_sizes", "max_step_requests", "num_repeats"];
    let first = run(&[1, 4], 3);
    let summary = Metrics::of(&first, None);
    assert_eq!(summary.cuda_graph_sizes, [0, 1, 4]);
    let runs = |count: usize| vec![Run { record: &first, summary: &summary }; count];
    let golden =
        |count| reread(&Golden::from_runs(&Platform::Vcuda, &names(&metrics), &runs(count), "c").unwrap());
    let once = golden(1);
    for (replayed, largest, failing) in [
        (&[1, 4][..], 3, None),
        (&[1, 4], 2, None),
        (&[1, 2, 4], 3, Some("cuda_graph_sizes")),
        (&[], 3, Some("cuda_graph_sizes")),
        (&[1, 4], 4, Some("max_step_requests")),
    ] {
        let verdict = judge(&run(replayed, largest), &once, &metrics);
        let failed = verdict.metrics.iter().find(|metric| metric.outcome == Outcome::Failed);
        assert_eq!(failed.map(|metric| metric.metric.as_str()), failing, "{}", texts(&verdict));
    }
    let verdict = judge(&first, &golden(4), &metrics);
    assert!(!verdict.passed() && texts(&verdict).contains("golden 4.000, now 1.000"), "{}", texts(&verdict));
}

#[path = "megatron_rules_tests.rs"]
mod megatron_rules;

/// Ranks that are somebody else's hand over no records: what only they know is unknown, and no 0.
#[test]
fn what_only_ranks_know_is_unknown_where_there_are_no_records_of_them() {
    let metrics = ["num_evictions", "max_step_requests", "lifetime_prefill_token_count", "num_cached_tokens"];
    let mut run = record("cpu");
    run.requests.iter_mut().for_each(|request| request.num_cached_tokens = Some(0));
    let summary = Metrics::of(&run, None);
    let runs = [Run { record: &run, summary: &summary }];
    let golden = reread(&Golden::from_runs(&Platform::Cpu, &names(&metrics), &runs, "c").unwrap());
    assert!(judge(&run, &golden, &metrics).passed());
    run.ranks.clear();
    run.requests.iter_mut().for_each(|request| request.num_cached_tokens = None);
    let verdict = judge(&run, &golden, &metrics);
    assert!(verdict.metrics.iter().all(|metric| metric.outcome == Outcome::Failed), "{}", texts(&verdict));
    let said = texts(&verdict);
    assert_eq!(said.matches("the ranks are somebody else's").count(), 3, "{said}");
    assert!(said.contains("who served the request does not say"), "{said}");
}

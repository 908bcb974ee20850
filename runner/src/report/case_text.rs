//! The text about a finished case: one line when it passed, everything that helps when it did not.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use crate::golden::{Difference, Judgement, MetricVerdict, Outcome, Run, Verdict};
use crate::metrics::{BatchSummary, Measured, RunRecord, significant};
use crate::plan::CasePlan;

/// A finished case.
#[derive(Clone, Copy, Debug)]
pub struct CaseReport<'a> {
    /// What was to be done.
    pub plan: &'a CasePlan,
    /// What was done, by repeat.
    pub runs: &'a [Run<'a>],
    /// What that was found to be.
    pub judgement: &'a Judgement,
    /// Record file of each repeat.
    pub records: &'a [PathBuf],
    /// Last log lines of the ranks that matter.
    pub log_tails: &'a [RankLogTail],
}

/// The end of a rank's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankLogTail {
    /// The rank.
    pub rank: u32,
    /// The whole log.
    pub path: PathBuf,
    /// Its last lines.
    pub lines: String,
}

impl CaseReport<'_> {
    /// One line: `73 assertions; 3 requests on 1 ranks; 23.08 tok/s, ...`. What was recorded and not gated, and
    /// what went wrong and was survived, is said at its end.
    pub fn summary_line(&self) -> String {
        let mut line = format!("{} assertions", self.judgement.num_assertions());
        if self.runs.len() > 1 {
            let _ = write!(line, " in {} runs", self.runs.len());
        }
        if let Some(run) = self.runs.last() {
            let _ = write!(line, "; {}", measured(*run));
        }
        if let Some(run) = self.runs.last() {
            for batch in &run.summary.batches {
                let _ = write!(line, "; {}", batch_line(batch));
            }
            line.push_str(&skipped(run.record));
        }
        for (metric, why) in self.judgement.verdicts.last().map(recorded_only).unwrap_or_default() {
            let _ = write!(line, "; {metric} {why}");
        }
        let incidents: Vec<&str> =
            self.runs.iter().flat_map(|run| &run.record.incidents).map(|i| i.what.as_str()).collect();
        if !incidents.is_empty() {
            let _ = write!(line, "; survived: {}", incidents.join(", "));
        }
        line
    }

    /// Many lines: what failed, first and worst, what went wrong in the run, where everything lies, what to do.
    pub fn failure_text(&self) -> String {
        let mut text = format!("{} failed on {}\n", self.plan.name, self.plan.platform);
        let verdicts = &self.judgement.verdicts;
        for (i, verdict) in verdicts.iter().enumerate().filter(|(_, verdict)| !verdict.passed()) {
            if verdicts.len() > 1 {
                let _ = writeln!(text, "run {} of {}:", i + 1, verdicts.len());
            }
            write_verdict(&mut text, verdict);
        }
        for run in self.runs {
            let _ = writeln!(text, "measured: {}{}", measured(*run), skipped(run.record));
            for batch in &run.summary.batches {
                let _ = writeln!(text, "  {}", batch_line(batch));
            }
            write_incidents(&mut text, run.record);
        }
        for tail in self.log_tails {
            let _ = writeln!(text, "last lines of rank {}'s log ({}):", tail.rank, tail.path.display());
            push_indented(&mut text, &tail.lines);
        }
        for path in self.records {
            let _ = writeln!(text, "record:  {}", path.display());
        }
        let _ = writeln!(text, "golden:  {}", self.judgement.golden.display());
        if let Some(pending) = &self.judgement.pending {
            let _ = writeln!(text, "pending: {}", pending.display());
        }
        for step in &self.judgement.next_steps {
            let _ = writeln!(text, "{step}");
        }
        text.trim_end().to_owned()
    }
}

/// `3 requests on 1 ranks; 23.08 tok/s, efficiency 0.4, ttft 100.0 ms, tpot 111.1 ms (medians)`
fn measured(run: Run<'_>) -> String {
    let summary = run.summary;
    let ranks: BTreeSet<u32> = run.record.requests.iter().filter_map(|request| request.rank).collect();
    let shown = |value: &Measured| value.value().map_or_else(|| "-".to_owned(), significant);
    let overhead = summary.overhead.value();
    let overhead =
        overhead.map_or_else(String::new, |share| format!("overhead {} %, ", significant(100.0 * share)));
    format!(
        "{} of {} requests on {} of {} ranks; {} tok/s, efficiency {}, {overhead}ttft {} ms, tpot {} ms (medians)",
        summary.num_completed,
        summary.num_requests,
        ranks.len(),
        run.record.data_parallel,
        shown(&summary.output_throughput),
        shown(&summary.efficiency),
        shown(&summary.ttft_ms.median),
        shown(&summary.tpot_ms.median),
    )
}

/// `; 3 conversations skipped (...)`, where a prompt file had conversations that make no request.
fn skipped(record: &RunRecord) -> String {
    let skipped = &record.workload.skipped;
    if skipped.total() == 0 { String::new() } else { format!("; {skipped}") }
}

/// `batch 8: 344.0 tok/s, latency 2919 ms, ttft 120.0 ms, tpot 22.00 ms (23.26 ms as Megatron has it)`
fn batch_line(batch: &BatchSummary) -> String {
    let shown = |value: &Measured| value.value().map_or_else(|| "-".to_owned(), significant);
    format!(
        "batch {}: {} tok/s, latency {} ms, ttft {} ms, tpot {} ms ({} ms as Megatron has it)",
        batch.batch_size,
        shown(&batch.throughput_tok_per_sec),
        shown(&batch.avg_latency_ms),
        shown(&batch.batch_ttft_ms),
        shown(&batch.decode_tpot_ms),
        shown(&batch.tpot_ms_per_tok),
    )
}

/// Metrics that were measured and not compared, each with the reason.
fn recorded_only(verdict: &Verdict) -> Vec<(&str, &str)> {
    fn why(metric: &MetricVerdict) -> Option<(&str, &str)> {
        match &metric.outcome {
            Outcome::RecordedOnly(why) => Some((&metric.metric, why)),
            Outcome::Passed | Outcome::Failed => None,
        }
    }
    verdict.metrics.iter().filter_map(why).collect()
}

/// What a comparison found, metric by metric: problems, differences, notes, and how many assertions were made.
pub fn verdict_text(verdict: &Verdict) -> String {
    let mut text = String::new();
    write_verdict(&mut text, verdict);
    text
}

fn write_verdict(text: &mut String, verdict: &Verdict) {
    for problem in &verdict.problems {
        let _ = writeln!(text, "  problem: {problem}");
    }
    for metric in &verdict.metrics {
        write_metric(text, metric);
    }
    for note in &verdict.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    let _ = writeln!(text, "  {} assertions evaluated", verdict.num_assertions());
}

fn write_metric(text: &mut String, metric: &MetricVerdict) {
    let name = &metric.metric;
    match &metric.outcome {
        Outcome::Passed => {
            let _ = writeln!(text, "  ok   {name}: {}", metric.summary);
        }
        Outcome::RecordedOnly(why) => {
            let _ = writeln!(text, "  --   {name}: {why}: {}", metric.summary);
        }
        Outcome::Failed => {
            let _ = writeln!(text, "  FAIL {name}: {} (rule: {})", metric.summary, metric.comparator);
            for (which, difference) in [("first", &metric.first), ("worst", &metric.worst)] {
                if let Some(difference) = difference {
                    let _ = writeln!(text, "       {which}: {}", in_words(difference));
                }
            }
            if let Some(diff) = &metric.diff {
                diff.lines().for_each(|line| {
                    let _ = writeln!(text, "       {line}");
                });
            }
        }
    }
}

/// `request 1, position 4: golden 104, now 7 (difference 0.1)`
fn in_words(difference: &Difference) -> String {
    let request = difference.request.map(|id| format!("request {id}"));
    let index = difference.index.map(|index| format!("position {index}"));
    let place: Vec<String> = [request, index].into_iter().flatten().collect();
    let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(", ")) };
    let size = difference.size.map(|size| format!(" (difference {})", significant(size))).unwrap_or_default();
    format!("{place}golden {}, now {}{size}", difference.golden, difference.current)
}

fn write_incidents(text: &mut String, record: &RunRecord) {
    for incident in &record.incidents {
        let _ = writeln!(text, "incident at {} s: {}", significant(incident.at_s), incident.what);
    }
}

fn push_indented(text: &mut String, lines: &str) {
    if lines.trim().is_empty() {
        text.push_str("    (empty)\n");
    }
    for line in lines.trim_end().lines() {
        let _ = writeln!(text, "    {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::test_run::{ALL, names, record};
    use crate::golden::{Policy, Store, judge, test_plan};
    use crate::metrics::{Incident, Metrics};
    use crate::plan::Platform;

    /// Accepts `record("cpu")`, then judges it after `change`; gives the summary line and the failure text.
    fn texts(change: fn(&mut RunRecord)) -> (bool, String, String) {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let store = Store::new(at("cases"), at("goldens"), &at("output"));
        let plan = test_plan::plan("gpt::tiny", Platform::Cpu, names(&ALL));
        let run = |record: &RunRecord, policy| {
            let summary = Metrics::of(record, None);
            let runs = [Run { record, summary: &summary }];
            let judgement = judge(&plan, &runs, policy, &store);
            let log_tails =
                [RankLogTail { rank: 3, path: "/logs/rank3.log".into(), lines: "one\ntwo\n".to_owned() }];
            let records = ["/runs/1/record.json".into()];
            let report = CaseReport {
                plan: &plan,
                runs: &runs,
                judgement: &judgement,
                records: &records,
                log_tails: &log_tails,
            };
            (judgement.passed(), report.summary_line(), report.failure_text())
        };
        run(&record("cpu"), Policy::Accept);
        let mut changed = record("cpu");
        change(&mut changed);
        run(&changed, Policy::Pend)
    }

    #[test]
    fn a_passing_case_is_one_line_with_its_assertions() {
        let (passed, line, _) = texts(|_| {});
        assert!(passed);
        assert_eq!(
            line,
            "73 assertions; 3 of 3 requests on 1 of 1 ranks; 25.00 tok/s, efficiency 0.4000, ttft 100.0 ms, \
             tpot 111.1 ms (medians); throughput recorded, not gated on cpu"
        );
    }

    #[test]
    fn what_was_survived_is_said_when_green() {
        let (passed, line, _) = texts(|run| {
            run.incidents.push(Incident { at_s: 1.0, what: "rank 3 was killed".to_owned() });
        });
        assert!(passed && line.ends_with("; survived: rank 3 was killed"), "{line}");
    }

    #[test]
    fn a_failing_case_says_first_worst_where_and_what_to_do() {
        let (passed, _, text) = texts(|run| {
            run.requests[1].generated_tokens[4] = 7;
            run.requests[1].prompt_logprobs.as_mut().unwrap()[0] += 0.5;
            run.requests[2].prompt_logprobs.as_mut().unwrap()[1] += 1.0;
            run.incidents.push(Incident { at_s: 0.25, what: "rank 3 was killed".to_owned() });
        });
        assert!(!passed);
        for expected in [
            "gpt::tiny failed on cpu\n",
            "FAIL generated_tokens: 1 of 30 comparisons differ, in 1 of 3 requests (rule: exactly equal)\n",
            "first: request 1, position 4: golden 104, now 7\n",
            "       -104\n       +7\n",
            "FAIL logprobs: 2 of 36 comparisons differ, in 2 of 3 requests (rule: equal to the last bit)\n",
            "first: request 1, position 0: golden -3.25, now -2.75 (difference 0.5000)\n",
            "worst: request 2, position 1: golden -1.5, now -0.5 (difference 1.000)\n",
            "  ok   efficiency: golden 0.4000, now 0.4000 (+0.0 %)\n",
            "  --   throughput: recorded, not gated on cpu: golden ",
            "  73 assertions evaluated\n",
            "measured: 3 of 3 requests on 1 of 1 ranks;",
            "incident at 0.2500 s: rank 3 was killed\n",
            "last lines of rank 3's log (/logs/rank3.log):\n    one\n    two\n",
            "record:  /runs/1/record.json\n",
            "golden:  ",
            "pending: ",
        ] {
            assert!(text.contains(expected), "{text}\n  lacks: {expected}");
        }
        assert!(text.ends_with("cargo xtask update-goldens gpt::tiny --accept"), "{text}");
    }

    #[test]
    fn a_run_that_measured_nothing_has_no_numbers() {
        let (passed, line, text) = texts(|run| run.requests.clear());
        assert!(
            !passed && line.contains("0 of 0 requests") && line.contains("- tok/s, efficiency -"),
            "{line}"
        );
        assert!(text.contains("problem: the run had no requests"), "{text}");
    }
}

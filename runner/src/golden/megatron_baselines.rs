//! Megatron-LM's own comparison of a performance run's results with its baseline, rule by rule, on two files from anywhere; and beside
//! its verdict, ours, which fails what it passes over: numbers and batch sizes that one side lacks.

use std::collections::BTreeMap;

use super::batches::{GoldenBatch, batch_size, batches};
use super::compare_batches::{compare_sizes, numbers, rule_within};
use super::json::Json;
use super::megatron_check::{MegatronCheck, Theirs, members};
use super::metric::{METRICS, Metric, Scope};
use super::verdict::{MetricVerdict, Verdict};
use crate::config::RawPerformanceCase;
use crate::metrics::BatchMetric;
use crate::plan::{performance_metrics, tolerances};

/// What a performance case asks of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineRules {
    /// METRICS.
    pub metrics: Vec<String>,
    /// TOLERANCE_PCT, as a share.
    pub tolerance: f64,
    /// UPPER_TOLERANCE_PCT, as a share: a throughput above it fails.
    pub upper_tolerance: f64,
}

impl BaselineRules {
    /// What a case's file asks for.
    pub fn of(case: &RawPerformanceCase) -> Self {
        let (tolerance, upper_tolerance) = tolerances(case);
        Self { metrics: performance_metrics(case), tolerance, upper_tolerance }
    }

    /// Without a case: the original's tolerances, and every metric of performance cases that the baseline holds anywhere.
    pub fn held_by(baseline: &Json) -> Self {
        let entries = members(baseline)
            .iter()
            .flat_map(|(_, entry)| members(entry).iter().map(|(_, e)| e).chain([entry]));
        let entries: Vec<&Json> = entries.collect();
        let rows = METRICS.iter().filter(|row| row.scope == Scope::PerBatch);
        let held = rows.filter(|row| entries.iter().any(|entry| entry.get(row.name).is_some()));
        let metrics = held.map(|row| row.name.to_owned()).collect();
        Self { metrics, ..Self::of(&RawPerformanceCase::default()) }
    }

    /// Whether the original is content with a number.
    fn contents(&self, metric: BatchMetric, baseline: f64, result: f64) -> bool {
        let is_throughput = metric == BatchMetric::Throughput;
        let above = if is_throughput { self.upper_tolerance } else { self.tolerance };
        let is_too_low = is_throughput && result < baseline * (1.0 - self.tolerance);
        !(is_too_low || result > baseline * (1.0 + above))
    }
}

/// Numbers by batch size.
type Batches = BTreeMap<u64, GoldenBatch>;

/// Whether a file is a baseline or the results of a performance run, and no golden of requests: its keys are batch sizes, or
/// platforms whose keys are.
pub fn is_baseline(json: &Json) -> bool {
    let of_sizes = |json: &Json| {
        !members(json).is_empty() && members(json).iter().all(|(key, _)| batch_size(key).is_some())
    };
    of_sizes(json) || members(json).iter().any(|(_, entry)| of_sizes(entry))
}

/// Compares results with a baseline: both files as the original writes them, by platform or, as its results are, by batch size at
/// once. `platform` is needed where the baseline has several and the results do not say which. An error is about the
/// files themselves.
pub fn check_baselines(
    baseline: &Json,
    results: &Json,
    rules: &BaselineRules,
    platform: Option<&str>,
) -> Result<MegatronCheck, String> {
    let platform = match platform {
        Some(platform) => Some(platform.to_owned()),
        None => shared_platform(baseline, results)?,
    };
    let expected = entry("the baseline", baseline, platform.as_deref())?;
    let got = entry("the results", results, platform.as_deref())?;
    let verdicts = rules.metrics.iter().map(|name| verdict(name, rules, &expected, &got));
    let verdict = Verdict { metrics: verdicts.collect(), ..Verdict::default() };
    let theirs = first_failure(rules, &expected, &got).map_or(Theirs::Passes, Theirs::Fails);
    Ok(MegatronCheck { theirs, verdict: verdict.guarded() })
}

/// The platforms of a file; none where it has batch sizes at once.
fn platforms(json: &Json) -> Vec<&str> {
    members(json).iter().map(|(key, _)| key.as_str()).filter(|key| batch_size(key).is_none()).collect()
}

/// The one platform that both files can be about.
fn shared_platform(baseline: &Json, results: &Json) -> Result<Option<String>, String> {
    let (theirs, ours) = (platforms(baseline), platforms(results));
    let shared: Vec<&str> = match (theirs.as_slice(), ours.as_slice()) {
        ([], []) => return Ok(None),
        (some, []) | ([], some) => some.to_vec(),
        (some, others) => some.iter().copied().filter(|name| others.contains(name)).collect(),
    };
    match shared.as_slice() {
        [one] => Ok(Some((*one).to_owned())),
        [] => {
            Err(format!("the baseline is of {}, the results are of {}", theirs.join(", "), ours.join(", ")))
        }
        several => Err(format!("they hold {}: name one with --platform", several.join(", "))),
    }
}

fn entry(file: &str, json: &Json, platform: Option<&str>) -> Result<Batches, String> {
    let known = platforms(json);
    let read = match platform {
        Some(platform) if !known.is_empty() => {
            let entry = json.get(platform).ok_or_else(|| {
                format!("{file}: nothing of platform {platform}; there is {}", known.join(", "))
            })?;
            batches(platform, entry)
        }
        Some(_) | None => batches("", json),
    };
    read.map_err(|why| format!("{file}: {}", why.trim_start_matches('.')))
}

fn verdict(name: &str, rules: &BaselineRules, baseline: &Batches, results: &Batches) -> MetricVerdict {
    let Ok(Metric::Batch(metric)) = name.parse::<Metric>() else {
        return MetricVerdict::failed(name, "no metric of a performance case");
    };
    let (expected, got) = (numbers(metric, baseline), numbers(metric, results));
    let rule = rule_within(metric, rules.tolerance, rules.upper_tolerance);
    compare_sizes(metric, rule, true, &expected, &got).finished()
}

/// What the original says first: it goes through the baseline's batch sizes, and passes over numbers that either side lacks.
fn first_failure(rules: &BaselineRules, baseline: &Batches, results: &Batches) -> Option<String> {
    for (size, expected) in baseline {
        let Some(got) = results.get(size) else {
            return Some(format!("batch_{size} is missing in the results"));
        };
        for name in &rules.metrics {
            let Ok(Metric::Batch(metric)) = name.parse::<Metric>() else { continue };
            let number = |batch: &GoldenBatch| batch.number(Metric::Batch(metric));
            if let (Some(expected), Some(got)) = (number(expected), number(got))
                && !rules.contents(metric, expected, got)
            {
                return Some(format!("batch_{size}.{name}: baseline {expected}, now {got}"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::read_megatron_json;
    use crate::golden::verdict::Outcome;

    const BASELINE: &str = r#"{"h100": {
        "batch_1": {"batch_size": 1, "dataset": "synthetic", "throughput_tok_per_sec": 100.0, "avg_latency_ms": 50.0},
        "batch_8": {"batch_size": 8, "dataset": "synthetic", "throughput_tok_per_sec": 700.0, "avg_latency_ms": 60.0}}}"#;

    fn rules() -> BaselineRules {
        let metrics = ["throughput_tok_per_sec", "avg_latency_ms"].map(str::to_owned).to_vec();
        BaselineRules { metrics, tolerance: 0.1, upper_tolerance: 0.2 }
    }

    fn check(results: &str) -> Result<MegatronCheck, String> {
        let read = |text: &str| read_megatron_json(text).unwrap();
        check_baselines(&read(BASELINE), &read(results), &rules(), None)
    }

    /// Results by batch size at once, with one number changed.
    fn results(from: &str, to: &str) -> String {
        let flat = BASELINE.strip_prefix(r#"{"h100": "#).unwrap().strip_suffix('}').unwrap();
        assert!(flat.contains(from), "{from}");
        flat.replacen(from, to, 1)
    }

    #[test]
    fn both_layouts_of_equal_numbers_pass_with_one_assertion_a_number() {
        for text in [BASELINE.to_owned(), results("100.0", "100.0")] {
            let check = check(&text).unwrap();
            assert_eq!((&check.theirs, check.verdict.passed()), (&Theirs::Passes, true), "{check:?}");
            assert_eq!(check.verdict.num_assertions(), 4);
        }
    }

    #[test]
    fn the_edges_are_the_originals() {
        for (from, to, passes) in [
            ("100.0", "90.0", true),
            ("100.0", "89.9", false),
            ("700.0", "840.0", true),
            ("700.0", "840.1", false),
            ("50.0", "55.0", true),
            ("50.0", "55.1", false),
            ("60.0", "1.0", true),
        ] {
            let check = check(&results(from, to)).unwrap();
            assert_eq!(check.theirs == Theirs::Passes, passes, "{to}: {check:?}");
            assert_eq!(check.verdict.passed(), passes, "{to}: {check:?}");
        }
    }

    #[test]
    fn what_one_side_lacks_passes_there_and_fails_here() {
        let lacking = check(&results(", \"avg_latency_ms\": 50.0", "")).unwrap();
        assert_eq!((&lacking.theirs, lacking.verdict.passed()), (&Theirs::Passes, false), "{lacking:?}");
        let more = check(&results("\"batch_8\"", "\"batch_4\": {}, \"batch_8\"")).unwrap();
        assert_eq!((&more.theirs, more.verdict.passed()), (&Theirs::Passes, false), "{more:?}");
        let less = check(&results("batch_8", "batch_9")).unwrap();
        assert_eq!(less.theirs, Theirs::Fails("batch_8 is missing in the results".to_owned()));
        assert!(less.verdict.metrics.iter().all(|metric| metric.outcome == Outcome::Failed));
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        assert!(check(r#"{"a100": {"batch_1": {}}}"#).unwrap_err().contains("the baseline is of h100"));
        let wrong = check(r#"{"batch_1": {"avg_latency_ms": "x"}}"#).unwrap_err();
        assert_eq!(wrong, "the results: batch_1.avg_latency_ms: expected a number, got a string");
        let two = read_megatron_json(r#"{"h100": {"batch_1": {}}, "b200": {"batch_1": {}}}"#).unwrap();
        let error = check_baselines(&two, &two, &rules(), None).unwrap_err();
        assert_eq!(error, "they hold h100, b200: name one with --platform");
        assert!(check_baselines(&two, &two, &rules(), Some("b200")).is_ok());
    }

    #[test]
    fn baselines_are_told_from_goldens() {
        let read = |text: &str| read_megatron_json(text).unwrap();
        assert!(is_baseline(&read(BASELINE)) && is_baseline(&read(r#"{"batch_2": {}}"#)));
        assert!(!is_baseline(&read(r#"{"0": {"generated_tokens": [1]}, "throughput": [1.0]}"#)));
        assert!(!is_baseline(&read("{}")));
    }
}

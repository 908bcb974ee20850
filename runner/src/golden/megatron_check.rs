//! Megatron-LM's own comparison of an inference run's output with its golden, rule by rule, on two files from
//! anywhere; and beside its verdict, how many assertions each metric made: a check that checks nothing is said so.

use super::json::Json;
use super::megatron_requests::compare_entries;
use super::megatron_system::compare_system_keys;
use super::verdict::{MetricVerdict, Outcome, Verdict};
use crate::config::RawFile;
use crate::plan::performance_metrics;

/// Keys at the top level that are no request ids. The last is ours: Goldlap's goldens have it.
pub(super) const RESERVED: [&str; 6] = [
    "throughput",
    "lifetime_prefill_token_count",
    "async_sched_step_count",
    "async_sched_compaction_step_count",
    "mem-max-allocated-bytes",
    super::golden_file::PROVENANCE,
];

/// Metrics that the original's checker knows; it passes over every other name.
pub(super) const CHECKED: [&str; 7] = [
    "throughput",
    "mem-max-allocated-bytes",
    "lifetime_prefill_token_count",
    "generated_tokens",
    "logprobs",
    "generated_text",
    "routing_indices",
];

/// What the original would have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Theirs {
    /// It passes.
    Passes,
    /// It does not run the comparison at all; why.
    Skips(String),
    /// An assertion fails, or Python raises; the first reason.
    Fails(String),
}

/// Both verdicts on two files.
#[derive(Clone, Debug)]
pub struct MegatronCheck {
    /// The original's.
    pub theirs: Theirs,
    /// Goldlap's: the same rules, evaluated to the end, and every metric that asserted nothing fails.
    pub verdict: Verdict,
}

/// What a case asks of the comparison.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// METRICS; `None` = every metric that the checker knows and the golden holds.
    pub metrics: Option<Vec<String>>,
    /// ENABLE_LIGHTWEIGHT_MODE is `true`.
    pub lightweight: bool,
}

impl Asked {
    /// What a case's file asks for; `None` where it is no case of inference.
    pub fn by(file: &RawFile) -> Option<Self> {
        match file {
            RawFile::Functional(case)
                if case.mode.as_ref().is_some_and(|mode| mode.as_str() == "inference") =>
            {
                let variable = case.env_vars.as_ref().and_then(|all| all.get("ENABLE_LIGHTWEIGHT_MODE"));
                let lightweight = variable
                    .is_some_and(|value| value.as_ref().is_some_and(|value| value.as_str() == "true"));
                let metrics = case.metrics.as_deref().unwrap_or_default();
                let metrics = metrics.iter().map(|name| name.as_str().to_owned()).collect();
                Some(Self { metrics: Some(metrics), lightweight })
            }
            RawFile::Performance(file) => {
                Some(Self { metrics: Some(performance_metrics(&file.case)), lightweight: false })
            }
            RawFile::Functional(_) | RawFile::Training(_) | RawFile::Frontend => None,
        }
    }
}

/// Reads a golden or an output: Python's JSON (`NaN` and `Infinity` are numbers), or that inside a JSON string.
pub fn read_megatron_json(text: &str) -> Result<Json, String> {
    let json = Json::parse(text).map_err(|error| format!("not valid JSON: {error}"))?;
    let json = if let Json::String(inner) = &json {
        Json::parse(inner).map_err(|error| format!("JSON inside a JSON string: {error}"))?
    } else {
        json
    };
    if matches!(json, Json::Object(_)) {
        return Ok(json);
    }
    Err(format!("expected an object of request ids and system metrics, got {}", json.kind()))
}

/// Compares `output` with `golden`, both objects.
pub fn check_as_megatron(golden: &Json, output: &Json, asked: &Asked) -> MegatronCheck {
    let metrics = asked.metrics.clone().unwrap_or_else(|| held(golden));
    let mut check = Check { golden, output, metrics: &metrics, first: None, verdict: Verdict::default() };
    if asked.lightweight {
        return check.vacuous(Theirs::Skips("ENABLE_LIGHTWEIGHT_MODE is true".to_owned()));
    }
    if metrics.is_empty() {
        return check.vacuous(Theirs::Passes);
    }
    check.compare();
    check.finish()
}

/// The checked metrics that a golden holds.
fn held(golden: &Json) -> Vec<String> {
    let entries = members(golden);
    let has = |name: &&&str| {
        // The checker breaks on this one: nobody means it without naming it.
        **name != "lifetime_prefill_token_count"
            && (golden.get(name).is_some()
                || entries.iter().any(|(id, entry)| is_request(id) && entry.get(name).is_some()))
    };
    CHECKED.iter().filter(has).map(|name| (*name).to_owned()).collect()
}

pub(super) fn members(json: &Json) -> &[(String, Json)] {
    match json {
        Json::Object(members) => members,
        Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::NonFinite(_)
        | Json::String(_)
        | Json::Array(_) => &[],
    }
}

pub(super) fn is_request(key: &str) -> bool {
    !RESERVED.contains(&key)
}

/// A comparison under way.
pub(super) struct Check<'a> {
    pub(super) golden: &'a Json,
    pub(super) output: &'a Json,
    pub(super) metrics: &'a [String],
    /// Where the original stops first.
    first: Option<String>,
    verdict: Verdict,
}

impl Check<'_> {
    pub(super) fn names(&self, metric: &str) -> bool {
        self.metrics.iter().any(|name| name == metric)
    }

    /// The original stops here: an assertion fails or Python raises.
    pub(super) fn stops(&mut self, why: &str) {
        self.first.get_or_insert_with(|| why.to_owned());
    }

    /// The same, where it belongs to no metric.
    pub(super) fn problem(&mut self, why: String) {
        self.stops(&why);
        self.verdict.problems.push(why);
    }

    /// A metric that has been compared.
    pub(super) fn add(&mut self, metric: MetricVerdict) {
        self.verdict.metrics.push(metric.finished());
    }

    fn compare(&mut self) {
        let ids = |json| -> Vec<&str> {
            members(json).iter().map(|(key, _)| key.as_str()).filter(|key| is_request(key)).collect()
        };
        let (golden_ids, output_ids) = (ids(self.golden), ids(self.output));
        if let Some(extra) = output_ids.iter().find(|id| !golden_ids.contains(id)) {
            self.problem(format!("the output has request {extra}, which the golden does not have"));
        }
        if members(self.golden).is_empty() {
            self.problem("the golden is empty".to_owned());
        }
        compare_system_keys(self);
        if let Some(missing) = golden_ids.iter().find(|id| !output_ids.contains(id)) {
            self.problem(format!("the output lacks the golden's request {missing} (KeyError)"));
        }
        compare_entries(self, &golden_ids);
        for name in self.metrics {
            if !self.verdict.metrics.iter().any(|metric| metric.metric == *name) {
                self.add(nothing_compared(name, self.golden));
            }
        }
    }

    /// Nothing would be compared: that is no pass here, whatever it is there.
    fn vacuous(mut self, theirs: Theirs) -> MegatronCheck {
        let why = match &theirs {
            Theirs::Skips(why) => format!("{why}: nothing is compared"),
            Theirs::Passes | Theirs::Fails(_) => {
                "METRICS is empty: the original passes at once, without comparing anything".to_owned()
            }
        };
        self.verdict.problems.push(why);
        MegatronCheck { theirs, verdict: self.verdict }
    }

    fn finish(mut self) -> MegatronCheck {
        for metric in &mut self.verdict.metrics {
            if metric.assertions == 0 && metric.outcome != Outcome::Failed {
                metric.outcome = Outcome::Failed;
                "nothing was compared".clone_into(&mut metric.summary);
            }
        }
        let theirs = self.first.map_or(Theirs::Passes, Theirs::Fails);
        MegatronCheck { theirs, verdict: self.verdict.guarded() }
    }
}

/// A metric that METRICS names and that the original passes over.
fn nothing_compared(name: &str, golden: &Json) -> MetricVerdict {
    let why = if !CHECKED.contains(&name) {
        "the original's checker does not know this metric and passes over it"
    } else if golden.get(name).is_none() {
        "METRICS names it, the golden does not have it, and the original passes over it"
    } else {
        "nothing was compared"
    };
    MetricVerdict::failed(name, why)
}

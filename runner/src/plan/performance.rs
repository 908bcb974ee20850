//! Performance cases: Megatron's performance_tests schema, resolved to the same plan as any other case, with the batch
//! sizes and iterations on top.

use serde::Serialize;

use super::case_plan::{Origin, PromptSource};
use super::inputs::{Disposition, PlanInputs};
use super::resolution::{PathArgument, Resolution};
use super::resolve::disposition;
use crate::config::{
    CaseFile, ConfigError, Diagnostic, Entries, KeyPath, ModelArgs, Part, PerformanceFile, RawCase, RawFile,
    RawPerformanceCase, Scalar, suggestion,
};
use crate::golden::{METRICS, Metric, MetricRow, Scope};

/// What the original compares where METRICS does not say.
const DEFAULT_METRICS: [&str; 5] =
    ["throughput_tok_per_sec", "avg_latency_ms", "p50_latency_ms", "p99_latency_ms", "tpot_ms_per_tok"];
/// Percent by which a number may be worse, as in the original.
const DEFAULT_TOLERANCE_PCT: f64 = 10.0;
/// Percent by which a throughput may be higher, as in the original.
const DEFAULT_UPPER_TOLERANCE_PCT: f64 = 20.0;
/// The synthetic prompt is this word over and over, as in the original.
const SYNTHETIC_WORD: &str = "hello ";
/// Tokens beyond prompt and output that the original's server is started with room for.
const SPARE_TOKENS: u64 = 32;
/// More requests in a case than this is a mistake.
const MOST_REQUESTS: u64 = 1_000_000;
const MOST_TOKENS: u32 = 1 << 24;

/// The part of a plan that only performance cases have.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PerformancePlan {
    /// Requests submitted together (BATCH_SIZES), each size in turn.
    pub batch_sizes: Vec<usize>,
    /// Iterations of each size that are not measured (NUM_WARMUP_ITERS).
    pub num_warm_up: usize,
    /// Iterations of each size that are (NUM_TIMED_ITERS).
    pub num_timed: usize,
    /// Tokens of a synthetic prompt (NUM_INPUT_TOKENS).
    pub num_input_tokens: usize,
    /// Tokens that every request generates (NUM_OUTPUT_TOKENS).
    pub num_output_tokens: usize,
    /// `synthetic`, or a prompt file (DATASET).
    pub dataset: String,
    /// Worse by more than this share fails (TOLERANCE_PCT).
    pub tolerance: f64,
    /// A throughput that is higher by more than this share fails (UPPER_TOLERANCE_PCT).
    pub upper_tolerance: f64,
}

/// Decides what becomes of a performance case.
pub(super) fn plan_performance(inputs: &PlanInputs<'_>, file: &PerformanceFile) -> Disposition {
    let mut reader = Reader { file: inputs.case, mistakes: Vec::new() };
    let plan = reader.plan(&file.case);
    let metrics = reader.metrics(&file.case);
    if let Err(why) = &file.model_args {
        reader.mistake("MODEL", why.clone(), None);
    }
    let (Ok(arguments), true) = (&file.model_args, reader.mistakes.is_empty()) else {
        return Disposition::Invalid(ConfigError { diagnostics: reader.mistakes });
    };
    let is_file = !matches!(plan.dataset.as_str(), "synthetic" | "gsm8k");
    if is_file && !plan.dataset.contains("${") && !(inputs.exists)(&inputs.folder.join(&plan.dataset)) {
        let message =
            format!("{:?} is no file here: expected synthetic, gsm8k or a prompt file", plan.dataset);
        reader.mistake("DATASET", message, None);
        return Disposition::Invalid(ConfigError { diagnostics: reader.mistakes });
    }
    let case = functional(&file.case, arguments, &plan, metrics);
    // Mistakes in flags are shown where the flags stand.
    let path = arguments.path.clone();
    let flags = CaseFile { path, text: arguments.text.clone(), content: RawFile::Functional(Box::default()) };
    let inputs = PlanInputs { case: &flags, ..*inputs };
    let mut resolution = Resolution::new(&inputs, &case);
    resolution.performance = Some(plan);
    if file.case.ep.is_some_and(|degree| degree > 1) {
        resolution.obstacle("EP: expert parallelism is not implemented yet");
    }
    if file.case.async_sched == Some(true) {
        resolution.note(
            "ASYNC_SCHED",
            "true",
            Origin::Case,
            "asynchronous scheduling: the engine has one way only",
        );
    }
    disposition(resolution, &case)
}

/// METRICS of a performance case, the original's where it names none.
pub fn performance_metrics(case: &RawPerformanceCase) -> Vec<String> {
    case.metrics.clone().unwrap_or_else(|| DEFAULT_METRICS.map(str::to_owned).to_vec())
}

/// TOLERANCE_PCT and UPPER_TOLERANCE_PCT of a performance case as shares, the original's where it names none.
pub fn tolerances(case: &RawPerformanceCase) -> (f64, f64) {
    let share = |percent: Option<f64>, default| percent.unwrap_or(default) / 100.0;
    (
        share(case.tolerance_pct, DEFAULT_TOLERANCE_PCT),
        share(case.upper_tolerance_pct, DEFAULT_UPPER_TOLERANCE_PCT),
    )
}

/// Metrics that METRICS of a performance case may name.
pub fn metrics_of_performance_cases() -> impl Iterator<Item = &'static str> + Clone {
    METRICS.iter().filter(|row| is_measured(row)).map(|row| row.name)
}

/// Checks the keys of a case; every mistake stands in its own file.
struct Reader<'a> {
    file: &'a CaseFile,
    mistakes: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn mistake(&mut self, key: &str, message: impl AsRef<str>, help: Option<String>) {
        let path = KeyPath::new(&[key]);
        let (file, text) = (&self.file.path, &self.file.text);
        self.mistakes.push(Diagnostic::of_key(file, text, &path, Part::Value, message.as_ref(), help));
    }

    fn plan(&mut self, case: &RawPerformanceCase) -> PerformancePlan {
        let (tolerance, upper_tolerance) = tolerances(case);
        let plan = PerformancePlan {
            batch_sizes: case.batch_sizes.iter().flatten().map(|size| *size as usize).collect(),
            num_warm_up: case.num_warmup_iters.unwrap_or(2) as usize,
            num_timed: case.num_timed_iters.unwrap_or(5) as usize,
            num_input_tokens: case.num_input_tokens.unwrap_or(512) as usize,
            num_output_tokens: case.num_output_tokens as usize,
            dataset: case.dataset.clone().unwrap_or_else(|| "synthetic".to_owned()),
            tolerance,
            upper_tolerance,
        };
        if plan.batch_sizes.is_empty() {
            self.mistake("BATCH_SIZES", "expected at least one batch size", None);
        }
        if !plan.batch_sizes.is_sorted_by(|a, b| a < b) || plan.batch_sizes.first() == Some(&0) {
            self.mistake(
                "BATCH_SIZES",
                format!("expected ascending sizes from 1, got {:?}", plan.batch_sizes),
                None,
            );
        }
        let counts = [
            ("NUM_TIMED_ITERS", plan.num_timed),
            ("NUM_INPUT_TOKENS", plan.num_input_tokens),
            ("NUM_OUTPUT_TOKENS", plan.num_output_tokens),
        ];
        for (key, count) in counts {
            if count == 0 || count > MOST_TOKENS as usize {
                self.mistake(key, format!("expected 1 to {MOST_TOKENS}, got {count}"), None);
            }
        }
        for (key, share) in [("TOLERANCE_PCT", plan.tolerance), ("UPPER_TOLERANCE_PCT", plan.upper_tolerance)]
        {
            if !(share.is_finite() && share >= 0.0) {
                self.mistake(key, format!("expected percent, at least 0, got {}", share * 100.0), None);
            }
        }
        let iterations = (plan.num_warm_up + plan.num_timed) as u64;
        let requests = case.batch_sizes.iter().flatten().map(|size| u64::from(*size)).sum::<u64>();
        if requests.saturating_mul(iterations) > MOST_REQUESTS {
            let message =
                format!("{iterations} iterations of {requests} requests: expected at most {MOST_REQUESTS}");
            self.mistake("BATCH_SIZES", message, None);
        }
        plan
    }

    fn metrics(&mut self, case: &RawPerformanceCase) -> Vec<Scalar> {
        let names = performance_metrics(case);
        if names.is_empty() {
            self.mistake("METRICS", "is empty: a case that checks nothing cannot pass", None);
        }
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                self.mistake("METRICS", format!("{name} is named twice"), None);
            } else if !metrics_of_performance_cases().any(|known| known == name) {
                let known = metrics_of_performance_cases();
                let help = suggestion(name, known.clone())
                    .unwrap_or_else(|| format!("known metrics: {}", known.collect::<Vec<_>>().join(", ")));
                self.mistake(
                    "METRICS",
                    format!("a performance case does not measure \"{name}\""),
                    Some(help),
                );
            }
        }
        names.into_iter().map(Scalar).collect()
    }
}

/// Whether a performance case measures a metric. Whole-run speeds would hold its warm-up too.
fn is_measured(row: &MetricRow) -> bool {
    match row.scope {
        Scope::PerBatch => true,
        Scope::PerRequest => false,
        Scope::System => matches!(row.metric, Metric::Efficiency | Metric::MemMaxAllocatedBytes),
    }
}

/// The functional case that serves the same requests: the model's arguments, and what the original's script adds.
fn functional(
    case: &RawPerformanceCase,
    arguments: &ModelArgs,
    plan: &PerformancePlan,
    metrics: Vec<Scalar>,
) -> RawCase {
    let number = |value: Option<u32>| value.map(|value| Scalar(value.to_string()));
    let room = (plan.num_input_tokens + plan.num_output_tokens) as u64 + SPARE_TOKENS;
    // The script's own arguments stand after the model's and win; sizes of buffers are a model's own business.
    let fixed = [
        ("--temperature", "1.0".to_owned()),
        ("--top_k", "1".to_owned()),
        ("--termination-id", "-1".to_owned()),
        ("--num-tokens-to-generate", plan.num_output_tokens.to_string()),
        ("--incoming-requests-per-sec", "-1".to_owned()),
    ];
    let defaults = [
        ("--inference-max-seq-length", room.to_string()),
        ("--inference-dynamic-batching-buffer-size-gb", "20".to_owned()),
        ("--inference-dynamic-batching-max-requests", "256".to_owned()),
    ];
    let mut flags = arguments.entries.clone();
    flags.0.retain(|(flag, _)| !fixed.iter().any(|(name, _)| name == flag));
    let missing = defaults.into_iter().filter(|(flag, _)| arguments.entries.get(flag).is_none());
    let added: Vec<_> =
        missing.chain(fixed).map(|(flag, value)| (flag.to_owned(), Some(Scalar(value)))).collect();
    flags.0.extend(added);
    RawCase {
        mode: Some(Scalar("inference".to_owned())),
        model_args: Some(Entries(flags.0)),
        metrics: Some(metrics),
        tp: number(case.tp),
        pp: number(case.pp),
        dp: number(case.dp),
        time_limit_s: case.time_limit_s.clone(),
        n_repeat: case.n_repeat.clone(),
        known_failure: case.known_failure.clone(),
        ..RawCase::default()
    }
}

impl Resolution<'_> {
    /// Where a performance case takes its prompts from; they are used over and over.
    pub(super) fn performance_source(&mut self, plan: &PerformancePlan) -> Option<PromptSource> {
        if plan.dataset == "synthetic" {
            return Some(PromptSource::Inline(vec![SYNTHETIC_WORD.repeat(plan.num_input_tokens)]));
        }
        if plan.dataset == "gsm8k" {
            self.absence(
                "DATASET gsm8k: its prompts are not part of Goldlap; DATASET may name a prompt file",
            );
            return None;
        }
        let variable = crate::config::Environment::first_variable(&plan.dataset);
        let path = match self.inputs.environment.substitute(&plan.dataset) {
            Ok(path) => PathArgument::Given { path: self.inputs.folder.join(path), variable },
            Err(crate::config::SubstitutionError::Unset(variable)) => PathArgument::Unset(variable),
            Err(crate::config::SubstitutionError::Malformed(why)) => {
                self.error_at(KeyPath::new(&["DATASET"]), why, None);
                return None;
            }
        };
        let path = self.existing("DATASET", path)?;
        Some(PromptSource::File { path, truncate: plan.batch_sizes.last().copied() })
    }

    /// Notes what the case's own keys say.
    pub(super) fn note_performance(&mut self, plan: &PerformancePlan) {
        let sizes: Vec<String> = plan.batch_sizes.iter().map(usize::to_string).collect();
        let mut note =
            |key: &'static str, value: String, meaning| self.note(key, value, Origin::Case, meaning);
        note("BATCH_SIZES", sizes.join(", "), "requests submitted together");
        note(
            "NUM_WARMUP_ITERS",
            plan.num_warm_up.to_string(),
            "iterations of each size that are not measured",
        );
        note("NUM_TIMED_ITERS", plan.num_timed.to_string(), "iterations of each size that are measured");
        note("NUM_INPUT_TOKENS", plan.num_input_tokens.to_string(), "tokens of a synthetic prompt");
        note("NUM_OUTPUT_TOKENS", plan.num_output_tokens.to_string(), "tokens that every request generates");
        note("DATASET", plan.dataset.clone(), "where prompts come from");
        note("TOLERANCE_PCT", (plan.tolerance * 100.0).to_string(), "worse by more percent fails");
        note(
            "UPPER_TOLERANCE_PCT",
            (plan.upper_tolerance * 100.0).to_string(),
            "more throughput by more percent fails",
        );
    }
}

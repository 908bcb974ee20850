//! The keys of `model_config.yaml`, Megatron's and ours, with the values as they are spelled.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entries, Scalar};

/// A functional test case: Megatron's schema and Goldlap's additions (TP/PP/DP, PLATFORMS, RUNS_ON, OPT_IN, TOLERANCES, TIME_LIMIT_S,
/// N_REPEAT at top level, KNOWN_FAILURE).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(expecting = "the keys of a case (MODE, MODEL_ARGS, METRICS, ...)")]
#[schemars(extend("required" = ["MODE", "MODEL_ARGS", "METRICS"]))]
pub struct RawCase {
    /// Environment of Megatron's processes. Goldlap reads only N_REPEAT from it; the rest is listed as ignored.
    pub env_vars: Option<Entries<Option<Scalar>>>,
    /// Megatron's test type; inference cases use `frozen-start`.
    #[schemars(extend("enum" = ["frozen-start"]))]
    pub test_type: Option<Scalar>,
    /// What Megatron runs; Goldlap runs `inference`.
    #[schemars(extend("enum" = ["inference", "pretraining", "rl"]))]
    pub mode: Option<Scalar>,
    /// Flag -> value, as on Megatron's command line. `true` switches a flag on; `"[a b c]"` is a list.
    #[serde(deserialize_with = "super::entries::repeatable")]
    #[schemars(schema_with = "super::schema::model_args")]
    pub model_args: Option<Entries<Option<Scalar>>>,
    /// Metrics compared with the golden record, at least one.
    #[schemars(schema_with = "super::schema::metrics")]
    pub metrics: Option<Vec<Scalar>>,
    /// Launcher of the original; Goldlap starts its replicas itself.
    #[schemars(extend("enum" = ["torchrun", "ft_launcher"]))]
    pub launcher: Option<Scalar>,
    /// Runs of the case; all must pass.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub n_repeat: Option<Scalar>,
    /// Shell text before the launch. A case that has one is skipped: nothing goes through a shell here.
    pub before_script: Option<Scalar>,
    /// Shell text after the launch. A case that has one is skipped.
    pub after_script: Option<Scalar>,
    /// Megatron's `pass` or `xpass`; Goldlap writes KNOWN_FAILURE instead of `xpass`.
    #[schemars(extend("enum" = ["pass"]))]
    pub test_evaluation: Option<Scalar>,
    /// Tensor-parallel size.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub tp: Option<Scalar>,
    /// Pipeline-parallel size.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub pp: Option<Scalar>,
    /// Data-parallel replicas.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub dp: Option<Scalar>,
    /// Platforms on which the case runs, the best first; without it, on any. `[vcuda]` makes a case of the virtual CUDA driver.
    #[schemars(with = "Option<Vec<String>>")]
    pub runs_on: Option<Vec<Scalar>>,
    /// Why the case is not run with the others: it runs where ignored tests are asked for.
    pub opt_in: Option<Scalar>,
    /// What is different on a platform: `cpu`, `vcuda`, `dgx_h100`, ...
    pub platforms: Option<Entries<RawOverride>>,
    /// Tolerance by metric, where it differs from the comparator's own.
    #[schemars(with = "Option<Entries<f64>>")]
    pub tolerances: Option<Entries<Option<Scalar>>>,
    /// The whole case, launch to verdict, must end within so many seconds.
    #[schemars(with = "Option<f64>")]
    pub time_limit_s: Option<Scalar>,
    /// A failure that is known and tracked; a case that passes although it has one fails.
    pub known_failure: Option<RawKnownFailure>,
}

/// What is different on one platform. Flags replace the case's flags one by one; null removes one.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(expecting = "what differs on the platform (MODEL_ARGS, METRICS, ...)")]
pub struct RawOverride {
    /// Flags that replace, add or (null) remove.
    #[schemars(schema_with = "super::schema::override_args")]
    pub model_args: Option<Entries<Option<Scalar>>>,
    /// Replaces METRICS.
    #[schemars(schema_with = "super::schema::metrics")]
    pub metrics: Option<Vec<Scalar>>,
    /// Replaces tolerances one by one.
    #[schemars(with = "Option<Entries<f64>>")]
    pub tolerances: Option<Entries<Option<Scalar>>>,
    /// Replaces TIME_LIMIT_S.
    #[schemars(with = "Option<f64>")]
    pub time_limit_s: Option<Scalar>,
    /// Replaces N_REPEAT.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub n_repeat: Option<Scalar>,
}

/// A failure that is known and tracked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{reason: ..., issue: ...}")]
pub struct RawKnownFailure {
    /// Why it fails.
    pub reason: String,
    /// Where that is tracked.
    pub issue: String,
}

/// A case of Megatron's performance tests: another schema in a file of the same name, with three additions of ours
/// (TIME_LIMIT_S, N_REPEAT, KNOWN_FAILURE).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(extend("required" = ["MODEL", "NUM_OUTPUT_TOKENS", "BATCH_SIZES"]))]
pub struct RawPerformanceCase {
    /// Selects the model's arguments: the file `MODEL.args`.
    pub model: String,
    /// Output tokens of every request.
    #[schemars(with = "std::num::NonZeroU32")]
    pub num_output_tokens: u32,
    /// Tensor-parallel size.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub tp: Option<u32>,
    /// Pipeline-parallel size.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub pp: Option<u32>,
    /// Data-parallel size.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub dp: Option<u32>,
    /// Expert-parallel size.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub ep: Option<u32>,
    /// Prompt tokens of every request.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub num_input_tokens: Option<u32>,
    /// Iterations before the measured ones.
    pub num_warmup_iters: Option<u32>,
    /// Measured iterations.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub num_timed_iters: Option<u32>,
    /// `synthetic`, `gsm8k`, or (ours) a prompt file.
    pub dataset: Option<String>,
    /// Asynchronous scheduling.
    pub async_sched: Option<bool>,
    /// Concurrent requests.
    #[schemars(with = "Option<std::collections::BTreeSet<std::num::NonZeroU32>>", extend("minItems" = 1))]
    pub batch_sizes: Option<Vec<u32>>,
    /// Worse by so many percent fails.
    #[schemars(extend("minimum" = 0))]
    pub tolerance_pct: Option<f64>,
    /// Faster by so many percent fails.
    #[schemars(extend("minimum" = 0))]
    pub upper_tolerance_pct: Option<f64>,
    /// Metrics compared.
    #[schemars(schema_with = "super::schema::performance_metrics")]
    pub metrics: Option<Vec<String>>,
    /// The whole case, launch to verdict, must end within so many seconds.
    #[schemars(with = "Option<f64>")]
    pub time_limit_s: Option<Scalar>,
    /// Runs of the case; all must pass.
    #[schemars(with = "Option<std::num::NonZeroU32>")]
    pub n_repeat: Option<Scalar>,
    /// A failure that is known and tracked.
    pub known_failure: Option<RawKnownFailure>,
}

/// Top-level keys that only Megatron's training cases use.
pub(super) const TRAINING_KEYS: [&str; 7] = [
    "MODEL_ARGS_2",
    "MODEL_ARGS_3",
    "MODEL_ARGS_4",
    "MODEL_ARGS_5",
    "MODEL_ENV_VARS",
    "BASE_MODEL_ARGS",
    "THROUGHPUT_TEST_PARAMS",
];

/// Top-level keys that Megatron's cases of every mode use.
pub(super) const MEGATRON_KEYS: [&str; 9] = [
    "ENV_VARS",
    "TEST_TYPE",
    "MODE",
    "MODEL_ARGS",
    "METRICS",
    "LAUNCHER",
    "BEFORE_SCRIPT",
    "AFTER_SCRIPT",
    "TEST_EVALUATION",
];

/// MODEL_ARGS alone, each flag given once.
#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) struct UniqueArgs {
    #[serde(rename = "MODEL_ARGS")]
    _model_args: Option<Entries<IgnoredAny>>,
}

/// The keys that decide which schema a file follows, whatever else it holds.
#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) struct SchemaMarks {
    pub(super) model: Option<IgnoredAny>,
    pub(super) num_output_tokens: Option<IgnoredAny>,
    pub(super) model_args: Option<IgnoredAny>,
    pub(super) num_engines: Option<IgnoredAny>,
    pub(super) mode: Option<Scalar>,
}

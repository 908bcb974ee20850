//! What will be done for one case: fully resolved, immutable, printable.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use goldlap_kernels::model::config::GptConfig;
use serde::Serialize;

use super::conduct::Conduct;
use super::engine_features::EngineFeatures;
use super::output::OutputPlan;
use super::performance::PerformancePlan;
use super::platform::Platform;
use super::routing::RoutingPlan;

/// A case, resolved for one platform. Nothing in it is optional because it was forgotten:
/// an `Option` that is `None` means "this case does not do that".
#[derive(Clone, Debug, Serialize)]
pub struct CasePlan {
    /// `group::folder`, the trial's name.
    pub name: String,
    /// The case's folder.
    pub folder: PathBuf,
    /// Folder that holds this case's golden files.
    pub golden_folder: PathBuf,
    /// Platform the plan was made for.
    pub platform: Platform,
    /// Where the weights come from.
    pub model: ModelPlan,
    /// How text becomes tokens.
    pub tokenizer: TokenizerPlan,
    /// Replicas.
    pub topology: Topology,
    /// Limits of each replica's engine.
    pub engine: EnginePlan,
    /// How the coordinator routes.
    pub routing: RoutingPlan,
    /// Requests and their timetable.
    pub workload: WorkloadPlan,
    /// Batch sizes and iterations, where it is a performance case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance: Option<PerformancePlan>,
    /// Metrics compared with the golden, in the file's order.
    pub metrics: Vec<String>,
    /// Metrics that METRICS names and this run cannot compare: random weights stand for the case's own. Where no
    /// other metric is left, the run ends as skipped, for it compared nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncompared: Vec<String>,
    /// Tolerances by metric name that differ from the comparator's default.
    pub tolerances: Vec<(String, f64)>,
    /// The whole case, launch to verdict, must end by then.
    pub time_limit: Duration,
    /// Runs of the case; all must pass.
    pub num_repeats: u32,
    /// Strict: a known failure that passes is a failure.
    pub known_failure: Option<KnownFailure>,
    /// Why it runs only where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_in: Option<String>,
    /// Megatron's output JSON, if asked for.
    pub output: Option<OutputPlan>,
    /// Flags of the case that change nothing here, each with the reason.
    pub ignored_flags: Vec<IgnoredFlag>,
    /// Every resolved setting with its source, in the order in which the planner asked for them. Not part of the
    /// plan's JSON, which says what is done, not who said so: see [`super::explain`].
    #[serde(skip)]
    pub settings: Vec<Setting>,
}

/// Source of a case's weights.
#[derive(Clone, Debug, Serialize)]
pub enum ModelPlan {
    /// A Hugging Face folder; its config.json decides the architecture.
    Checkpoint {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else's ranks have the weights.
    Elsewhere,
    /// Random weights.
    Random {
        /// Architecture, from the case's flags.
        config: GptConfig,
        /// Key of the generator (`--seed`).
        seed: u64,
        /// Standard deviation (`--init-method-std`).
        init_method_std: f64,
    },
}

/// Which vocabulary turns text into tokens.
#[derive(Clone, Debug, Serialize)]
pub enum TokenizerPlan {
    /// The built-in vocabulary (cl100k_base at Megatron's TikTokenizer ids: rank + 1000). Needs no file.
    BuiltIn,
    /// Megatron's TikTokenizer: a vocabulary JSON, or Mistral's `tekken.json`.
    TikToken {
        /// The vocabulary file.
        path: PathBuf,
        /// Pre-tokenisation pattern, `v1` or `v2`.
        pattern: String,
    },
    /// A Hugging Face `tokenizer.json`, or a folder that has one.
    HuggingFace {
        /// File or folder.
        path: PathBuf,
    },
}

/// Parallel layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Topology {
    /// Tensor-parallel size; 1 is what the engine runs.
    pub tensor_parallel: usize,
    /// Pipeline-parallel size; 1 is what the engine runs.
    pub pipeline_parallel: usize,
    /// Data-parallel replicas = processes.
    pub data_parallel: usize,
}

/// Limits of one replica's engine (`--inference-*`).
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub struct EnginePlan {
    /// Bytes of the KV pool.
    pub kv_buffer_bytes: u64,
    /// Tokens per KV block.
    pub block_size: usize,
    /// Sequences in one step at most; `None` = as many as usable blocks, rounded down to 4.
    pub max_requests: Option<usize>,
    /// Tokens in one step at most.
    pub max_tokens: usize,
    /// Prompt + output of one request at most.
    pub max_sequence_length: usize,
    /// Threads of a replica's kernels; `None` = this replica's share of the machine's cores.
    pub num_threads: Option<usize>,
    /// What the engine does beyond plain continuous batching.
    pub features: EngineFeatures,
}

/// Requests and their timetable.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadPlan {
    /// Where prompts come from.
    pub source: PromptSource,
    /// When they arrive.
    pub arrival: Arrival,
    /// Sampling, the same for every request.
    pub sampling: SamplingPlan,
    /// Output length of a request whose source does not say one.
    pub num_tokens_to_generate: usize,
    /// Output lengths come from the prompt file.
    pub num_tokens_from_file: bool,
    /// Output length is capped at this many tokens, after everything else (`--num-tokens-to-generate-max`).
    pub max_tokens_to_generate: Option<usize>,
    /// What the client does between requests.
    pub conduct: Conduct,
    /// Prompts are cut to this many tokens (`--num-tokens-to-prompt-max`).
    pub max_prompt_tokens: Option<usize>,
}

/// Where prompts come from.
#[derive(Clone, Debug, Serialize)]
pub enum PromptSource {
    /// `--prompts`.
    Inline(Vec<String>),
    /// `--prompt-file`: Megatron's jsonl or ShareGPT JSON, told apart by content.
    File {
        /// The file.
        path: PathBuf,
        /// Take the first n prompts only.
        truncate: Option<usize>,
    },
    /// Neither: "hi hi hi ..." of random lengths in tokens.
    Synthetic {
        /// Shortest prompt, inclusive.
        min_tokens: usize,
        /// Longest prompt, inclusive.
        max_tokens: usize,
        /// requests per second * duration, cut to an integer.
        num_requests: usize,
    },
}

/// When requests arrive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Arrival {
    /// All at once.
    AllAtOnce,
    /// `n` per turn of the submitting loop, without waiting between turns; the i-th request of each
    /// group generates i tokens more (Megatron's coordinator script).
    PerStep {
        /// Requests per turn.
        num_requests: usize,
    },
    /// Poisson process, reproduced from CPython's `random`.
    Poisson {
        /// Mean rate, requests per second.
        requests_per_second: f64,
        /// Seed of the arrival process (`--seed`).
        seed: u64,
    },
}

/// Sampling of a whole case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SamplingPlan {
    /// Divides the logits.
    pub temperature: f32,
    /// 1 = greedy, 0 = off.
    pub top_k: u32,
    /// 0 = off.
    pub top_p: f32,
    /// Seed of the counter-based generator (`--seed`).
    pub seed: u64,
    /// Prompt and generated logprobs are returned.
    pub return_log_probs: bool,
    /// Only generated logprobs are returned.
    pub skip_prompt_log_probs: bool,
    /// The likeliest tokens returned in the place of each generated one (`--top-n-logprobs`).
    pub top_n_logprobs: u32,
    /// Texts that end a request (`--stop-words`).
    pub stop_words: Vec<String>,
    /// Token that ends a sequence (`--termination-id`).
    pub termination: TerminationPlan,
}

/// Which token ends a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TerminationPlan {
    /// `--termination-id -1`: every request generates as many tokens as it asked for.
    Never,
    /// `--termination-id N`.
    Id(u32),
    /// No `--termination-id`: the tokenizer's end-of-document token, known once the tokenizer is loaded.
    TokenizerEod,
}

impl TerminationPlan {
    /// The token that ends a sequence, given the tokenizer's end-of-document token; `None` = never.
    pub fn resolve(self, tokenizer_eod: Option<u32>) -> Option<u32> {
        match self {
            Self::Never => None,
            Self::Id(id) => Some(id),
            Self::TokenizerEod => tokenizer_eod,
        }
    }
}

/// A failure that is known and tracked.
#[derive(Clone, Debug, Serialize)]
pub struct KnownFailure {
    /// Why it fails.
    pub reason: String,
    /// Where that is tracked.
    pub issue: String,
}

/// A flag that was given and changes nothing.
#[derive(Clone, Debug, Serialize)]
pub struct IgnoredFlag {
    /// `--flag`.
    pub flag: Cow<'static, str>,
    /// The value given.
    pub value: String,
    /// Why it changes nothing here.
    pub reason: Cow<'static, str>,
}

/// A resolved setting and where its value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// `--flag`, or a key of the file.
    pub name: Cow<'static, str>,
    /// As it would be written.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// What it means.
    pub meaning: &'static str,
}

/// Source of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Origin {
    /// The case's file.
    Case,
    /// The case's PLATFORMS entry.
    Platform,
    /// The name of the case's folder.
    FolderName,
    /// Nobody said otherwise.
    Default,
}

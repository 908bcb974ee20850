//! The record of one run: raw facts, written to `target/goldlap/runs/<id>/record.json`.
//! Times are seconds on one monotonic clock of the parent process, 0 = the clock's start.

use serde::{Deserialize, Serialize};

use super::overhead::{ParentCpu, RankCpu};
use crate::workload::prompts::SkippedConversations;

/// Version of the record's layout; raised on every change that a reader could notice.
pub const RECORD_SCHEMA_VERSION: u32 = 1;

/// Everything measured in one run of one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`RECORD_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// `group::folder`.
    pub case: String,
    /// Platform name.
    pub platform: String,
    /// Commit of the code under test, if known, with `-dirty` where the tree had changes.
    pub commit: Option<String>,
    /// Wall-clock start, RFC 3339, UTC.
    pub started_at: String,
    /// Parameters of the model.
    pub num_parameters: u64,
    /// Fingerprint of the weights.
    pub model_fingerprint: String,
    /// Data-parallel replicas started.
    pub data_parallel: u32,
    /// Index of this repeat, 0-based.
    pub repeat: u32,
    /// Seconds from the first process start until every rank was ready.
    pub startup_s: f64,
    /// The resolved plan, for the reader.
    pub plan: serde_json::Value,
    /// The machine's limits, measured around the run, where efficiency was asked for.
    pub machine_limits: Option<MachineLimits>,
    /// How the requests came about, beyond the plan.
    #[serde(default)]
    pub workload: WorkloadRecord,
    /// By request id, ascending.
    pub requests: Vec<RequestRecord>,
    /// By rank, ascending.
    pub ranks: Vec<RankRecord>,
    /// What went wrong and was survived, in time order.
    pub incidents: Vec<Incident>,
    /// Control signals in time order: when they were passed on to the ranks, and when all of these had obeyed.
    #[serde(default)]
    pub signals: Vec<Incident>,
    /// What ranks did wrong by themselves (crash, hang); each fails the case, even if its requests were served.
    #[serde(default)]
    pub rank_faults: Vec<String>,
    /// Memory of all ranks together once the last answer had come, bytes: a page that several share counts once.
    /// `None` where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks_memory_bytes: Option<u64>,
    /// Processor time of coordinator and client; `None` where the coordinator is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_cpu: Option<ParentCpu>,
}

/// What became of a workload's sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadRecord {
    /// Conversations of the prompt file that were passed over.
    pub skipped: SkippedConversations,
    /// The iterations of a performance case, in order; empty for every other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iterations: Vec<Iteration>,
}

/// Requests of a performance case that were submitted together; the next iteration began when all were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iteration {
    /// Id of its first request.
    pub first_request: usize,
    /// Requests in it.
    pub num_requests: usize,
    /// The entry of BATCH_SIZES that it belongs to.
    pub batch_size: usize,
    /// Not measured.
    pub is_warm_up: bool,
}

/// Life of one request as the client saw it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Index in the workload = server id.
    pub id: u64,
    /// Prompt text, where there was one.
    pub prompt: Option<String>,
    /// Tokens of the prompt.
    pub num_prompt_tokens: usize,
    /// Tokens asked for.
    pub num_tokens_to_generate: usize,
    /// Rank that finished it.
    pub rank: Option<u32>,
    /// Times it was dispatched to a rank; 1 without incidents.
    pub num_dispatches: u32,
    /// When the timetable wanted it sent, seconds after its first request; negative = at once.
    #[serde(default)]
    pub arrival_s: f64,
    /// The same on the run's clock.
    pub scheduled_s: f64,
    /// When it was sent.
    pub sent_s: f64,
    /// When each partial or final reply with new tokens came, and how many tokens it brought.
    pub arrivals: Vec<TokenArrival>,
    /// When the final reply came.
    pub finished_s: Option<f64>,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// Generated ids, including a termination id.
    pub generated_tokens: Vec<u32>,
    /// `generated_tokens` as text.
    pub generated_text: String,
    /// Logprobs of prompt positions 1.., where asked for.
    pub prompt_logprobs: Option<Vec<f32>>,
    /// Logprob of each generated token, where asked for.
    pub generated_logprobs: Option<Vec<f32>>,
    /// Per generated token the likeliest ones in its place, as text with logprobs, likeliest first; where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_top_n_logprobs: Option<Vec<Vec<(String, f32)>>>,
    /// The same for prompt positions 1.., where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_top_n_logprobs: Option<Vec<Vec<(String, f32)>>>,
    /// Prompt tokens that its rank found in the prefix cache; `None` where who served it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_cached_tokens: Option<u64>,
    /// Times it lost its KV blocks at its rank and was computed again; `None` where who served it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_evictions: Option<u64>,
}

/// New tokens that came with one reply.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenArrival {
    /// When.
    pub at_s: f64,
    /// How many, at least one.
    pub num_tokens: u32,
}

/// How a request ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestOutcome {
    /// No final reply came before the deadline.
    #[default]
    Unanswered,
    /// All tokens came.
    Completed,
    /// Refused or failed.
    Failed {
        /// Why, as the engine or the coordinator said it.
        reason: String,
    },
}

/// Life of one rank, as it reported on shutdown (or up to its last heartbeat).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankRecord {
    /// Data-parallel rank.
    pub rank: u32,
    /// Process id.
    pub pid: u32,
    /// Requests it finished.
    pub num_requests_finished: u64,
    /// Steps that ran a forward pass, since the clock started (warm-up not counted).
    pub num_steps: u64,
    /// Sum over steps of sequences in the batch.
    pub sum_batch_size: u64,
    /// Largest batch, in sequences.
    pub max_batch_size: u64,
    /// Most tokens of one step, prompts and decodes together.
    #[serde(default)]
    pub max_step_tokens: u64,
    /// Prompt tokens computed.
    pub num_prefill_tokens: u64,
    /// Decode tokens computed.
    pub num_decode_tokens: u64,
    /// Prompt tokens found in the prefix cache, and therefore not computed.
    #[serde(default)]
    pub num_cached_tokens: u64,
    /// Times a request waited for a block that another one was about to compute.
    #[serde(default)]
    pub num_deferred: u64,
    /// Times a request lost its KV blocks and was computed again.
    #[serde(default)]
    pub num_evictions: u64,
    /// Times it was suspended and resumed.
    #[serde(default)]
    pub num_suspensions: u64,
    /// Times a request lost its KV blocks because the rank was suspended, and was computed again.
    #[serde(default)]
    pub num_recomputations: u64,
    /// Times its KV cache was brought to the host's memory while it was suspended; none where it lies there anyway.
    #[serde(default)]
    pub num_offloads: u64,
    /// The generation epoch it was told last.
    #[serde(default)]
    pub generation_epoch: Option<i64>,
    /// Times a request waited for a KV block and kept those it had.
    #[serde(default)]
    pub num_pauses: u64,
    /// KV blocks in the pool.
    pub num_kv_blocks: u64,
    /// Most KV blocks in use at once.
    pub max_kv_blocks_used: u64,
    /// Seconds inside forward steps.
    pub step_seconds: f64,
    /// Per-step roofline inputs, summed over steps with equal bounds kept apart by the caller:
    /// each entry is one step's cost.
    pub step_costs: Vec<goldlap_kernels::model::step::StepCost>,
    /// Peak resident set, bytes, shared file pages included.
    pub peak_rss_bytes: u64,
    /// Processor time while it served; `None` of a rank that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<RankCpu>,
    /// Instruction set or device that ran the kernels.
    pub device: String,
    /// How steps ran as CUDA graphs since the clock started; absent where nothing is captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphs: Option<goldlap_kernels::ops::graph_counts::GraphCounts>,
}

/// The machine's own limits, measured by the product's own probes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineLimits {
    /// Sustained read bandwidth over all threads, bytes per second.
    pub read_bytes_per_second: f64,
    /// Peak of the matmul inner loop over all threads, operations per second (multiply-add = 2).
    pub flops_per_second: f64,
    /// Threads that measured; 1 on a GPU.
    pub num_threads: usize,
}

/// Something that went wrong and was survived (or not).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// When.
    pub at_s: f64,
    /// What happened, in a sentence.
    pub what: String,
}

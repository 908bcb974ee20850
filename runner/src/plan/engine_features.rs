//! Features of one replica's engine that a case switches on or chooses; none of them changes a token.

use serde::{Deserialize, Serialize};

use super::graphs::GraphPlan;

/// What the engine does beyond plain continuous batching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFeatures {
    /// Prompts may be fed over several steps (`--enable-chunked-prefill`).
    pub chunked_prefill: bool,
    /// Bytes of the KV pool that sequences may keep which wait for a block
    /// (`--inference-dynamic-batching-paused-buffer-size-gb`); beyond them the sequence admitted last is evicted.
    pub paused_kv_bytes: u64,
    /// What becomes of the KV cache while the engine is suspended (`--rl-kv-cache-management-mode`).
    pub suspended_kv: SuspendedKv,
    /// Complete blocks of equal prompts are shared, and go in this order (`--inference-dynamic-batching-prefix-caching`).
    pub prefix_caching: Option<CacheEviction>,
    /// Steps that run as CUDA graphs (`--cuda-graph-impl`); `None` on `cpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphs: Option<GraphPlan>,
    /// Logprobs are those after temperature and filter (`--inference-dynamic-batching-logprobs-mode`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub processed_logprobs: bool,
}

/// Which cached KV block is given up, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheEviction {
    /// A block is forgotten with its last owner (`ref_zero`).
    RefZero,
    /// A block is kept until its memory is needed; the one used longest ago goes first (`lru`).
    Lru,
}

/// What becomes of the KV cache while an engine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuspendedKv {
    /// It stays where it is (`persist`).
    Persist,
    /// It is kept in the host's memory (`offload`) and gives up its place on the device. A cache that is in the host's
    /// memory already stays where it is.
    Offload,
    /// It is given up, and what unfinished requests need of it is computed again (`recompute`).
    Recompute,
}

impl EngineFeatures {
    /// Plain continuous batching.
    pub const OFF: Self = Self {
        chunked_prefill: false,
        paused_kv_bytes: 0,
        suspended_kv: SuspendedKv::Persist,
        prefix_caching: None,
        graphs: None,
        processed_logprobs: false,
    };
}

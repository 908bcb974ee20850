//! Features of one replica's engine that a case switches on or chooses; none of them changes a bit of the output.

use serde::{Deserialize, Serialize};

/// What the engine does beyond plain continuous batching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFeatures {
    /// Prompts may be fed over several steps (`--enable-chunked-prefill`).
    pub chunked_prefill: bool,
    /// Complete blocks of equal prompts are shared, and go in this order (`--inference-dynamic-batching-prefix-caching`).
    pub prefix_caching: Option<CacheEviction>,
}

/// Which cached KV block is given up, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheEviction {
    /// A block is forgotten with its last owner (`ref_zero`).
    RefZero,
    /// A block is kept until its memory is needed; the one used longest ago goes first (`lru`).
    Lru,
}

impl EngineFeatures {
    /// Plain continuous batching.
    pub const OFF: Self = Self { chunked_prefill: false, prefix_caching: None };
}

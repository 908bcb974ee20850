//! What one replica's engine may hold and do at once, resolved from the plan and the model's shape.

use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::step::KvCacheShape;
use goldlap_kernels::ops::kv_cache::KEY_GROUP;

use crate::plan::{EngineFeatures, EnginePlan};

/// Resolved limits of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Tokens per KV block.
    pub block_size: usize,
    /// KV blocks that sequences can own. The pool's last block is never handed out: Megatron keeps it for the
    /// padding rows of fixed-size batches, and a request fits here exactly when it fits there.
    pub num_usable_blocks: usize,
    /// Sequences in one step at most.
    pub max_requests: usize,
    /// Tokens in one step at most; not below `max_requests`.
    pub max_tokens: usize,
    /// Prompt + output of one request at most.
    pub max_sequence_length: usize,
    /// KV blocks that sequences may keep which wait for another one.
    pub num_paused_blocks: usize,
    /// What is done beyond plain continuous batching.
    pub features: EngineFeatures,
}

/// Limits that no engine can run with. The text names flags, values and the way out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LimitsError(String);

const BYTES_PER_ELEMENT: u64 = 2; // bf16

/// The KV pool that `plan.kv_buffer_bytes` pays for: buffer / (2 · layers · block · kv heads · head width · 2 bytes)
/// blocks, at least two.
pub fn kv_cache_shape(plan: &EnginePlan, config: &GptConfig) -> Result<KvCacheShape, LimitsError> {
    if plan.block_size == 0 || !plan.block_size.is_multiple_of(KEY_GROUP) {
        return Err(LimitsError(format!(
            "--inference-dynamic-batching-block-size is {}, expected a multiple of {KEY_GROUP}",
            plan.block_size
        )));
    }
    let block_bytes = block_bytes(plan, config)?;
    let num_blocks = (plan.kv_buffer_bytes / block_bytes).max(2);
    if num_blocks > u64::from(u32::MAX) {
        return Err(LimitsError(format!(
            "a KV buffer of {} bytes has {num_blocks} blocks of {block_bytes} bytes, expected at most {}: lower \
             --inference-dynamic-batching-buffer-size-gb or raise --inference-dynamic-batching-block-size",
            plan.kv_buffer_bytes,
            u32::MAX
        )));
    }
    Ok(KvCacheShape { block_size: plan.block_size, num_blocks: num_blocks as usize })
}

/// Bytes of one KV block of all layers.
fn block_bytes(plan: &EnginePlan, config: &GptConfig) -> Result<u64, LimitsError> {
    let elements_per_token =
        2 * config.num_layers as u64 * config.num_query_groups as u64 * config.kv_channels as u64;
    elements_per_token
        .checked_mul(BYTES_PER_ELEMENT)
        .and_then(|bytes| bytes.checked_mul(plan.block_size as u64))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| LimitsError(format!("a KV block of {} tokens has no size in bytes", plan.block_size)))
}

impl EngineLimits {
    /// Lets sequences that wait for a block keep what `plan.features.paused_kv_bytes` pays for.
    pub fn with_paused_buffer(self, plan: &EnginePlan, config: &GptConfig) -> Result<Self, LimitsError> {
        let num_blocks = plan.features.paused_kv_bytes / block_bytes(plan, config)?;
        let num_paused_blocks = usize::try_from(num_blocks).unwrap_or(usize::MAX);
        Ok(Self { num_paused_blocks, ..self })
    }

    /// Resolves the limits for a cache of shape `cache`.
    pub fn new(plan: &EnginePlan, cache: KvCacheShape) -> Result<Self, LimitsError> {
        positive("block-size", cache.block_size)?;
        positive("max-tokens", plan.max_tokens)?;
        if plan.max_sequence_length == 0 {
            return Err(LimitsError("--inference-max-seq-length is 0, expected at least 1".to_owned()));
        }
        if cache.num_blocks < 2 {
            return Err(LimitsError(format!("a KV pool needs at least 2 blocks, got {}", cache.num_blocks)));
        }
        let num_usable_blocks = cache.num_blocks - 1;
        Ok(Self {
            block_size: cache.block_size,
            num_usable_blocks,
            max_requests: resolve_max_requests(plan, num_usable_blocks)?,
            max_tokens: plan.max_tokens,
            max_sequence_length: plan.max_sequence_length,
            num_paused_blocks: 0,
            features: plan.features,
        })
    }

    /// Of `remaining` tokens those that one step computes when `left` are free in it; `None` = it must wait. A last
    /// chunk is never a single token, unless no step has room for two.
    pub(super) fn share(&self, remaining: usize, left: usize, may_be_chunked: bool) -> Option<usize> {
        if remaining <= left {
            return (remaining > 0).then_some(remaining);
        }
        let leaves_one = remaining - left == 1 && self.max_tokens > 1;
        Some(left - usize::from(leaves_one && left > 0)).filter(|&share| may_be_chunked && share > 0)
    }

    /// Blocks that `num_tokens` positions take.
    pub fn blocks_for(&self, num_tokens: usize) -> usize {
        num_tokens.div_ceil(self.block_size)
    }
}

/// Every decoding sequence takes one token of every step, so more sequences than tokens cannot advance together.
fn resolve_max_requests(plan: &EnginePlan, num_usable_blocks: usize) -> Result<usize, LimitsError> {
    let Some(max_requests) = plan.max_requests else {
        let rounded = num_usable_blocks / 4 * 4;
        let default = if rounded == 0 { num_usable_blocks } else { rounded };
        return Ok(default.min(plan.max_tokens));
    };
    positive("max-requests", max_requests)?;
    if max_requests > plan.max_tokens {
        return Err(LimitsError(format!(
            "--inference-dynamic-batching-max-tokens is {}, expected at least --inference-dynamic-batching-max-requests \
             = {max_requests}: every sequence takes one token of a step",
            plan.max_tokens
        )));
    }
    Ok(max_requests)
}

fn positive(flag: &str, value: usize) -> Result<(), LimitsError> {
    match value {
        0 => Err(LimitsError(format!("--inference-dynamic-batching-{flag} is 0, expected at least 1"))),
        1.. => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> EnginePlan {
        EnginePlan {
            kv_buffer_bytes: 20 << 30,
            block_size: 256,
            max_requests: None,
            max_tokens: 16384,
            max_sequence_length: 2560,
            num_threads: Some(1),
            features: EngineFeatures::OFF,
        }
    }

    #[test]
    fn the_pool_is_what_the_buffer_pays_for() {
        let block_bytes = 2 * 24 * 256 * 8 * 128 * 2;
        let cache = kv_cache_shape(&plan(), &GptConfig::GPT_583M).unwrap();
        assert_eq!(cache.num_blocks as u64, (20 << 30) / block_bytes);
        let limits = EngineLimits::new(&plan(), cache).unwrap();
        assert_eq!(limits.num_usable_blocks, cache.num_blocks - 1);
        assert_eq!(limits.max_requests, (cache.num_blocks - 1) / 4 * 4);
        let features = EngineFeatures { paused_kv_bytes: 3 * block_bytes + 1, ..EngineFeatures::OFF };
        let paused =
            limits.with_paused_buffer(&EnginePlan { features, ..plan() }, &GptConfig::GPT_583M).unwrap();
        assert_eq!((limits.num_paused_blocks, paused.num_paused_blocks), (0, 3));
    }

    #[test]
    fn a_tiny_buffer_still_has_two_blocks_and_runs_one_request() {
        let plan = EnginePlan { kv_buffer_bytes: 1, ..plan() };
        let cache = kv_cache_shape(&plan, &GptConfig::GPT_583M).unwrap();
        assert_eq!(cache.num_blocks, 2);
        assert_eq!(EngineLimits::new(&plan, cache).unwrap().max_requests, 1);
    }

    #[test]
    fn impossible_limits_say_which_flag() {
        let cache = KvCacheShape { block_size: 16, num_blocks: 9 };
        let error = |plan: EnginePlan, cache| EngineLimits::new(&plan, cache).unwrap_err().to_string();
        assert!(error(EnginePlan { max_tokens: 0, ..plan() }, cache).contains("max-tokens is 0"));
        assert!(error(EnginePlan { max_requests: Some(0), ..plan() }, cache).contains("max-requests is 0"));
        assert!(
            error(EnginePlan { max_sequence_length: 0, ..plan() }, cache).contains("max-seq-length is 0")
        );
        assert!(error(plan(), KvCacheShape { num_blocks: 1, ..cache }).contains("at least 2 blocks, got 1"));
        let crowded = error(EnginePlan { max_requests: Some(65), max_tokens: 64, ..plan() }, cache);
        assert!(crowded.contains("max-tokens is 64") && crowded.contains("max-requests = 65"), "{crowded}");
        for block_size in [0, 20] {
            let uneven =
                kv_cache_shape(&EnginePlan { block_size, ..plan() }, &GptConfig::GPT_583M).unwrap_err();
            let expected = format!("block-size is {block_size}, expected a multiple of 16");
            assert!(uneven.to_string().contains(&expected), "{uneven}");
        }
        let endless = EnginePlan { kv_buffer_bytes: u64::MAX, block_size: 16, ..plan() };
        let narrow = GptConfig { num_layers: 1, num_query_groups: 1, kv_channels: 2, ..GptConfig::GPT_583M };
        let too_many = kv_cache_shape(&endless, &narrow).unwrap_err();
        assert!(too_many.to_string().contains("expected at most 4294967295"), "{too_many}");
    }

    #[test]
    fn the_default_number_of_requests_never_exceeds_the_tokens_of_a_step() {
        let cache = KvCacheShape { block_size: 16, num_blocks: 1000 };
        assert_eq!(
            EngineLimits::new(&EnginePlan { max_tokens: 7, ..plan() }, cache).unwrap().max_requests,
            7
        );
    }
}

//! Limits of each replica's engine.

use super::case_plan::EnginePlan;
use super::engine_features::{CacheEviction, EngineFeatures, SuspendedKv};
use super::resolution::Resolution;

const BYTES_PER_GIB: f64 = 1_073_741_824.0;

impl Resolution<'_> {
    pub(super) fn engine(&mut self) -> Option<EnginePlan> {
        let in_range = |gib: f64| gib > 0.0 && gib <= 1e6;
        let gib = self.number_in(
            "--inference-dynamic-batching-buffer-size-gb",
            in_range,
            "more than 0 and at most 1e6",
        );
        let block_size = self.count("--inference-dynamic-batching-block-size");
        let max_requests = self.count("--inference-dynamic-batching-max-requests");
        let max_tokens = self.count("--inference-dynamic-batching-max-tokens");
        let max_sequence_length = self.count("--inference-max-seq-length");
        let num_threads = self.count("--inference-num-threads");
        if let (Some(requests), Some(tokens)) = (max_requests, max_tokens)
            && requests > tokens
        {
            let message = format!("expected at least the {requests} requests of one step, got {tokens}");
            let help = "each sequence in a step needs one token at least: lower --inference-dynamic-batching-max-requests";
            self.error("--inference-dynamic-batching-max-tokens", message, Some(help));
        }
        Some(EnginePlan {
            kv_buffer_bytes: (gib? * BYTES_PER_GIB) as u64,
            block_size: block_size?,
            max_requests,
            max_tokens: max_tokens?,
            max_sequence_length: max_sequence_length?,
            num_threads,
            features: self.engine_features(),
        })
    }

    fn engine_features(&mut self) -> EngineFeatures {
        EngineFeatures {
            chunked_prefill: self.switch("--enable-chunked-prefill"),
            paused_kv_bytes: self.paused_kv_bytes(),
            suspended_kv: self.suspended_kv(),
            prefix_caching: self.prefix_caching(),
        }
    }

    fn suspended_kv(&mut self) -> SuspendedKv {
        match self.text("--rl-kv-cache-management-mode").as_deref() {
            Some("offload") => SuspendedKv::Offload,
            Some("recompute") => SuspendedKv::Recompute,
            Some(_) | None => SuspendedKv::Persist,
        }
    }

    fn paused_kv_bytes(&mut self) -> u64 {
        const FLAG: &str = "--inference-dynamic-batching-paused-buffer-size-gb";
        let gib = self.number_in(FLAG, |gib| (0.0..=1e6).contains(&gib), "between 0 and 1e6");
        (gib.unwrap_or_default() * BYTES_PER_GIB) as u64
    }

    fn prefix_caching(&mut self) -> Option<CacheEviction> {
        const POLICY: &str = "--inference-dynamic-batching-prefix-caching-eviction-policy";
        if !self.switch("--inference-dynamic-batching-prefix-caching") {
            self.ignore(POLICY, "has an effect with --inference-dynamic-batching-prefix-caching only");
            return None;
        }
        match self.text(POLICY).as_deref() {
            Some("lru") => Some(CacheEviction::Lru),
            Some(_) | None => Some(CacheEviction::RefZero),
        }
    }
}

//! Limits of each replica's engine.

use goldlap_kernels::model::config::{GptConfig, PositionEmbedding};
use goldlap_kernels::ops::kv_cache::KEY_GROUP;

use super::case_plan::{EnginePlan, ModelPlan, Origin};
use super::engine_features::{CacheEviction, EngineFeatures, SuspendedKv};
use super::resolution::Resolution;

/// Which logprobs are returned.
pub(super) const LOGPROBS_MODE: &str = "--inference-dynamic-batching-logprobs-mode";

const BYTES_PER_GIB: f64 = 1_073_741_824.0;

impl Resolution<'_> {
    pub(super) fn engine(&mut self, model: Option<&ModelPlan>) -> Option<EnginePlan> {
        let in_range = |gib: f64| gib > 0.0 && gib <= 1e6;
        let gib = self.number_in(
            "--inference-dynamic-batching-buffer-size-gb",
            in_range,
            "more than 0 and at most 1e6",
        );
        let block_size = self.block_size();
        let max_requests = self.count("--inference-dynamic-batching-max-requests");
        let max_tokens = self.count("--inference-dynamic-batching-max-tokens");
        let max_sequence_length = self.max_sequence_length(model);
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

    /// A table of learned positions ends somewhere; rotary positions do not.
    fn max_sequence_length(&mut self, model: Option<&ModelPlan>) -> Option<usize> {
        const FLAG: &str = "--inference-max-seq-length";
        let positions = match model {
            Some(ModelPlan::Random { config, .. }) => learned_positions(config),
            Some(ModelPlan::Checkpoint { .. } | ModelPlan::Elsewhere) | None => None,
        };
        let Some(positions) = positions else { return self.count(FLAG) };
        if !self.is_given(FLAG) {
            let meaning = "prompt and output of one request, tokens: the learned positions";
            self.note(FLAG, positions.to_string(), Origin::Default, meaning);
            return Some(positions);
        }
        let length = self.count(FLAG)?;
        if length > positions && self.is_given("--load") {
            // The case's architecture stands for that of a missing checkpoint, which allows what the case asks for.
            let meaning =
                "prompt and output of one request, tokens: the learned positions of the random weights";
            self.settings.retain(|setting| setting.name != FLAG);
            self.note(FLAG, positions.to_string(), Origin::Default, meaning);
            return Some(positions);
        }
        if length > positions {
            let message = format!("expected at most the model's {positions} learned positions, got {length}");
            self.error(FLAG, message, Some("raise --max-position-embeddings, or lower this"));
            return None;
        }
        Some(length)
    }

    fn block_size(&mut self) -> Option<usize> {
        const FLAG: &str = "--inference-dynamic-batching-block-size";
        let block_size = self.count(FLAG)?;
        if block_size == 0 || !block_size.is_multiple_of(KEY_GROUP) {
            self.error(FLAG, format!("expected a multiple of {KEY_GROUP}, got {block_size}"), None);
            return None;
        }
        Some(block_size)
    }

    fn engine_features(&mut self) -> EngineFeatures {
        EngineFeatures {
            chunked_prefill: self.switch("--enable-chunked-prefill"),
            paused_kv_bytes: self.paused_kv_bytes(),
            suspended_kv: self.suspended_kv(),
            prefix_caching: self.prefix_caching(),
            graphs: self.graphs(),
            processed_logprobs: self.processed_logprobs(),
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

    fn processed_logprobs(&mut self) -> bool {
        if !self.is_given("--return-log-probs") {
            self.ignore(LOGPROBS_MODE, "has an effect with --return-log-probs only");
            return false;
        }
        self.text(LOGPROBS_MODE).as_deref() == Some("processed_logprobs")
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

fn learned_positions(config: &GptConfig) -> Option<usize> {
    match config.position_embedding {
        PositionEmbedding::LearnedAbsolute => Some(config.max_position_embeddings),
        PositionEmbedding::Rope { .. } => None,
    }
}

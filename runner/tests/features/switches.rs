//! How each feature is switched off, and where that is noticed.

use libtest_mimic::Failed;

use super::workshop::{Edit, Workshop, complaints};
use Edit::{With, Without, WithoutLine};
use Notice::{Metric, Problem};

/// What the comparison must say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice {
    /// This metric differs from the golden.
    Metric(&'static str),
    /// The run itself went wrong, in these words.
    Problem(&'static str),
}

/// One feature of one case, ignored.
pub(crate) struct Switch {
    /// The flag or key, as the table has it.
    pub(crate) feature: &'static str,
    /// End of the case's name.
    pub(crate) case: &'static str,
    pub(crate) edit: Edit,
    notice: Notice,
}

const fn off(feature: &'static str, case: &'static str, edit: Edit, notice: Notice) -> Switch {
    Switch { feature, case, edit, notice }
}

const CHUNKED: &str = "--enable-chunked-prefill";
const CACHING: &str = "--inference-dynamic-batching-prefix-caching";
const CACHE_EVICTION: &str = "--inference-dynamic-batching-prefix-caching-eviction-policy";
const POLICY: &str = "--inference-dynamic-batching-prefix-caching-coordinator-policy";
const ALPHA: &str = "--inference-dynamic-batching-prefix-caching-routing-alpha";
const MAX_REQUESTS: &str = "--inference-dynamic-batching-max-requests";
const MAX_TOKENS: &str = "--inference-dynamic-batching-max-tokens";
const BUFFER: &str = "--inference-dynamic-batching-buffer-size-gb";
const PAUSED: &str = "--inference-dynamic-batching-paused-buffer-size-gb";
const LOGPROBS_MODE: &str = "--inference-dynamic-batching-logprobs-mode";
const SUSPEND: &str = "--suspend-resume-interval";
const KV_MODE: &str = "--rl-kv-cache-management-mode";
const PER_STEP: &str = "--incoming-requests-per-step";
const PER_SECOND: &str = "--incoming-requests-per-sec";
const DURATION: &str = "--incoming-requests-duration";
const SYNTHETIC: &str = "--num-tokens-to-prompt";
const NUM_GRAPHS: &str = "--inference-dynamic-batching-num-cuda-graphs";
const SIZING: &str = "--inference-dynamic-batching-cuda-graph-sizing-distribution";
const MIXED: &str = "--inference-dynamic-batching-cuda-graph-mixed-prefill-count";
const GRAPH_TOKENS: &str = "--inference-cuda-graph-max-tokens";
const SCOPE: &str = "--inference-cuda-graph-scope";

const LONGEST: &str = "dp2_tiny_route_longest_prefix";
const FIRST: &str = "dp2_tiny_route_first_block";
const BY_LOAD: &str = "dp2_tiny_route_by_load";
const DECODE_GRAPHS: &str = "dp1_tiny_vcuda_decode_graphs";
const MIXED_GRAPHS: &str = "dp1_tiny_vcuda_mixed_graphs";
const PERSIST: &str = "dp1_tiny_vcuda_suspend_persist";
const OFFLOAD: &str = "dp1_tiny_vcuda_suspend_offload";
const RECOMPUTE: &str = "dp2_tiny_suspend_recompute";

#[rustfmt::skip]
pub(crate) const SWITCHES: &[Switch] = &[
    off(CHUNKED, "dp1_tiny_chunked_prefill", Without(CHUNKED), Problem("requests failed")),
    off(CHUNKED, "dp1_tiny_limits", Without(CHUNKED), Problem("requests failed")),
    off(CACHING, "dp1_tiny_prefix_caching", Without(CACHING), Metric("num_cached_tokens")),
    off(CACHE_EVICTION, "dp2_tiny_prefix_caching", With(CACHE_EVICTION, "lru"), Metric("num_cached_tokens")),
    off(CACHE_EVICTION, "dp2_tiny_prefix_routing", With(CACHE_EVICTION, "ref_zero"), Metric("num_cached_tokens")),
    off(POLICY, "dp2_tiny_prefix_routing", Without(POLICY), Metric("num_cached_tokens")),
    off(POLICY, LONGEST, With(POLICY, "first_prefix_block"), Metric("num_cached_tokens")),
    off(POLICY, LONGEST, With(POLICY, "load_balanced"), Metric("num_cached_tokens")),
    off(POLICY, FIRST, With(POLICY, "longest_prefix"), Metric("num_cached_tokens")),
    off(POLICY, FIRST, With(POLICY, "load_balanced"), Metric("num_cached_tokens")),
    off(POLICY, BY_LOAD, With(POLICY, "longest_prefix"), Metric("num_cached_tokens")),
    off(POLICY, BY_LOAD, With(POLICY, "first_prefix_block"), Metric("num_cached_tokens")),
    off(ALPHA, "dp2_tiny_route_alpha", Without(ALPHA), Metric("num_cached_tokens")),
    off(MAX_REQUESTS, "dp1_tiny_limits", Without(MAX_REQUESTS), Metric("max_step_requests")),
    off(MAX_TOKENS, "dp1_tiny_limits", Without(MAX_TOKENS), Metric("max_step_tokens")),
    off(BUFFER, "dp1_tiny_eviction", With(BUFFER, "0.05"), Metric("num_evictions")),
    off(BUFFER, "dp1_tiny_limits", With(BUFFER, "0.00002"), Problem("--inference-dynamic-batching-buffer-size-gb")),
    off(PAUSED, "dp1_tiny_paused_buffer", Without(PAUSED), Metric("num_pauses")),
    off("--temperature", "dp2_tiny_top_p", Without("--temperature"), Metric("generated_tokens")),
    off("--temperature", "dp2_tiny_processed_logprobs", Without("--temperature"), Metric("generated_logprobs")),
    off("--top_p", "dp2_tiny_top_p", Without("--top_p"), Metric("generated_tokens")),
    off("--top_k", "dp2_tiny_processed_logprobs", Without("--top_k"), Metric("generated_tokens")),
    off("--seed", "dp2_tiny_top_p", With("--seed", "12"), Metric("generated_tokens")),
    off(LOGPROBS_MODE, "dp2_tiny_processed_logprobs", Without(LOGPROBS_MODE), Metric("generated_logprobs")),
    off("--top-n-logprobs", "dp2_tiny_synthetic", With("--top-n-logprobs", "1"), Metric("generated_top_n_logprobs")),
    off("--top-n-logprobs", "dp2_tiny_synthetic", With("--top-n-logprobs", "3"), Metric("prompt_top_n_logprobs")),
    off("--top-n-logprobs", "dp2_tiny_top_n_logprobs", With("--top-n-logprobs", "2"), Metric("generated_top_n_logprobs")),
    off("--skip-prompt-log-probs", "dp2_tiny_top_p", Without("--skip-prompt-log-probs"), Metric("logprobs")),
    off("--stop-words", "dp1_tiny_stop_words", Without("--stop-words"), Metric("generated_text")),
    off("--termination-id", "dp1_tiny_termination_id", Without("--termination-id"), Metric("generated_tokens")),
    off("--termination-id", "dp1_tiny_termination_id", With("--termination-id", "-1"), Metric("generated_tokens")),
    off("--termination-id", "dp1_tiny_end_of_document", With("--termination-id", "-1"), Metric("generated_tokens")),
    off(SUSPEND, RECOMPUTE, Without(SUSPEND), Metric("num_suspensions")),
    off(SUSPEND, PERSIST, With(SUSPEND, "6"), Metric("num_suspensions")),
    off(KV_MODE, RECOMPUTE, With(KV_MODE, "persist"), Metric("num_recomputations")),
    off(KV_MODE, PERSIST, With(KV_MODE, "offload"), Metric("num_offloads")),
    off(KV_MODE, PERSIST, With(KV_MODE, "recompute"), Metric("num_recomputations")),
    off(KV_MODE, OFFLOAD, Without(KV_MODE), Metric("num_offloads")),
    off(KV_MODE, OFFLOAD, With(KV_MODE, "recompute"), Metric("num_offloads")),
    off("--drain-between-batches", "dp1_tiny_drained_batches", Without("--drain-between-batches"), Metric("num_drains")),
    off("--batch-boundaries", "dp1_tiny_drained_batches", With("--batch-boundaries", "\"0,4\""), Metric("num_drains")),
    off(PER_STEP, "dp1_tiny_step_arrivals", Without(PER_STEP), Metric("arrival_s")),
    off(PER_STEP, "dp1_tiny_step_arrivals", With(PER_STEP, "4"), Metric("generated_tokens")),
    off(PER_SECOND, "dp2_tiny_synthetic", With(PER_SECOND, "81"), Metric("arrival_s")),
    off(DURATION, "dp2_tiny_synthetic", With(DURATION, "0.09"), Problem("missing from the run")),
    off(SYNTHETIC, "dp2_tiny_synthetic", With(SYNTHETIC, "\"[4 12]\""), Metric("logprobs")),
    off("--seed", "dp2_tiny_synthetic", With("--seed", "43"), Metric("arrival_s")),
    off("--inference-repeat-n", "dp1_tiny_repeats", Without("--inference-repeat-n"), Metric("num_repeats")),
    off("N_REPEAT", "dp1_tiny_repeats", Without("N_REPEAT"), Metric("num_repeats")),
    off("--cuda-graph-impl", DECODE_GRAPHS, Without("--cuda-graph-impl"), Metric("cuda_graph_sizes")),
    off(NUM_GRAPHS, DECODE_GRAPHS, Without(NUM_GRAPHS), Metric("cuda_graph_sizes")),
    off(SIZING, DECODE_GRAPHS, Without(SIZING), Metric("cuda_graph_sizes")),
    off("--decode-only-cuda-graphs", DECODE_GRAPHS, Without("--decode-only-cuda-graphs"), Metric("cuda_graph_sizes")),
    off("--enable-cuda-graph", MIXED_GRAPHS, Without("--enable-cuda-graph"), Metric("cuda_graph_sizes")),
    off(MIXED, MIXED_GRAPHS, With(MIXED, "0"), Metric("cuda_graph_sizes")),
    off(GRAPH_TOKENS, MIXED_GRAPHS, Without(GRAPH_TOKENS), Metric("cuda_graph_sizes")),
    off(SCOPE, "dp1_tiny_vcuda_eager", Without(SCOPE), Metric("cuda_graph_sizes")),
    off("BATCH_SIZES", "gpt_tiny_perf", WithoutLine("  - 16"), Metric("throughput_tok_per_sec")),
];

impl Switch {
    /// The edited copy fails, and says what the feature is for.
    pub(crate) fn is_noticed(&self) -> Result<(), Failed> {
        let result = Workshop::new(self.case, &[self.edit])?.run()?;
        let (metrics, problems) = complaints(&result);
        let noticed = match self.notice {
            Metric(name) => metrics.contains(&name),
            Problem(words) => problems.iter().any(|problem| problem.contains(words)),
        };
        if noticed {
            return Ok(());
        }
        let said = format!("differing: {metrics:?}, problems: {problems:?}, outcome: {:?}", result.outcome);
        Err(format!("{} {}: expected {:?}, got {said}", self.case, self.edit, self.notice).into())
    }
}

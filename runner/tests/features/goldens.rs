//! On or off, the bits are the same: goldens of cases that differ in a feature alone agree, request by request.

use std::fs;

use goldlap::golden::{Golden, GoldenRequest, Metric};
use libtest_mimic::Failed;

use super::workshop::{find, repository};

const PLAIN: &str = "dp1_tiny_logitsmatch";
const CACHED: &str = "dp1_tiny_prefix_caching";
const ROUTED: &str = "dp2_tiny_route_longest_prefix";
const DEVICE: &str = "dp1_tiny_vcuda_logitsmatch";

/// A case with a feature, and one that serves the same requests without it, or with another value of it.
const PAIRS: [(&str, &str); 17] = [
    ("dp1_tiny_chunked_prefill", PLAIN),
    ("dp1_tiny_drained_batches", PLAIN),
    ("dp1_tiny_eviction", PLAIN),
    ("dp1_tiny_paused_buffer", PLAIN),
    ("dp1_tiny_stop_words", PLAIN),
    ("dp2_tiny_suspend_recompute", PLAIN),
    ("dp2_tiny_top_n_logprobs", PLAIN),
    ("dp8_tiny_logitsmatch", PLAIN),
    ("dp2_tiny_prefix_caching", CACHED),
    ("dp2_tiny_prefix_routing", CACHED),
    ("dp2_tiny_route_first_block", ROUTED),
    ("dp2_tiny_route_by_load", ROUTED),
    ("dp2_tiny_route_alpha", ROUTED),
    ("dp1_tiny_vcuda_suspend_offload", "dp1_tiny_vcuda_suspend_persist"),
    ("dp1_tiny_repeats", "dp1_tiny_step_arrivals"),
    ("dp1_tiny_vcuda_eager", DEVICE),
    ("dp8_tiny_vcuda_logitsmatch", DEVICE),
];

fn golden(case: &str) -> Result<Golden, Failed> {
    let (group, folder) = find(case)?;
    let folder = repository().join("golden_values").join(group).join(folder);
    let path = fs::read_dir(&folder)?.next().ok_or("a golden")??.path();
    Golden::load(&path)?.ok_or_else(|| "there is no golden".into())
}

/// Tokens and the bits of their logprobs, as far as both were asked to generate.
fn generated(request: &GoldenRequest) -> Option<(&[u32], Vec<u32>)> {
    let tokens = request.generated_tokens.as_deref()?;
    let own = request.logprobs_of(Metric::GeneratedLogprobs);
    let all = own.or_else(|| request.logprobs_of(Metric::Logprobs))?;
    let first = all.len().checked_sub(tokens.len())?;
    Some((tokens, all[first..].iter().map(|logprob| logprob.to_bits()).collect()))
}

pub(crate) fn features_change_no_token() -> Result<(), Failed> {
    for (with, without) in PAIRS {
        let (on, off) = (golden(with)?, golden(without)?);
        let mut num_compared = 0;
        for (id, request) in on.requests.iter().filter(|(id, _)| off.requests.contains_key(id)) {
            let other = &off.requests[id];
            assert_eq!(request.input_prompt, other.input_prompt, "{with}, {without}: request {id}");
            let (Some(on), Some(off)) = (generated(request), generated(other)) else {
                return Err(format!("{with}, {without}: request {id} has no logprobs").into());
            };
            let len = on.0.len().min(off.0.len());
            assert!(
                on.0[..len] == off.0[..len] && on.1[..len] == off.1[..len],
                "{with}, {without}: request {id}"
            );
            num_compared += len;
        }
        assert!(num_compared >= 20, "{with}, {without}: only {num_compared} tokens were compared");
    }
    Ok(())
}

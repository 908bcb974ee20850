//! The coordinator's decisions as a file, in the original's layout.

use crate::coordinator::{Routing, RoutingDecision};
use crate::plan::RoutingPlan;
use crate::report::write_atomically;

/// How a coordinator routes by this plan among ranks with blocks of `block_size` tokens. Decisions are kept only for a file.
pub(super) fn routing(plan: &RoutingPlan, block_size: usize) -> Routing {
    Routing { policy: plan.policy, alpha: plan.alpha, block_size, is_noted: plan.schedule_path.is_some() }
}

/// Writes where requests went, where the plan names a file for it (`--coordinator-schedule-output-path`).
pub fn write_schedule(
    plan: &RoutingPlan,
    data_parallel: usize,
    decisions: &[RoutingDecision],
) -> Result<(), String> {
    let Some(path) = &plan.schedule_path else { return Ok(()) };
    let schedule = serde_json::json!({
        "policy": plan.policy.name(),
        "data_parallel_size": data_parallel,
        "num_requests": decisions.len(),
        "records": decisions,
    });
    write_atomically(path, format!("{schedule:#}\n").as_bytes())
        .map_err(|error| format!("--coordinator-schedule-output-path {}: {error}", path.display()))
}

//! Efficiency: the time that the work needed at the least on this machine, over the time that it took.
//! The least time of a step is its roofline (Williams, Waterman, Patterson 2009): whichever takes longer of
//! moving its bytes at the measured bandwidth and doing its operations at the measured peak.

use std::collections::BTreeSet;

use goldlap_kernels::model::step::StepCost;

use super::measured::Measured;
use super::record::{MachineLimits, RankRecord, RunRecord};

/// Seconds that one step needs at the least.
pub fn roofline_seconds(cost: &StepCost, limits: &MachineLimits) -> f64 {
    let bytes = cost.weight_bytes as f64 + cost.kv_bytes as f64;
    (bytes / limits.read_bytes_per_second).max(cost.flops as f64 / limits.flops_per_second)
}

/// Roofline seconds of all steps of all ranks, over `wall_s` seconds of every device they ran on. Ranks that
/// share a device also share its limits, so their roofline seconds add up; about 1 is the most there can be.
pub fn efficiency(record: &RunRecord, wall_s: Option<f64>) -> Measured {
    let Some(limits) = record.machine_limits else {
        return Measured::not("the machine's limits were not measured");
    };
    let usable = |limit: f64| limit.is_finite() && limit > 0.0;
    if !usable(limits.read_bytes_per_second) || !usable(limits.flops_per_second) {
        return Measured::not("the machine's limits were measured as zero or not finite");
    }
    let Some(wall_s) = wall_s else {
        return Measured::not("no request was completed");
    };
    let roofline_s: f64 = record
        .ranks
        .iter()
        .flat_map(|rank| &rank.step_costs)
        .map(|cost| roofline_seconds(cost, &limits))
        .sum();
    if roofline_s <= 0.0 {
        return Measured::not("no rank reported the cost of a step");
    }
    Measured::rate(roofline_s, wall_s * num_devices(record) as f64)
}

/// Devices that the ranks ran on: the machine's processors are one; on GPUs, as many as ranks have named.
fn num_devices(record: &RunRecord) -> usize {
    if matches!(record.platform.as_str(), "cpu" | "vcuda") {
        return 1;
    }
    let named =
        record.ranks.iter().map(|rank: &RankRecord| rank.device.as_str()).filter(|device| !device.is_empty());
    named.collect::<BTreeSet<_>>().len().max(1)
}

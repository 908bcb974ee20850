//! The machine's own limits, measured around a run.

use std::thread;

use goldlap_kernels::cpu::limits::measure_limits;

use super::ranks::{rank_specs, threads_per_rank};
use super::serve::ServeInputs;
use crate::metrics::{Clock, MachineLimits};
use crate::plan::{EnginePlan, Platform};
use crate::topology::{RankSpec, probe};

/// Time for bandwidth and peak together.
const BUDGET_S: f64 = 0.8;

/// What the ranks of a run can do at best where they run. Measure while no rank runs.
pub(super) fn limits_of(inputs: &ServeInputs<'_>) -> Result<MachineLimits, String> {
    let plan = inputs.plan;
    let num_ranks = plan.topology.data_parallel;
    let num_threads = threads_per_rank(&plan.engine, num_ranks) * num_ranks;
    match plan.platform {
        Platform::Cpu => machine_limits(num_threads),
        // Devices of a platform are alike, so the first stands for all. Virtual ones share the machine's cores: the one that is
        // measured has them all.
        Platform::Vcuda | Platform::Gpu(_) => {
            let spec = rank_specs(inputs, "").into_iter().next().ok_or("there is no rank")?;
            let engine = EnginePlan { num_threads: Some(num_threads), ..spec.engine.clone() };
            let printed = probe(inputs.executable, &RankSpec { engine, ..spec })?;
            serde_json::from_str(&printed)
                .map_err(|error| format!("the device's limits {printed:?}: {error}"))
        }
    }
}

/// Read bandwidth and peak of the matmul inner loop that `num_threads` threads sustain now: as many as the ranks
/// of the run have together, so that other programs take the same share from both. Measure while no rank runs.
///
/// # Errors
/// The instruction set that `GOLDLAP_ISA` names is unknown or unavailable, or the system refuses a thread.
pub fn machine_limits(num_threads: usize) -> Result<MachineLimits, String> {
    let clock = Clock::start();
    let limits =
        measure_limits(num_threads, BUDGET_S, &|| clock.now_s()).map_err(|error| error.to_string())?;
    Ok(MachineLimits {
        read_bytes_per_second: limits.read_bytes_per_s,
        flops_per_second: limits.flops_per_s,
        num_threads,
    })
}

/// What the machine could do during a run, from what it could do before and after.
pub fn between(before: MachineLimits, after: MachineLimits) -> MachineLimits {
    MachineLimits {
        read_bytes_per_second: f64::midpoint(before.read_bytes_per_second, after.read_bytes_per_second),
        flops_per_second: f64::midpoint(before.flops_per_second, after.flops_per_second),
        num_threads: before.num_threads,
    }
}

/// Cores this process may use.
pub fn num_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

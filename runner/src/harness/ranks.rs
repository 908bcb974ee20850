//! What each rank of a run is told.

use super::machine::num_cores;
use super::serve::ServeInputs;
use crate::plan::EnginePlan;
use crate::topology::RankSpec;

/// Seconds between the heartbeats of a rank.
const HEARTBEAT_S: f64 = 0.5;

/// One specification per data-parallel replica.
pub(super) fn rank_specs(inputs: &ServeInputs<'_>, coordinator: &str) -> Vec<RankSpec> {
    let plan = inputs.plan;
    let world_size = plan.topology.data_parallel;
    let engine =
        EnginePlan { num_threads: Some(threads_per_rank(&plan.engine, world_size)), ..plan.engine.clone() };
    (0..world_size as u32)
        .map(|rank| RankSpec {
            rank,
            world_size: world_size as u32,
            coordinator: coordinator.to_owned(),
            packed_model: inputs.model.path().to_path_buf(),
            platform: plan.platform.clone(),
            device: rank as usize,
            engine: engine.clone(),
            seed: plan.workload.sampling.seed,
            eods: inputs.tokenizer.eods().to_vec(),
            heartbeat_s: HEARTBEAT_S,
            fault: inputs.faults.iter().find(|(faulty, _)| *faulty == rank).map(|(_, fault)| *fault),
        })
        .collect()
}

/// The rank's share of the machine's cores, unless the case says otherwise. Results do not depend on it.
pub(super) fn threads_per_rank(engine: &EnginePlan, world_size: usize) -> usize {
    engine.num_threads.unwrap_or_else(|| (num_cores() / world_size.max(1)).max(1))
}

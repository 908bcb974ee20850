//! One run of a case against a coordinator that somebody else started: our client, their ranks.

use std::time::Duration;

use super::serve::{ServeError, Served};
use crate::client::{Client, Progress};
use crate::metrics::{Clock, RECORD_SCHEMA_VERSION, RunRecord, WallTime};
use crate::plan::CasePlan;
use crate::workload::Workload;

/// How long the coordinator may take to answer a greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a run at a foreign coordinator needs.
pub(super) struct ForeignInputs<'a> {
    /// `tcp://HOST:PORT`.
    pub(super) endpoint: &'a str,
    pub(super) plan: &'a CasePlan,
    pub(super) workload: &'a Workload,
    pub(super) repeat: u32,
    pub(super) commit: Option<String>,
}

/// Sends the workload and records what comes back. The coordinator and its ranks are left as they were found: no
/// signal goes to them. Nothing is known of their processes, so the record has no ranks.
pub(super) fn serve_elsewhere(
    inputs: &ForeignInputs<'_>,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Served, ServeError> {
    let (clock, started_at) = (Clock::start(), WallTime::now().to_string());
    let plan = inputs.plan;
    let mut client = Client::connect_plainly(inputs.endpoint, clock, CONNECT_TIMEOUT)?;
    client.set_conduct(inputs.workload.conduct(&plan.workload.conduct));
    let startup_s = clock.now_s();
    let deadline_s = plan.time_limit.as_secs_f64();
    let requests = client.run(&inputs.workload.requests, plan.workload.arrival, deadline_s, on_progress);
    let record = RunRecord {
        schema_version: RECORD_SCHEMA_VERSION,
        case: plan.name.clone(),
        platform: plan.platform.to_string(),
        commit: inputs.commit.clone(),
        started_at,
        num_parameters: 0,
        model_fingerprint: format!("unknown: served at {}", inputs.endpoint),
        data_parallel: u32::try_from(plan.topology.data_parallel).unwrap_or(u32::MAX),
        repeat: inputs.repeat,
        startup_s,
        plan: serde_json::to_value(plan).unwrap_or_default(),
        machine_limits: None,
        workload: inputs.workload.record.clone(),
        requests,
        ranks: Vec::new(),
        incidents: client.incidents().to_vec(),
        signals: Vec::new(),
        rank_faults: Vec::new(),
        ranks_memory_bytes: None,
        parent_cpu: None,
    };
    Ok(Served { record, log_tails: Vec::new(), decisions: Vec::new() })
}

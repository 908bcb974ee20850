//! One run of a case: ranks up, requests through, ranks down, everything recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::prepared_model::PreparedModel;
use super::ranks::rank_specs;
use super::schedule::routing;
use crate::client::{Client, ClientError, Progress};
use crate::coordinator::state::Settings;
use crate::coordinator::wire::{RankReady, WireLimits};
use crate::coordinator::{
    CoordinatorHandle, CoordinatorOptions, NotReady, RoutingDecision, SocketError, spawn,
};
use crate::metrics::{
    Clock, Incident, ParentCpu, ParentCpuMeter, RECORD_SCHEMA_VERSION, RankRecord, RequestOutcome,
    RequestRecord, RunRecord, WallTime,
};
use crate::plan::CasePlan;
use crate::report::RankLogTail;
use crate::topology::{
    Fault, Fleet, FleetEnd, LaunchError, RankSpec, describe_exit, proportional_bytes, was_killed_from_outside,
};
use crate::workload::{Tokenizer, Workload};

/// Lines of each rank's log shown when a fleet does not come up.
const LOG_LINES: usize = 12;
/// Share of the time limit kept back for stopping ranks and comparing.
const RESERVE_S: f64 = 5.0;
/// How long a coordinator on this machine may take to answer a greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long ranks may take to hand over their records after STOP.
const REPORT_TIMEOUT_S: f64 = 10.0;
/// A rank whose heartbeats stop for this long is lost. Ranks beat twice a second from a thread of their own.
pub(super) const HEARTBEAT_LIMIT_S: f64 = 5.0;

/// Everything one run needs.
pub struct ServeInputs<'a> {
    /// What to do.
    pub plan: &'a CasePlan,
    /// Weights, packed.
    pub model: &'a PreparedModel,
    /// For `generated_text`.
    pub tokenizer: &'a Arc<Tokenizer>,
    /// The workload.
    pub workload: &'a Workload,
    /// Any Goldlap executable; started again in the role of a rank.
    pub executable: &'a Path,
    /// Rank logs go here.
    pub folder: &'a Path,
    /// Planned failures of ranks: the project's own tests.
    pub faults: &'a [(u32, Fault)],
    /// Index of this repeat.
    pub repeat: u32,
    /// Commit of the code under test.
    pub commit: Option<String>,
}

/// Why a run did not take place. A run whose requests failed did take place.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The coordinator's socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A process could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The fleet did not come up.
    #[error("{why}\n{logs}")]
    NotReady {
        /// What was missing.
        why: NotReady,
        /// Ends of the rank logs.
        logs: String,
    },
    /// The client's connection.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Ranks that are up, and who routes to them.
struct Running {
    clock: Clock,
    deadline_s: f64,
    coordinator: Arc<CoordinatorHandle>,
    fleet: Fleet,
    ready: BTreeMap<u32, RankReady>,
    startup_s: f64,
    /// Of all ranks, once everything was answered.
    memory_bytes: Option<u64>,
    /// Of this process, while requests were served.
    parent_cpu: Option<ParentCpu>,
}

/// What the fleet said and did while it ended.
struct Ended {
    ranks: Vec<RankRecord>,
    incidents: Vec<Incident>,
    signals: Vec<Incident>,
    rank_faults: Vec<String>,
    memory_bytes: Option<u64>,
    parent_cpu: Option<ParentCpu>,
    log_tails: Vec<RankLogTail>,
    decisions: Vec<RoutingDecision>,
}

/// A run that took place.
pub struct Served {
    /// Everything measured but the machine's limits.
    pub record: RunRecord,
    /// What the ranks that were lost said last; of all ranks, where requests went unanswered.
    pub log_tails: Vec<RankLogTail>,
    /// Where each request went, where that is asked for.
    pub decisions: Vec<RoutingDecision>,
}

/// Serves the workload and records it. `on_progress` is called often.
pub fn serve(inputs: &ServeInputs<'_>, on_progress: &mut dyn FnMut(&Progress)) -> Result<Served, ServeError> {
    let started_at = WallTime::now().to_string();
    let mut running = start(inputs)?;
    let startup_s = running.startup_s;
    let requests = drive(inputs, &mut running, on_progress)?;
    let mut ended = end(running, &requests);
    let log_tails = std::mem::take(&mut ended.log_tails);
    let decisions = std::mem::take(&mut ended.decisions);
    Ok(Served { record: record(inputs, started_at, startup_s, requests, ended), log_tails, decisions })
}

fn start(inputs: &ServeInputs<'_>) -> Result<Running, ServeError> {
    let clock = Clock::start();
    let deadline_s = (inputs.plan.time_limit.as_secs_f64() - RESERVE_S).max(1.0);
    let coordinator = Arc::new(spawn(coordinator_options(inputs, clock))?);
    let specs = rank_specs(inputs, coordinator.endpoint());
    let told = Arc::downgrade(&coordinator);
    let on_exit = move |rank: u32, why: String| {
        if let Some(coordinator) = told.upgrade() {
            coordinator.rank_exited(rank, why);
        }
    };
    let fleet = Fleet::launch(inputs.executable, &specs, inputs.folder, Arc::new(on_exit))?;
    match coordinator.wait_ready(deadline_s) {
        Ok(ready) => {
            let startup_s = clock.now_s();
            let (memory_bytes, parent_cpu) = (None, None);
            Ok(Running { clock, deadline_s, coordinator, fleet, ready, startup_s, memory_bytes, parent_cpu })
        }
        Err(why) => Err(ServeError::NotReady { logs: log_tails(&fleet, &specs), why }),
    }
}

fn coordinator_options(inputs: &ServeInputs<'_>, clock: Clock) -> CoordinatorOptions {
    let tokenizer = Arc::clone(inputs.tokenizer);
    let world_size = u32::try_from(inputs.plan.topology.data_parallel).unwrap_or(u32::MAX);
    let detokenize = Arc::new(move |tokens: &[u32]| tokenizer.decode(tokens));
    let settings = Settings {
        end_of_document: inputs.tokenizer.eods().to_vec(),
        max_requests: inputs.workload.requests.len().max(1),
        routing: routing(&inputs.plan.routing, inputs.plan.engine.block_size),
        ..Settings::new(world_size, HEARTBEAT_LIMIT_S, detokenize)
    };
    CoordinatorOptions { settings, wire: WireLimits::default(), clock }
}

fn drive(
    inputs: &ServeInputs<'_>,
    running: &mut Running,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Vec<RequestRecord>, ServeError> {
    let mut client = Client::connect(running.coordinator.endpoint(), running.clock, CONNECT_TIMEOUT)?;
    client.set_conduct(inputs.workload.conduct(&inputs.plan.workload.conduct));
    let arrival = inputs.plan.workload.arrival;
    let cpu = ParentCpuMeter::start();
    let records = client.run(&inputs.workload.requests, arrival, running.deadline_s, on_progress);
    running.parent_cpu = Some(cpu.read());
    running.memory_bytes = proportional_bytes(&running.fleet.pids());
    client.pause()?;
    running.fleet.expect_end();
    client.stop()?;
    running.coordinator.wait_reports(running.clock.now_s() + REPORT_TIMEOUT_S);
    client.shutdown()?;
    Ok(records)
}

fn end(running: Running, requests: &[RequestRecord]) -> Ended {
    let Running { clock, coordinator, fleet, ready, memory_bytes, parent_cpu, .. } = running;
    let lost: Vec<u32> = coordinator.lost_ranks().into_keys().collect();
    let all_answered = requests.iter().all(|request| request.outcome != RequestOutcome::Unanswered);
    let talkers: Vec<u32> = if all_answered { lost.clone() } else { ready.keys().copied().collect() };
    let log_tails = talkers.into_iter().map(|rank| log_tail(&fleet, rank)).collect();
    let fleet_end = fleet.end(&lost);
    let now_s = clock.now_s();
    let mut incidents = coordinator.incidents();
    let news =
        unheard_of_ends(&fleet_end, &incidents).into_iter().chain(fleet_end.complaints.iter().cloned());
    incidents.extend(news.map(|what| Incident { at_s: now_s, what }).collect::<Vec<_>>());
    let mut reports = coordinator.rank_reports();
    let decisions = coordinator.routing_decisions();
    let signals = coordinator.notes();
    coordinator.shutdown();
    let ranks = ready.into_iter().map(|(rank, ready)| {
        reports.remove(&rank).unwrap_or_else(|| RankRecord {
            rank,
            pid: ready.pid,
            device: ready.device,
            num_kv_blocks: ready.num_kv_blocks,
            num_requests_finished: requests.iter().filter(|request| request.rank == Some(rank)).count()
                as u64,
            ..RankRecord::default()
        })
    });
    let rank_faults = rank_faults(&fleet_end);
    let ranks = ranks.collect();
    Ended { ranks, incidents, signals, rank_faults, memory_bytes, parent_cpu, log_tails, decisions }
}

fn log_tail(fleet: &Fleet, rank: u32) -> RankLogTail {
    RankLogTail { rank, path: fleet.log(rank), lines: fleet.log_tail(rank, LOG_LINES) }
}

/// How ranks ended of which the coordinator only knows that they are gone: it may see the broken connection first.
fn unheard_of_ends(end: &FleetEnd, incidents: &[Incident]) -> Vec<String> {
    let told = |rank: u32, how: &str| {
        let name = format!("rank {rank} ");
        incidents.iter().any(|incident| incident.what.contains(&name) && incident.what.contains(how))
    };
    let ends = end.premature.iter().map(|(rank, status)| (*rank, describe_exit(*status)));
    ends.filter(|(rank, how)| !told(*rank, how)).map(|(rank, how)| format!("rank {rank} {how}")).collect()
}

/// What ranks did wrong by themselves. Their requests were served by others, and the case fails all the same:
/// a test that passes over a crash or a hang hides it. A rank killed from outside did nothing wrong.
fn rank_faults(end: &FleetEnd) -> Vec<String> {
    let crashed = end.premature.iter().filter(|(_, status)| !was_killed_from_outside(*status));
    let crashed = crashed.map(|(rank, status)| format!("rank {rank} {} in mid-run", describe_exit(*status)));
    let hung = end
        .unresponsive
        .iter()
        .map(|rank| format!("rank {rank} hung: it neither answered nor ended, and was killed"));
    crashed.chain(hung).collect()
}

fn record(
    inputs: &ServeInputs<'_>,
    started_at: String,
    startup_s: f64,
    requests: Vec<RequestRecord>,
    ended: Ended,
) -> RunRecord {
    let plan = inputs.plan;
    RunRecord {
        schema_version: RECORD_SCHEMA_VERSION,
        case: plan.name.clone(),
        platform: plan.platform.to_string(),
        commit: inputs.commit.clone(),
        started_at,
        num_parameters: inputs.model.num_parameters(),
        model_fingerprint: inputs.model.fingerprint().to_owned(),
        data_parallel: u32::try_from(plan.topology.data_parallel).unwrap_or(u32::MAX),
        repeat: inputs.repeat,
        startup_s,
        plan: serde_json::to_value(plan).unwrap_or(Value::Null),
        machine_limits: None,
        workload: inputs.workload.record.clone(),
        requests,
        ranks: ended.ranks,
        incidents: ended.incidents,
        signals: ended.signals,
        rank_faults: ended.rank_faults,
        ranks_memory_bytes: ended.memory_bytes,
        parent_cpu: ended.parent_cpu,
    }
}

pub(super) fn log_tails(fleet: &Fleet, specs: &[RankSpec]) -> String {
    let tails = specs.iter().map(|RankSpec { rank, .. }| {
        format!("rank {rank}: its log ends:\n{}", fleet.log_tail(*rank, LOG_LINES))
    });
    tails.collect::<Vec<_>>().join("\n")
}

//! A rank process from start to end: open the model, warm up, register, serve until STOP, report.

mod desk;
mod lifecycle;
mod plain_link;
#[cfg(test)]
mod plain_link_tests;
mod pulse;
mod serve;
#[cfg(test)]
mod tests;
mod warm_up;

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::coordinator::wire::{RankReady, Versions};
use crate::coordinator::{LinkError, RankLink, Tokenize};
use crate::engine::backend::{Backend, BackendError};
use crate::metrics::Clock;
use crate::topology::RankSpec;
use plain_link::PlainLink;
use pulse::Pulse;
use serve::Server;
use warm_up::warm_up;

/// How long the coordinator may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Why a rank ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub(super) enum RankError {
    #[error("cannot be tied to the life of the parent process: {0}")]
    ParentDeath(rustix::io::Errno),
    #[error("no readable rank specification on standard input: {0}")]
    Spec(#[from] serde_json::Error),
    #[error("heartbeat_s is {0}, expected a number of seconds above 0")]
    Heartbeat(f64),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the warm-up failed: {0}")]
    WarmUp(#[from] goldlap_kernels::model::step::StepError),
    #[error("no coordinator at {endpoint}: {why}")]
    NoCoordinator { endpoint: String, why: String },
    #[error("cannot start the thread that sends heartbeats: {0}")]
    Pulse(io::Error),
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// The whole life of a rank process whose specification comes as JSON on standard input. Exit code 0 after STOP,
/// 1 with a line on standard error if anything went wrong.
pub fn rank_main() -> ExitCode {
    // Before standard input is read: a parent that is gone by now has not written all of it.
    let spec = die_with_parent().and_then(|()| Ok(serde_json::from_reader(io::stdin().lock())?));
    match spec {
        Ok(spec) => {
            end_panics_with_a_line(&spec);
            run_rank(&spec)
        }
        Err(error) => {
            let _unwritable = writeln!(io::stderr(), "rank: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The last line of a log is the one that a report surely shows, and a backtrace would push the message out.
fn end_panics_with_a_line(spec: &RankSpec) {
    let log = RankLog { rank: spec.rank, clock: Clock::start() };
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
        log.line(&format!("panicked{place}: {}", panic.payload_as_str().unwrap_or("no message")));
    }));
}

/// The life of the rank that `spec` describes; ends with the parent process at the latest.
pub fn run_rank(spec: &RankSpec) -> ExitCode {
    let log = RankLog { rank: spec.rank, clock: Clock::start() };
    ended(die_with_parent().and_then(|()| live(spec, log)), log)
}

/// The life of a rank that joins a coordinator by itself, and so does not end with a parent. `plain`: the coordinator
/// is not known to be ours; it gets the original's messages only, and prompts that are text are made tokens here.
pub fn join_as_rank(spec: &RankSpec, plain: Option<Tokenize>) -> ExitCode {
    let log = RankLog { rank: spec.rank, clock: Clock::start() };
    let result = match plain {
        None => live(spec, log),
        Some(tokenize) => live_plainly(spec, log, tokenize),
    };
    ended(result, log)
}

fn ended(result: Result<(), RankError>, log: RankLog) -> ExitCode {
    match result {
        Ok(()) => {
            log.line("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            log.line(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn live(spec: &RankSpec, log: RankLog) -> Result<(), RankError> {
    let interval = heartbeat_interval(spec.heartbeat_s)?;
    let backend = open(spec, log)?;
    let link = register(spec, &backend)?;
    log.line(&format!("registered at {}", spec.coordinator));
    let pulse = Pulse::start(link, interval, log.clock).map_err(RankError::Pulse)?;
    Server::new(spec, backend, pulse, log).serve()
}

fn live_plainly(spec: &RankSpec, log: RankLog, tokenize: Tokenize) -> Result<(), RankError> {
    let interval = heartbeat_interval(spec.heartbeat_s)?;
    let backend = open(spec, log)?;
    check_coordinator(&spec.coordinator)?;
    let mut link = RankLink::connect(&spec.coordinator, spec.rank)?;
    link.register_plainly()?;
    log.line(&format!("registered at {}, as the original does", spec.coordinator));
    let pulse =
        Pulse::start(PlainLink::new(link, tokenize), interval, log.clock).map_err(RankError::Pulse)?;
    Server::new(spec, backend, pulse, log).serve()
}

fn open(spec: &RankSpec, log: RankLog) -> Result<Backend, RankError> {
    let mut backend = Backend::open(&spec.platform, &spec.packed_model, &spec.engine, spec.device)?;
    let warmed = warm_up(backend.model.as_mut(), &backend.limits, log.clock)?;
    backend.model.reset_graph_counts();
    log.line(&format!("{} on {}, {warmed}", spec.packed_model.display(), backend.device));
    Ok(backend)
}

fn register(spec: &RankSpec, backend: &Backend) -> Result<RankLink, RankError> {
    check_coordinator(&spec.coordinator)?;
    let mut link = RankLink::connect(&spec.coordinator, spec.rank)?;
    link.register(RankReady {
        versions: Versions::OURS,
        pid: std::process::id(),
        device: backend.device.clone(),
        num_kv_blocks: backend.num_kv_blocks as u64,
        max_requests: backend.limits.max_requests as u64,
    })?;
    Ok(link)
}

/// ZMQ connects to nobody without complaint; a rank without coordinator would wait forever.
fn check_coordinator(endpoint: &str) -> Result<(), RankError> {
    let error = |why: String| RankError::NoCoordinator { endpoint: endpoint.to_owned(), why };
    let address = endpoint
        .strip_prefix("tcp://")
        .ok_or_else(|| error("expected tcp://host:port".to_owned()))?
        .to_socket_addrs()
        .map_err(|cause| error(cause.to_string()))?
        .next()
        .ok_or_else(|| error("the host has no address".to_owned()))?;
    TcpStream::connect_timeout(&address, CONNECT_PATIENCE).map_err(|cause| error(cause.to_string()))?;
    Ok(())
}

fn heartbeat_interval(seconds: f64) -> Result<Duration, RankError> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        Ok(_) | Err(_) => Err(RankError::Heartbeat(seconds)),
    }
}

/// The kernel ends this process when the thread that started it ends.
pub(super) fn die_with_parent() -> Result<(), RankError> {
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(RankError::ParentDeath)
}

/// Short lines on standard error, which the parent keeps in a file.
#[derive(Clone, Copy, Debug)]
struct RankLog {
    rank: u32,
    clock: Clock,
}

impl RankLog {
    fn line(&self, text: &str) {
        // A log that cannot be written is no reason to stop serving.
        let _unwritable = writeln!(io::stderr(), "[{:9.3}] rank {}: {text}", self.clock.now_s(), self.rank);
    }
}

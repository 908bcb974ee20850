//! The parent's end of the coordinator: start it, wait for ranks, ask what happened, end it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::connections::Connections;
use super::prefix_routing::RoutingDecision;
use super::serve::Server;
use super::socket::{Router, SocketError, Waker};
use super::state::{Event, Settings, State};
use super::stats::CoordinatorStats;
use super::wire::{RankReady, WireLimits};
use crate::metrics::{COORDINATOR_THREAD, Clock, Incident, RankRecord};

/// How to start a coordinator.
#[derive(Clone)]
pub struct CoordinatorOptions {
    /// What the state machine is told.
    pub settings: Settings,
    /// Bounds on what is read.
    pub wire: WireLimits,
    /// The run's clock; incidents and deadlines are on it.
    pub clock: Clock,
}

/// Why a fleet is not ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The deadline came first.
    #[error("ranks {missing:?} of {world_size} were not ready by the deadline")]
    Deadline {
        /// Ranks that did not say that they are ready, ascending.
        missing: Vec<u32>,
        /// Ranks in all.
        world_size: u32,
    },
    /// A rank died first.
    #[error("rank {rank} was lost before all ranks were ready: {why}")]
    RankLost {
        /// Which.
        rank: u32,
        /// Why.
        why: String,
    },
    /// The coordinator ended first.
    #[error("the coordinator ended before all ranks were ready")]
    Ended,
}

/// The coordinator did not end as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator failed: {0}")]
pub struct CoordinatorError(String);

/// Incidents kept; a peer that floods us must not fill the memory.
const MAX_INCIDENTS: usize = 1000;

/// How long the last replies may take to get out when the coordinator ends.
const LINGER: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Facts {
    ready: BTreeMap<u32, RankReady>,
    lost: BTreeMap<u32, String>,
    left: BTreeSet<u32>,
    reports: BTreeMap<u32, RankRecord>,
    incidents: Vec<Incident>,
    /// Signals taken in, and incidents, that nobody has asked for yet.
    log: Vec<Incident>,
    /// Signals taken in, and what became of them.
    notes: Vec<Incident>,
    decisions: Vec<RoutingDecision>,
    stats: CoordinatorStats,
    ended: Option<Result<(), CoordinatorError>>,
}

impl Facts {
    fn log(&mut self, line: Incident) {
        if self.log.len() < MAX_INCIDENTS {
            self.log.push(line);
        }
    }
}

/// What the coordinator's thread tells its parent.
#[derive(Default)]
pub(super) struct Shared {
    facts: Mutex<Facts>,
    changed: Condvar,
}

impl Shared {
    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Every change is one assignment: after a panic elsewhere the facts are still facts.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts());
        self.changed.notify_all();
    }

    pub(super) fn set_ready(&self, rank: u32, ready: RankReady) {
        self.update(|facts| {
            facts.lost.remove(&rank);
            facts.ready.insert(rank, ready);
        });
    }

    pub(super) fn set_lost(&self, rank: u32, why: String) {
        self.update(|facts| {
            facts.lost.insert(rank, why);
        });
    }

    pub(super) fn set_left(&self, rank: u32) {
        self.update(|facts| {
            facts.left.insert(rank);
        });
    }

    pub(super) fn add_report(&self, record: RankRecord) {
        self.update(|facts| {
            facts.reports.entry(record.rank).or_insert(record);
        });
    }

    pub(super) fn add_incident(&self, incident: Incident) {
        self.update(|facts| {
            if facts.incidents.len() < MAX_INCIDENTS {
                facts.incidents.push(incident.clone());
            }
            facts.log(incident);
        });
    }

    pub(super) fn add_note(&self, note: Incident) {
        self.update(|facts| {
            if facts.notes.len() < MAX_INCIDENTS {
                facts.notes.push(note.clone());
            }
            facts.log(note);
        });
    }

    pub(super) fn add_decision(&self, decision: RoutingDecision) {
        self.update(|facts| facts.decisions.push(decision));
    }

    pub(super) fn set_ended(&self, how: Result<(), CoordinatorError>) {
        self.update(|facts| {
            facts.ended.get_or_insert(how);
        });
    }

    pub(super) fn publish(&self, stats: CoordinatorStats) {
        self.facts().stats = stats;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.facts().ended.is_some()
    }

    /// Waits until `answer` has one, or the deadline has passed.
    fn wait_for<T>(&self, clock: Clock, deadline_s: f64, answer: impl Fn(&Facts) -> Option<T>) -> Option<T> {
        let mut facts = self.facts();
        loop {
            let answer = answer(&facts);
            let left = clock.until(deadline_s);
            if answer.is_some() || left.is_zero() {
                return answer;
            }
            let (woken, _) = self.changed.wait_timeout(facts, left).unwrap_or_else(PoisonError::into_inner);
            facts = woken;
        }
    }
}

/// Marks the end also where the thread panics.
struct EndMark(Arc<Shared>);

impl Drop for EndMark {
    fn drop(&mut self) {
        self.0.set_ended(Err(CoordinatorError("its thread panicked".into())));
    }
}

/// A running coordinator. Dropping it ends it.
pub struct CoordinatorHandle {
    endpoint: String,
    world_size: u32,
    clock: Clock,
    to_thread: Sender<Event>,
    waker: Waker,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A free port of this machine's own address.
const LOOPBACK: &str = "tcp://127.0.0.1:*";

/// Binds a coordinator to a free port of 127.0.0.1 and serves on a thread of its own.
pub fn spawn(options: CoordinatorOptions) -> Result<CoordinatorHandle, SocketError> {
    spawn_at(LOOPBACK, options)
}

/// The same at `tcp://HOST:PORT`; the port `*` is any free one, and one that is taken is an error.
pub fn spawn_at(endpoint: &str, options: CoordinatorOptions) -> Result<CoordinatorHandle, SocketError> {
    let CoordinatorOptions { settings, wire, clock } = options;
    let (router, waker) = Router::bind(endpoint, wire.max_message_bytes, LINGER)?;
    let endpoint = router.endpoint().to_owned();
    let world_size = settings.world_size;
    let shared = Arc::new(Shared::default());
    let (to_thread, from_parent) = channel();
    let state = State::new(settings);
    let old_clients = HashMap::new();
    let server = Server {
        router,
        state,
        from_parent,
        shared: shared.clone(),
        clock,
        limits: wire,
        connections: Connections::default(),
        old_clients,
    };
    let mark = EndMark(shared.clone());
    let serve = move || {
        let mark = mark;
        let ended = server.run().map_err(|error| CoordinatorError(error.to_string()));
        mark.0.set_ended(ended);
    };
    let thread = std::thread::Builder::new().name(COORDINATOR_THREAD.into()).spawn(serve);
    let thread = thread.map_err(|error| SocketError::new("cannot start the coordinator's thread", error))?;
    Ok(CoordinatorHandle { endpoint, world_size, clock, to_thread, waker, shared, thread: Some(thread) })
}

impl CoordinatorHandle {
    /// `tcp://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The process guard saw the rank's process end.
    pub fn rank_exited(&self, rank: u32, why: impl Into<String>) {
        self.tell(Event::RankExited { rank, why: why.into() });
    }

    /// Waits until every rank has registered and said that it is ready. Ends early if one is lost.
    /// `deadline_s` is on the run's clock.
    pub fn wait_ready(&self, deadline_s: f64) -> Result<BTreeMap<u32, RankReady>, NotReady> {
        let world_size = self.world_size;
        let answer = |facts: &Facts| {
            if let Some((&rank, why)) = facts.lost.first_key_value() {
                return Some(Err(NotReady::RankLost { rank, why: why.clone() }));
            }
            if facts.ended.is_some() {
                return Some(Err(NotReady::Ended));
            }
            let all = (0..world_size).all(|rank| facts.ready.contains_key(&rank));
            all.then(|| Ok(facts.ready.clone()))
        };
        self.shared.wait_for(self.clock, deadline_s, answer).unwrap_or_else(|| {
            let facts = self.shared.facts();
            let missing = (0..world_size).filter(|rank| !facts.ready.contains_key(rank)).collect();
            Err(NotReady::Deadline { missing, world_size })
        })
    }

    /// After STOP: waits until every rank that was ready has handed over its record, was lost or has gone.
    /// Returns the records by rank; one that is missing was never sent.
    pub fn wait_reports(&self, deadline_s: f64) -> BTreeMap<u32, RankRecord> {
        let accounted = |facts: &Facts| {
            let silent = |rank: &&u32| {
                !facts.reports.contains_key(rank)
                    && !facts.lost.contains_key(rank)
                    && !facts.left.contains(rank)
            };
            (facts.ended.is_some() || !facts.ready.keys().any(|rank| silent(&rank))).then_some(())
        };
        self.shared.wait_for(self.clock, deadline_s, accounted);
        self.rank_reports()
    }

    /// Records handed over so far, by rank.
    pub fn rank_reports(&self) -> BTreeMap<u32, RankRecord> {
        self.shared.facts().reports.clone()
    }

    /// Ranks lost so far, with the reason. One that is lost because it was silent may still be running.
    pub fn lost_ranks(&self) -> BTreeMap<u32, String> {
        self.shared.facts().lost.clone()
    }

    /// What went wrong so far, in time order; the first thousand.
    pub fn incidents(&self) -> Vec<Incident> {
        self.shared.facts().incidents.clone()
    }

    /// Signals taken in and what went wrong since the last call, in time order.
    pub fn take_log(&self) -> Vec<Incident> {
        std::mem::take(&mut self.shared.facts().log)
    }

    /// Ranks that went after they were told to stop.
    pub fn left_ranks(&self) -> BTreeSet<u32> {
        self.shared.facts().left.clone()
    }

    /// Whether it serves no longer.
    pub fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }

    /// Signals taken in and what became of them, in time order.
    pub fn notes(&self) -> Vec<Incident> {
        self.shared.facts().notes.clone()
    }

    /// Where each request went, in the order of dispatches; empty unless [`super::Routing::is_noted`].
    pub fn routing_decisions(&self) -> Vec<RoutingDecision> {
        self.shared.facts().decisions.clone()
    }

    /// Numbers as of the last batch of messages: an answer may reach its client just before it counts here.
    pub fn stats(&self) -> CoordinatorStats {
        self.shared.facts().stats.clone()
    }

    /// Fails what is unfinished and ends the coordinator; returns at once.
    pub fn shutdown(&self) {
        self.tell(Event::Shutdown);
    }

    /// Ends the coordinator, if nobody has, and waits for its thread.
    pub fn join(mut self) -> Result<(), CoordinatorError> {
        self.end();
        let facts = self.shared.facts();
        facts.ended.clone().unwrap_or_else(|| Err(CoordinatorError("its thread ended without a word".into())))
    }

    fn tell(&self, event: Event) {
        // A coordinator that has ended needs to know nothing.
        if self.to_thread.send(event).is_ok() {
            self.waker.wake();
        }
    }

    fn end(&mut self) {
        self.shutdown();
        if let Some(thread) = self.thread.take() {
            // A panic was marked in `ended`.
            let _ = thread.join();
        }
    }
}

impl Drop for CoordinatorHandle {
    fn drop(&mut self) {
        self.end();
    }
}

//! Coordinator and ranks as a service: no workload of its own, until a client or a signal ends it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::prepared_model::PreparedModel;
use super::schedule::routing;
use super::serve::{HEARTBEAT_LIMIT_S, ServeError, log_tails};
use crate::coordinator::state::Settings;
use crate::coordinator::wire::{Numbering, RankReady, WireLimits};
use crate::coordinator::{CoordinatorHandle, CoordinatorOptions, RoutingDecision, spawn_at};
use crate::metrics::Clock;
use crate::plan::RoutingPlan;
use crate::topology::{Fleet, RankSpec, describe_exit};
use crate::workload::Tokenizer;

/// How often the service looks whether it has ended.
const TURN: Duration = Duration::from_millis(50);
/// How long after STOP a client has to say SHUTDOWN, once every rank has gone.
const FAREWELL_S: f64 = 1.0;

/// Everything a service needs.
pub struct ServiceInputs<'a> {
    /// Where it listens: `tcp://HOST:PORT`, `*` for any free port.
    pub bind: &'a str,
    /// Makes the specification of a rank, given the coordinator's endpoint.
    pub rank_spec: &'a dyn Fn(u32, &str) -> RankSpec,
    /// Ranks.
    pub data_parallel: u32,
    /// How requests are spread over them.
    pub routing: &'a RoutingPlan,
    /// Tokens of a KV block at the ranks.
    pub block_size: usize,
    /// Weights, packed; they stay in the cache as long as this is borrowed.
    pub model: &'a PreparedModel,
    /// Tokens of prompts, text of replies.
    pub tokenizer: &'a Arc<Tokenizer>,
    /// Any Goldlap executable; started again in the role of a rank.
    pub executable: &'a Path,
    /// Rank logs go here.
    pub folder: &'a Path,
    /// Numbers of clients that greet as releases before 0.19 do.
    pub old_clients: Numbering,
    /// Seconds that the ranks may take to come up.
    pub startup_limit_s: f64,
}

/// A service that is up.
pub struct Service {
    clock: Clock,
    coordinator: Arc<CoordinatorHandle>,
    fleet: Fleet,
    ready: BTreeMap<u32, RankReady>,
}

/// How a service ended.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceEnd {
    /// Why, in a sentence.
    pub why: String,
    /// What ranks did wrong; empty after an orderly end.
    pub faults: Vec<String>,
    /// Where each request went, where the routing plan names a file for it.
    pub decisions: Vec<RoutingDecision>,
}

impl Service {
    /// Starts coordinator and ranks, and waits until all ranks are ready.
    pub fn start(inputs: &ServiceInputs<'_>) -> Result<Service, ServeError> {
        let clock = Clock::start();
        let coordinator = Arc::new(spawn_at(inputs.bind, options(inputs, clock))?);
        let spec = |rank| (inputs.rank_spec)(rank, coordinator.endpoint());
        let specs: Vec<RankSpec> = (0..inputs.data_parallel).map(spec).collect();
        let told = Arc::downgrade(&coordinator);
        let on_exit = move |rank: u32, why: String| {
            if let Some(coordinator) = told.upgrade() {
                coordinator.rank_exited(rank, why);
            }
        };
        let fleet = Fleet::launch(inputs.executable, &specs, inputs.folder, Arc::new(on_exit))?;
        match coordinator.wait_ready(inputs.startup_limit_s) {
            Ok(ready) => Ok(Service { clock, coordinator, fleet, ready }),
            Err(why) => Err(ServeError::NotReady { logs: log_tails(&fleet, &specs), why }),
        }
    }

    /// `tcp://HOST:PORT`.
    pub fn endpoint(&self) -> &str {
        self.coordinator.endpoint()
    }

    /// Processes of the ranks.
    pub fn pids(&self) -> Vec<u32> {
        self.fleet.pids()
    }

    /// Serves until a client says STOP or SHUTDOWN, or no rank is left; then ends everything. `say` gets a line for
    /// every signal taken in and for everything that went wrong.
    pub fn serve(self, say: &mut dyn FnMut(f64, &str)) -> ServiceEnd {
        let why = loop {
            std::thread::sleep(TURN);
            self.coordinator.take_log().iter().for_each(|line| say(line.at_s, &line.what));
            if let Some(why) = self.is_over() {
                break why;
            }
        };
        let decisions = self.coordinator.routing_decisions();
        self.coordinator.shutdown();
        let lost: Vec<u32> = self.coordinator.lost_ranks().into_keys().collect();
        let end = self.fleet.end(&lost);
        let crashed = end.premature.iter().filter(|(_, status)| !status.success());
        let mut faults: Vec<String> =
            crashed.map(|(rank, status)| format!("rank {rank} {}", describe_exit(*status))).collect();
        faults.extend(end.unresponsive.iter().map(|rank| format!("rank {rank} did not end and was killed")));
        faults.extend(end.complaints);
        self.coordinator.take_log().iter().for_each(|line| say(line.at_s, &line.what));
        ServiceEnd { why, faults, decisions }
    }

    fn is_over(&self) -> Option<String> {
        if self.coordinator.has_ended() {
            self.fleet.expect_end();
            return Some("a client said SHUTDOWN".to_owned());
        }
        let (lost, left) = (self.coordinator.lost_ranks(), self.coordinator.left_ranks());
        let gone = |rank: &u32| lost.contains_key(rank) || left.contains(rank);
        if !self.ready.keys().all(gone) || !self.coordinator.stats().ranks.is_empty() {
            return None;
        }
        if left.is_empty() {
            return Some("no rank is left".to_owned());
        }
        // The client that said STOP usually says SHUTDOWN next, and deserves to be heard.
        let deadline_s = self.clock.now_s() + FAREWELL_S;
        while !self.coordinator.has_ended() && self.clock.now_s() < deadline_s {
            std::thread::sleep(TURN);
        }
        Some("a client said STOP".to_owned())
    }
}

fn options(inputs: &ServiceInputs<'_>, clock: Clock) -> CoordinatorOptions {
    let (decoder, encoder) = (Arc::clone(inputs.tokenizer), Arc::clone(inputs.tokenizer));
    let tokenize = move |text: &str, add_bos: bool| {
        encoder.encode_prompt(text, add_bos).map_err(|error| error.to_string())
    };
    let detokenize = Arc::new(move |tokens: &[u32]| decoder.decode(tokens));
    let settings = Settings {
        end_of_document: inputs.tokenizer.eods().to_vec(),
        tokenize: Some(Arc::new(tokenize)),
        old_clients: inputs.old_clients,
        routing: routing(inputs.routing, inputs.block_size),
        ..Settings::new(inputs.data_parallel, HEARTBEAT_LIMIT_S, detokenize)
    };
    CoordinatorOptions { settings, wire: WireLimits::default(), clock }
}

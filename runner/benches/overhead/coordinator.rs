//! The coordinator between one client and eight ranks that answer at once, over loopback: requests a second with as many
//! under way as the ranks may have.
//!
//! What the coordinator's own thread needed of a core is printed beside the rate, since it does not depend on who else
//! wants the cores.

use std::sync::Arc;

use goldlap::coordinator::state::Settings;
use goldlap::coordinator::wire::WireLimits;
use goldlap::coordinator::{CoordinatorHandle, CoordinatorOptions, spawn};
use goldlap::metrics::Clock;

use crate::figures::{row, spread};
use crate::peers::{LoadClient, RANKS, Ranks, ServingRanks};

const REQUESTS: usize = 200_000;
const ROUNDS: usize = 5;

pub(crate) fn run() {
    let bench = Bench::start(0);
    flood(&bench, 20_000);
    let (mut rates, mut each) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = coordinator_cpu_s();
        rates.push(REQUESTS as f64 / flood(&bench, REQUESTS));
        each.push(1e6 * (coordinator_cpu_s() - before) / REQUESTS as f64);
    }
    row("coordinator: requests/s, routed and answered", &spread(&mut rates, 0));
    row("coordinator: us of a core per request in its thread", &spread(&mut each, 2));
    bench.end();
    streaming();
}

/// Every answer is preceded by 16 streamed tokens, those of all requests at a rank coalesced by step.
fn streaming() {
    let bench = Bench::start(16);
    flood(&bench, 2_000);
    let num_requests = REQUESTS / 10;
    let tokens = (num_requests * 16) as f64;
    let (mut rates, mut each) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = coordinator_cpu_s();
        rates.push(tokens / flood(&bench, num_requests));
        each.push(1e6 * (coordinator_cpu_s() - before) / tokens);
    }
    row("coordinator: streamed tokens/s", &spread(&mut rates, 0));
    row("coordinator: us of a core per streamed token in its thread", &spread(&mut each, 2));
    bench.end();
}

/// Seconds that so many requests take.
fn flood(bench: &Bench, count: usize) -> f64 {
    let mut client = bench.client();
    let seconds = client.flood(count);
    client.leave();
    seconds
}

/// A coordinator with its ranks.
pub(crate) struct Bench {
    coordinator: CoordinatorHandle,
    ranks: ServingRanks,
}

impl Bench {
    /// Every answer is preceded by so many streamed tokens.
    pub(crate) fn start(num_partials: usize) -> Bench {
        let detokenize = Arc::new(|_: &[u32]| String::new());
        let options = CoordinatorOptions {
            settings: Settings::new(RANKS, 60.0, detokenize),
            wire: WireLimits::default(),
            clock: Clock::start(),
        };
        let coordinator = spawn(options).expect("a coordinator");
        let ranks = Ranks::of_coordinator(coordinator.endpoint(), num_partials).start();
        coordinator.wait_ready(30.0).expect("ranks are ready");
        Bench { coordinator, ranks }
    }

    pub(crate) fn client(&self) -> LoadClient {
        LoadClient::of_coordinator(self.coordinator.endpoint())
    }

    pub(crate) fn end(self) {
        let stats = self.coordinator.stats();
        assert_eq!((stats.num_unfinished, stats.counters.malformed, stats.counters.out_of_place), (0, 0, 0));
        assert_eq!(stats.counters.accepted, stats.counters.answered);
        self.ranks.end();
        self.coordinator.join().expect("the coordinator");
    }
}

/// Seconds of a core that threads named "coordinator" of this process have had.
fn coordinator_cpu_s() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("tasks").filter_map(Result::ok);
    let is_it = |path: &std::path::Path| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "coordinator")
    };
    let nanoseconds = tasks.map(|task| task.path()).filter(|path| is_it(path)).filter_map(|path| {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

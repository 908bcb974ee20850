//! The coordinator between one client and eight ranks that answer at once, over loopback: requests a second with as many
//! under way as the ranks may have, and the time a request takes at half that rate.
//!
//! Client and ranks cost little: they send bytes that were encoded before. What the coordinator's own thread needed of a
//! core is printed beside the rate, since it does not depend on who else wants the cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use goldlap::coordinator::state::Settings;
use goldlap::coordinator::wire::{
    ClientMessage, Header, PROTOCOL_VERSION, RankMessage, RankReady, WireLimits,
};
use goldlap::coordinator::{CoordinatorHandle, CoordinatorOptions, spawn};
use goldlap::metrics::Clock;

use crate::figures::{row, spread};
use crate::messages::{FIRST_ID, Stamped, list_frame, number};

const RANKS: u32 = 8;
/// Under way at once: what eight ranks may hold.
const WINDOW: usize = 8 * 256;
const REQUESTS: usize = 200_000;
/// Half of the rate that is the goal.
const HALF_LOAD: f64 = 50_000.0;

const ROUNDS: usize = 5;

pub(crate) fn run() {
    let bench = Bench::start(0);
    bench.client().flood(20_000);
    let (mut rates, mut each) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (before, mut client) = (coordinator_cpu_s(), bench.client());
        rates.push(REQUESTS as f64 / client.flood(REQUESTS));
        each.push(1e6 * (coordinator_cpu_s() - before) / REQUESTS as f64);
    }
    row("coordinator: requests/s, routed and answered", &spread(&mut rates, 0));
    row("coordinator: us of a core per request in its thread", &spread(&mut each, 2));
    let rounds: Vec<_> = (0..ROUNDS).map(|_| bench.client().at_rate(HALF_LOAD, REQUESTS / 2)).collect();
    for (at, what) in ["p50", "p90", "p99"].into_iter().enumerate() {
        let mut latencies: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
        let figure = format!("coordinator: us there and back at {HALF_LOAD} requests/s, {what}");
        row(&figure, &spread(&mut latencies, 0));
    }
    bench.end();
    streaming();
}

/// Every answer is preceded by 16 streamed tokens, those of all requests at a rank coalesced by step.
fn streaming() {
    let bench = Bench::start(16);
    bench.client().flood(2_000);
    let num_requests = REQUESTS / 10;
    let tokens = (num_requests * 16) as f64;
    let (mut rates, mut each) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (before, mut client) = (coordinator_cpu_s(), bench.client());
        rates.push(tokens / client.flood(num_requests));
        each.push(1e6 * (coordinator_cpu_s() - before) / tokens);
    }
    row("coordinator: streamed tokens/s", &spread(&mut rates, 0));
    row("coordinator: us of a core per streamed token in its thread", &spread(&mut each, 2));
    bench.end();
}

struct Bench {
    coordinator: CoordinatorHandle,
    context: zmq::Context,
    over: Arc<AtomicBool>,
    ranks: JoinHandle<()>,
}

impl Bench {
    fn start(num_partials: usize) -> Bench {
        let detokenize = Arc::new(|_: &[u32]| String::new());
        let options = CoordinatorOptions {
            settings: Settings::new(RANKS, 60.0, detokenize),
            wire: WireLimits::default(),
            clock: Clock::start(),
        };
        let coordinator = spawn(options).expect("a coordinator");
        let context = zmq::Context::new();
        let over = Arc::new(AtomicBool::new(false));
        let ranks = Ranks::connect(&context, coordinator.endpoint(), num_partials, over.clone());
        let ranks = std::thread::Builder::new().name("ranks".into()).spawn(move || ranks.serve());
        coordinator.wait_ready(30.0).expect("ranks are ready");
        Bench { coordinator, context, over, ranks: ranks.expect("a thread") }
    }

    fn client(&self) -> LoadClient {
        LoadClient::connect(&self.context, self.coordinator.endpoint())
    }

    fn end(self) {
        let stats = self.coordinator.stats();
        assert_eq!((stats.num_unfinished, stats.counters.malformed, stats.counters.out_of_place), (0, 0, 0));
        assert_eq!(stats.counters.accepted, stats.counters.answered);
        self.over.store(true, Ordering::Relaxed);
        self.ranks.join().expect("the ranks' thread");
        self.coordinator.join().expect("the coordinator");
    }
}

/// Eight ranks on one thread: whatever has come is answered in one message, as after a step.
struct Ranks {
    links: Vec<zmq::Socket>,
    num_partials: usize,
    over: Arc<AtomicBool>,
    answer: Stamped,
    partial: Stamped,
}

impl Ranks {
    fn connect(context: &zmq::Context, endpoint: &str, num_partials: usize, over: Arc<AtomicBool>) -> Ranks {
        let link = |rank: u32| {
            let link = context.socket(zmq::DEALER).expect("a socket");
            link.set_identity(format!("mp-coord-{rank}").as_bytes()).expect("an identity");
            link.set_sndhwm(0).and_then(|()| link.set_rcvhwm(0)).expect("no bounds");
            link.set_linger(0).expect("no linger");
            link.connect(endpoint).expect("connected");
            let ready = RankReady {
                version: PROTOCOL_VERSION,
                pid: 1,
                device: "fake".into(),
                num_kv_blocks: 8,
                max_requests: 64,
            };
            link.send(RankMessage::Register.encode(), 0).expect("sent");
            link.send(RankMessage::Ready(ready).encode(), 0).expect("sent");
            link
        };
        let links = (0..RANKS).map(link).collect();
        Ranks { links, num_partials, over, answer: Stamped::answer(), partial: Stamped::partial() }
    }

    fn serve(mut self) {
        let (mut message, mut ids) = (zmq::Message::new(), Vec::new());
        while !self.over.load(Ordering::Relaxed) {
            let mut items: Vec<_> = self.links.iter().map(|link| link.as_poll_item(zmq::POLLIN)).collect();
            zmq::poll(&mut items, 100).expect("polled");
            for rank in 0..self.links.len() {
                ids.clear();
                while self.links[rank].recv(&mut message, zmq::DONTWAIT).is_ok() {
                    let is_submit = message[1] == Header::SubmitRequest as u8;
                    if is_submit {
                        ids.push(number(&message[2..]));
                    }
                }
                if !ids.is_empty() {
                    self.answer(rank, &ids);
                }
            }
        }
    }

    fn answer(&mut self, rank: usize, ids: &[u64]) {
        for _ in 0..self.num_partials {
            self.send_list(rank, Header::EngineReplyPartial, ids);
        }
        self.send_list(rank, Header::EngineReply, ids);
    }

    fn send_list(&mut self, rank: usize, header: Header, ids: &[u64]) {
        let stamped = if header == Header::EngineReply { &mut self.answer } else { &mut self.partial };
        let mut bytes = list_frame(header as u8, ids.len()).to_vec();
        for &id in ids {
            bytes.extend_from_slice(stamped.with(id));
        }
        self.links[rank].send(bytes, 0).expect("sent");
    }
}

struct LoadClient {
    link: zmq::Socket,
    submit: Stamped,
    message: zmq::Message,
}

impl LoadClient {
    fn connect(context: &zmq::Context, endpoint: &str) -> LoadClient {
        let link = context.socket(zmq::DEALER).expect("a socket");
        link.set_sndhwm(0).and_then(|()| link.set_rcvhwm(0)).expect("no bounds");
        link.connect(endpoint).expect("connected");
        link.send(ClientMessage::Connect.encode(), 0).expect("sent");
        link.recv_msg(0).expect("a greeting");
        link.send(ClientMessage::Hello { version: PROTOCOL_VERSION }.encode(), 0).expect("sent");
        LoadClient { link, submit: Stamped::submit(), message: zmq::Message::new() }
    }

    fn send(&mut self, index: usize) {
        self.link.send(self.submit.with(FIRST_ID + index as u64), 0).expect("sent");
    }

    /// Index of a request that was answered, if an answer is there.
    fn receive(&mut self, flags: i32) -> Option<usize> {
        self.link.recv(&mut self.message, flags).ok()?;
        let is_final = self.message[1] == Header::EngineReply as u8;
        is_final.then(|| (number(&self.message[2..]) - FIRST_ID) as usize)
    }

    /// Sends `count` requests with a full window all the time; seconds until the last answer.
    fn flood(&mut self, count: usize) -> f64 {
        let start = Instant::now();
        let (mut num_sent, mut num_answered) = (0, 0);
        while num_answered < count {
            while num_sent < count && num_sent < num_answered + WINDOW {
                self.send(num_sent);
                num_sent += 1;
            }
            num_answered += usize::from(self.receive(0).is_some());
            // Streamed tokens are no answers; what else is there already is taken too.
            while self.link.get_events().expect("events").contains(zmq::POLLIN) {
                num_answered += usize::from(self.receive(zmq::DONTWAIT).is_some());
            }
        }
        self.leave();
        start.elapsed().as_secs_f64()
    }

    /// Sends `count` requests evenly at `rate`, whatever is answered; microseconds from the planned sending to the
    /// answer: p50, p90, p99.
    fn at_rate(&mut self, rate: f64, count: usize) -> [f64; 3] {
        let start = Instant::now();
        let due = |index: usize| Duration::from_secs_f64(index as f64 / rate);
        let (mut num_sent, mut latencies) = (0, Vec::with_capacity(count));
        while latencies.len() < count {
            while num_sent < count && start.elapsed() >= due(num_sent) {
                self.send(num_sent);
                num_sent += 1;
            }
            match self.receive(zmq::DONTWAIT) {
                Some(index) => {
                    latencies.push((start.elapsed().saturating_sub(due(index))).as_secs_f64() * 1e6)
                }
                // Somebody else may want this core meanwhile.
                None => std::thread::yield_now(),
            }
        }
        self.leave();
        latencies.sort_by(f64::total_cmp);
        [0.5, 0.9, 0.99].map(|q| latencies[(q * (count - 1) as f64) as usize])
    }

    fn leave(&self) {
        self.link.send(ClientMessage::Disconnect.encode(), 0).expect("sent");
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

//! How much longer a request takes because there is a coordinator between client and ranks.
//!
//! The same client and the same ranks exchange the same bytes at the same rate, with the coordinator between them and without
//! it, in turns. Requests are due at even intervals; a latency counts from the moment when its request was due, whenever it
//! was really sent, so that a client that was held up cannot hide it. The client sleeps between the requests: one that
//! looked for answers all the time would take a core from those it measures.

use std::num::NonZeroU64;
use std::time::Duration;

use goldlap::metrics::Clock;

use crate::coordinator::Bench;
use crate::figures::{row, spread};
use crate::peers::{LoadClient, Ranks};

const ROUNDS: usize = 9;
/// Of the 100,000 requests a second that are the goal: half, and a tenth.
const RATES: [f64; 2] = [50_000.0, 10_000.0];
const SECONDS: f64 = 1.0;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

pub(crate) fn run() {
    let bench = Bench::start(0);
    let context = zmq::Context::new();
    let (ranks, endpoints) = Ranks::direct(&context);
    let ranks = ranks.start();
    for rate in RATES {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        // The first round of each warms up.
        for _ in 0..=ROUNDS {
            without.push(round(&mut LoadClient::direct(&context, &endpoints), rate));
            let mut client = bench.client();
            with.push(round(&mut client, rate));
            client.leave();
        }
        print(rate, &with[1..], &without[1..]);
    }
    ranks.end();
    bench.end();
}

fn round(client: &mut LoadClient, rate: f64) -> [f64; 3] {
    let latencies = at_rate(client, rate, (rate * SECONDS) as usize);
    QUANTILES.map(|q| latencies[(q * (latencies.len() - 1) as f64) as usize])
}

fn print(rate: f64, with: &[[f64; 3]], without: &[[f64; 3]]) {
    for (at, what) in ["p50", "p90", "p99"].into_iter().enumerate() {
        let figure = |what: &str, mut values: Vec<f64>| {
            row(&format!("coordinator: us at {rate} requests/s, {what}"), &spread(&mut values, 0));
        };
        let of = |rounds: &[[f64; 3]]| rounds.iter().map(|round| round[at]).collect::<Vec<f64>>();
        let added = of(with).into_iter().zip(of(without)).map(|(with, without)| with - without);
        figure(&format!("{what} there and back"), of(with));
        figure(&format!("{what} without a coordinator"), of(without));
        figure(&format!("{what} added"), added.collect());
    }
}

/// Sends `count` requests evenly at `rate`, whatever is answered; microseconds from when each was due to its answer, ascending.
fn at_rate(client: &mut LoadClient, rate: f64, count: usize) -> Vec<f64> {
    // A sleep of 20 us takes 70 otherwise.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).expect("a timer slack");
    let clock = Clock::start();
    let due_s = |index: usize| index as f64 / rate;
    let (mut num_sent, mut latencies) = (0, Vec::with_capacity(count));
    while latencies.len() < count {
        while num_sent < count && clock.now_s() >= due_s(num_sent) {
            client.send(num_sent);
            num_sent += 1;
        }
        while let Some(index) = client.receive(zmq::DONTWAIT) {
            latencies.push(1e6 * (clock.now_s() - due_s(index)));
        }
        let next = clock.until(due_s(num_sent));
        std::thread::sleep(if num_sent < count { next } else { Duration::from_micros(20) });
    }
    latencies.sort_by(f64::total_cmp);
    latencies
}

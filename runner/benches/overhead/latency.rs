//! How much longer a request takes because there is a coordinator between client and ranks.
//!
//! The same client and the same ranks exchange the same bytes at the same rate, with the coordinator between them and without
//! it, in turns. Requests are due at even intervals; a latency counts from the moment when its request was due, whenever it
//! was really sent, so that a client that was held up cannot hide it. The client sleeps between the requests: one that
//! looked for answers all the time would take a core from those it measures.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU64;

use goldlap::metrics::{Clock, CpuTime, median};

use crate::coordinator::Bench;
use crate::figures::{row, spread};
use crate::peers::LoadClient;

const ROUNDS: usize = 9;
/// Of the 100,000 requests a second that are the goal: half, and a tenth.
const RATES: [f64; 2] = [50_000.0, 10_000.0];
const SECONDS: f64 = 1.0;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// What one round gave.
struct Round {
    /// Microseconds from when a request was due to its answer.
    latencies: [f64; 3],
    /// Microseconds of all cores a request, peers and ZMQ's threads included.
    cpu: f64,
}

pub(crate) fn run() {
    row(
        "machine: us until a thread that sleeps at a loopback socket has a byte",
        &format!("{:.0}", wake_us()),
    );
    let bench = Bench::start(0);
    // A sleep of 20 us takes 70 otherwise.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).expect("a timer slack");
    for rate in RATES {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        // The first round of each warms up.
        for _ in 0..=ROUNDS {
            without.push(round(&mut LoadClient::direct(), rate));
            let mut client = bench.client();
            with.push(round(&mut client, rate));
            client.leave();
        }
        print(rate, &with[1..], &without[1..]);
    }
    bench.end();
}

/// Half of the median time there and back between two threads that sleep until the other's byte comes.
fn wake_us() -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let mut near = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (mut far, _) = listener.accept().expect("accepted");
    near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).expect("no delay");
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() {
            far.write_all(&byte).expect("sent");
        }
    });
    let (clock, mut byte) = (Clock::start(), [0]);
    let turn = |_| {
        let start_s = clock.now_s();
        near.write_all(&byte).and_then(|()| near.read_exact(&mut byte)).expect("an echo");
        0.5e6 * (clock.now_s() - start_s)
    };
    let turns: Vec<f64> = (0..2000).map(turn).collect();
    drop(near);
    echo.join().expect("the echo's thread");
    median(&turns).expect("turns")
}

fn round(client: &mut LoadClient, rate: f64) -> Round {
    let (count, before_s) = ((rate * SECONDS) as usize, CpuTime::of_process_s());
    let latencies = client.at_rate(rate, count);
    let cpu = 1e6 * (CpuTime::of_process_s() - before_s) / count as f64;
    Round { latencies: QUANTILES.map(|q| latencies[(q * (count - 1) as f64) as usize]), cpu }
}

fn print(rate: f64, with: &[Round], without: &[Round]) {
    let figure = |digits: usize, what: &str, mut values: Vec<f64>| {
        row(&format!("coordinator: us at {rate} requests/s, {what}"), &spread(&mut values, digits));
    };
    for (at, what) in ["p50", "p90", "p99"].into_iter().enumerate() {
        let of = |rounds: &[Round]| rounds.iter().map(|round| round.latencies[at]).collect::<Vec<f64>>();
        let added = of(with).into_iter().zip(of(without)).map(|(with, without)| with - without);
        figure(0, &format!("{what} there and back"), of(with));
        figure(0, &format!("{what} without a coordinator"), of(without));
        figure(0, &format!("{what} added"), added.collect());
    }
    let cpu = |rounds: &[Round]| rounds.iter().map(|round| round.cpu).collect::<Vec<f64>>();
    figure(1, "of all cores for each, everybody's", cpu(with));
    figure(1, "of all cores for each, everybody's, without a coordinator", cpu(without));
}

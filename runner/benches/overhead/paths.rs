//! Hot paths, each a loop of its own, to be run under an instruction counter: `count PATH ITERATIONS`. Two runs with different
//! iterations cancel what surrounds the loop.

use std::hint::black_box;
use std::sync::Arc;

use goldlap::coordinator::state::{Command, Event, Settings, State};
use goldlap::coordinator::wire::{ClientMessage, ClientReply, RankMessage, RankReady, Versions, WireLimits};
use goldlap::engine::StepSummary;

use crate::{engine, messages};

/// What can be counted.
pub(crate) const NAMES: [&str; 4] = ["engine-step-32", "wire-submit", "wire-answer", "coordinator-request"];

pub(crate) fn run(name: &str, iterations: usize) {
    match name {
        "engine-step-32" => {
            let (mut engine, mut summary) = (engine::decoding(), StepSummary::default());
            for _ in 0..iterations {
                engine.step_into(black_box(&mut summary));
            }
        }
        "wire-submit" => {
            let message = ClientMessage::Submit(messages::submit(7));
            for _ in 0..iterations {
                let bytes = message.encode();
                black_box(ClientMessage::decode(&bytes, &WireLimits::default()).expect("a message"));
            }
        }
        "wire-answer" => {
            let message = RankMessage::Finals(vec![messages::answer(7)]);
            for _ in 0..iterations {
                let bytes = message.encode();
                black_box(RankMessage::decode(&bytes, &WireLimits::default()).expect("a message"));
            }
        }
        "coordinator-request" => coordinator_requests(iterations),
        other => panic!("{other} is no path, expected one of {NAMES:?}"),
    }
}

/// Everything that the coordinator does for a request, except for the sockets: reads it, dispatches it, reads the answer,
/// writes it.
fn coordinator_requests(iterations: usize) {
    let limits = WireLimits::default();
    let mut state = State::new(Settings::new(8, 60.0, Arc::new(|_: &[u32]| String::new())));
    for rank in 0..8 {
        state.handle(0.0, Event::FromRank { rank, message: RankMessage::Register });
        let ready = RankReady {
            versions: Versions::OURS,
            pid: 1,
            device: "fake".into(),
            num_kv_blocks: 8,
            max_requests: 64,
        };
        state.handle(0.0, Event::FromRank { rank, message: RankMessage::Ready(ready) });
    }
    let client = b"\0abcd".to_vec();
    for message in [ClientMessage::Connect, ClientMessage::Hello { versions: Versions::OURS }] {
        state.handle(0.0, Event::FromClient { client: client.clone(), message });
    }
    let submit = ClientMessage::Submit(messages::submit(messages::FIRST_ID)).encode();
    for _ in 0..iterations {
        let message = ClientMessage::decode(&submit, &limits).expect("a message");
        let dispatched = state.handle(0.0, Event::FromClient { client: client.clone(), message });
        let [Command::ToRank { rank, command }] = dispatched.as_slice() else {
            panic!("expected one dispatch, got {dispatched:?}")
        };
        let bytes = black_box(command.encode());
        let answer = RankMessage::Finals(vec![messages::answer(messages::number(&bytes[2..]))]).encode();
        let message = RankMessage::decode(&answer, &limits).expect("a message");
        let answered = state.handle(0.0, Event::FromRank { rank: *rank, message });
        let [Command::ToClient { reply: reply @ ClientReply::Final { .. }, .. }] = answered.as_slice() else {
            panic!("expected one answer, got {answered:?}")
        };
        black_box(reply.encode());
    }
}

//! Tests of the coordinator: its state machine by scenario and by random events, and the whole over real sockets.

mod foreign_ranks;
mod invariants;
mod routing;
mod scenarios;
mod signals;
mod simulation;
mod sockets;
mod sockets_conduct;
mod sockets_faults;
mod stray_replies;
mod versions;
mod weaknesses;

use std::sync::Arc;

use super::state::{Command, Event, Settings, State};
use super::wire::*;

/// Settings of a small fleet.
pub(super) fn settings(world_size: u32) -> Settings {
    let detokenize = Arc::new(|tokens: &[u32]| tokens.iter().map(|token| format!("<{token}>")).collect());
    let end_of_document = vec![0];
    let settings = Settings::new(world_size, 5.0, detokenize);
    Settings { max_outstanding_per_rank: 2, max_requests: 100, max_clients: 4, end_of_document, ..settings }
}

pub(super) fn ready() -> RankReady {
    RankReady { versions: Versions::OURS, pid: 1, device: "test".into(), num_kv_blocks: 8, max_requests: 2 }
}

pub(super) fn submit(id: u64) -> ClientMessage {
    let sampling = SamplingParams { streaming: true, ..SamplingParams::default() };
    ClientMessage::Submit(Submit { id, prompt: Prompt::Tokens(vec![id as u32]), sampling, multi_modal: None })
}

pub(super) fn tokens(request_id: u64, new_tokens: &[u32]) -> RankMessage {
    RankMessage::Partials(vec![PartialReply {
        request_id,
        new_tokens: new_tokens.to_vec(),
        ..PartialReply::default()
    }])
}

pub(super) fn done(request_id: u64, generated: &[u32]) -> RankMessage {
    let reply = FinalReply::completed(request_id, SamplingParams::default(), generated.to_vec());
    RankMessage::Finals(vec![reply])
}

/// A state machine whose promises are checked after every event.
pub(super) struct Driver {
    pub(super) state: State,
    pub(super) now_s: f64,
}

impl Driver {
    pub(super) fn new(settings: Settings) -> Driver {
        Driver { state: State::new(settings), now_s: 0.0 }
    }

    pub(super) fn handle(&mut self, event: Event) -> Vec<Command> {
        let commands = self.state.handle(self.now_s, event);
        self.state.check_invariants();
        commands
    }

    pub(super) fn client(&mut self, client: &str, message: ClientMessage) -> Vec<Command> {
        self.handle(Event::FromClient { client: client.as_bytes().to_vec(), message })
    }

    pub(super) fn rank(&mut self, rank: u32, message: RankMessage) -> Vec<Command> {
        self.handle(Event::FromRank { rank, message })
    }

    pub(super) fn exit(&mut self, rank: u32) -> Vec<Command> {
        self.handle(Event::RankExited { rank, why: "killed by signal 9".into() })
    }

    /// All ranks registered and ready, one announced client `c`.
    pub(super) fn started(world_size: u32) -> Driver {
        let mut driver = Driver::new(settings(world_size));
        for rank in 0..world_size {
            driver.rank(rank, RankMessage::Register);
            driver.rank(rank, RankMessage::Ready(ready()));
        }
        driver.client("c", ClientMessage::Connect);
        driver.client("c", ClientMessage::Hello { versions: Versions::OURS });
        driver
    }
}

/// Messages to clients, as `(client, reply)`.
pub(super) fn replies(commands: &[Command]) -> Vec<(String, ClientReply)> {
    let reply = |command: &Command| {
        let Command::ToClient { client, reply } = command else { return None };
        Some((String::from_utf8_lossy(client).into(), reply.clone()))
    };
    commands.iter().filter_map(reply).collect()
}

/// Messages to ranks, as `(rank, command)`.
pub(super) fn to_ranks(commands: &[Command]) -> Vec<(u32, RankCommand)> {
    let command = |command: &Command| {
        let Command::ToRank { rank, command } = command else { return None };
        Some((*rank, command.clone()))
    };
    commands.iter().filter_map(command).collect()
}

/// Where requests were sent, as `(rank, id)`.
pub(super) fn dispatches(commands: &[Command]) -> Vec<(u32, u64)> {
    let submit = |(rank, command)| match command {
        RankCommand::Submit(submit) => Some((rank, submit.id)),
        RankCommand::Abort { .. }
        | RankCommand::Control(_)
        | RankCommand::Agreed { .. }
        | RankCommand::Refusal { .. } => None,
    };
    to_ranks(commands).into_iter().filter_map(submit).collect()
}

/// Final answers, as `(client id, reply)`.
pub(super) fn finals(commands: &[Command]) -> Vec<(u64, FinalReply)> {
    let last = |(_, reply)| match reply {
        ClientReply::Final { client_id, reply } => Some((client_id, *reply)),
        ClientReply::ConnectAck
        | ClientReply::ControlAck { .. }
        | ClientReply::Partial { .. }
        | ClientReply::Agreed { .. }
        | ClientReply::Refusal { .. } => None,
    };
    replies(commands).into_iter().filter_map(last).collect()
}

/// The reason of the only final answer, which must be a failure.
pub(super) fn failure_of(commands: &[Command]) -> String {
    let finals = finals(commands);
    assert_eq!(finals.len(), 1, "{commands:?}");
    finals[0].1.failure().expect("a failure")
}

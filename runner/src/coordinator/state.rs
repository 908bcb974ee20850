//! The coordinator as a pure state machine: an event and the time go in, commands come out.
//!
//! Promises, checked after every event in tests:
//! every accepted request gets exactly one final answer, unless its client has gone; tokens are streamed once,
//! whatever ranks do; a rank's load is the number of requests it has; nobody is waited for who cannot come.

use std::sync::Arc;

use super::acknowledgements::Acknowledgements;
use super::alternatives::name_alternatives;
use super::clients::Clients;
use super::lifecycle::Lifecycle;
use super::prefix_routing::{Routing, RoutingDecision};
use super::ranks::{Rank, Ranks};
use super::requests::Requests;
use super::segments::add_segments;
use super::stats::{CoordinatorStats, Counters, RankLoad};
use super::wire::{
    BadMessage, ClientMessage, ClientReply, ErrorClass, FinalReply, Numbering, RankCommand, RankMessage,
    RankReady, ReplyStatus, ServedBy,
};
use crate::metrics::{Incident, RankRecord};

/// ZMQ identity of a peer.
pub type Identity = Vec<u8>;

/// Tokens to text.
pub type Detokenize = Arc<dyn Fn(&[u32]) -> String + Send + Sync>;

/// Text to tokens: a prompt, and whether a BOS token goes before it.
pub type Tokenize = Arc<dyn Fn(&str, bool) -> Result<Vec<u32>, String> + Send + Sync>;

/// What the coordinator is told before it starts.
#[derive(Clone)]
pub struct Settings {
    /// Ranks that are waited for: 0 up to this.
    pub world_size: u32,
    /// A rank of ours that is silent for longer is lost.
    pub heartbeat_limit_s: f64,
    /// Requests at one rank; more wait in the coordinator.
    pub max_outstanding_per_rank: usize,
    /// Unfinished requests in all; more are refused.
    pub max_requests: usize,
    /// A request whose ranks die this often is given up: it may be what kills them.
    pub max_dispatches: u32,
    /// Connected clients; more are not answered.
    pub max_clients: usize,
    /// Makes `generated_text`.
    pub detokenize: Detokenize,
    /// Cut from the end of the tokens before they become text.
    pub end_of_document: Vec<u32>,
    /// Makes tokens of prompts that come as text; `None` = text goes to the ranks as it is.
    pub tokenize: Option<Tokenize>,
    /// Numbers of clients that greet with `[1]`: 0.17's or 0.16's, which nothing tells apart.
    pub old_clients: Numbering,
    /// How prefixes count in routing.
    pub routing: Routing,
}

impl Settings {
    /// Settings with bounds that only a runaway client or fleet reaches. `heartbeat_limit_s` must be longer than
    /// the longest step of a rank that sends heartbeats between steps.
    pub fn new(world_size: u32, heartbeat_limit_s: f64, detokenize: Detokenize) -> Settings {
        Settings {
            world_size,
            heartbeat_limit_s,
            max_outstanding_per_rank: 256,
            max_requests: 65_536,
            max_dispatches: 3,
            max_clients: 1024,
            detokenize,
            end_of_document: Vec::new(),
            tokenize: None,
            old_clients: Numbering::V0_17,
            routing: Routing::LOAD_BALANCED,
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message from a client.
    FromClient {
        /// Who.
        client: Identity,
        /// What.
        message: ClientMessage,
    },
    /// A message from a rank.
    FromRank {
        /// Who.
        rank: u32,
        /// What.
        message: RankMessage,
    },
    /// A message that could not be read.
    Malformed {
        /// Who sent it.
        identity: Identity,
        /// What is wrong.
        error: BadMessage,
    },
    /// A message could not be delivered to a client.
    ClientUnreachable {
        /// Who.
        client: Identity,
    },
    /// A message could not be delivered to a rank.
    RankUnreachable {
        /// Who.
        rank: u32,
        /// Why.
        why: String,
    },
    /// The connection on which a rank registered has closed.
    RankDisconnected {
        /// Who.
        rank: u32,
    },
    /// The process guard saw a rank's process end.
    RankExited {
        /// Who.
        rank: u32,
        /// Why.
        why: String,
    },
    /// Time has passed, and every message that came until now has been handled.
    Tick,
    /// The parent wants the end.
    Shutdown,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Command {
    /// Send to a client.
    ToClient {
        /// Whom.
        client: Identity,
        /// What.
        reply: ClientReply,
    },
    /// Send to a rank.
    ToRank {
        /// Whom.
        rank: u32,
        /// What.
        command: RankCommand,
    },
    /// Tell the parent: a rank is ready.
    RankReady {
        /// Who.
        rank: u32,
        /// What it said.
        ready: RankReady,
    },
    /// Tell the parent: a rank is lost.
    RankLost {
        /// Who.
        rank: u32,
        /// Why.
        why: String,
    },
    /// Tell the parent: a rank that was stopped has gone.
    RankLeft {
        /// Who.
        rank: u32,
    },
    /// Tell the parent: a rank handed over its record.
    RankReport(Box<RankRecord>),
    /// Tell the parent: a signal was taken in, and what became of it.
    Note(Incident),
    /// Tell the parent: where a request went.
    Routed(RoutingDecision),
    /// Tell the parent: something went wrong.
    Report(Incident),
    /// End, after what was commanded before.
    End,
}

/// The coordinator. See the module.
pub struct State {
    pub(super) settings: Settings,
    pub(super) lifecycle: Lifecycle,
    pub(super) clients: Clients,
    pub(super) ranks: Ranks,
    pub(super) requests: Requests,
    pub(super) counters: Counters,
    pub(super) acknowledgements: Acknowledgements,
    pub(super) now_s: f64,
    commands: Vec<Command>,
}

impl State {
    /// A coordinator that waits for its ranks.
    pub fn new(settings: Settings) -> State {
        State {
            ranks: Ranks::new(settings.world_size),
            settings,
            lifecycle: Lifecycle::default(),
            clients: Clients::default(),
            requests: Requests::default(),
            counters: Counters::default(),
            acknowledgements: Acknowledgements::default(),
            now_s: 0.0,
            commands: Vec::new(),
        }
    }

    /// Handles one event at `now_s`, seconds on a monotonic clock.
    pub fn handle(&mut self, now_s: f64, event: Event) -> Vec<Command> {
        self.now_s = now_s;
        match event {
            Event::FromClient { client, message } => self.on_client(client, message),
            Event::FromRank { rank, message } => self.on_rank(rank, message),
            Event::Malformed { identity, error } => self.on_malformed(&identity, error),
            Event::ClientUnreachable { client } => self.lose_client(&client),
            Event::RankUnreachable { rank, why } => self.lose_rank(rank, &why, false),
            Event::RankDisconnected { rank } => self.on_disconnected(rank),
            Event::RankExited { rank, why } => self.on_exit(rank, &why),
            Event::Tick => self.on_tick(),
            Event::Shutdown => self.shut_down("the run has ended"),
        }
        self.dispatch_queued();
        std::mem::take(&mut self.commands)
    }

    /// Takes a list of commands back, for the next ones.
    pub fn reuse(&mut self, mut spent: Vec<Command>) {
        spent.clear();
        self.commands = spent;
    }

    /// Numbers of this moment.
    pub fn stats(&self) -> CoordinatorStats {
        let load = |rank: &Rank| RankLoad { num_outstanding: rank.outstanding.len(), stats: rank.stats };
        CoordinatorStats {
            counters: self.counters,
            lifecycle: self.lifecycle,
            num_clients: self.clients.len(),
            num_unfinished: self.requests.len(),
            num_queued: self.requests.num_queued(),
            max_queued: self.requests.max_queued,
            ranks: self.ranks.live().map(|(number, rank)| (number, load(rank))).collect(),
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub(super) fn tell_client(&mut self, client: &[u8], reply: ClientReply) {
        self.command(Command::ToClient { client: client.to_vec(), reply });
    }

    pub(super) fn tell_rank(&mut self, rank: u32, command: RankCommand) {
        self.command(Command::ToRank { rank, command });
    }

    /// Ends a request at a rank that knows how; another one finishes it for nobody.
    pub(super) fn abort_at(&mut self, rank: u32, id: u64) {
        if self.ranks.get(rank).is_some_and(Rank::knows_later) {
            self.tell_rank(rank, RankCommand::Abort { request_id: id });
        }
    }

    pub(super) fn note(&mut self, what: String) {
        self.command(Command::Note(Incident { at_s: self.now_s, what }));
    }

    pub(super) fn incident(&mut self, what: String) {
        self.command(Command::Report(Incident { at_s: self.now_s, what }));
    }

    /// Sends waiting requests to ranks with room, or fails them where no rank is left to wait for.
    fn dispatch_queued(&mut self) {
        while let Some(id) = self.requests.first_queued() {
            let Some(rank) = self.route(id) else { break };
            if let Some(request) = self.requests.dispatch(id, rank) {
                self.counters.dispatched += 1;
                self.counters.redispatched += u64::from(request.num_dispatches > 1);
                let later = self.ranks.get_mut(rank).is_some_and(|rank| {
                    rank.take(id, &request.block_names, self.counters.dispatched);
                    // Whose clients are later than 0.19, their engines are, too.
                    rank.is_later |= request.submit.is_later_form();
                    rank.knows_later()
                });
                let command = RankCommand::Submit(request.for_rank(later));
                self.tell_rank(rank, command);
            }
        }
        self.requests.note_queue();
        if self.requests.len() > 0 && !self.ranks.any_hope() {
            let reason = self.no_rank_left();
            self.give_up_all(&reason);
        }
    }

    /// Why nothing can be served any more.
    pub(super) fn no_rank_left(&self) -> String {
        match &self.ranks.last_loss {
            Some((rank, why)) => {
                format!("no rank is left to serve it; the last one lost was rank {rank}: {why}")
            }
            None => "no rank is left to serve it: all were stopped".into(),
        }
    }

    /// Fails every unfinished request.
    pub(super) fn give_up_all(&mut self, reason: &str) {
        for id in self.requests.ids() {
            self.give_up(id, reason);
        }
    }

    /// Fails one unfinished request.
    pub(super) fn give_up(&mut self, id: u64, reason: &str) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let reply = failure(id, request.submit.sampling.clone(), reason, self.now_s);
        self.counters.given_up += 1;
        self.finish(id, reply);
    }

    /// Sends the one final answer of an accepted request, and forgets the request.
    pub(super) fn finish(&mut self, id: u64, mut reply: FinalReply) {
        let Some(request) = self.requests.remove(id) else { return };
        if let Some(rank) = request.rank.and_then(|rank| self.ranks.get_mut(rank)) {
            rank.take_back(id, &request.block_names);
        }
        let Some(client) = self.clients.get_mut(&request.client) else { return };
        client.open.remove(&request.client_id);
        let served = |rank| ServedBy { rank, num_dispatches: request.num_dispatches };
        // A key that a foreign client does not know ends its process.
        reply.served_by = request.last_rank.map(served).filter(|_| client.announced);
        name_alternatives(&mut reply.generated_top_n_logprobs, &self.settings.detokenize);
        name_alternatives(&mut reply.prompt_top_n_logprobs, &self.settings.detokenize);
        reply.effort = reply.effort.filter(|_| client.announced);
        if !client.announced {
            reply.keep_safe_keys();
        }
        add_segments(&mut reply, &request.submit, &self.settings.detokenize);
        reply.prompt = reply.prompt.or(request.text);
        self.counters.answered += 1;
        self.answer(&request.client, request.client_id, reply);
    }

    /// Sends a final reply, with its text.
    pub(super) fn answer(&mut self, client: &[u8], client_id: u64, mut reply: FinalReply) {
        if reply.generated_text.is_none() {
            reply.generated_text = Some(self.text_of(&reply));
        }
        self.tell_client(client, ClientReply::Final { client_id, reply: Box::new(reply) });
    }

    fn text_of(&self, reply: &FinalReply) -> String {
        if reply.status == ReplyStatus::Failed && reply.generated_tokens.is_empty() {
            return String::new();
        }
        let mut tokens = reply.generated_tokens.as_slice();
        if !reply.sampling.detokenize_stop_sequence {
            while let Some((last, rest)) = tokens.split_last()
                && self.settings.end_of_document.contains(last)
            {
                tokens = rest;
            }
        }
        (self.settings.detokenize)(tokens)
    }
}

/// A failure that the coordinator itself declares.
pub(super) fn failure(
    id: u64,
    sampling: super::wire::SamplingParams,
    reason: &str,
    now_s: f64,
) -> FinalReply {
    FinalReply::failed(id, sampling, ErrorClass::Any, reason, now_s)
}

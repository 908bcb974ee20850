//! Numbers of a coordinator, for reports and tests.

use std::collections::BTreeMap;

use super::lifecycle::Lifecycle;
use super::wire::RankStats;

/// What the coordinator has seen since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests taken in.
    pub accepted: u64,
    /// Requests answered FAILED without being taken in.
    pub refused: u64,
    /// Final answers sent for accepted requests.
    pub answered: u64,
    /// Of those, FAILED by the coordinator itself.
    pub given_up: u64,
    /// Accepted requests dropped because their client had gone.
    pub abandoned: u64,
    /// Dispatches to ranks.
    pub dispatched: u64,
    /// Of those, second and later ones of a request.
    pub redispatched: u64,
    /// Partial replies passed on.
    pub partials: u64,
    /// Abort messages taken in.
    pub aborts: u64,
    /// Replies of ranks that no longer have the request.
    pub late_replies: u64,
    /// Replies for requests that were answered already.
    pub duplicate_replies: u64,
    /// Messages about requests that never were.
    pub unknown_ids: u64,
    /// Messages from clients that never connected, or that came in a state without meaning for them.
    pub out_of_place: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Ranks lost.
    pub ranks_lost: u64,
}

/// Numbers of this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorStats {
    /// Since the start.
    pub counters: Counters,
    /// Running, paused or suspended.
    pub lifecycle: Lifecycle,
    /// Connected clients.
    pub num_clients: usize,
    /// Unfinished requests.
    pub num_unfinished: usize,
    /// Of those, waiting in the coordinator because every rank is full.
    pub num_queued: usize,
    /// Longest the queue ever was.
    pub max_queued: usize,
    /// By live rank.
    pub ranks: BTreeMap<u32, RankLoad>,
}

/// One live rank at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankLoad {
    /// Requests sent to it and not answered.
    pub num_outstanding: usize,
    /// From its last heartbeat.
    pub stats: RankStats,
}

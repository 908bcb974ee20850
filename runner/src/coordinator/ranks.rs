//! Which ranks there are, and what each of them works on.

use std::collections::{BTreeMap, BTreeSet};

use super::held_blocks::HeldBlocks;
use super::prefix_routing::Candidate;
use super::wire::{RankReady, RankStats};

/// A rank that takes requests.
pub(super) struct Rank {
    /// What it said about itself; a foreign engine never does.
    pub(super) ready: Option<RankReady>,
    /// A foreign engine that has shown that it is later than 0.19, by streaming or by the form of its requests.
    pub(super) is_later: bool,
    /// When its last message came.
    pub(super) last_heard_s: f64,
    /// Requests it has and has not answered. The load is this set's size, so that the two cannot drift apart.
    pub(super) outstanding: BTreeSet<u64>,
    /// From its last heartbeat.
    pub(super) stats: RankStats,
    /// Prompt blocks that it has.
    pub(super) held: HeldBlocks,
    /// Control signals it was told.
    num_signals: u64,
    /// See [`Candidate::last_dispatch`].
    last_dispatch: u64,
}

impl Rank {
    /// It gets a request, whose prompt has these blocks, as the dispatch of that number.
    pub(super) fn take(&mut self, id: u64, block_names: &[u64], dispatch: u64) {
        if self.outstanding.insert(id) {
            self.held.promise(block_names);
        }
        self.last_dispatch = dispatch;
    }

    /// Whether it knows what came after 0.19, of which an engine of 0.19 ends: a fifth element in submissions, and
    /// ABORT_REQUEST.
    pub(super) fn knows_later(&self) -> bool {
        self.ready.is_some() || self.is_later
    }

    /// It has the request no longer.
    pub(super) fn take_back(&mut self, id: u64, block_names: &[u64]) {
        if self.outstanding.remove(&id) {
            self.held.withdraw(block_names);
        }
    }
}

/// All ranks, by number.
pub(super) struct Ranks {
    live: BTreeMap<u32, Rank>,
    /// Neither registered nor dead yet.
    expected: BTreeSet<u32>,
    /// Told to stop; what still comes from them is their farewell.
    stopped: BTreeSet<u32>,
    /// The last one that was lost, and why.
    pub(super) last_loss: Option<(u32, String)>,
}

impl Ranks {
    pub(super) fn new(world_size: u32) -> Ranks {
        Ranks {
            live: BTreeMap::new(),
            expected: (0..world_size).collect(),
            stopped: BTreeSet::new(),
            last_loss: None,
        }
    }

    /// Adds a rank; nothing changes for one that is live already.
    pub(super) fn register(&mut self, rank: u32, now_s: f64) {
        self.expected.remove(&rank);
        self.stopped.remove(&rank);
        self.live.entry(rank).or_insert_with(|| Rank {
            ready: None,
            is_later: false,
            last_heard_s: now_s,
            outstanding: BTreeSet::new(),
            stats: RankStats::default(),
            held: HeldBlocks::default(),
            num_signals: 0,
            last_dispatch: 0,
        });
    }

    /// Takes a rank out; `None` if it was not live.
    pub(super) fn remove(&mut self, rank: u32) -> Option<Rank> {
        self.live.remove(&rank)
    }

    /// No longer waits for a rank that never registered; false if nobody waited for it.
    pub(super) fn give_up(&mut self, rank: u32) -> bool {
        self.expected.remove(&rank)
    }

    /// All live ranks are told to stop.
    pub(super) fn stop_all(&mut self) {
        self.stopped.extend(std::mem::take(&mut self.live).into_keys());
        self.last_loss = None;
    }

    /// A stopped rank has gone; false if it was not one.
    pub(super) fn leave(&mut self, rank: u32) -> bool {
        self.stopped.remove(&rank)
    }

    pub(super) fn get(&self, rank: u32) -> Option<&Rank> {
        self.live.get(&rank)
    }

    pub(super) fn get_mut(&mut self, rank: u32) -> Option<&mut Rank> {
        self.live.get_mut(&rank)
    }

    /// Live ranks, ascending.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, &Rank)> {
        self.live.iter().map(|(&number, rank)| (number, rank))
    }

    /// All live ranks are told one more signal; its number at each of ours, which will say when it has obeyed.
    pub(super) fn count_signal(&mut self) -> BTreeMap<u32, u64> {
        let told = self.live.iter_mut().filter_map(|(&number, rank)| {
            rank.num_signals += 1;
            rank.ready.as_ref().map(|_| (number, rank.num_signals))
        });
        told.collect()
    }

    /// All live ranks, for a prompt with these blocks. `default_max_requests` stands in for a foreign engine's.
    pub(super) fn candidates(
        &self,
        block_names: &[u64],
        default_max_requests: usize,
    ) -> impl Iterator<Item = Candidate> {
        self.live.iter().map(move |(&number, rank)| Candidate {
            rank: number,
            load: rank.outstanding.len(),
            max_requests: rank.ready.as_ref().map_or(default_max_requests as u64, |ready| ready.max_requests),
            depth: rank.held.depth(block_names),
            last_dispatch: rank.last_dispatch,
        })
    }

    /// Somebody serves requests, or may still come to do so.
    pub(super) fn any_hope(&self) -> bool {
        !self.live.is_empty() || !self.expected.is_empty()
    }

    /// Ranks of ours that have not been heard for longer than `limit_s`, with the silence. Foreign engines have
    /// no heartbeat; they are lost when their connection closes or a message does not reach them.
    pub(super) fn silent(&self, now_s: f64, limit_s: f64) -> Vec<(u32, f64)> {
        let announced = self.live.iter().filter(|(_, rank)| rank.ready.is_some());
        let silence = announced.map(|(&number, rank)| (number, now_s - rank.last_heard_s));
        silence.filter(|&(_, silence_s)| silence_s > limit_s).collect()
    }
}

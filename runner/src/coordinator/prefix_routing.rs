//! Prefix-aware routing: a request goes to a rank that has the start of its prompt, as far as load allows.

use super::routing::least_loaded;
use super::state::{Command, State};
use super::wire::{Prompt, Submit};
use crate::engine::block_hash::block_hashes;
use crate::plan::RoutingPolicy;

/// How requests find their ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// What decides.
    pub policy: RoutingPolicy,
    /// Weight of a hit against load, from 0 to 1.
    pub alpha: f64,
    /// Tokens of a KV block.
    pub block_size: usize,
    /// Every decision is told to the parent.
    pub is_noted: bool,
}

impl Routing {
    /// By load alone.
    pub const LOAD_BALANCED: Self =
        Self { policy: RoutingPolicy::LoadBalanced, alpha: 0.5, block_size: 256, is_noted: false };
}

/// Where a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RoutingDecision {
    /// The coordinator's id of the request.
    pub request_id: u64,
    /// The rank.
    pub rank_index: u32,
    /// Names of prompt blocks that were looked at.
    pub num_hashes: usize,
}

/// A rank as a candidate for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) rank: u32,
    /// Unfinished requests.
    pub(super) load: usize,
    /// Requests that fill it; with more, load counts no further.
    pub(super) max_requests: u64,
    /// Blocks from the start of the prompt that it has.
    pub(super) depth: usize,
    /// Counts up with every dispatch to any rank; that of the last one to this rank.
    pub(super) last_dispatch: u64,
}

impl Candidate {
    fn free_share(&self) -> f64 {
        let free = self.max_requests.saturating_sub(self.load as u64);
        free as f64 / self.max_requests.max(1) as f64
    }
}

/// The candidate with the best score: `alpha * match + (1 - alpha) * free share`, where `match` is the share of the prompt's
/// blocks at the ranks that have most of them, 0 at the others. Of equal ones with a match the one that got a request last,
/// then the lowest number; without any match the least loaded one. `None` if all have `max_outstanding` requests.
pub(super) fn best_match(
    candidates: &[Candidate],
    num_hashes: usize,
    alpha: f64,
    max_outstanding: usize,
) -> Option<u32> {
    let with_room = || candidates.iter().filter(|candidate| candidate.load < max_outstanding);
    let deepest = with_room().map(|candidate| candidate.depth).max()?;
    if deepest == 0 {
        return least_loaded(with_room().map(|candidate| (candidate.rank, candidate.load)), max_outstanding);
    }
    let is_hit = |candidate: &Candidate| candidate.depth == deepest;
    let score = |candidate: &Candidate| {
        let hit = if is_hit(candidate) { deepest as f64 / num_hashes.max(1) as f64 } else { 0.0 };
        alpha * hit + (1.0 - alpha) * candidate.free_share()
    };
    let recency = |candidate: &Candidate| if is_hit(candidate) { candidate.last_dispatch } else { 0 };
    let better = |a: &&Candidate, b: &&Candidate| {
        score(a).total_cmp(&score(b)).then(recency(a).cmp(&recency(b))).then(b.rank.cmp(&a.rank))
    };
    with_room().max_by(better).map(|candidate| candidate.rank)
}

impl State {
    /// Names of the prompt's complete blocks, as far as the routing looks at them. Computed once per request; a prompt
    /// that is still text has none.
    pub(super) fn block_names(&self, submit: &Submit) -> Vec<u64> {
        let Prompt::Tokens(tokens) = &submit.prompt else { return Vec::new() };
        let block_size = self.settings.routing.block_size.max(1);
        match self.settings.routing.policy {
            RoutingPolicy::LoadBalanced => Vec::new(),
            RoutingPolicy::FirstPrefixBlock => {
                block_hashes(&tokens[..block_size.min(tokens.len())], block_size)
            }
            RoutingPolicy::LongestPrefix => block_hashes(tokens, block_size),
        }
    }

    /// The rank for a waiting request; `None` if none has room. Looks at each rank's load, and at each block of the prompt
    /// once per rank.
    pub(super) fn route(&mut self, id: u64) -> Option<u32> {
        let limit = self.settings.max_outstanding_per_rank;
        let names = self.requests.block_names(id);
        let rank = if names.is_empty() {
            least_loaded(self.ranks.live().map(|(number, rank)| (number, rank.outstanding.len())), limit)?
        } else {
            let candidates: Vec<Candidate> = self.ranks.candidates(names, limit).collect();
            best_match(&candidates, names.len(), self.settings.routing.alpha, limit)?
        };
        if self.settings.routing.is_noted {
            let num_hashes = names.len();
            self.command(Command::Routed(RoutingDecision { request_id: id, rank_index: rank, num_hashes }));
        }
        Some(rank)
    }
}

#[cfg(test)]
#[path = "prefix_routing_tests.rs"]
mod tests;

//! What holds between any two events.

use std::collections::{BTreeSet, HashMap};

use crate::coordinator::state::State;

impl State {
    /// Panics where the tables contradict each other.
    pub(super) fn check_invariants(&self) {
        let mut at_ranks = BTreeSet::new();
        for (id, request, queued) in self.requests.iter() {
            assert_eq!(request.submit.id, id);
            assert_eq!(queued, request.rank.is_none(), "request {id} is queued or at a rank, never both");
            if let Some(rank) = request.rank {
                let rank = self.ranks.get(rank).expect("a request is at a live rank only");
                assert!(rank.outstanding.contains(&id), "request {id} counts at its rank");
                at_ranks.insert(id);
            }
            let client = self.clients.get(&request.client).expect("a request has a client");
            assert_eq!(client.open.get(&request.client_id), Some(&id), "its client can abort it");
        }
        for (number, rank) in self.ranks.live() {
            let mut promised: HashMap<u64, u32> = HashMap::new();
            let names = rank.outstanding.iter().flat_map(|&id| self.requests.block_names(id));
            names.for_each(|&name| *promised.entry(name).or_default() += 1);
            assert_eq!(
                rank.held.promised(),
                &promised,
                "rank {number} is about to have what its requests have"
            );
        }
        let loads: usize = self.ranks.live().map(|(_, rank)| rank.outstanding.len()).sum();
        assert_eq!(loads, at_ranks.len(), "no rank counts a request that it does not have");
        let max = self.settings.max_outstanding_per_rank;
        assert!(
            self.ranks.live().all(|(_, rank)| rank.outstanding.len() <= max),
            "no rank is over its limit"
        );
        if self.requests.num_queued() > 0 {
            assert!(
                self.ranks.live().all(|(_, rank)| rank.outstanding.len() == max),
                "nothing waits beside a free rank"
            );
        }
        assert!(
            self.ranks.any_hope() || self.requests.len() == 0,
            "nothing waits for ranks that cannot come"
        );
        assert!(self.requests.len() <= self.settings.max_requests);
        let c = self.counters;
        assert_eq!(
            c.accepted,
            c.answered + c.abandoned + self.requests.len() as u64,
            "every request is accounted for"
        );
    }
}

//! Which prompt blocks a rank has, as far as the coordinator can know.
//!
//! Two sources: what the rank says about its prefix cache, and the prompts of its open requests, whose blocks it is about to
//! compute if it has not yet. Both go with the rank. The original's table is filled when it routes, never forgets, and knows
//! nothing of the caches.

use std::collections::{HashMap, HashSet};

use crate::engine::CacheChanges;

/// See the head of this file.
#[derive(Default)]
pub(super) struct HeldBlocks {
    /// As the rank says.
    cached: HashSet<u64>,
    /// Blocks of open requests' prompts, and in how many of them they are.
    promised: HashMap<u64, u32>,
}

impl HeldBlocks {
    /// What the rank says about its cache of `num_kv_blocks` blocks: no message can make this set larger than that.
    pub(super) fn apply(&mut self, changes: CacheChanges, num_kv_blocks: u64) {
        for name in &changes.forgotten {
            self.cached.remove(name);
        }
        let room = num_kv_blocks.saturating_sub(self.cached.len() as u64);
        self.cached.extend(changes.cached.into_iter().take(usize::try_from(room).unwrap_or(usize::MAX)));
    }

    /// Another process serves under the rank's number: its cache is empty.
    pub(super) fn forget_cached(&mut self) {
        self.cached.clear();
    }

    /// A request with these blocks goes to the rank.
    pub(super) fn promise(&mut self, names: &[u64]) {
        for &name in names {
            *self.promised.entry(name).or_default() += 1;
        }
    }

    /// The request is no longer there.
    pub(super) fn withdraw(&mut self, names: &[u64]) {
        for name in names {
            let Some(count) = self.promised.get_mut(name) else { continue };
            *count -= 1;
            if *count == 0 {
                self.promised.remove(name);
            }
        }
    }

    /// Blocks from the start of a prompt that the rank has, or will have once it has done what it was given. A name stands
    /// for its block and all before it, so that the first unknown one ends the search.
    pub(super) fn depth(&self, names: &[u64]) -> usize {
        let is_held = |name: &&u64| self.cached.contains(*name) || self.promised.contains_key(*name);
        names.iter().take_while(is_held).count()
    }

    #[cfg(test)]
    pub(super) fn promised(&self) -> &HashMap<u64, u32> {
        &self.promised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(cached: &[u64], forgotten: &[u64]) -> CacheChanges {
        CacheChanges {
            cached: cached.iter().copied().collect(),
            forgotten: forgotten.iter().copied().collect(),
        }
    }

    #[test]
    fn a_block_is_held_while_it_is_cached_or_promised() {
        let mut held = HeldBlocks::default();
        assert_eq!(held.depth(&[1, 2, 3]), 0);
        held.promise(&[1, 2]);
        held.promise(&[1]);
        assert_eq!(held.depth(&[1, 2, 3]), 2);
        held.apply(changes(&[1, 2, 3], &[]), 8);
        held.withdraw(&[1, 2]);
        assert_eq!(held.depth(&[1, 2, 3]), 3);
        held.apply(changes(&[], &[2, 3, 1]), 8);
        assert_eq!(held.depth(&[1, 2, 3]), 1, "still promised once");
        held.withdraw(&[1]);
        assert_eq!(held.depth(&[1, 2, 3]), 0);
        assert!(held.promised.is_empty() && held.cached.is_empty());
    }

    #[test]
    fn a_rank_cannot_claim_more_blocks_than_it_has() {
        let mut held = HeldBlocks::default();
        held.apply(changes(&(0..100).collect::<Vec<u64>>(), &[]), 8);
        assert_eq!(held.cached.len(), 8);
        held.apply(changes(&[200], &[]), 8);
        assert_eq!(held.cached.len(), 8);
    }
}

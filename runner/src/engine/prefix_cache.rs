//! Prompt blocks that later requests may share, by the name of their content.
//!
//! A block is registered once it is computed, and only on top of its own table's registered blocks: whoever owns a block
//! owns those it builds on, too. A shared block is never written. With `ref_zero` a block is forgotten with its last
//! owner; with `lru` it stays, and when memory is needed the leaf (no cached block builds on it) that was used longest
//! ago goes, ties by the lower id.

use std::collections::{BTreeSet, HashMap};

use crate::plan::CacheEviction;

#[derive(Debug)]
pub(super) struct PrefixCache {
    eviction: Option<CacheEviction>,
    by_hash: HashMap<u64, u32>,
    /// By block.
    entries: HashMap<u32, Entry>,
    /// (last use, block) of entries that nobody owns and no entry builds on.
    idle_leaves: BTreeSet<(u64, u32)>,
    num_idle: usize,
    /// Counts steps.
    clock: u64,
    changes: CacheChanges,
}

/// Names of blocks that came and went since this was asked last; no name is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheChanges {
    /// Cached now.
    pub cached: BTreeSet<u64>,
    /// Not cached any more.
    pub forgotten: BTreeSet<u64>,
}

impl CacheChanges {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.cached.is_empty() && self.forgotten.is_empty()
    }

    /// One that went since the last report never went for the listener.
    fn learn(&mut self, name: u64) {
        if !self.forgotten.remove(&name) {
            self.cached.insert(name);
        }
    }

    /// One that came since the last report was never there for the listener.
    fn forget(&mut self, name: u64) {
        if !self.cached.remove(&name) {
            self.forgotten.insert(name);
        }
    }
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    /// The block this one builds on.
    parent: Option<u32>,
    num_children: usize,
    last_use: u64,
    is_idle: bool,
    /// Of the block's prompt tokens, position 0 of a prompt excepted; once a request wanted them.
    logprobs: Option<Vec<f32>>,
}

impl PrefixCache {
    /// Caches nothing without a policy.
    pub(super) fn new(eviction: Option<CacheEviction>) -> Self {
        Self {
            eviction,
            by_hash: HashMap::new(),
            entries: HashMap::new(),
            idle_leaves: BTreeSet::new(),
            num_idle: 0,
            clock: 0,
            changes: CacheChanges::default(),
        }
    }

    /// A new step begins.
    pub(super) fn tick(&mut self) {
        self.clock += 1;
    }

    /// What changed since this was asked last.
    pub(super) fn take_changes(&mut self) -> CacheChanges {
        std::mem::take(&mut self.changes)
    }

    /// Cached blocks that nobody owns.
    pub(super) fn num_idle(&self) -> usize {
        self.num_idle
    }

    pub(super) fn block(&self, hash: u64) -> Option<u32> {
        self.by_hash.get(&hash).copied()
    }

    /// Length of the longest run from the start of `hashes` that is cached, with logprobs where they are needed.
    pub(super) fn longest_run(&self, hashes: &[u64], needs_logprobs: bool) -> usize {
        let is_hit = |hash: &&u64| {
            let entry = self.by_hash.get(hash).and_then(|block| self.entries.get(block));
            entry.is_some_and(|entry| !needs_logprobs || entry.logprobs.is_some())
        };
        hashes.iter().take_while(is_hit).count()
    }

    /// The logprobs kept with a block; none if it has none.
    pub(super) fn logprobs(&self, hash: u64) -> &[f32] {
        let entry = self.block(hash).and_then(|block| self.entries.get(&block));
        entry.and_then(|entry| entry.logprobs.as_deref()).unwrap_or_default()
    }

    /// Keeps logprobs with the block of that name, if it is cached and has none.
    pub(super) fn keep_logprobs(&mut self, hash: u64, logprobs: &[f32]) {
        if let Some(entry) = self.by_hash.get(&hash).and_then(|block| self.entries.get_mut(block)) {
            entry.logprobs.get_or_insert_with(|| logprobs.to_vec());
        }
    }

    /// The blocks `table` are computed and hold what `hashes` name. Stops at a name that another block has: the
    /// others would build on a block their owner does not own.
    pub(super) fn register(&mut self, table: &[u32], hashes: &[u64]) {
        if self.eviction.is_none() {
            return;
        }
        let mut parent = None;
        for (&block, &hash) in table.iter().zip(hashes) {
            match self.by_hash.get(&hash) {
                Some(&registered) if registered == block => {}
                Some(_) => return,
                None => self.insert(block, hash, parent),
            }
            parent = Some(block);
        }
    }

    fn insert(&mut self, block: u32, hash: u64, parent: Option<u32>) {
        if let Some(parent) = parent.and_then(|parent| self.entries.get_mut(&parent)) {
            parent.num_children += 1;
        }
        let last_use = self.clock;
        let entry = Entry { hash, parent, num_children: 0, last_use, is_idle: false, logprobs: None };
        self.entries.insert(block, entry);
        self.by_hash.insert(hash, block);
        self.changes.learn(hash);
    }

    /// An idle block has an owner again.
    pub(super) fn wake(&mut self, block: u32) {
        let Some(entry) = self.entries.get_mut(&block) else { return };
        self.idle_leaves.remove(&(entry.last_use, block));
        self.num_idle -= usize::from(std::mem::take(&mut entry.is_idle));
    }

    /// The last owner of a block is gone: is the block kept?
    pub(super) fn keeps(&mut self, block: u32) -> bool {
        let Some(entry) = self.entries.get_mut(&block) else { return false };
        match self.eviction {
            Some(CacheEviction::Lru) => {
                entry.last_use = self.clock;
                entry.is_idle = true;
                self.num_idle += 1;
                if entry.num_children == 0 {
                    self.idle_leaves.insert((entry.last_use, block));
                }
                true
            }
            Some(CacheEviction::RefZero) | None => {
                self.forget(block);
                false
            }
        }
    }

    /// Gives up the idle leaf that was used longest ago; its block.
    pub(super) fn evict(&mut self) -> Option<u32> {
        let (_, block) = self.idle_leaves.pop_first()?;
        self.num_idle -= 1;
        self.forget(block);
        Some(block)
    }

    fn forget(&mut self, block: u32) {
        let Some(entry) = self.entries.remove(&block) else { return };
        self.by_hash.remove(&entry.hash);
        self.changes.forget(entry.hash);
        let Some(parent) = entry.parent else { return };
        if let Some(above) = self.entries.get_mut(&parent) {
            above.num_children -= 1;
            if above.num_children == 0 && above.is_idle {
                self.idle_leaves.insert((above.last_use, parent));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn contains(&self, block: u32) -> bool {
        self.entries.contains_key(&block)
    }

    #[cfg(test)]
    pub(super) fn check(&self, num_owners: &[u32]) -> Result<(), String> {
        let mut num_children: HashMap<u32, usize> = HashMap::new();
        let (mut num_idle, mut idle_leaves) = (0, BTreeSet::new());
        for entry in self.entries.values() {
            *num_children.entry(entry.parent.unwrap_or(u32::MAX)).or_default() += 1;
        }
        for (&block, entry) in &self.entries {
            let owners = num_owners[block as usize];
            let children = num_children.get(&block).copied().unwrap_or_default();
            let parent_owners = entry.parent.map_or(u32::MAX, |parent| num_owners[parent as usize]);
            let holds = [
                ("names are unique", self.by_hash.get(&entry.hash) == Some(&block)),
                ("a parent is cached", entry.parent.is_none_or(|parent| self.contains(parent))),
                ("owners of a block own its parent", parent_owners >= owners),
                ("children are counted", children == entry.num_children),
                ("idle = without owner", entry.is_idle == (owners == 0)),
                ("only lru keeps idle blocks", owners > 0 || self.eviction == Some(CacheEviction::Lru)),
            ];
            if let Some((what, _)) = holds.iter().find(|(_, holds)| !holds) {
                return Err(format!("block {block}: broken: {what}: {entry:?}"));
            }
            num_idle += usize::from(owners == 0);
            if owners == 0 && children == 0 {
                idle_leaves.insert((entry.last_use, block));
            }
        }
        if (num_idle, &idle_leaves) != (self.num_idle, &self.idle_leaves)
            || self.by_hash.len() != self.entries.len()
        {
            return Err("the indices of the cache do not agree with its entries".to_owned());
        }
        Ok(())
    }
}

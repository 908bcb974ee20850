//! Pool of KV cache blocks: how many sequences own each block, and which blocks nobody owns.
//!
//! The cache's memory is committed by the operating system on first touch, so the pool hands out as few
//! distinct blocks as it can: freed blocks are reused last-in-first-out, and a block that nobody has touched
//! yet is taken only when none was freed; cached blocks without owner go last. The ids ever handed out are
//! therefore `0..max_touched`.

use super::prefix_cache::PrefixCache;
use crate::plan::CacheEviction;

/// Counts owners; the block tables live in the sequences.
#[derive(Debug)]
pub(super) struct BlockPool {
    num_usable: usize,
    /// By block, for those handed out at least once: sequences that have it in their table.
    num_owners: Vec<u32>,
    /// Touched blocks that are neither owned nor cached; the last one is handed out next.
    freed: Vec<u32>,
    cache: PrefixCache,
}

impl BlockPool {
    /// A pool whose usable ids are `0..num_usable`, all free. With an eviction policy, prompt blocks can be shared.
    pub(super) fn new(num_usable: usize, caching: Option<CacheEviction>) -> Self {
        // Touched as it fills.
        let num_owners = Vec::with_capacity(num_usable);
        Self { num_usable, num_owners, freed: Vec::new(), cache: PrefixCache::new(caching) }
    }

    /// Blocks nobody owns, the cached ones among them included.
    pub(super) fn num_free(&self) -> usize {
        self.num_usable - self.num_used()
    }

    /// Blocks owned by some sequence.
    pub(super) fn num_used(&self) -> usize {
        self.num_owners.len() - self.freed.len() - self.cache.num_idle()
    }

    /// Most blocks that held something at once: owned, or cached.
    pub(super) fn max_touched(&self) -> usize {
        self.num_owners.len()
    }

    /// Cached prompt blocks.
    pub(super) fn cache(&self) -> &PrefixCache {
        &self.cache
    }

    pub(super) fn cache_mut(&mut self) -> &mut PrefixCache {
        &mut self.cache
    }

    /// Appends `count` blocks to `table`, or none at all when fewer are free.
    #[must_use]
    pub(super) fn allocate(&mut self, count: usize, table: &mut Vec<u32>) -> bool {
        if count > self.num_free() {
            return false;
        }
        table.reserve(count);
        for _ in 0..count {
            let block = self.take_block();
            self.num_owners[block as usize] = 1;
            table.push(block);
        }
        true
    }

    /// A block that nobody owns; the caller has made sure that there is one.
    fn take_block(&mut self) -> u32 {
        if let Some(block) = self.freed.pop() {
            return block;
        }
        if self.num_owners.len() < self.num_usable {
            self.num_owners.push(0);
            return (self.num_owners.len() - 1) as u32;
        }
        self.cache.evict().unwrap_or_else(|| unreachable!("num_free counts free, fresh and idle blocks"))
    }

    /// Appends the cached blocks named `hashes` to `table`; all of them must be cached.
    pub(super) fn share(&mut self, hashes: &[u64], table: &mut Vec<u32>) {
        for &hash in hashes {
            let block =
                self.cache.block(hash).unwrap_or_else(|| unreachable!("only cached blocks are shared"));
            let num_owners = &mut self.num_owners[block as usize];
            if *num_owners == 0 {
                self.cache.wake(block);
            }
            *num_owners += 1;
            table.push(block);
        }
    }

    /// Takes back all blocks of `table`; of those without other owners the table's first is the next one handed out.
    pub(super) fn free(&mut self, table: &mut Vec<u32>) {
        // Backwards: a block of a chain is given up before those it builds on.
        for block in table.drain(..).rev() {
            let num_owners = &mut self.num_owners[block as usize];
            *num_owners -= 1;
            if *num_owners == 0 && !self.cache.keeps(block) {
                self.freed.push(block);
            }
        }
    }

    /// Forgets everything cached that nobody owns.
    pub(super) fn drop_idle(&mut self) {
        while let Some(block) = self.cache.evict() {
            self.freed.push(block);
        }
    }

    /// Every block is free, cached, or owned as often as it is in `tables`, and no id is out of range.
    #[cfg(test)]
    pub(super) fn check<'a>(&'a self, tables: impl Iterator<Item = &'a [u32]>) -> Result<(), String> {
        let mut num_owners = vec![0; self.num_owners.len()];
        for &block in tables.flatten() {
            *num_owners.get_mut(block as usize).ok_or(format!("block {block} was never handed out"))? += 1;
        }
        if num_owners != self.num_owners || num_owners.len() > self.num_usable {
            return Err(format!("owners {num_owners:?}, expected {:?}", self.num_owners));
        }
        let mut freed = self.freed.clone();
        freed.sort_unstable();
        let idle: Vec<u32> = (0..num_owners.len() as u32)
            .filter(|&block| num_owners[block as usize] == 0 && !self.cache.contains(block))
            .collect();
        if freed != idle {
            return Err(format!("free blocks {freed:?}, expected {idle:?}"));
        }
        self.cache.check(&num_owners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_freed_last_is_used_first() {
        let mut pool = BlockPool::new(8, None);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        assert!(pool.allocate(2, &mut first) && pool.allocate(3, &mut second));
        assert_eq!((first.as_slice(), second.as_slice()), (&[0, 1][..], &[2, 3, 4][..]));
        pool.free(&mut second);
        pool.free(&mut first);
        assert!(pool.allocate(4, &mut second));
        assert_eq!(second, [0, 1, 2, 3]);
    }
}

//! Pool of KV cache blocks: who owns which block.
//!
//! The cache's memory is committed by the operating system on first touch, so the pool hands out as few
//! distinct blocks as it can: freed blocks are reused last-in-first-out, and a block that nobody has touched
//! yet is taken only when none was freed. The ids ever handed out are therefore `0..max_used`.

/// Owner-less view of the pool; the block tables live in the sequences.
#[derive(Debug)]
pub(super) struct BlockAllocator {
    num_usable: usize,
    /// Blocks handed out at least once are `0..num_touched`.
    num_touched: usize,
    /// Touched blocks that nobody owns; the last one is handed out next.
    freed: Vec<u32>,
}

impl BlockAllocator {
    /// A pool whose usable ids are `0..num_usable`, all free.
    pub(super) fn new(num_usable: usize) -> Self {
        Self { num_usable, num_touched: 0, freed: Vec::new() }
    }

    /// Blocks nobody owns.
    pub(super) fn num_free(&self) -> usize {
        self.num_usable - self.num_used()
    }

    /// Blocks owned by some sequence.
    pub(super) fn num_used(&self) -> usize {
        self.num_touched - self.freed.len()
    }

    /// Most blocks that were owned at once.
    pub(super) fn max_used(&self) -> usize {
        self.num_touched
    }

    /// Appends `count` blocks to `table`, or none at all when fewer are free.
    #[must_use]
    pub(super) fn allocate(&mut self, count: usize, table: &mut Vec<u32>) -> bool {
        if count > self.num_free() {
            return false;
        }
        let num_reused = count.min(self.freed.len());
        table.extend(self.freed.drain(self.freed.len() - num_reused..).rev());
        let first_fresh = self.num_touched;
        self.num_touched += count - num_reused;
        table.extend((first_fresh..self.num_touched).map(|block| block as u32));
        true
    }

    /// Takes back all blocks of `table`; the table's first block is the next one handed out.
    pub(super) fn free(&mut self, table: &mut Vec<u32>) {
        self.freed.extend(table.drain(..).rev());
    }

    /// Every block is free or in exactly one of `tables`, and no id is out of range.
    #[cfg(test)]
    pub(super) fn check<'a>(&'a self, tables: impl Iterator<Item = &'a [u32]>) -> Result<(), String> {
        let mut num_owners = vec![0; self.num_usable];
        for block in tables.flatten().chain(&self.freed).copied() {
            let count = num_owners.get_mut(block as usize).ok_or(format!("block {block} is not usable"))?;
            *count += 1;
        }
        for (block, &count) in num_owners.iter().enumerate() {
            let expected = usize::from(block < self.num_touched);
            if count != expected {
                return Err(format!("block {block} has {count} owners, expected {expected}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Action {
        Grow { owner: usize, count: usize },
        Release { owner: usize },
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            3 => (0..5usize, 0..6usize).prop_map(|(owner, count)| Action::Grow { owner, count }),
            2 => (0..5usize).prop_map(|owner| Action::Release { owner }),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_free_blocks(num_usable in 1..20usize, actions in prop::collection::vec(action(), 0..80)) {
            let mut pool = BlockAllocator::new(num_usable);
            let mut tables = vec![Vec::new(); 5];
            let (mut used, mut most_used) = (0, 0);
            for action in actions {
                match action {
                    Action::Grow { owner, count } => {
                        let fits = used + count <= num_usable;
                        let before = tables[owner].clone();
                        prop_assert_eq!(pool.allocate(count, &mut tables[owner]), fits);
                        used += if fits { count } else { 0 };
                        prop_assert!(tables[owner].starts_with(&before));
                    }
                    Action::Release { owner } => {
                        used -= tables[owner].len();
                        pool.free(&mut tables[owner]);
                        prop_assert!(tables[owner].is_empty());
                    }
                }
                most_used = most_used.max(used);
                prop_assert_eq!(pool.check(tables.iter().map(Vec::as_slice)), Ok(()));
                prop_assert_eq!((pool.num_used(), pool.num_free()), (used, num_usable - used));
                prop_assert_eq!(pool.max_used(), most_used, "touches no more blocks than were ever used at once");
                prop_assert!(tables.iter().flatten().all(|&block| (block as usize) < most_used));
            }
        }
    }

    #[test]
    fn the_block_freed_last_is_used_first() {
        let mut pool = BlockAllocator::new(8);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        assert!(pool.allocate(2, &mut first) && pool.allocate(3, &mut second));
        assert_eq!((first.as_slice(), second.as_slice()), (&[0, 1][..], &[2, 3, 4][..]));
        pool.free(&mut second);
        pool.free(&mut first);
        assert!(pool.allocate(4, &mut second));
        assert_eq!(second, [0, 1, 2, 3]);
    }
}

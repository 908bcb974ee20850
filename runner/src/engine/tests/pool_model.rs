//! The block pool against a model: owners, sharing, and which cached block goes first.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use crate::engine::block_hash::block_hashes;
use crate::engine::block_pool::BlockPool;
use crate::plan::CacheEviction;

#[derive(Clone, Debug)]
enum Action {
    /// A sequence with a prompt of so many blocks of one of four texts: shares what is cached, takes the rest.
    Begin {
        owner: usize,
        text: u32,
        num_blocks: usize,
    },
    Grow {
        owner: usize,
        count: usize,
    },
    Release {
        owner: usize,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (0..5usize, 0..4u32, 1..6usize).prop_map(|(owner, text, num_blocks)| Action::Begin { owner, text, num_blocks }),
        2 => (0..5usize, 0..4usize).prop_map(|(owner, count)| Action::Grow { owner, count }),
        3 => (0..5usize).prop_map(|owner| Action::Release { owner }),
    ]
}

/// Texts 0 and 1 agree in two blocks, 2 and 3 in none.
fn hashes(text: u32, num_blocks: usize) -> Vec<u64> {
    let token = |block: u32| if text < 2 && block < 2 { block } else { block + 100 * (text + 1) };
    block_hashes(&(0..num_blocks as u32).map(token).collect::<Vec<_>>(), 1)
}

/// What must be true of a pool, by the plainest means.
struct Model {
    num_usable: usize,
    eviction: Option<CacheEviction>,
    tables: Vec<Vec<u32>>,
    /// Name -> block, of everything cached.
    cached: HashMap<u64, u32>,
}

impl Model {
    fn owners(&self, block: u32) -> usize {
        self.tables.iter().flatten().filter(|&&owned| owned == block).count()
    }

    fn num_owned(&self) -> usize {
        (0..self.num_usable as u32).filter(|&block| self.owners(block) > 0).count()
    }

    /// What is cached stays in its block; it goes with its last owner (`ref_zero`), or when memory is needed (`lru`).
    fn check_cache(&mut self, pool: &BlockPool) -> Result<(), TestCaseError> {
        let num_before = self.cached.len();
        self.cached.retain(|&hash, _| pool.cache().block(hash).is_some());
        if self.eviction == Some(CacheEviction::Lru) && self.cached.len() < num_before {
            prop_assert_eq!(pool.max_touched(), self.num_usable, "lru forgets only when memory is needed");
        }
        for (&hash, &block) in &self.cached {
            prop_assert_eq!(pool.cache().block(hash), Some(block), "a cached block does not move");
        }
        if self.eviction == Some(CacheEviction::RefZero) {
            prop_assert!(self.cached.values().all(|&block| self.owners(block) > 0));
        }
        Ok(())
    }
}

fn begin(pool: &mut BlockPool, model: &mut Model, owner: usize, names: &[u64]) -> Result<(), TestCaseError> {
    if !model.tables[owner].is_empty() {
        return Ok(());
    }
    let num_hits = pool.cache().longest_run(names, false);
    let known = names.iter().take_while(|hash| model.cached.contains_key(hash)).count();
    prop_assert_eq!(num_hits, known);
    let mut table = Vec::new();
    pool.share(&names[..num_hits], &mut table);
    for (block, hash) in table.iter().zip(names) {
        prop_assert_eq!(Some(*block), model.cached.get(hash).copied(), "sharing copies nothing");
    }
    model.tables[owner] = table.clone();
    let fits = model.num_owned() + names.len() - num_hits <= model.num_usable;
    prop_assert_eq!(pool.allocate(names.len() - num_hits, &mut table), fits);
    model.tables[owner] = table;
    if fits {
        model.check_cache(pool)?;
        pool.cache_mut().register(&model.tables[owner], names);
        for (&block, &hash) in model.tables[owner].iter().zip(names) {
            if pool.cache().block(hash) == Some(block) {
                model.cached.insert(hash, block);
            }
        }
    } else {
        pool.free(&mut model.tables[owner]);
    }
    Ok(())
}

fn act(pool: &mut BlockPool, model: &mut Model, action: Action) -> Result<(), TestCaseError> {
    match action {
        Action::Begin { owner, text, num_blocks } => {
            begin(pool, model, owner, &hashes(text, num_blocks))?;
        }
        Action::Grow { owner, count } => {
            let fits = model.num_owned() + count <= model.num_usable;
            prop_assert_eq!(pool.allocate(count, &mut model.tables[owner]), fits);
        }
        Action::Release { owner } => pool.free(&mut model.tables[owner]),
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_pool_is_its_model(
        num_usable in 1..20usize,
        eviction in prop::sample::select(vec![None, Some(CacheEviction::RefZero), Some(CacheEviction::Lru)]),
        actions in prop::collection::vec((action(), any::<bool>()), 0..80),
    ) {
        let mut pool = BlockPool::new(num_usable, eviction);
        let mut model = Model { num_usable, eviction, tables: vec![Vec::new(); 5], cached: HashMap::new() };
        // What somebody knows who listens to some of the reports.
        let mut heard = BTreeSet::new();
        for (action, listens) in actions {
            pool.cache_mut().tick();
            act(&mut pool, &mut model, action)?;
            prop_assert_eq!(pool.check(model.tables.iter().map(Vec::as_slice)), Ok(()));
            prop_assert_eq!(pool.num_used(), model.num_owned());
            prop_assert_eq!(pool.num_free(), num_usable - model.num_owned());
            model.check_cache(&pool)?;
            if listens {
                let changes = pool.cache_mut().take_changes();
                heard.retain(|name| !changes.forgotten.contains(name));
                heard.extend(changes.cached);
                prop_assert_eq!(&heard, &model.cached.keys().copied().collect(), "reports add up to the cache");
            }
        }
    }
}

#[test]
fn the_leaf_used_longest_ago_goes_first_and_parents_after_their_children() {
    let mut pool = BlockPool::new(4, Some(CacheEviction::Lru));
    let (long, short) = (hashes(2, 3), hashes(3, 1));
    for names in [&long, &short] {
        let mut table = Vec::new();
        pool.cache_mut().tick();
        assert!(pool.allocate(names.len(), &mut table));
        pool.cache_mut().register(&table, names);
        pool.free(&mut table);
    }
    let mut table = Vec::new();
    for (runs, what) in
        [((2, 1), "the end of the older chain"), ((1, 1), "then its new end"), ((0, 1), "then its start")]
    {
        assert!(pool.allocate(1, &mut table));
        let cache = pool.cache();
        assert_eq!((cache.longest_run(&long, false), cache.longest_run(&short, false)), runs, "{what}");
    }
}

#[test]
fn a_name_is_never_given_to_two_blocks() {
    let mut pool = BlockPool::new(8, Some(CacheEviction::Lru));
    let names = hashes(2, 2);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    assert!(pool.allocate(2, &mut first) && pool.allocate(2, &mut second));
    pool.cache_mut().register(&first, &names);
    pool.cache_mut().register(&second, &names);
    assert_eq!(pool.cache().block(names[1]), Some(first[1]));
    pool.free(&mut second);
    assert_eq!(pool.num_free(), 6, "the second copy is free memory");
    pool.check([first.as_slice()].into_iter()).unwrap();
}

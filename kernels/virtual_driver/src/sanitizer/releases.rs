//! What was published through which address, and whether a thread that read there knows of a write elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

/// How far a warp has read the publications at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acquired {
    pub(super) address: u64,
    /// So many of its publications.
    pub(super) count: usize,
}

/// Clocks by warp.
pub(super) type Times = Arc<[u32]>;

/// What a warp publishes with one atomic or strong store.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) block: u32,
    pub(super) warp: u8,
    /// What the threads of its own block may rely on.
    pub(super) in_block: Times,
    /// What all others may rely on.
    pub(super) in_device: Option<Times>,
    /// What it had acquired itself.
    pub(super) acquired: Arc<[Acquired]>,
}

#[derive(Debug, Default)]
struct Log {
    releases: Vec<Release>,
    of_block: HashMap<u32, Vec<usize>>,
}

/// The publications of a launch, by address.
#[derive(Debug, Default)]
pub(super) struct Releases(HashMap<u64, Log>);

impl Releases {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a publication, unless the last one there by the same warp says the same.
    pub(super) fn publish(&mut self, address: u64, release: Release) {
        let log = self.0.entry(address).or_default();
        let repeats = |last: &Release| {
            (last.block, last.warp) == (release.block, release.warp)
                && Arc::ptr_eq(&last.in_block, &release.in_block)
                && last.acquired == release.acquired
        };
        if log.releases.last().is_some_and(repeats) {
            return;
        }
        log.of_block.entry(release.block).or_default().push(log.releases.len());
        log.releases.push(release);
    }

    /// How many publications there are at an address.
    pub(super) fn count(&self, address: u64) -> usize {
        self.0.get(&address).map_or(0, |log| log.releases.len())
    }

    /// The publications at an address by warps of a block, but for the first `known` of all.
    pub(super) fn of_block(&self, address: u64, block: u32, known: usize) -> impl Iterator<Item = &Release> {
        let log = self.0.get(&address);
        let indices = log.and_then(|log| log.of_block.get(&block)).map_or(&[][..], Vec::as_slice);
        let first = indices.partition_point(|&index| index < known);
        indices[first..].iter().filter_map(move |&index| log?.releases.get(index))
    }

    /// Whether who has acquired so much knows what a warp of a block had done by `clock`.
    pub(super) fn tell(&self, acquired: &[Acquired], block: u32, warp: u8, clock: u32) -> bool {
        let mut reached: HashMap<u64, usize> = HashMap::new();
        let mut open: Vec<Acquired> = acquired.to_vec();
        while let Some(Acquired { address, count }) = open.pop() {
            let before = reached.get(&address).copied().unwrap_or(0);
            let Some(log) = self.0.get(&address).filter(|_| before < count) else { continue };
            let tells = |&index: &usize| {
                let times = log.releases[index].in_device.as_ref();
                index < count && times.is_some_and(|times| times[usize::from(warp)] >= clock)
            };
            if log.of_block.get(&block).is_some_and(|indices| indices.iter().any(tells)) {
                return true;
            }
            reached.insert(address, count);
            for release in &log.releases[before..count.min(log.releases.len())] {
                open.extend(release.acquired.iter().filter(|more| {
                    release.in_device.is_some() && reached.get(&more.address).is_none_or(|&n| n < more.count)
                }));
            }
        }
        false
    }
}

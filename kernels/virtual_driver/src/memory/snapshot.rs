//! The live ranges at one moment, for lookups without a lock.

use std::sync::Arc;

use super::Written;
use super::table::Backing;

/// One live range.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) start: u64,
    /// Behind the last byte that was asked for.
    pub(super) end: u64,
    /// Behind the last byte that a kernel may touch.
    pub(super) reach: u64,
    pub(super) written: Option<Arc<Written>>,
}

/// Sorted live ranges; holds their memory alive.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Ranges>);

#[derive(Debug)]
struct Ranges {
    /// Sorted, disjoint.
    ranges: Vec<Range>,
    _backings: Vec<Backing>,
}

impl Snapshot {
    pub(super) fn new(ranges: Vec<Range>, backings: Vec<Backing>) -> Self {
        Self(Arc::new(Ranges { ranges, _backings: backings }))
    }

    fn below(&self, address: u64) -> Option<&Range> {
        let after = self.0.ranges.partition_point(|range| range.start <= address);
        self.0.ranges.get(after.checked_sub(1)?)
    }

    /// What a kernel may touch (start, end) around the address; with [`super::Bounds::Granules`] it ends behind the
    /// allocation's last granule.
    pub fn reach_of(&self, address: u64) -> Option<(u64, u64)> {
        let range = self.below(address)?;
        (address < range.reach).then_some((range.start, range.reach))
    }

    /// Whether a kernel may touch `bytes` from `address`.
    pub fn reaches(&self, address: u64, bytes: u64) -> bool {
        self.reach_of(address).is_some_and(|(_, end)| bytes <= end - address)
    }

    /// Whether `bytes` from `address` lie in one live range.
    pub fn contains(&self, address: u64, bytes: u64) -> bool {
        self.below(address).is_some_and(|range| address < range.end && bytes <= range.end - address)
    }

    /// The nearest live range (start, end) at or below the address, for messages.
    pub fn nearest_below(&self, address: u64) -> Option<(u64, u64)> {
        self.below(address).map(|range| (range.start, range.end))
    }

    /// Where the range around the address starts, and which of its bytes are written; `None` where nobody keeps count.
    pub fn written(&self, address: u64) -> Option<(u64, &Written)> {
        let range = self.below(address)?;
        Some((range.start, range.written.as_deref()?))
    }
}

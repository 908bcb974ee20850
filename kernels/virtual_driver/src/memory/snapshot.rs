//! The live ranges at one moment, for lookups without a lock.

use std::sync::Arc;

use super::block::HostBlock;

/// Sorted live ranges; holds their memory alive.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Ranges>);

#[derive(Debug)]
struct Ranges {
    /// (start, end), sorted, disjoint.
    ranges: Vec<(u64, u64)>,
    _owners: Vec<Arc<HostBlock>>,
}

impl Snapshot {
    pub(super) fn new(ranges: Vec<(u64, u64)>, owners: Vec<Arc<HostBlock>>) -> Self {
        Self(Arc::new(Ranges { ranges, _owners: owners }))
    }

    /// The live range (start, end) that contains the address.
    pub fn range_of(&self, address: u64) -> Option<(u64, u64)> {
        let after = self.0.ranges.partition_point(|&(start, _)| start <= address);
        let &(start, end) = self.0.ranges.get(after.checked_sub(1)?)?;
        (address < end).then_some((start, end))
    }

    /// Whether `bytes` from `address` lie in one live range.
    pub fn contains(&self, address: u64, bytes: u64) -> bool {
        self.range_of(address).is_some_and(|(_, end)| bytes <= end - address)
    }

    /// The nearest live range at or below the address, for messages.
    pub fn nearest_below(&self, address: u64) -> Option<(u64, u64)> {
        let after = self.0.ranges.partition_point(|&(start, _)| start <= address);
        self.0.ranges.get(after.checked_sub(1)?).copied()
    }
}

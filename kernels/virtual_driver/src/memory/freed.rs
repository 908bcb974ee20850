//! Memory that was freed lately: kept back, so that its addresses are not used again and a late access can be told from
//! a wild one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Region;
use super::block::HostBlock;

/// Bytes that are kept back at most; the oldest go first.
const MOST_BYTES: u64 = 256 << 20;
/// Freed ranges that are remembered at most.
const MOST_RANGES: usize = 1 << 16;

/// A range that was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed {
    /// What it was.
    pub region: Region,
    /// How many were freed before it.
    pub number: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    kept: VecDeque<(Freed, Option<Arc<HostBlock>>)>,
    bytes: u64,
    count: u64,
}

impl Quarantine {
    pub(super) fn add(&mut self, region: Region, block: Option<Arc<HostBlock>>) {
        self.bytes += region.bytes;
        self.kept.push_back((Freed { region, number: self.count }, block));
        self.count += 1;
        while self.bytes > MOST_BYTES || self.kept.len() > MOST_RANGES {
            let Some((oldest, _)) = self.kept.pop_front() else { return };
            self.bytes -= oldest.region.bytes;
        }
    }

    /// The range that contained an address and was freed last.
    pub(super) fn find(&self, address: u64) -> Option<Freed> {
        let contains = |freed: &Freed| {
            address >= freed.region.start && address - freed.region.start < freed.region.bytes
        };
        self.kept.iter().rev().map(|(freed, _)| *freed).find(contains)
    }
}

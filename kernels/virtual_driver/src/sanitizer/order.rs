//! Whether one access comes before another, and what follows if it does not.

use std::collections::HashMap;

use super::clocks::Clocks;
use super::finding::FindingKind;
use super::releases::Releases;
use super::shadow::{Cell, Mark};
use crate::machine::AccessKind;

/// What a warp knows of a warp of another block, as far as it was asked: (own warp, block, warp) to a clock.
pub(super) type Known = HashMap<(u32, u32, u8), u32>;

/// An access that is judged.
pub(super) struct Judge<'j> {
    pub(super) now: Mark,
    pub(super) clocks: &'j Clocks,
    pub(super) releases: &'j Releases,
    pub(super) known: &'j mut Known,
    /// A store that changes nothing is no race.
    pub(super) is_silent: &'j dyn Fn(&Mark) -> bool,
}

impl Judge<'_> {
    fn is_before(&mut self, mark: &Mark) -> bool {
        let (warp, lane) = (u32::from(self.now.warp), u32::from(self.now.lane));
        if mark.block == self.now.block {
            return self.clocks.is_before((mark.warp, mark.lane, mark.clock), (warp, lane));
        }
        let acquired = self.clocks.acquired(warp);
        if acquired.is_empty() {
            return false;
        }
        let key = (warp, mark.block, mark.warp);
        if self.known.get(&key).is_some_and(|&clock| clock >= mark.clock) {
            return true;
        }
        let is_told = self.releases.tell(acquired, mark.block, mark.warp, mark.clock);
        if is_told {
            self.known.insert(key, mark.clock);
        }
        is_told
    }

    /// As [`Judge::is_before`], but without a long search; for what need not be exact.
    fn is_surely_before(&self, mark: &Mark) -> bool {
        let (warp, lane) = (u32::from(self.now.warp), u32::from(self.now.lane));
        if mark.block == self.now.block {
            return self.clocks.is_before((mark.warp, mark.lane, mark.clock), (warp, lane));
        }
        self.known.get(&(warp, mark.block, mark.warp)).is_some_and(|&clock| clock >= mark.clock)
    }

    fn conflicts(&mut self, mark: &Mark) -> bool {
        mark.is_set() && !(mark.is_strong && self.now.is_strong) && !self.is_before(mark)
    }

    /// Judges an access to a cell against those before it, and remembers it.
    #[inline]
    pub(super) fn touch(&mut self, cell: &mut Cell, kind: AccessKind) -> Option<(FindingKind, Mark)> {
        match kind {
            AccessKind::Load | AccessKind::CopySource => {
                let conflict = self.conflicts(&cell.write);
                let (now, writer) = (self.now, cell.write);
                cell.add_reader(now, |mark| self.is_surely_before(mark));
                conflict.then_some((FindingKind::ReadAfterWrite, writer))
            }
            AccessKind::Store | AccessKind::Atomic => {
                let conflict = self.write_conflict(cell);
                if let Some((_, other)) = conflict
                    && kind == AccessKind::Store
                    && (self.is_silent)(&other)
                {
                    // The earlier writer stays: others may still be unordered with it.
                    return None;
                }
                cell.set_writer(self.now);
                conflict
            }
            AccessKind::CopyTarget => self.write_conflict(cell),
            AccessKind::CopyArrival => {
                cell.set_writer(self.now);
                None
            }
        }
    }

    fn write_conflict(&mut self, cell: &Cell) -> Option<(FindingKind, Mark)> {
        if self.conflicts(&cell.write) {
            return Some((FindingKind::WriteAfterWrite, cell.write));
        }
        let reader = cell.reads.iter().find(|read| self.conflicts(read))?;
        Some((FindingKind::WriteAfterRead, *reader))
    }
}

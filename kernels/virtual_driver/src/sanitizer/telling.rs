//! Findings in words: who, where, what lies there, and the other party.

use super::block::BlockWatch;
use super::finding::{Finding, FindingKind, Party};
use super::launch::State;
use super::shadow::Mark;
use super::shared::Issue;
use super::words::Ordering;
use crate::isa::memory::MemorySpace;
use crate::machine::{Access, AccessKind, Elsewhere, LaneError, Site};

fn verb(kind: AccessKind) -> &'static str {
    match kind {
        AccessKind::Load => "load",
        AccessKind::Store => "store",
        AccessKind::Atomic => "atomic",
        AccessKind::CopySource => "cp.async read",
        AccessKind::CopyTarget | AccessKind::CopyArrival => "cp.async write",
    }
}

impl BlockWatch<'_> {
    fn party(&self, site: &Site<'_>, pc: u32, warp: u32, lane: u32) -> Party {
        Party::new(site.program, pc, site.block, self.launch.facts.thread_index(warp, lane))
    }

    /// The party of a mark, which may be of another block.
    fn marked(&self, site: &Site<'_>, mark: &Mark) -> Party {
        let facts = &self.launch.facts;
        let thread = facts.thread_index(mark.warp.into(), mark.lane.into());
        Party::new(site.program, mark.pc, facts.block_index(mark.block), thread)
    }

    fn finding(&self, site: &Site<'_>, lane: u32, kind: FindingKind, what: String) -> Finding {
        Finding {
            kind,
            what,
            kernel: site.program.functions[site.kernel as usize].name.clone(),
            at: self.party(site, site.pc, site.warp, lane),
            address: None,
            target: None,
            other: None,
            count: 1,
        }
    }

    pub(super) fn add_uninitialised(
        &self,
        state: &mut State,
        site: &Site<'_>,
        access: &Access<'_>,
        lane: u32,
        byte: u64,
    ) {
        let kind = FindingKind::Uninitialised;
        state.findings.add(kind, site.pc, 0, || {
            let (space, target) = self.describe(access.space, byte);
            let what = format!("{space} {} of {} bytes that nobody wrote", verb(access.kind), access.bytes);
            Finding { address: Some(byte), target, ..self.finding(site, lane, kind, what) }
        });
    }

    fn describe(&self, space: MemorySpace, address: u64) -> (&'static str, Option<String>) {
        match space {
            MemorySpace::Shared => ("shared", self.launch.facts.describe_shared(address)),
            MemorySpace::Local => ("local", Some("of the thread's local memory".to_owned())),
            MemorySpace::Generic | MemorySpace::Global | MemorySpace::Const | MemorySpace::Param => {
                ("global", self.launch.facts.describe_global(address))
            }
        }
    }

    pub(super) fn add_race(
        &self,
        state: &mut State,
        site: &Site<'_>,
        access: &Access<'_>,
        (lane, address): (u32, u64),
        (kind, other): (FindingKind, Mark),
    ) {
        state.findings.add(kind, site.pc, other.pc, || {
            let (space, target) = self.describe(access.space, address);
            let what = format!(
                "{space} {} of {} bytes, not ordered with another thread's",
                verb(access.kind),
                access.bytes
            );
            let did =
                if kind == FindingKind::WriteAfterRead { "and the read by" } else { "and the write by" };
            let other = Some((did.to_owned(), self.marked(site, &other)));
            Finding { address: Some(address), target, other, ..self.finding(site, lane, kind, what) }
        });
    }

    /// An access to bytes that a copy has not brought yet.
    pub(super) fn add_missing_wait(&self, site: &Site<'_>, access: &Access<'_>, lane: u32, issue: Issue) {
        let kind = FindingKind::MissingWait;
        self.launch.state().findings.add(kind, site.pc, issue.pc, || {
            let address = access.addresses[lane as usize];
            let what = format!(
                "shared {} of {} bytes before the thread that copies them has waited for its copy",
                verb(access.kind),
                access.bytes
            );
            let other = Some(("issued at".to_owned(), self.party(site, issue.pc, issue.warp, issue.lane)));
            let target = self.launch.facts.describe_shared(address);
            Finding { address: Some(address), target, other, ..self.finding(site, lane, kind, what) }
        });
    }

    pub(super) fn add_divergence(&self, site: &Site<'_>, elsewhere: &Elsewhere) {
        let (pc, mask) = elsewhere.rest;
        if !Ordering::of(site.program, pc).is_aligned {
            return;
        }
        let (here, there) = (mask.trailing_zeros() & 31, elsewhere.lanes.trailing_zeros() & 31);
        let kind = FindingKind::DivergentBarrier;
        self.launch.state().findings.add(kind, pc, elsewhere.pc, || {
            let what = format!(
                "lanes 0x{mask:08x} of warp {} wait here, lanes 0x{:08x} at another instruction",
                elsewhere.warp, elsewhere.lanes
            );
            let other = self.party(site, elsewhere.pc, elsewhere.warp, there);
            Finding {
                at: self.party(site, pc, elsewhere.warp, here),
                other: Some(("and the others at".to_owned(), other)),
                ..self.finding(site, here, kind, what)
            }
        });
    }

    pub(super) fn add_wrong_lanes(&self, site: &Site<'_>, members: u32, wrong: u32, what: LaneError) {
        let what = match what {
            LaneError::NotNamed => {
                format!("lanes 0x{wrong:08x} execute it, its mask 0x{members:08x} does not name them")
            }
            LaneError::OtherMask => {
                format!("the mask 0x{members:08x} names lanes 0x{wrong:08x}, which come with another mask")
            }
            LaneError::SourceEnded => format!(
                "lanes 0x{wrong:08x} read from lanes that the mask 0x{members:08x} names and that have ended"
            ),
        };
        let (kind, lane) = (FindingKind::WrongMask, wrong.trailing_zeros() & 31);
        self.launch.state().findings.add(kind, site.pc, 0, || self.finding(site, lane, kind, what));
    }

    /// A thread ends with a copy on its way to `offset`.
    pub(super) fn add_abandoned(&self, site: &Site<'_>, offset: u64, issue: Issue) {
        let kind = FindingKind::AbandonedCopy;
        self.launch.state().findings.add(kind, site.pc, issue.pc, || {
            let what = "the thread ends while its copy may still be on its way".to_owned();
            let other = Some(("issued at".to_owned(), self.party(site, issue.pc, issue.warp, issue.lane)));
            let target = self.launch.facts.describe_shared(offset);
            Finding { address: Some(offset), target, other, ..self.finding(site, issue.lane, kind, what) }
        });
    }
}

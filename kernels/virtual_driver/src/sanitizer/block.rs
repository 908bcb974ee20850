//! Watches one block: every access against the shadow of what it touches, every synchronisation into the clocks.

use std::collections::HashMap;

use super::clocks::Clocks;
use super::launch::{LaunchWatch, State};
use super::local::LocalWritten;
use super::order::{Judge, Known};
use super::releases::{Acquired, Release, Releases};
use super::shadow::{Mark, Shadow};
use super::shared::{Issue, SharedState};
use super::words::Ordering;
use crate::isa::memory::MemorySpace;
use crate::isa::{GroupOp, Op, R};
use crate::machine::{Access, AccessKind, BlockObserver, LaneError, Site, Synchronisation};

/// See the module.
pub(super) struct BlockWatch<'l> {
    pub(super) launch: &'l LaunchWatch<'l>,
    linear: u32,
    clocks: Clocks,
    known: Known,
    shared: SharedState,
    shared_shadow: Shadow,
    /// What was published through shared memory.
    shared_releases: Releases,
    local: LocalWritten,
    /// How many publications a warp has learned from: by warp, whether in shared memory, address.
    learned: HashMap<(u32, bool, u64), usize>,
}

/// The lanes of a mask.
fn lanes(mask: u32) -> impl Iterator<Item = u32> {
    let mut left = mask;
    std::iter::from_fn(move || {
        let lane = left.trailing_zeros();
        left &= left.wrapping_sub(1);
        (lane < 32).then_some(lane)
    })
}

/// The addresses of an access; neighbouring lanes with the same one count once.
fn distinct(access: &Access<'_>) -> impl Iterator<Item = u64> {
    let mut last = None;
    lanes(access.mask).filter_map(move |lane| {
        let address = access.addresses[lane as usize];
        (last.replace(address) != Some(address)).then_some(address)
    })
}

/// Cuts a range into aligned pieces of 1 to 16 bytes.
fn pieces(address: u64, bytes: u32) -> impl Iterator<Item = (u64, u32)> {
    let (mut at, end) = (address, address + u64::from(bytes));
    std::iter::from_fn(move || {
        let left = (end - at) as u32;
        if left == 0 {
            return None;
        }
        let size = (1 << at.trailing_zeros().min(4)).min(1 << left.ilog2()).min(16);
        let piece = (at, size);
        at += u64::from(size);
        Some(piece)
    })
}

/// Accesses after which the bytes are written.
fn writes(kind: AccessKind) -> bool {
    matches!(kind, AccessKind::Store | AccessKind::Atomic)
}

/// Accesses that need what they read to be there.
fn reads(kind: AccessKind) -> bool {
    matches!(kind, AccessKind::Load | AccessKind::Atomic | AccessKind::CopySource)
}

impl<'l> BlockWatch<'l> {
    pub(super) fn new(
        launch: &'l LaunchWatch<'l>,
        block: [u32; 3],
        shared_bytes: u32,
        shared_shadow: Shadow,
    ) -> Self {
        Self {
            launch,
            linear: launch.facts.linear_block(block),
            clocks: Clocks::new(launch.facts.threads().div_ceil(32)),
            known: Known::new(),
            shared: SharedState::new(shared_bytes),
            shared_shadow,
            shared_releases: Releases::default(),
            local: LocalWritten::default(),
            learned: HashMap::new(),
        }
    }

    pub(super) fn into_shadow(self) -> Shadow {
        self.shared_shadow
    }

    fn mark(&self, site: &Site<'_>, access: &Access<'_>, lane: u32) -> Mark {
        Mark {
            block: self.linear,
            clock: self.clocks.now(site.warp),
            pc: site.pc,
            warp: site.warp as u8,
            lane: lane as u8,
            is_strong: access.volatile,
        }
    }

    /// Judges an access lane by lane against a shadow.
    fn judge(
        &mut self,
        state: &mut State,
        site: &Site<'_>,
        access: &Access<'_>,
        mask: u32,
        issuer: Option<&[u32; 32]>,
    ) {
        let first = self.mark(site, access, 0);
        for lane in lanes(mask) {
            let address = access.addresses[lane as usize];
            let pc = issuer.map_or(first.pc, |pcs| pcs[lane as usize]);
            let now = Mark { lane: lane as u8, pc, ..first };
            let mut conflict = None;
            for (at, bytes) in pieces(address, access.bytes) {
                let is_shared = access.space == MemorySpace::Shared;
                let shadow = if is_shared { &mut self.shared_shadow } else { &mut state.global };
                let mut judge = Judge {
                    now,
                    clocks: &self.clocks,
                    releases: &state.releases,
                    known: &mut self.known,
                    is_silent: &|other| is_silent(access, now, other),
                };
                for cell in shadow.cells(at, bytes) {
                    if is_shared && cell.is_of_another_block(now.block) {
                        *cell = Default::default();
                    }
                    conflict = judge.touch(cell, access.kind).or(conflict);
                }
            }
            if let Some(conflict) = conflict {
                self.add_race(state, site, access, (lane, address), conflict);
            }
        }
    }

    /// Strong reads acquire what was published at their addresses.
    fn acquire(&mut self, releases: Option<&Releases>, site: &Site<'_>, access: &Access<'_>) {
        let op = &site.program.code[site.pc as usize].op;
        let returns =
            if let Op::Atomic { d, .. } = op { *d != R::NONE } else { access.kind == AccessKind::Load };
        let log = releases.unwrap_or(&self.shared_releases);
        if !access.volatile || !returns || log.is_empty() {
            return;
        }
        for address in distinct(access) {
            let count = log.count(address);
            if count == 0 {
                continue;
            }
            let learned = self.learned.entry((site.warp, access.space == MemorySpace::Shared, address));
            let learned = learned.or_insert(0);
            for release in log.of_block(address, self.linear, *learned) {
                self.clocks.learn(site.warp, release.warp, &release.in_block);
            }
            *learned = count;
            if access.space != MemorySpace::Shared {
                self.clocks.acquire(site.warp, Acquired { address, count });
            }
        }
    }

    /// Strong writes publish what was fenced before.
    fn publish(&mut self, releases: Option<&mut Releases>, site: &Site<'_>, access: &Access<'_>) {
        if !access.volatile || access.kind == AccessKind::Load {
            return;
        }
        let words = Ordering::of(site.program, site.pc);
        if words.is_release {
            self.clocks.fence(site.warp, words.is_device_wide);
        }
        let Some((in_block, in_device, acquired)) = self.clocks.published(site.warp) else { return };
        let log = releases.unwrap_or(&mut self.shared_releases);
        for address in distinct(access) {
            let release = Release {
                block: self.linear,
                warp: site.warp as u8,
                in_block: in_block.clone(),
                in_device: in_device.clone(),
                acquired: acquired.clone(),
            };
            log.publish(address, release);
        }
    }

    fn touch_shared(&mut self, site: &Site<'_>, access: &Access<'_>) {
        let launch = self.launch;
        let checks = launch.facts.checks;
        let mut mask = access.mask;
        let mut issuers = [site.pc; 32];
        for lane in lanes(access.mask) {
            let (at, bytes) = (access.addresses[lane as usize], access.bytes);
            match access.kind {
                AccessKind::CopyArrival => {
                    let issue = self.shared.arrive(at, bytes);
                    issuers[lane as usize] = issue.map_or(site.pc, |issue| issue.pc);
                    continue;
                }
                AccessKind::Load | AccessKind::Store | AccessKind::Atomic | AccessKind::CopyTarget => {}
                AccessKind::CopySource => continue,
            }
            if let Some(issue) = self.shared.pending(at, bytes) {
                if checks.races {
                    self.add_missing_wait(site, access, lane, issue);
                }
                mask &= !(1 << lane);
            } else if checks.uninitialised
                && reads(access.kind)
                && let Some(byte) = self.shared.first_unwritten(at, bytes)
            {
                self.add_uninitialised(&mut launch.state(), site, access, lane, byte);
            }
            if writes(access.kind) {
                self.shared.mark_aligned(at, bytes);
            }
            if access.kind == AccessKind::CopyTarget {
                self.shared.issue(at, bytes, Issue { pc: site.pc, warp: site.warp, lane });
            }
        }
        if checks.races {
            self.acquire(None, site, access);
            self.judge(&mut launch.state(), site, access, mask, Some(&issuers));
            self.publish(None, site, access);
        }
    }

    /// Whether all that is read was written; marks what is written.
    fn check_written(&self, state: &mut State, site: &Site<'_>, access: &Access<'_>) {
        let memory = &self.launch.facts.memory;
        let bytes = u64::from(access.bytes);
        for lane in lanes(access.mask) {
            let address = access.addresses[lane as usize];
            let Some((start, written)) = memory.written(address) else { continue };
            if reads(access.kind)
                && let Some(offset) = written.first_unwritten(address - start, bytes)
            {
                self.add_uninitialised(state, site, access, lane, start + offset);
            }
            if writes(access.kind) {
                written.mark(address - start, bytes);
            }
        }
    }

    fn touch_global(&mut self, site: &Site<'_>, access: &Access<'_>) {
        let launch = self.launch;
        let state = &mut *launch.state();
        if launch.facts.checks.uninitialised {
            self.check_written(state, site, access);
        }
        if launch.facts.checks.races {
            self.acquire(Some(&state.releases), site, access);
            self.judge(state, site, access, access.mask, None);
            self.publish(Some(&mut state.releases), site, access);
        }
    }

    fn touch_local(&mut self, site: &Site<'_>, access: &Access<'_>) {
        for lane in lanes(access.mask) {
            let at = access.addresses[lane as usize];
            if access.kind == AccessKind::Store {
                self.local.mark(site.warp, lane, at, access.bytes);
            } else if let Some(byte) = self.local.first_unwritten(site.warp, lane, at, access.bytes) {
                self.add_uninitialised(&mut self.launch.state(), site, access, lane, byte);
            }
        }
    }
}

/// Whether a store leaves things as the other writer made them.
fn is_silent(access: &Access<'_>, now: Mark, other: &Mark) -> bool {
    let Some(change) = access.change else { return false };
    let (old, new) = (change.0)(now.lane.into());
    let (own, theirs) = (usize::from(now.lane), usize::from(other.lane));
    let is_same_instruction = (other.pc, other.clock, other.warp, other.block)
        == (now.pc, now.clock, now.warp, now.block)
        && access.mask >> theirs & 1 == 1
        && access.addresses[own] == access.addresses[theirs];
    if is_same_instruction { (change.0)(other.lane.into()).1 == new } else { old == new }
}

impl BlockObserver for BlockWatch<'_> {
    const ON: bool = true;

    fn access(&mut self, site: &Site<'_>, access: &Access<'_>) {
        match access.space {
            MemorySpace::Shared => self.touch_shared(site, access),
            MemorySpace::Local => {
                if self.launch.facts.checks.uninitialised {
                    self.touch_local(site, access);
                }
            }
            MemorySpace::Generic | MemorySpace::Global | MemorySpace::Const => {
                self.touch_global(site, access);
            }
            MemorySpace::Param => {}
        }
    }

    fn synchronise(&mut self, site: &Site<'_>, what: Synchronisation) {
        match what {
            Synchronisation::BlockBarrier { id, warps, divergent } => {
                if let Some(elsewhere) = divergent.filter(|_| self.launch.facts.checks.synchronisation) {
                    self.add_divergence(site, &elsewhere);
                }
                self.clocks.meet(warps, id);
            }
            Synchronisation::Arrive { id } => self.clocks.arrive(site.warp, id),
            Synchronisation::Warp { members } => {
                if matches!(site.program.code[site.pc as usize].op, Op::Group { op: GroupOp::Sync, .. }) {
                    self.clocks.meet_lanes(site.warp, members, site.live);
                }
            }
            Synchronisation::Fence => {
                let is_wide = Ordering::of(site.program, site.pc).is_device_wide;
                self.clocks.fence(site.warp, is_wide);
            }
            Synchronisation::CopyCommit | Synchronisation::CopyWait { .. } => {}
        }
    }

    fn wrong_lanes(&mut self, site: &Site<'_>, members: u32, wrong: u32, what: LaneError) {
        if !self.launch.facts.checks.synchronisation {
            return;
        }
        self.add_wrong_lanes(site, members, wrong, what);
    }

    fn frame_opened(&mut self, site: &Site<'_>, start: u32, bytes: u32) {
        self.local.forget(site.warp, site.mask, start, bytes);
    }

    fn passed(&mut self, site: &Site<'_>, from: u32, to: u32, bytes: u32) {
        self.local.copy(site.warp, site.mask, from, to, bytes);
    }

    fn exited(&mut self, site: &Site<'_>, pending_copies: bool) {
        if !pending_copies || !self.launch.facts.checks.races {
            return;
        }
        if let Some((offset, issue)) = self.shared.left_by(site.warp, site.mask) {
            self.add_abandoned(site, offset, issue);
        }
    }
}

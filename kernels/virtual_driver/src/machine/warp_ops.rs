//! What lanes of a warp do together: barriers, shuffles, votes, reductions.

use super::block::BlockSpace;
use super::context::Context;
use super::fragments::Wait;
use super::lanes::{L32, LANES, int32};
use super::observer::{BlockObserver, LaneError, Synchronisation};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::arith::IntOp;
use crate::isa::{BarrierKind, GroupOp, R, ShuffleMode, VoteMode};

type Done = Result<(), Box<Fault>>;

/// The lane from which a lane reads; `None` where that is out of range.
fn shuffle_source(mode: ShuffleMode, own: u32, by: u32, control: u32) -> Option<u32> {
    let by = by & 31;
    let (clamp, segment) = (control & 31, control >> 8 & 31);
    let highest = (own & segment) | (clamp & !segment);
    let lowest = own & segment;
    let (source, inside) = match mode {
        ShuffleMode::Up => (own.wrapping_sub(by), own as i32 - by as i32 >= highest as i32),
        ShuffleMode::Down => (own + by, own + by <= highest),
        ShuffleMode::Butterfly => (own ^ by, own ^ by <= highest),
        ShuffleMode::Index => {
            let source = lowest | (by & !segment);
            (source, source <= highest)
        }
    };
    inside.then_some(source & 31)
}

impl Warp {
    /// Whether all `members` that live are here. If not, the lanes wait at this instruction until they are.
    pub(super) fn meet(&mut self, lanes: u32, members: u32) -> bool {
        if members & !self.exited & !lanes == 0 {
            return true;
        }
        self.narrow_to(lanes);
        self.f.wait = Wait::Lanes { members };
        self.reschedule();
        false
    }

    /// Splits the lanes by their member masks; true where they meet. Lanes with equal masks act together.
    fn groups(&mut self, lanes: u32, members: R) -> Option<Vec<(u32, u32)>> {
        let masks = *self.r32(members);
        let first = masks.0[lanes.trailing_zeros() as usize];
        let mut groups = vec![(first, 0)];
        for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
            match groups.iter_mut().find(|(mask, _)| *mask == masks.0[lane]) {
                Some((_, group)) => *group |= 1 << lane,
                None => groups.push((masks.0[lane], 1 << lane)),
            }
        }
        let all = groups.iter().fold(0, |all, (mask, _)| all | mask);
        self.meet(lanes, all).then_some(groups)
    }

    /// The lanes whose `members` are all here act, the others wait.
    pub(super) fn together<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        op: GroupOp,
        members: R,
        lanes: u32,
    ) {
        let Some(groups) = self.groups(lanes, members) else { return };
        for (members, group) in groups {
            self.report(context, block, op, members, group);
            self.group_op(context, op, group & members, group);
        }
        self.f.pc += 1;
    }

    fn report<B: BlockObserver>(
        &self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        op: GroupOp,
        members: u32,
        group: u32,
    ) {
        if !B::ON {
            return;
        }
        let site = self.site(context);
        if let Some(observer) = &mut block.observer {
            observer.synchronise(&site, Synchronisation::Warp { members });
            let unnamed = group & !members;
            if unnamed != 0 {
                observer.wrong_lanes(&site, members, unnamed, LaneError::NotNamed);
            }
            // All live members have met, so one that is not in the group came with another mask.
            let others = members & self.live() & !group;
            if others != 0 && unnamed == 0 {
                observer.wrong_lanes(&site, members, others, LaneError::OtherMask);
            }
            if let GroupOp::Shuffle { mode, b, c, .. } = op {
                let ended = self.ended_sources(mode, b, c, group, members);
                if ended != 0 {
                    observer.wrong_lanes(&site, members, ended, LaneError::SourceEnded);
                }
            }
        }
    }

    /// One operation for the lanes of a group; `active` are those that are members.
    fn group_op(&mut self, context: &Context<'_>, op: GroupOp, active: u32, group: u32) {
        match op {
            GroupOp::Shuffle { mode, d, e, a, b, c, .. } => {
                let (values, valid) = self.shuffle(mode, a, b, c, group);
                self.write32(context, d, group, &values);
                self.write_predicate(e, group, valid);
            }
            GroupOp::Vote { mode, d, e, c, .. } => {
                let votes = self.condition(c) & active;
                let holds = match mode {
                    VoteMode::All => votes == active,
                    VoteMode::Any => votes != 0,
                    VoteMode::Uniform => votes == 0 || votes == active,
                    VoteMode::Ballot => false,
                };
                self.write32(context, d, group, &L32([votes; LANES]));
                self.write_predicate(e, group, if holds { u32::MAX } else { 0 });
            }
            GroupOp::Match { all, wide, d, e, a, .. } => {
                let value = |lane: usize| if wide { self.r64(a).0[lane] } else { self.r32(a).0[lane].into() };
                let alike = |lane: usize| {
                    (0..LANES)
                        .filter(|&other| active >> other & 1 == 1 && value(other) == value(lane))
                        .fold(0, |mask, other| mask | 1 << other)
                };
                let matches = L32(std::array::from_fn(alike));
                let first = matches.0[(active.trailing_zeros() & 31) as usize];
                if all {
                    let holds = first == active;
                    self.write32(context, d, group, &L32([if holds { active } else { 0 }; LANES]));
                    self.write_predicate(e, group, if holds { u32::MAX } else { 0 });
                } else {
                    self.write32(context, d, group, &matches);
                }
            }
            GroupOp::Redux { op, d, a, .. } => {
                let value = self.reduce(context, op, a, active);
                self.write32(context, d, group, &L32([value; LANES]));
            }
            GroupOp::Elect { d, e, .. } => {
                let leader = active.trailing_zeros();
                self.write32(context, d, group, &L32([leader; LANES]));
                self.write_predicate(e, group, 1_u32.checked_shl(leader).unwrap_or(0));
            }
            GroupOp::Sync => {}
        }
    }

    /// Values and validity by lane. A source lane that does not take part gives the lane its own value, which on
    /// hardware is undefined.
    fn shuffle(&self, mode: ShuffleMode, a: R, b: R, c: R, group: u32) -> (L32, u32) {
        let (a, b, c) = (self.r32(a), self.r32(b), self.r32(c));
        let mut valid = 0;
        let values = L32(std::array::from_fn(|lane| {
            let source = shuffle_source(mode, lane as u32, b.0[lane], c.0[lane]);
            valid |= u32::from(source.is_some()) << lane;
            let source = source.unwrap_or(lane as u32);
            if group >> source & 1 == 1 { a.0[source as usize] } else { a.0[lane] }
        }));
        (values, valid)
    }

    /// Lanes of the group that read from a member that has ended.
    fn ended_sources(&self, mode: ShuffleMode, b: R, c: R, group: u32, members: u32) -> u32 {
        let ended = members & self.exited;
        let reads_ended = |lane: &u32| {
            let (b, c) = (self.lane32(b, *lane), self.lane32(c, *lane));
            group >> lane & 1 == 1
                && shuffle_source(mode, *lane, b, c).is_some_and(|source| ended >> source & 1 == 1)
        };
        if ended == 0 { 0 } else { (0..32).filter(reads_ended).fold(0, |lanes, lane| lanes | 1 << lane) }
    }

    fn reduce(&self, context: &Context<'_>, op: IntOp, a: R, active: u32) -> u32 {
        let values = self.r32(a);
        let mut lanes = (0..LANES).filter(|lane| active >> lane & 1 == 1).map(|lane| values.0[lane]);
        let first = lanes.next().unwrap_or(0);
        lanes.fold(first, |sum, value| {
            let mut out = L32::ZERO;
            int32::int32(context.isa, op, &mut out, &L32([sum; LANES]), &L32([value; LANES]), &L32::ZERO);
            out.0[0]
        })
    }

    #[expect(clippy::too_many_arguments, reason = "operands of one instruction")]
    pub(super) fn barrier<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        kind: BarrierKind,
        id: R,
        threads: R,
        votes: u32,
    ) -> Done {
        let first = lanes.trailing_zeros();
        let id = self.lane32(id, first);
        let count = threads.is_some().then(|| self.lane32(threads, first));
        if id > 15 {
            return Err(Fault::new(
                TrapKind::IllegalInstruction,
                first,
                format!("barrier {id}: there are 0 to 15"),
            ));
        }
        if let Some(count) = count
            && (count == 0 || count % 32 != 0 || count > context.warps() * 32)
        {
            let what = format!(
                "barrier for {count} threads: a multiple of 32 up to the block's {} is needed",
                context.warps() * 32
            );
            return Err(Fault::new(TrapKind::IllegalInstruction, first, what));
        }
        if kind == BarrierKind::Arrive {
            // A warp arrives as a whole, when its last lanes do.
            if self.meet(lanes, self.live()) {
                self.note(context, block, Synchronisation::Arrive { id });
                block.arrive(id, count.unwrap_or(0));
                self.f.pc += 1;
            }
            return Ok(());
        }
        self.narrow_to(lanes);
        self.f.wait = Wait::Barrier { id, threads: count, votes: votes & lanes };
        Ok(())
    }
}

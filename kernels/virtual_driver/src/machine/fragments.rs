//! Divergence: a warp is a set of fragments, lanes that stand at the same instruction with the same callers.
//!
//! One fragment runs at a time. The one that is deepest in calls, and among those the one at the lowest instruction, goes
//! first; when it reaches the place of another it stops and the two become one. Lanes that left a branch early therefore
//! wait at its end for the others, loops are left together, and nothing depends on the shape of the control-flow graph:
//! irreducible code, early exits and jump tables need no analysis. It differs from hardware, which since sm_70 promises no
//! order either; programs that need their lanes together say so with `.sync` instructions, which wait here for all members.
//!
//! A fragment that spins on what another lane must do would starve it under lowest-first, so after a number of jumps the
//! turn passes to the fragment that has waited longest.

use super::warp::Warp;

/// A caller to return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) function: u32,
    /// The call instruction.
    pub(super) call: u32,
    pub(super) registers: u32,
    pub(super) predicates: u32,
    pub(super) local: u32,
}

/// What a fragment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing: it can run.
    Ready,
    /// Lanes that must come to the same instruction.
    Lanes { members: u32 },
    /// A block barrier.
    Barrier { id: u32, threads: Option<u32>, votes: u32 },
}

/// Lanes at one place.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    pub(super) pc: u32,
    pub(super) mask: u32,
    pub(super) wait: Wait,
    pub(super) function: u32,
    pub(super) registers: u32,
    pub(super) predicates: u32,
    /// Start of the frame in local memory, in bytes.
    pub(super) local: u32,
    pub(super) callers: Vec<Frame>,
    /// When it last ran, for fairness.
    pub(super) ran: u64,
}

impl Fragment {
    fn is_with(&self, other: &Fragment) -> bool {
        self.pc == other.pc && self.function == other.function && self.callers == other.callers
    }

    /// Smaller goes first.
    fn order(&self) -> (std::cmp::Reverse<usize>, u32) {
        (std::cmp::Reverse(self.callers.len()), self.pc)
    }
}

/// Jumps a fragment may take before another gets a turn.
pub(super) const PATIENCE: u32 = 4096;

impl Warp {
    /// Lanes of `taken` go to `target`, the rest to the next instruction.
    pub(super) fn branch(&mut self, taken: u32, target: u32) {
        if taken == 0 {
            self.f.pc += 1;
            return;
        }
        if taken == self.f.mask {
            self.f.pc = target;
            if self.others.is_empty() {
                return;
            }
        } else {
            let rest = Fragment { pc: self.f.pc + 1, mask: self.f.mask & !taken, ..self.f.clone() };
            self.others.push(rest);
            self.f.mask = taken;
            self.f.pc = target;
        }
        self.patience = self.patience.saturating_sub(1);
        self.reschedule();
    }

    /// Leaves only `lanes` in the running fragment; the others go on at the next instruction.
    pub(super) fn narrow_to(&mut self, lanes: u32) {
        if lanes != self.f.mask {
            let rest = Fragment { pc: self.f.pc + 1, mask: self.f.mask & !lanes, ..self.f.clone() };
            self.others.push(rest);
            self.f.mask = lanes;
        }
    }

    /// Puts the running fragment among the others, joins those that meet, and picks the next. False: none can run.
    pub(super) fn reschedule(&mut self) -> bool {
        if self.others.is_empty() {
            self.stop = u32::MAX;
            self.patience = PATIENCE;
            return self.f.mask != 0 && self.f.wait == Wait::Ready;
        }
        self.f.ran = self.steps;
        if self.f.mask != 0 {
            let current = self.f.clone();
            self.others.push(current);
            self.f.mask = 0;
        }
        self.join();
        let turn = self.patience == 0;
        let ready = self.others.iter().enumerate().filter(|(_, fragment)| fragment.wait == Wait::Ready);
        let next = if turn {
            ready.min_by_key(|(_, fragment)| fragment.ran)
        } else {
            ready.min_by_key(|(_, fragment)| fragment.order())
        };
        let Some((index, _)) = next else { return self.wake_members() };
        self.f = self.others.swap_remove(index);
        if turn || self.others.is_empty() {
            self.patience = PATIENCE;
        }
        let depth = self.f.callers.len();
        let ahead = self.others.iter().filter(|other| other.callers.len() == depth && other.pc > self.f.pc);
        self.stop = ahead.map(|other| other.pc).min().unwrap_or(u32::MAX);
        true
    }

    /// Fragments at the same place become one, unless one of them waits at a block barrier.
    fn join(&mut self) {
        let mut index = 0;
        while index < self.others.len() {
            let mut other = index + 1;
            while other < self.others.len() {
                let at_barrier = |fragment: &Fragment| matches!(fragment.wait, Wait::Barrier { .. });
                let (a, b) = (&self.others[index], &self.others[other]);
                if a.is_with(b) && !at_barrier(a) && !at_barrier(b) {
                    let joined = self.others.swap_remove(other);
                    self.others[index].mask |= joined.mask;
                    self.others[index].wait = Wait::Ready;
                } else {
                    other += 1;
                }
            }
            index += 1;
        }
    }

    /// Nothing can run: a fragment whose missing members have exited meanwhile can go on.
    fn wake_members(&mut self) -> bool {
        let exited = self.exited;
        let woken = self.others.iter_mut().find(|fragment| match fragment.wait {
            Wait::Lanes { members } => members & !exited & !fragment.mask == 0,
            Wait::Ready | Wait::Barrier { .. } => false,
        });
        let Some(fragment) = woken else {
            // Keep the invariant that the running fragment is not among the others.
            if let Some(any) = self.others.pop() {
                self.f = any;
            }
            return false;
        };
        fragment.wait = Wait::Ready;
        self.reschedule()
    }
}

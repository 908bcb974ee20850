//! A block: its warps, its shared memory, its barriers.

use super::context::Context;
use super::fragments::Wait;
use super::observer::{BlockObserver, Elsewhere, Observer, Site, Synchronisation};
use super::trap::{Fault, Trap, TrapKind};
use super::warp::Warp;
use crate::isa::{BarrierKind, Op};

/// Instructions a warp runs before the next gets a turn, so that warps may wait for each other's stores.
const QUANTUM: u64 = 1 << 16;

/// Why a warp stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Its turn is over.
    Quantum,
    /// All its lanes wait at a barrier.
    Barrier,
    /// All its lanes have ended.
    Ended,
}

/// What became of a block's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Ended,
    Runs,
}

/// What the warps of a block share.
pub(super) struct BlockSpace<B> {
    /// 16-byte units, so that every vector access is aligned.
    pub(super) shared: Vec<u128>,
    pub(super) observer: Option<B>,
    pub(super) output: Vec<u8>,
    /// Threads that arrived at each barrier without waiting, and the count they named.
    arrived: [(u32, u32); 16],
}

/// See the module.
pub(super) struct Block<B> {
    position: [u32; 3],
    warps: Vec<Warp>,
    states: Vec<Pause>,
    space: BlockSpace<B>,
    steps_before: u64,
}

impl<B: BlockObserver> Block<B> {
    pub(super) fn new(context: &Context<'_>) -> Self {
        let shared = vec![0; (context.shared_bytes as usize).div_ceil(16)];
        Self {
            position: [0; 3],
            warps: (0..context.warps()).map(Warp::new).collect(),
            states: vec![Pause::Ended; context.warps() as usize],
            space: BlockSpace { shared, observer: None, output: Vec::new(), arrived: [(0, 0); 16] },
            steps_before: 0,
        }
    }

    pub(super) fn start<O: Observer<Block = B>>(
        &mut self,
        context: &Context<'_>,
        observer: &O,
        position: [u32; 3],
    ) -> Result<(), Box<Trap>> {
        self.position = position;
        // On hardware shared memory holds what the last block left; a pattern makes reading it before writing visible,
        // and the same for any number of host threads.
        self.space.shared.fill(u128::from_ne_bytes([0xCD; 16]));
        self.space.observer = Some(observer.open_block(position, context.shared_bytes));
        self.space.arrived = [(0, 0); 16];
        self.steps_before = 0;
        for (warp, state) in self.warps.iter_mut().zip(&mut self.states) {
            *state = Pause::Quantum;
            warp.start(context, position)
                .map_err(|fault| fault.locate(context, warp.f.pc, position, warp.index))?;
        }
        Ok(())
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.space.output)
    }

    pub(super) fn take_observer(&mut self) -> Option<B> {
        self.space.observer.take()
    }

    pub(super) fn run_to_end(&mut self, context: &Context<'_>) -> Result<(), Box<Trap>> {
        while self.turn(context)? == Progress::Runs {}
        Ok(())
    }

    /// Every warp that can run runs until it waits or its turn is over.
    pub(super) fn turn(&mut self, context: &Context<'_>) -> Result<Progress, Box<Trap>> {
        let mut moved = false;
        for index in 0..self.warps.len() {
            if self.states[index] != Pause::Quantum {
                continue;
            }
            moved = true;
            let warp = &mut self.warps[index];
            let result = warp.run(context, &mut self.space, QUANTUM);
            self.states[index] =
                result.map_err(|fault| fault.locate(context, warp.f.pc, self.position, warp.index))?;
        }
        self.check_budget(context)?;
        if self.states.iter().all(|&state| state == Pause::Ended) {
            return Ok(Progress::Ended);
        }
        if !self.release_barriers(context)? && !moved {
            return Err(self.deadlock(context));
        }
        Ok(Progress::Runs)
    }

    fn check_budget(&mut self, context: &Context<'_>) -> Result<(), Box<Trap>> {
        let Some(budget) = context.options.step_budget else { return Ok(()) };
        let steps: u64 = self.warps.iter().map(|warp| warp.steps).sum();
        if steps <= budget {
            return Ok(());
        }
        let warp = self.warps.iter().find(|warp| warp.live() != 0).unwrap_or(&self.warps[0]);
        let what = format!("the block executed {steps} warp instructions, the budget is {budget}");
        Err(Fault::new(TrapKind::Timeout, warp.f.mask.trailing_zeros() & 31, what).locate(
            context,
            warp.f.pc,
            self.position,
            warp.index,
        ))
    }

    /// Releases the barriers at which enough threads wait. True if some warp can go on.
    fn release_barriers(&mut self, context: &Context<'_>) -> Result<bool, Box<Trap>> {
        let live = self.states.iter().filter(|&&state| state != Pause::Ended).count();
        let mut released = false;
        for id in 0..16 {
            let waiting: Vec<usize> = (0..self.warps.len())
                .filter(|&w| self.states[w] == Pause::Barrier && self.barrier_of(w) == Some(id))
                .collect();
            let Some(&first) = waiting.first() else { continue };
            let (arrived, _) = self.space.arrived[id as usize];
            let threads = waiting.len() as u32 * 32 + arrived;
            let wanted = waiting.iter().find_map(|&w| self.threads_wanted(w));
            let complete = match wanted {
                Some(wanted) => threads >= wanted,
                None => waiting.len() == live,
            };
            if !complete {
                continue;
            }
            self.space.arrived[id as usize] = (0, 0);
            self.announce(context, id, first, &waiting);
            self.reduce(context, &waiting);
            released = true;
        }
        Ok(released)
    }

    fn barrier_of(&self, warp: usize) -> Option<u32> {
        match self.warps[warp].f.wait {
            Wait::Barrier { id, .. } => Some(id),
            Wait::Ready | Wait::Lanes { .. } => None,
        }
    }

    fn threads_wanted(&self, warp: usize) -> Option<u32> {
        match self.warps[warp].f.wait {
            Wait::Barrier { threads, .. } => threads,
            Wait::Ready | Wait::Lanes { .. } => None,
        }
    }

    fn announce(&mut self, context: &Context<'_>, id: u32, first: usize, waiting: &[usize]) {
        if !B::ON {
            return;
        }
        let divergent = waiting.iter().find_map(|&w| self.warps[w].elsewhere());
        let warps = waiting.iter().fold(0, |mask, &w| mask | 1_u32.checked_shl(w as u32).unwrap_or(0));
        let site = self.warps[first].site(context);
        if let Some(observer) = &mut self.space.observer {
            observer.synchronise(&site, Synchronisation::BlockBarrier { id, warps, divergent });
        }
    }

    /// Hands out the results of a reduction and lets the warps go on.
    fn reduce(&mut self, context: &Context<'_>, waiting: &[usize]) {
        let votes = |warp: &Warp| {
            let all = std::iter::once(&warp.f).chain(&warp.others);
            all.filter_map(|f| {
                if let Wait::Barrier { votes, .. } = f.wait { Some((f.mask, votes)) } else { None }
            })
            .fold((0, 0), |(m, v), (mask, votes)| (m | mask, v | votes))
        };
        let (mut count, mut every, mut some) = (0, true, false);
        for &w in waiting {
            let (mask, votes) = votes(&self.warps[w]);
            count += votes.count_ones();
            every &= votes & mask == mask;
            some |= votes != 0;
        }
        for &w in waiting {
            self.warps[w].leave_barrier(context, count, every, some);
            self.states[w] = Pause::Quantum;
        }
    }

    fn deadlock(&self, context: &Context<'_>) -> Box<Trap> {
        let mut lines = Vec::new();
        for (warp, state) in self.warps.iter().zip(&self.states) {
            let line = context.program.origins.get(warp.f.pc as usize).map_or(0, |origin| origin.ptx_line);
            match state {
                Pause::Ended => lines.push(format!("warp {} has ended", warp.index)),
                Pause::Barrier | Pause::Quantum => lines.push(format!(
                    "warp {} waits at PTX line {line}: {}",
                    warp.index,
                    context.program.text(warp.f.pc)
                )),
            }
        }
        let warp = self
            .warps
            .iter()
            .zip(&self.states)
            .find(|(_, state)| **state == Pause::Barrier)
            .map_or(&self.warps[0], |(warp, _)| warp);
        let what = format!("deadlock: no warp of the block can go on: {}", lines.join("; "));
        Fault::new(TrapKind::Deadlock, warp.f.mask.trailing_zeros() & 31, what).locate(
            context,
            warp.f.pc,
            self.position,
            warp.index,
        )
    }
}

impl<B> BlockSpace<B> {
    /// Address of shared memory on the host.
    pub(super) fn shared_address(&self) -> u64 {
        self.shared.as_ptr() as u64
    }

    /// Counts a warp that arrives without waiting.
    pub(super) fn arrive(&mut self, id: u32, threads: u32) {
        let (arrived, wanted) = &mut self.arrived[id as usize & 15];
        *arrived += 32;
        *wanted = threads;
    }
}

impl Warp {
    /// Where the running fragment stands, for observers.
    pub(super) fn site<'c>(&self, context: &Context<'c>) -> Site<'c> {
        Site {
            program: context.program,
            kernel: context.kernel,
            pc: self.f.pc,
            block: self.block,
            warp: self.index,
            mask: self.f.mask,
            live: self.live(),
            block_dim: context.spec.block,
        }
    }

    /// Lanes that wait at another instruction than the first ones.
    fn elsewhere(&self) -> Option<Elsewhere> {
        let other = self.others.iter().find(|other| other.mask != 0 && other.pc != self.f.pc)?;
        Some(Elsewhere { pc: other.pc, warp: self.index, lanes: other.mask, rest: (self.f.pc, self.f.mask) })
    }

    /// All fragments go on behind their barrier, with the reduction's result.
    fn leave_barrier(&mut self, context: &Context<'_>, count: u32, every: bool, some: bool) {
        let mut fragments = std::mem::take(&mut self.others);
        fragments.push(self.f.clone());
        for fragment in fragments {
            self.f = fragment;
            if let Op::Barrier { kind, d, e, .. } = &context.program.code[self.f.pc as usize].op {
                let holds = |value: bool| if value { u32::MAX } else { 0 };
                match kind {
                    BarrierKind::Popc => {
                        self.write32(context, *d, self.f.mask, &super::lanes::L32([count; 32]))
                    }
                    BarrierKind::And => self.write_predicate(*e, self.f.mask, holds(every)),
                    BarrierKind::Or => self.write_predicate(*e, self.f.mask, holds(some)),
                    BarrierKind::Sync | BarrierKind::Arrive => {}
                }
            }
            self.f.wait = Wait::Ready;
            self.f.pc += 1;
            self.others.push(self.f.clone());
        }
        self.f = self.others.pop().unwrap_or_else(|| self.f.clone());
        self.reschedule();
    }
}

//! The loop: one instruction after the other, each for all lanes of the running fragment.

use super::block::{BlockSpace, Pause};
use super::context::Context;
use super::fragments::Wait;
use super::lanes::Isa;
use super::load_store::Elements;
use super::observer::{BlockObserver, Synchronisation};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::Op;
use crate::isa::tensor::Tensor;

type Stepped = Result<(), Box<Fault>>;

impl Warp {
    /// Runs until all lanes wait or have ended, or for about `quantum` instructions.
    ///
    /// The loop is compiled for each [`Isa`], so that moving registers uses whole vectors too.
    pub(super) fn run<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        quantum: u64,
    ) -> Result<Pause, Box<Fault>> {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(
            enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,bmi1,bmi2,lzcnt,popcnt"
        )]
        fn avx512<B: BlockObserver>(
            warp: &mut Warp,
            context: &Context<'_>,
            block: &mut BlockSpace<B>,
            quantum: u64,
        ) -> Result<Pause, Box<Fault>> {
            warp.run_loop(context, block, quantum)
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
        fn avx2<B: BlockObserver>(
            warp: &mut Warp,
            context: &Context<'_>,
            block: &mut BlockSpace<B>,
            quantum: u64,
        ) -> Result<Pause, Box<Fault>> {
            warp.run_loop(context, block, quantum)
        }

        match context.isa {
            // SAFETY: a context's `isa` is at most what `Isa::detect` found.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512(self, context, block, quantum) },
            // SAFETY: a context's `isa` is at most what `Isa::detect` found.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2(self, context, block, quantum) },
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => self.run_loop(context, block, quantum),
            Isa::Scalar => self.run_loop(context, block, quantum),
        }
    }

    #[inline(always)]
    fn run_loop<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        quantum: u64,
    ) -> Result<Pause, Box<Fault>> {
        let end = self.steps + quantum;
        loop {
            if self.f.mask == 0 || self.f.wait != Wait::Ready || self.f.pc >= self.stop {
                if let Some(pause) = self.settle(context)? {
                    return Ok(pause);
                }
                continue;
            }
            if self.steps >= end {
                return Ok(Pause::Quantum);
            }
            self.steps += 1;
            let inst = &context.program.code[self.f.pc as usize];
            let lanes = self.f.mask & self.condition(inst.guard);
            if lanes == 0 {
                self.f.pc += 1;
                continue;
            }
            self.step(context, block, &inst.op, lanes)?;
        }
    }

    /// Finds a fragment that can run; otherwise tells why the warp stops.
    fn settle(&mut self, context: &Context<'_>) -> Result<Option<Pause>, Box<Fault>> {
        if self.reschedule() {
            return Ok(None);
        }
        if self.live() == 0 {
            return Ok(Some(Pause::Ended));
        }
        let all = || std::iter::once(&self.f).chain(&self.others).filter(|fragment| fragment.mask != 0);
        if let Some(stuck) = all().find(|fragment| matches!(fragment.wait, Wait::Lanes { .. })) {
            let Wait::Lanes { members } = stuck.wait else { return Ok(Some(Pause::Ended)) };
            let missing = members & !self.exited & !stuck.mask;
            let line = |pc: u32| context.program.origins.get(pc as usize).map_or(0, |origin| origin.ptx_line);
            let places: Vec<String> =
                all().map(|f| format!("lanes 0x{:08x} at PTX line {}", f.mask, line(f.pc))).collect();
            let what = format!(
                "deadlock: `{}` waits for lanes 0x{missing:08x}: {}",
                context.program.text(stuck.pc),
                places.join(", ")
            );
            let lane = stuck.mask.trailing_zeros();
            self.f.pc = stuck.pc;
            return Err(Fault::new(TrapKind::Deadlock, lane, what));
        }
        let barrier = |fragment: &super::fragments::Fragment| {
            if let Wait::Barrier { id, .. } = fragment.wait { Some(id) } else { None }
        };
        let first = barrier(&self.f);
        if all().any(|fragment| barrier(fragment) != first) {
            let lane = self.f.mask.trailing_zeros();
            return Err(Fault::new(TrapKind::Deadlock, lane, "lanes of one warp wait at different barriers"));
        }
        Ok(Some(Pause::Barrier))
    }

    #[inline(always)]
    fn step<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        op: &Op,
        lanes: u32,
    ) -> Stepped {
        match op {
            Op::Move { .. }
            | Op::Int32 { .. }
            | Op::Int64 { .. }
            | Op::Float32 { .. }
            | Op::Compare { .. }
            | Op::Select { .. }
            | Op::MulWide { .. } => self.frequent(context, op, lanes),
            Op::Load { .. }
            | Op::Store { .. }
            | Op::LoadParam { .. }
            | Op::Atomic { .. }
            | Op::CopyAsync { .. } => self.touch(context, block, op, lanes)?,
            Op::Branch { target } => {
                self.branch(lanes, *target);
                return Ok(());
            }
            Op::Tensor(tensor) => return self.multiply_together(context, block, lanes, tensor),
            Op::BranchIndexed { .. }
            | Op::Call { .. }
            | Op::CallIndirect { .. }
            | Op::CallBuiltin { .. }
            | Op::Return
            | Op::Exit
            | Op::Trap => return self.transfer(context, block, op, lanes),
            Op::Barrier { .. }
            | Op::SyncWarp { .. }
            | Op::Shuffle { .. }
            | Op::Vote { .. }
            | Op::Match { .. }
            | Op::Redux { .. }
            | Op::ActiveMask { .. }
            | Op::Elect { .. } => return self.together(context, block, op, lanes),
            Op::CopyCommit | Op::CopyWait { .. } => self.copy_groups(context, block, op, lanes),
            Op::Yield => return self.step_aside(),
            Op::Fence => self.fence(context, block),
            Op::BitInsert { .. }
            | Op::Carry { .. }
            | Op::Lop3 { .. }
            | Op::Float64 { .. }
            | Op::Half { .. } => self.other(context, op, lanes),
            Op::TestFloat { .. } | Op::Predicate { .. } | Op::Convert { .. } | Op::Pack { .. } => {
                self.other(context, op, lanes)
            }
            Op::Unpack { .. } | Op::FrameAddress { .. } | Op::IsSpace { .. } | Op::ReadClock { .. } => {
                self.other(context, op, lanes)
            }
        }
        self.f.pc += 1;
        Ok(())
    }

    /// A tensor-core operation waits for all live lanes.
    #[inline(always)]
    fn multiply_together<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lanes: u32,
        tensor: &Tensor,
    ) -> Stepped {
        if self.meet(lanes, u32::MAX) {
            self.tensor(context, block, lanes, tensor)?;
            self.f.pc += 1;
        }
        Ok(())
    }

    /// Goes on, but lets fragments that wait longer go first.
    fn step_aside(&mut self) -> Stepped {
        self.patience = self.patience.min(1);
        self.branch(self.f.mask, self.f.pc + 1);
        Ok(())
    }

    fn fence<B: BlockObserver>(&self, context: &Context<'_>, block: &mut BlockSpace<B>) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        self.note(context, block, Synchronisation::Fence);
    }

    /// Operations that read or write memory.
    #[inline(always)]
    fn touch<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        op: &Op,
        lanes: u32,
    ) -> Stepped {
        match op {
            Op::Load { space, bytes, signed, count, volatile, d, address } => {
                let elements = Elements { bytes: *bytes, signed: *signed, count: *count, registers: *d };
                self.load(context, block, lanes, *space, *volatile, elements, address)
            }
            Op::Store { space, bytes, count, volatile, a, address } => {
                let elements = Elements { bytes: *bytes, signed: false, count: *count, registers: *a };
                self.store(context, block, lanes, *space, *volatile, elements, address)
            }
            Op::LoadParam { bytes, signed, count, d, offset } => {
                let elements = Elements { bytes: *bytes, signed: *signed, count: *count, registers: *d };
                self.load_param(context, lanes, elements, *offset)
            }
            Op::Atomic { space, op, d, b, c, address } => {
                self.atomic(context, block, lanes, *space, *op, [*d, *b, *c], address)
            }
            Op::CopyAsync { bytes, source_bytes, to, from } => {
                self.copy_async(context, block, lanes, (*bytes).into(), *source_bytes, to, from)
            }
            other => unreachable!("{other:?} touches no memory"),
        }
    }

    pub(super) fn note<B: BlockObserver>(
        &self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        what: Synchronisation,
    ) {
        if B::ON
            && let Some(observer) = &mut block.observer
        {
            observer.synchronise(&self.site(context), what);
        }
    }
}

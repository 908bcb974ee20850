//! The loop: one instruction after the other, each for all lanes of the running fragment.

use super::block::{BlockSpace, Pause};
use super::context::Context;
use super::fragments::Wait;
use super::lanes::{Isa, L32, LANES};
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
            Op::Move { width, d, a } => self.move_register(context, *width, *d, *a, lanes),
            Op::Int32 { op, d, a, b, c } => self.int32(context, lanes, *op, [*d, *a, *b, *c]),
            Op::Int64 { op, d, a, b, c } => self.int64(context, lanes, *op, [*d, *a, *b, *c]),
            Op::BitInsert { width, d, a, b, pos, len } => {
                self.bit_insert(context, lanes, *width, *d, [*a, *b, *pos, *len])
            }
            Op::MulWide { signed, d, a, b, c } => {
                self.multiply_wide(context, lanes, *signed, [*d, *a, *b, *c])
            }
            Op::Carry { width, subtract, d, a, b, carry_in, carry_out } => {
                self.carry(context, lanes, *width, *subtract, [*d, *a, *b], (*carry_in, *carry_out))
            }
            Op::Lop3 { table, d, a, b, c } => self.lop3(context, lanes, *table, [*d, *a, *b, *c]),
            Op::Float32 { op, mode, d, a, b, c } => {
                self.float32(context, lanes, *op, *mode, [*d, *a, *b, *c])
            }
            Op::Float64 { op, mode, d, a, b, c } => {
                self.float64(context, lanes, *op, *mode, [*d, *a, *b, *c])
            }
            Op::Half { op, ty, mode, d, a, b, c } => {
                self.half(context, lanes, (*op, *ty, *mode), [*d, *a, *b, *c])
            }
            Op::Compare { ty, cmp, ftz, logic, d, e, a, b, c } => {
                let holds = self.compare(context, *ty, *cmp, *ftz, *a, *b);
                self.compared(*ty, *logic, lanes, (*d, *e), holds, self.condition(*c));
            }
            Op::TestFloat { class, wide, d, a } => self.test_float(lanes, *class, *wide, *d, *a),
            Op::Select { width, d, a, b, c } => {
                self.select(context, *width, *d, *a, *b, self.condition(*c), lanes)
            }
            Op::Predicate { logic, d, a, b } => self.predicate(lanes, *logic, *d, *a, *b),
            Op::Convert { how, d, a, b } => self.convert(context, lanes, *how, *d, *a, *b),
            Op::Pack { how, d, parts } => self.pack(context, lanes, *how, *d, *parts),
            Op::Unpack { how, parts, a } => self.unpack(context, lanes, *how, *parts, *a),
            Op::FrameAddress { d, offset } => self.frame_address(context, lanes, *d, *offset),
            Op::IsSpace { space, d, a } => self.is_space(context, lanes, *space, *d, *a),
            Op::Load { space, bytes, signed, count, volatile, d, address } => {
                let elements = Elements { bytes: *bytes, signed: *signed, count: *count, registers: *d };
                self.load(context, block, lanes, *space, *volatile, elements, address)?;
            }
            Op::Store { space, bytes, count, volatile, a, address } => {
                let elements = Elements { bytes: *bytes, signed: false, count: *count, registers: *a };
                self.store(context, block, lanes, *space, *volatile, elements, address)?;
            }
            Op::LoadParam { bytes, signed, count, d, offset } => {
                let elements = Elements { bytes: *bytes, signed: *signed, count: *count, registers: *d };
                self.load_param(context, lanes, elements, *offset)?;
            }
            Op::Atomic { space, op, d, b, c, address } => {
                self.atomic(context, block, lanes, *space, *op, [*d, *b, *c], address)?;
            }
            Op::CopyAsync { bytes, source_bytes, to, from } => {
                self.copy_async(context, block, lanes, (*bytes).into(), *source_bytes, to, from)?;
            }
            Op::CopyCommit => self.close_copies(context, block, lanes),
            Op::CopyWait { pending, all } => self.await_copies(context, block, *pending, *all, lanes),
            Op::Branch { target } => {
                self.branch(lanes, *target);
                return Ok(());
            }
            Op::BranchIndexed { index, targets } => return self.branch_indexed(lanes, *index, targets),
            Op::Call { function, plan } => return self.call_direct(context, block, lanes, *function, plan),
            Op::CallIndirect { address, plan } => {
                return self.call_indirect(context, block, lanes, *address, plan);
            }
            Op::CallBuiltin { builtin, plan } => self.builtin(context, block, *builtin, plan, lanes)?,
            Op::Return => {
                self.leave(context, block, lanes);
                return Ok(());
            }
            Op::Exit => {
                self.exit(context, block, lanes);
                return Ok(());
            }
            Op::Trap => {
                let kind = TrapKind::IllegalInstruction;
                return Err(Fault::new(kind, lanes.trailing_zeros(), "the program trapped"));
            }
            Op::Yield => return self.step_aside(),
            Op::Fence => self.fence(context, block),
            Op::Barrier { kind, id, threads, c, .. } => {
                return self.barrier(context, block, lanes, *kind, *id, *threads, self.condition(*c));
            }
            Op::Group { op, members } => {
                self.together(context, block, *op, *members, lanes);
                return Ok(());
            }
            Op::ActiveMask { d } => self.write32(context, *d, lanes, &L32([lanes; LANES])),
            Op::ReadClock { clock, d } => self.read_clock(context, lanes, *clock, *d),
            Op::Tensor(tensor) => return self.multiply_together(context, block, lanes, tensor),
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

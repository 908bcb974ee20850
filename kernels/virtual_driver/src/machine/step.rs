//! The loop: one instruction after the other, each for all lanes of the running fragment.

use super::block::{BlockSpace, Pause};
use super::context::Context;
use super::fragments::Wait;
use super::lanes::convert::{Lanes, convert_pair, convert32, convert64};
use super::lanes::{self, L32, L64, compare, float32, float64, half, int32, int64, pack};
use super::load_store::Elements;
use super::observer::{BlockObserver, Synchronisation};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use super::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::isa::arith::{CompareType, Logic};
use crate::isa::memory::MemorySpace;
use crate::isa::{Clock, Op, P, Packing, R, Scalar, Width};

type Stepped = Result<(), Box<Fault>>;

impl Warp {
    /// Runs until all lanes wait or have ended, or for about `quantum` instructions.
    pub(super) fn run<B: BlockObserver>(
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
            Op::Branch { target } => {
                self.branch(lanes, *target);
                return Ok(());
            }
            Op::Tensor(tensor) => {
                if !self.meet(lanes, u32::MAX) {
                    return Ok(());
                }
                self.tensor(context, block, lanes, tensor)?;
            }
            Op::BranchIndexed { .. }
            | Op::Call { .. }
            | Op::CallIndirect { .. }
            | Op::CallBuiltin { .. }
            | Op::Return
            | Op::Exit
            | Op::Trap => {
                return self.transfer(context, block, op, lanes);
            }
            Op::Barrier { .. }
            | Op::SyncWarp { .. }
            | Op::Shuffle { .. }
            | Op::Vote { .. }
            | Op::Match { .. }
            | Op::Redux { .. }
            | Op::ActiveMask { .. }
            | Op::Elect { .. } => return self.together(context, block, op, lanes),
            Op::Atomic { space, op, d, b, c, address } => {
                self.atomic(context, block, lanes, *space, *op, [*d, *b, *c], address)?
            }
            Op::CopyAsync { bytes, source_bytes, to, from } => {
                self.copy_async(context, block, lanes, (*bytes).into(), *source_bytes, to, from)?
            }
            Op::CopyCommit | Op::CopyWait { .. } => self.copy_groups(context, block, op, lanes),
            Op::Yield => {
                self.patience = self.patience.min(1);
                self.f.pc += 1;
                self.branch(self.f.mask, self.f.pc);
                return Ok(());
            }
            Op::Fence => {
                std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
                self.note(context, block, Synchronisation::Fence);
            }
            Op::BitInsert { .. }
            | Op::Carry { .. }
            | Op::Lop3 { .. }
            | Op::Float64 { .. }
            | Op::Half { .. }
            | Op::TestFloat { .. }
            | Op::Predicate { .. }
            | Op::Convert { .. }
            | Op::Pack { .. }
            | Op::Unpack { .. }
            | Op::FrameAddress { .. }
            | Op::IsSpace { .. }
            | Op::ReadClock { .. } => self.other(context, op, lanes),
        }
        self.f.pc += 1;
        Ok(())
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

    /// The operations most kernels consist of.
    #[inline(always)]
    fn frequent(&mut self, context: &Context<'_>, op: &Op, lanes: u32) {
        let isa = context.isa;
        match op {
            Op::Int32 { op, d, a, b, c } => {
                let mut out = L32::ZERO;
                int32::int32(isa, *op, &mut out, self.r32(*a), self.r32(*b), self.r32(*c));
                self.write32(context, *d, lanes, &out);
            }
            Op::Int64 { op, d, a, b, c } => {
                let mut out = L64::ZERO;
                int64::int64(isa, *op, &mut out, self.r64(*a), self.r64(*b), self.r64(*c));
                self.write64(context, *d, lanes, &out);
            }
            Op::Float32 { op, mode, d, a, b, c } => {
                let mut out = L32::ZERO;
                float32::float32(isa, *op, *mode, &mut out, self.r32(*a), self.r32(*b), self.r32(*c));
                self.write32(context, *d, lanes, &out);
            }
            Op::MulWide { signed, d, a, b, c } => {
                let mut out = L64::ZERO;
                int64::multiply_wide(isa, *signed, &mut out, self.r32(*a), self.r32(*b), self.r64(*c));
                self.write64(context, *d, lanes, &out);
            }
            Op::Compare { ty, cmp, ftz, logic, d, e, a, b, c } => {
                let (first, second) = match ty {
                    CompareType::U64 | CompareType::S64 | CompareType::F64 => {
                        (compare::compare64(isa, *ty, *cmp, self.r64(*a), self.r64(*b)), 0)
                    }
                    CompareType::U32 | CompareType::S32 | CompareType::F32 | CompareType::Half(_) => {
                        compare::compare32(isa, *ty, *cmp, *ftz, self.r32(*a), self.r32(*b))
                    }
                };
                self.compared(*ty, *logic, lanes, (*d, *e), (first, second), self.condition(*c));
            }
            Op::Select { width, d, a, b, c } => {
                self.select(context, *width, *d, *a, *b, self.condition(*c), lanes)
            }
            Op::Move { width, d, a } => self.move_register(context, *width, *d, *a, lanes),
            other => unreachable!("{other:?} is not a frequent operation"),
        }
    }

    fn compared(
        &mut self,
        ty: CompareType,
        logic: Logic,
        lanes: u32,
        (d, e): (P, P),
        (first, second): (u32, u32),
        c: u32,
    ) {
        use crate::isa::arith::HalfType;
        let is_pair = matches!(ty, CompareType::Half(HalfType::F16x2 | HalfType::BF16x2));
        let other = if is_pair { second } else { !first };
        self.write_predicate(d, lanes, combine(logic, first, c));
        self.write_predicate(e, lanes, combine(logic, other, c));
    }

    #[expect(clippy::too_many_arguments, reason = "operands of one instruction")]
    fn select(&mut self, context: &Context<'_>, width: Width, d: R, a: R, b: R, c: u32, mask: u32) {
        match width {
            Width::W32 => {
                let mut out = L32::ZERO;
                lanes::select32(context.isa, &mut out, self.r32(a), self.r32(b), c);
                self.write32(context, d, mask, &out);
            }
            Width::W64 | Width::W128 => {
                let mut out = L64::ZERO;
                lanes::select64(context.isa, &mut out, self.r64(a), self.r64(b), c);
                self.write64(context, d, mask, &out);
            }
        }
    }

    fn move_register(&mut self, context: &Context<'_>, width: Width, d: R, a: R, lanes: u32) {
        match width {
            Width::W32 => {
                let value = *self.r32(a);
                self.write32(context, d, lanes, &value);
            }
            Width::W64 => {
                let value = *self.r64(a);
                self.write64(context, d, lanes, &value);
            }
            Width::W128 => {
                for half in [0, 2] {
                    let value = *self.r64(R(a.0 + half));
                    self.write64(context, R(d.0 + half), lanes, &value);
                }
            }
        }
    }

    fn other(&mut self, context: &Context<'_>, op: &Op, mask: u32) {
        let isa = context.isa;
        match op {
            Op::Float64 { op, mode, d, a, b, c } => {
                let mut out = L64::ZERO;
                float64::float64(isa, *op, *mode, &mut out, self.r64(*a), self.r64(*b), self.r64(*c));
                self.write64(context, *d, mask, &out);
            }
            Op::Half { op, ty, mode, d, a, b, c } => {
                let mut out = L32::ZERO;
                half::half(isa, *op, *ty, *mode, &mut out, [self.r32(*a), self.r32(*b), self.r32(*c)]);
                self.write32(context, *d, mask, &out);
            }
            Op::Lop3 { table, d, a, b, c } => {
                let mut out = L32::ZERO;
                int32::lop3(isa, *table, &mut out, self.r32(*a), self.r32(*b), self.r32(*c));
                self.write32(context, *d, mask, &out);
            }
            Op::BitInsert { width, d, a, b, pos, len } => {
                if *width == Width::W32 {
                    let mut out = L32::ZERO;
                    int32::insert32(
                        isa,
                        &mut out,
                        self.r32(*a),
                        self.r32(*b),
                        self.r32(*pos),
                        self.r32(*len),
                    );
                    self.write32(context, *d, mask, &out);
                } else {
                    let mut out = L64::ZERO;
                    int64::insert64(
                        isa,
                        &mut out,
                        self.r64(*a),
                        self.r64(*b),
                        self.r32(*pos),
                        self.r32(*len),
                    );
                    self.write64(context, *d, mask, &out);
                }
            }
            Op::Carry { width, subtract, d, a, b, carry_in, carry_out } => {
                self.carry(context, mask, *width, *subtract, [*d, *a, *b], (*carry_in, *carry_out))
            }
            Op::TestFloat { class, wide, d, a } => {
                let holds = if *wide {
                    compare::classify64(*class, self.r64(*a))
                } else {
                    compare::classify32(*class, self.r32(*a))
                };
                self.write_predicate(*d, mask, holds);
            }
            Op::Predicate { logic, d, a, b } => {
                let value = combine(*logic, self.condition(*a), self.condition(*b));
                self.write_predicate(*d, mask, value);
            }
            Op::Convert { how, d, a, b } => self.convert(context, mask, *how, *d, *a, *b),
            Op::Pack { how, d, parts } => self.pack(context, mask, *how, *d, *parts),
            Op::Unpack { how, parts, a } => self.unpack(context, mask, *how, *parts, *a),
            Op::FrameAddress { d, offset } => {
                let value = L64([u64::from(self.f.local + offset); 32]);
                self.write64(context, *d, mask, &value);
            }
            Op::IsSpace { space, d, a } => {
                let holds = self.r64(*a).0.iter().enumerate().fold(0, |bits, (lane, &address)| {
                    bits | u32::from(lies_in(context, *space, address)) << lane
                });
                self.write_predicate(*d, mask, holds);
            }
            Op::ReadClock { clock, d } => match clock {
                Clock::Clock => self.write32(context, *d, mask, &L32([self.steps as u32; 32])),
                Clock::ClockHi => self.write32(context, *d, mask, &L32([(self.steps >> 32) as u32; 32])),
                Clock::Clock64 | Clock::GlobalTimer => {
                    self.write64(context, *d, mask, &L64([self.steps; 32]))
                }
            },
            other => unreachable!("{other:?} is handled elsewhere"),
        }
    }

    fn carry(
        &mut self,
        context: &Context<'_>,
        mask: u32,
        width: Width,
        subtract: bool,
        [d, a, b]: [R; 3],
        (carry_in, carry_out): (P, P),
    ) {
        let carry =
            if carry_in.is_some() { self.predicates[(self.f.predicates + carry_in.0) as usize] } else { 0 };
        let out = if width == Width::W32 {
            let mut value = L32::ZERO;
            let out = int32::carry32(context.isa, subtract, &mut value, self.r32(a), self.r32(b), carry);
            self.write32(context, d, mask, &value);
            out
        } else {
            let mut value = L64::ZERO;
            let out = int64::carry64(context.isa, subtract, &mut value, self.r64(a), self.r64(b), carry);
            self.write64(context, d, mask, &value);
            out
        };
        self.write_predicate(carry_out, mask, out);
    }

    fn convert(
        &mut self,
        context: &Context<'_>,
        mask: u32,
        how: crate::isa::convert::Conversion,
        d: R,
        a: R,
        b: R,
    ) {
        let mut out = L32::ZERO;
        if matches!(how.to, Scalar::F16x2 | Scalar::BF16x2) {
            convert_pair(context.isa, how, &mut out, self.r32(a), self.r32(b));
            return self.write32(context, d, mask, &out);
        }
        if how.from.bytes() < 8 && how.to.bytes() < 8 {
            convert32(context.isa, how, &mut out, self.r32(a));
            return self.write32(context, d, mask, &out);
        }
        let source =
            if how.from.bytes() == 8 { Lanes::Wide(*self.r64(a)) } else { Lanes::Narrow(*self.r32(a)) };
        match convert64(context.isa, how, &source) {
            Lanes::Narrow(value) => self.write32(context, d, mask, &value),
            Lanes::Wide(value) => self.write64(context, d, mask, &value),
        }
    }

    fn pack(&mut self, context: &Context<'_>, mask: u32, how: Packing, d: R, parts: [R; 4]) {
        let isa = context.isa;
        let narrow = |warp: &Self, bits: u32, parts: [R; 4]| {
            let mut out = L32::ZERO;
            pack::join_narrow(isa, bits, &mut out, parts.map(|r| warp.r32(r)));
            out
        };
        let join = |low: &L32, high: &L32| {
            let mut out = L64::ZERO;
            pack::join(isa, &mut out, low, high);
            out
        };
        match how {
            Packing::B8x4 => {
                let out = narrow(self, 8, parts);
                self.write32(context, d, mask, &out);
            }
            Packing::B16x2 => {
                let out = narrow(self, 16, parts);
                self.write32(context, d, mask, &out);
            }
            Packing::B16x4 => {
                let low = narrow(self, 16, [parts[0], parts[1], R::NONE, R::NONE]);
                let high = narrow(self, 16, [parts[2], parts[3], R::NONE, R::NONE]);
                self.write64(context, d, mask, &join(&low, &high));
            }
            Packing::B32x2 => {
                let out = join(self.r32(parts[0]), self.r32(parts[1]));
                self.write64(context, d, mask, &out);
            }
            Packing::B32x4 => {
                let low = join(self.r32(parts[0]), self.r32(parts[1]));
                let high = join(self.r32(parts[2]), self.r32(parts[3]));
                self.write64(context, d, mask, &low);
                self.write64(context, R(d.0 + 2), mask, &high);
            }
            Packing::B64x2 => {
                let (low, high) = (*self.r64(parts[0]), *self.r64(parts[1]));
                self.write64(context, d, mask, &low);
                self.write64(context, R(d.0 + 2), mask, &high);
            }
        }
    }

    fn unpack(&mut self, context: &Context<'_>, mask: u32, how: Packing, parts: [R; 4], a: R) {
        let isa = context.isa;
        let split = |wide: &L64| {
            let (mut low, mut high) = (L32::ZERO, L32::ZERO);
            pack::split(isa, &mut low, &mut high, wide);
            [low, high]
        };
        // All parts are taken before any register is written: a part may share its slot with the source.
        let narrow = |words: &[L32], bits: u32| {
            let each = 32 / bits;
            std::array::from_fn::<L32, 4, _>(|index| {
                let mut out = L32::ZERO;
                if let Some(word) = words.get(index / each as usize) {
                    pack::extract(isa, bits, index as u32 % each, &mut out, word);
                }
                out
            })
        };
        let values = match how {
            Packing::B8x4 => narrow(&[*self.r32(a)], 8),
            Packing::B16x2 => narrow(&[*self.r32(a)], 16),
            Packing::B16x4 => narrow(&split(self.r64(a)), 16),
            Packing::B32x2 => {
                let [low, high] = split(self.r64(a));
                [low, high, L32::ZERO, L32::ZERO]
            }
            Packing::B32x4 => {
                let ([a0, a1], [a2, a3]) = (split(self.r64(a)), split(self.r64(R(a.0 + 2))));
                [a0, a1, a2, a3]
            }
            Packing::B64x2 => {
                let (low, high) = (*self.r64(a), *self.r64(R(a.0 + 2)));
                self.write64(context, parts[0], mask, &low);
                self.write64(context, parts[1], mask, &high);
                return;
            }
        };
        for (r, value) in parts.iter().zip(&values) {
            self.write32(context, *r, mask, value);
        }
    }
}

fn combine(logic: Logic, a: u32, b: u32) -> u32 {
    match logic {
        Logic::And => a & b,
        Logic::Or => a | b,
        Logic::Xor => a ^ b,
    }
}

fn lies_in(context: &Context<'_>, space: MemorySpace, address: u64) -> bool {
    let window = address & (0xFFFF << 48);
    match space {
        MemorySpace::Shared => window == SHARED_WINDOW,
        MemorySpace::Local => window == LOCAL_WINDOW,
        MemorySpace::Param => window == PARAM_WINDOW,
        MemorySpace::Global => ![SHARED_WINDOW, LOCAL_WINDOW, PARAM_WINDOW].contains(&window),
        MemorySpace::Const => {
            let variables = &context.program.variables;
            let holds = |(index, variable): (usize, &crate::lower::program::ModuleVariable)| {
                let start = context.image.variable_address(index as u32);
                variable.space == crate::ptx::ast::Space::Const
                    && (start..start + variable.bytes).contains(&address)
            };
            variables.iter().enumerate().any(holds)
        }
        MemorySpace::Generic => true,
    }
}

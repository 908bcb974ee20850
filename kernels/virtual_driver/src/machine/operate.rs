//! Arithmetic, comparison, selection, conversion: operations that touch registers only.

use super::context::Context;
use super::lanes::convert::{Lanes, convert_pair, convert32, convert64};
use super::lanes::{self, L32, L64, compare, float32, float64, half, int32, int64};
use super::warp::Warp;
use super::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::isa::arith::{CompareType, HalfType, Logic};
use crate::isa::memory::MemorySpace;
use crate::isa::{Clock, Op, P, R, Scalar, Width};

impl Warp {
    /// The operations most kernels consist of.
    #[inline(always)]
    pub(super) fn frequent(&mut self, context: &Context<'_>, op: &Op, lanes: u32) {
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

    #[inline(always)]
    fn compared(
        &mut self,
        ty: CompareType,
        logic: Logic,
        lanes: u32,
        (d, e): (P, P),
        (first, second): (u32, u32),
        c: u32,
    ) {
        let is_pair = matches!(ty, CompareType::Half(HalfType::F16x2 | HalfType::BF16x2));
        let other = if is_pair { second } else { !first };
        self.write_predicate(d, lanes, combine(logic, first, c));
        self.write_predicate(e, lanes, combine(logic, other, c));
    }

    #[expect(clippy::too_many_arguments, reason = "operands of one instruction")]
    #[inline(always)]
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

    #[inline(always)]
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

    #[inline(always)]
    pub(super) fn other(&mut self, context: &Context<'_>, op: &Op, mask: u32) {
        match op {
            Op::Float64 { .. } | Op::Half { .. } | Op::Lop3 { .. } | Op::BitInsert { .. } => {
                self.arithmetic(context, op, mask)
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

    #[inline(always)]
    fn arithmetic(&mut self, context: &Context<'_>, op: &Op, mask: u32) {
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

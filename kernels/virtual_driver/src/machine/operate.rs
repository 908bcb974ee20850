//! Arithmetic, comparison, selection, conversion: operations that touch registers only.

use super::context::Context;
use super::lanes::convert::{Lanes, convert_pair, convert32, convert64};
use super::lanes::{self, L32, L64, compare, float32, float64, half, int32, int64};
use super::warp::Warp;
use super::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::isa::arith::{
    CompareType, Comparison, FloatClass, FloatMode, FloatOp, HalfOp, HalfType, IntOp, Logic,
};
use crate::isa::memory::MemorySpace;
use crate::isa::{Clock, Cond, P, R, Scalar, Width};

impl Warp {
    #[inline(always)]
    pub(super) fn int32(&mut self, context: &Context<'_>, lanes: u32, op: IntOp, [d, a, b, c]: [R; 4]) {
        let mut out = L32::ZERO;
        int32::int32(context.isa, op, &mut out, self.r32(a), self.r32(b), self.r32(c));
        self.write32(context, d, lanes, &out);
    }

    #[inline(always)]
    pub(super) fn int64(&mut self, context: &Context<'_>, lanes: u32, op: IntOp, [d, a, b, c]: [R; 4]) {
        let mut out = L64::ZERO;
        int64::int64(context.isa, op, &mut out, self.r64(a), self.r64(b), self.r64(c));
        self.write64(context, d, lanes, &out);
    }

    #[inline(always)]
    pub(super) fn float32(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        op: FloatOp,
        mode: FloatMode,
        [d, a, b, c]: [R; 4],
    ) {
        let mut out = L32::ZERO;
        float32::float32(context.isa, op, mode, &mut out, self.r32(a), self.r32(b), self.r32(c));
        self.write32(context, d, lanes, &out);
    }

    #[inline(always)]
    pub(super) fn float64(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        op: FloatOp,
        mode: FloatMode,
        [d, a, b, c]: [R; 4],
    ) {
        let mut out = L64::ZERO;
        float64::float64(context.isa, op, mode, &mut out, self.r64(a), self.r64(b), self.r64(c));
        self.write64(context, d, lanes, &out);
    }

    #[inline(always)]
    pub(super) fn half(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        (op, ty, mode): (HalfOp, HalfType, FloatMode),
        [d, a, b, c]: [R; 4],
    ) {
        let mut out = L32::ZERO;
        half::half(context.isa, op, ty, mode, &mut out, [self.r32(a), self.r32(b), self.r32(c)]);
        self.write32(context, d, lanes, &out);
    }

    #[inline(always)]
    pub(super) fn multiply_wide(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        signed: bool,
        [d, a, b, c]: [R; 4],
    ) {
        let mut out = L64::ZERO;
        int64::multiply_wide(context.isa, signed, &mut out, self.r32(a), self.r32(b), self.r64(c));
        self.write64(context, d, lanes, &out);
    }

    #[inline(always)]
    pub(super) fn lop3(&mut self, context: &Context<'_>, lanes: u32, table: u8, [d, a, b, c]: [R; 4]) {
        let mut out = L32::ZERO;
        int32::lop3(context.isa, table, &mut out, self.r32(a), self.r32(b), self.r32(c));
        self.write32(context, d, lanes, &out);
    }

    #[inline(always)]
    pub(super) fn bit_insert(
        &mut self,
        context: &Context<'_>,
        lanes: u32,
        width: Width,
        d: R,
        [a, b, pos, len]: [R; 4],
    ) {
        let (isa, pos, len) = (context.isa, self.r32(pos), self.r32(len));
        if width == Width::W32 {
            let mut out = L32::ZERO;
            int32::insert32(isa, &mut out, self.r32(a), self.r32(b), pos, len);
            self.write32(context, d, lanes, &out);
        } else {
            let mut out = L64::ZERO;
            int64::insert64(isa, &mut out, self.r64(a), self.r64(b), pos, len);
            self.write64(context, d, lanes, &out);
        }
    }

    /// The lanes where it holds; for pairs the low halves, then the high ones.
    #[inline(always)]
    pub(super) fn compare(
        &self,
        context: &Context<'_>,
        ty: CompareType,
        cmp: Comparison,
        ftz: bool,
        a: R,
        b: R,
    ) -> (u32, u32) {
        match ty {
            CompareType::U64 | CompareType::S64 | CompareType::F64 => {
                (compare::compare64(context.isa, ty, cmp, self.r64(a), self.r64(b)), 0)
            }
            CompareType::U32 | CompareType::S32 | CompareType::F32 | CompareType::Half(_) => {
                compare::compare32(context.isa, ty, cmp, ftz, self.r32(a), self.r32(b))
            }
        }
    }

    #[inline(always)]
    pub(super) fn compared(
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
    pub(super) fn select(
        &mut self,
        context: &Context<'_>,
        width: Width,
        d: R,
        a: R,
        b: R,
        c: u32,
        mask: u32,
    ) {
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
    pub(super) fn move_register(&mut self, context: &Context<'_>, width: Width, d: R, a: R, lanes: u32) {
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
    pub(super) fn test_float(&mut self, lanes: u32, class: FloatClass, wide: bool, d: P, a: R) {
        let holds = if wide {
            compare::classify64(class, self.r64(a))
        } else {
            compare::classify32(class, self.r32(a))
        };
        self.write_predicate(d, lanes, holds);
    }

    #[inline(always)]
    pub(super) fn predicate(&mut self, lanes: u32, logic: Logic, d: P, a: Cond, b: Cond) {
        let value = combine(logic, self.condition(a), self.condition(b));
        self.write_predicate(d, lanes, value);
    }

    #[inline(always)]
    pub(super) fn frame_address(&mut self, context: &Context<'_>, lanes: u32, d: R, offset: u32) {
        let value = L64([u64::from(self.f.local + offset); 32]);
        self.write64(context, d, lanes, &value);
    }

    #[inline(always)]
    pub(super) fn is_space(&mut self, context: &Context<'_>, lanes: u32, space: MemorySpace, d: P, a: R) {
        let holds = self
            .r64(a)
            .0
            .iter()
            .enumerate()
            .fold(0, |bits, (lane, &address)| bits | u32::from(lies_in(context, space, address)) << lane);
        self.write_predicate(d, lanes, holds);
    }

    #[inline(always)]
    pub(super) fn read_clock(&mut self, context: &Context<'_>, lanes: u32, clock: Clock, d: R) {
        match clock {
            Clock::Clock => self.write32(context, d, lanes, &L32([self.steps as u32; 32])),
            Clock::ClockHi => self.write32(context, d, lanes, &L32([(self.steps >> 32) as u32; 32])),
            Clock::Clock64 | Clock::GlobalTimer => {
                self.write64(context, d, lanes, &L64([self.steps; 32]));
            }
        }
    }

    pub(super) fn carry(
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

    pub(super) fn convert(
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

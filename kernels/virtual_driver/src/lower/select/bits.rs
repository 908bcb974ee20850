//! Counts, bit fields, dot products of parts, logic and shifts.

use super::integer::{BySign, by_sign, find};
use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::{IntOp, Logic};
use crate::isa::{Cond, Mnemonic, Op, R, Scalar};
use crate::ptx::ast::{Number, Operand};

const BIT_OPS: &BySign = &[
    (Mnemonic::Popc, IntOp::Popc, IntOp::Popc),
    (Mnemonic::Clz, IntOp::Clz, IntOp::Clz),
    (Mnemonic::Brev, IntOp::Brev, IntOp::Brev),
    (Mnemonic::Bfind, IntOp::FindS, IntOp::FindU),
    (Mnemonic::Fns, IntOp::FindNth, IntOp::FindNth),
];
const LOGIC_OPS: &BySign = &[
    (Mnemonic::And, IntOp::And, IntOp::And),
    (Mnemonic::Or, IntOp::Or, IntOp::Or),
    (Mnemonic::Xor, IntOp::Xor, IntOp::Xor),
    (Mnemonic::Not, IntOp::Not, IntOp::Not),
    (Mnemonic::Cnot, IntOp::Cnot, IntOp::Cnot),
    (Mnemonic::Shl, IntOp::Shl, IntOp::Shl),
    (Mnemonic::Shr, IntOp::ShrS, IntOp::ShrU),
];
const PREDICATE_OPS: &[(Mnemonic, Logic)] =
    &[(Mnemonic::And, Logic::And), (Mnemonic::Or, Logic::Or), (Mnemonic::Xor, Logic::Xor)];

impl Selector<'_> {
    /// Counts, searches and masks.
    pub(super) fn bits(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let scalar = words.scalar()?;
        let is_shift = words.take("shiftamt");
        let op = if mnemonic == Mnemonic::Bmsk {
            words.need(&[("clamp", IntOp::MaskClamp), ("wrap", IntOp::MaskWrap)])?
        } else if is_shift {
            by_sign(scalar, IntOp::FindShiftS, IntOp::FindShiftU)
        } else {
            find(BIT_OPS, mnemonic, scalar)?
        };
        words.finish()?;
        if matches!(mnemonic, Mnemonic::Popc | Mnemonic::Clz | Mnemonic::Bfind) {
            return self.bit_count(scalar, op, operands);
        }
        let (d, sources) = self.same_type(scalar, operands)?;
        self.int_op(scalar, op, d, sources);
        Ok(())
    }

    /// A result of 32 bits, whatever the width of the source.
    fn bit_count(&mut self, scalar: Scalar, op: IntOp, operands: &[Operand]) -> Selected {
        self.count(operands, 2)?;
        let a = self.source(&operands[1], scalar)?;
        let d = self.destination(&operands[0], Scalar::U32)?;
        if scalar.bytes() == 8 {
            let wide = self.temporary(scalar, op, [a, R::NONE, R::NONE]);
            let parts = [d, R::NONE, R::NONE, R::NONE];
            self.emit(Op::Unpack { how: crate::isa::Packing::B32x2, parts, a: wide });
        } else {
            self.int_op(scalar, op, d, [a, R::NONE, R::NONE]);
        }
        Ok(())
    }

    /// `bfe`: position and length are 32-bit numbers for fields of either width.
    pub(super) fn bit_extract(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, 4)?;
        let a = self.source(&operands[1], scalar)?;
        let pos = self.amount(&operands[2], scalar)?;
        let len = self.amount(&operands[3], scalar)?;
        let d = self.destination(&operands[0], scalar)?;
        self.int_op(scalar, by_sign(scalar, IntOp::BfeS, IntOp::BfeU), d, [a, pos, len]);
        Ok(())
    }

    /// A field at bit 0, of at most 32 bits or of a length taken modulo 32.
    pub(super) fn szext(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let (limit, most) = words.need(&[("clamp", (IntOp::MinU, 32)), ("wrap", (IntOp::And, 31))])?;
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, 3)?;
        let (d, [a, n, _]) = self.same_type(scalar, operands)?;
        let (most, zero) = (self.bits32(most), self.bits32(0));
        let length = self.temporary(Scalar::U32, limit, [n, most, R::NONE]);
        self.int_op(scalar, by_sign(scalar, IntOp::BfeS, IntOp::BfeU), d, [a, zero, length]);
        Ok(())
    }

    /// A 32-bit count as wide as the operation it belongs to.
    fn amount(&mut self, operand: &Operand, scalar: Scalar) -> Result<R, String> {
        if scalar.bytes() == 8
            && let Operand::Number(number @ Number::Int(_)) = operand
        {
            let bits = super::super::lay_out_variables::literal_bits(*number, Scalar::U32) as u32;
            return Ok(self.bits64(u64::from(bits)));
        }
        let r = self.source(operand, Scalar::U32)?;
        Ok(if scalar.bytes() == 8 { self.zero_extend(r) } else { r })
    }

    pub(super) fn bit_insert(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, 5)?;
        let a = self.source(&operands[1], scalar)?;
        let b = self.source(&operands[2], scalar)?;
        let pos = self.source(&operands[3], Scalar::U32)?;
        let len = self.source(&operands[4], Scalar::U32)?;
        let d = self.destination(&operands[0], scalar)?;
        self.emit(Op::BitInsert { width: width(scalar), d, a, b, pos, len });
        Ok(())
    }

    pub(super) fn dot_product(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let signs = (words.scalar()?.is_signed(), words.scalar()?.is_signed());
        let pick = |four: [IntOp; 4]| four[usize::from(!signs.0) * 2 + usize::from(!signs.1)];
        let op = if mnemonic == Mnemonic::Dp4a {
            pick([IntOp::Dp4aSS, IntOp::Dp4aSU, IntOp::Dp4aUS, IntOp::Dp4aUU])
        } else {
            words.need(&[
                ("lo", pick([IntOp::Dp2aLoSS, IntOp::Dp2aLoSU, IntOp::Dp2aLoUS, IntOp::Dp2aLoUU])),
                ("hi", pick([IntOp::Dp2aHiSS, IntOp::Dp2aHiSU, IntOp::Dp2aHiUS, IntOp::Dp2aHiUU])),
            ])?
        };
        words.finish()?;
        self.count(operands, 4)?;
        let (d, sources) = self.same_type(Scalar::B32, operands)?;
        self.int_op(Scalar::B32, op, d, sources);
        Ok(())
    }

    /// `and` to `shr`, on bits or predicates.
    pub(super) fn logic(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        use Mnemonic as M;
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, if matches!(mnemonic, M::Not | M::Cnot) { 2 } else { 3 })?;
        if scalar == Scalar::Pred {
            return self.predicate_logic(mnemonic, operands);
        }
        let op = find(LOGIC_OPS, mnemonic, scalar)?;
        if matches!(mnemonic, M::Shl | M::Shr) {
            let a = self.source(&operands[1], scalar)?;
            let n = self.amount(&operands[2], scalar)?;
            let d = self.destination(&operands[0], scalar)?;
            if scalar == Scalar::S16 {
                let a = self.temporary(Scalar::B32, IntOp::Sign16, [a, R::NONE, R::NONE]);
                let shifted = self.temporary(Scalar::B32, op, [a, n, R::NONE]);
                self.int_op(Scalar::B32, IntOp::Zero16, d, [shifted, R::NONE, R::NONE]);
            } else {
                self.int_exact(scalar, op, d, [a, n, R::NONE]);
            }
            return Ok(());
        }
        let (d, sources) = self.same_type(scalar, operands)?;
        self.int_exact(scalar, op, d, sources);
        Ok(())
    }

    fn predicate_logic(&mut self, mnemonic: Mnemonic, operands: &[Operand]) -> Selected {
        let d = self.predicate_destination(&operands[0])?;
        let a = self.condition(&operands[1])?;
        if mnemonic == Mnemonic::Not {
            let a = Cond { p: a.p, negated: !a.negated };
            self.emit(Op::Predicate { logic: Logic::And, d, a, b: Cond::TRUE });
            return Ok(());
        }
        let known = PREDICATE_OPS.iter().find(|(known, _)| *known == mnemonic);
        let logic = known.map(|&(_, logic)| logic).ok_or("no such operation on predicates")?;
        let b = self.condition(&operands[2])?;
        self.emit(Op::Predicate { logic, d, a, b });
        Ok(())
    }
}

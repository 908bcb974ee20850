//! Comparison and selection.

use super::float::half_type;
use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::{CompareType, Comparison, HalfType, IntOp, Logic};
use crate::isa::{Cond, Mnemonic, Op, P, R, Scalar, Width};
use crate::ptx::ast::Operand;

const COMPARISONS: &[(&str, Comparison)] = &[
    ("eq", Comparison::Eq),
    ("ne", Comparison::Ne),
    ("lt", Comparison::Lt),
    ("le", Comparison::Le),
    ("gt", Comparison::Gt),
    ("ge", Comparison::Ge),
    ("lo", Comparison::Lt),
    ("ls", Comparison::Le),
    ("hi", Comparison::Gt),
    ("hs", Comparison::Ge),
    ("equ", Comparison::Equ),
    ("neu", Comparison::Neu),
    ("ltu", Comparison::Ltu),
    ("leu", Comparison::Leu),
    ("gtu", Comparison::Gtu),
    ("geu", Comparison::Geu),
    ("num", Comparison::Num),
    ("nan", Comparison::Nan),
];

const COMPARE_TYPES: &[(Scalar, CompareType)] = &[
    (Scalar::F32, CompareType::F32),
    (Scalar::F64, CompareType::F64),
    (Scalar::S16, CompareType::S32),
    (Scalar::S32, CompareType::S32),
    (Scalar::B16, CompareType::U32),
    (Scalar::U16, CompareType::U32),
    (Scalar::B32, CompareType::U32),
    (Scalar::U32, CompareType::U32),
    (Scalar::S64, CompareType::S64),
    (Scalar::B64, CompareType::U64),
    (Scalar::U64, CompareType::U64),
];

fn compare_type(scalar: Scalar) -> Result<CompareType, String> {
    if let Some(ty) = half_type(scalar) {
        return Ok(CompareType::Half(ty));
    }
    let known = COMPARE_TYPES.iter().find(|(known, _)| *known == scalar);
    known.map(|&(_, ty)| ty).ok_or_else(|| format!("{scalar} cannot be compared"))
}

/// What `set` writes where its predicate holds: one as a float, all ones as an integer.
const SET_VALUES: &[(Scalar, u32)] = &[
    (Scalar::F32, 1.0_f32.to_bits()),
    (Scalar::F16, 0x3C00),
    (Scalar::BF16, 0x3F80),
    (Scalar::F16x2, 0x3C00_3C00),
    (Scalar::BF16x2, 0x3F80_3F80),
    (Scalar::U16, 0xFFFF),
    (Scalar::S16, 0xFFFF),
    (Scalar::U32, u32::MAX),
    (Scalar::S32, u32::MAX),
];

impl Selector<'_> {
    pub(super) fn compare(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let cmp = words.need(COMPARISONS)?;
        let logic = words.choose(&[("and", Logic::And), ("or", Logic::Or), ("xor", Logic::Xor)]);
        let ftz = words.take("ftz");
        let result = if mnemonic == Mnemonic::Set { Some(words.scalar()?) } else { None };
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, if logic.is_some() { 4 } else { 3 })?;
        let ty = compare_type(scalar)?;
        let [mut a, mut b] = [self.source(&operands[1], scalar)?, self.source(&operands[2], scalar)?];
        if scalar == Scalar::S16 {
            [a, b] = [a, b].map(|r| self.temporary(Scalar::B32, IntOp::Sign16, [r, R::NONE, R::NONE]));
        }
        let c = if logic.is_some() { self.condition(&operands[3])? } else { Cond::TRUE };
        let logic = logic.unwrap_or(Logic::And);
        if let Some(result) = result {
            let is_pair = matches!(ty, CompareType::Half(HalfType::F16x2 | HalfType::BF16x2));
            let (d, e) = (self.predicate(), if is_pair { self.predicate() } else { P::NONE });
            self.emit(Op::Compare { ty, cmp, ftz, logic, d, e, a, b, c });
            return self.set_result(result, scalar, &operands[0], d, e);
        }
        let (first, second) = operands[0].pair();
        let (d, e) = (self.predicate_destination(first)?, self.second_predicate(second)?);
        self.emit(Op::Compare { ty, cmp, ftz, logic, d, e, a, b, c });
        Ok(())
    }

    /// `set`: all ones, or one as a float, where the predicate holds; halves of a pair by their own predicates.
    fn set_result(
        &mut self,
        result: Scalar,
        compared: Scalar,
        operand: &Operand,
        low: P,
        high: P,
    ) -> Selected {
        let d = self.destination(operand, result)?;
        let Some(&(_, one)) = SET_VALUES.iter().find(|(known, _)| *known == result) else {
            return Err(format!("set to {result}"));
        };
        let (on, off) = (self.bits32(one), self.bits32(0));
        if high == P::NONE {
            self.emit(Op::Select { width: Width::W32, d, a: on, b: off, c: Cond { p: low, negated: false } });
            return Ok(());
        }
        if result.bytes() != 4 || compared.bytes() != 4 {
            return Err(format!("set of {compared} to {result}"));
        }
        let (on_low, on_high) = (self.bits32(one & 0xFFFF), self.bits32(one & 0xFFFF_0000));
        let (first, second) = (self.register(Width::W32), self.register(Width::W32));
        self.emit(Op::Select {
            width: Width::W32,
            d: first,
            a: on_low,
            b: off,
            c: Cond { p: low, negated: false },
        });
        self.emit(Op::Select {
            width: Width::W32,
            d: second,
            a: on_high,
            b: off,
            c: Cond { p: high, negated: false },
        });
        self.emit(Op::Int32 { op: IntOp::Or, d, a: first, b: second, c: R::NONE });
        Ok(())
    }

    pub(super) fn selp(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, 4)?;
        let a = self.source(&operands[1], scalar)?;
        let b = self.source(&operands[2], scalar)?;
        let c = self.condition(&operands[3])?;
        let d = self.destination(&operands[0], scalar)?;
        self.emit(Op::Select { width: width(scalar), d, a, b, c });
        Ok(())
    }

    pub(super) fn slct(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let ftz = words.take("ftz");
        let scalar = words.scalar()?;
        let decider = words.scalar()?;
        words.finish()?;
        self.count(operands, 4)?;
        let a = self.source(&operands[1], scalar)?;
        let b = self.source(&operands[2], scalar)?;
        let c = self.source(&operands[3], decider)?;
        let ty = compare_type(decider)?;
        if !matches!(ty, CompareType::S32 | CompareType::F32) {
            return Err("the third operand is .s32 or .f32".to_owned());
        }
        let d = self.destination(&operands[0], scalar)?;
        let (p, zero) = (self.predicate(), self.bits32(0));
        self.emit(Op::Compare {
            ty,
            cmp: Comparison::Ge,
            ftz,
            logic: Logic::And,
            d: p,
            e: P::NONE,
            a: c,
            b: zero,
            c: Cond::TRUE,
        });
        self.emit(Op::Select { width: width(scalar), d, a, b, c: Cond { p, negated: false } });
        Ok(())
    }

    /// Arbitrary logic; `.or.p`/`.and.p` also tell whether the result is not zero.
    pub(super) fn lop3(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let logic = words.choose(&[("or", Logic::Or), ("and", Logic::And)]);
        words.scalar()?;
        words.finish()?;
        self.count(operands, if logic.is_some() { 6 } else { 5 })?;
        let [a, b, c] = [
            self.source(&operands[1], Scalar::B32)?,
            self.source(&operands[2], Scalar::B32)?,
            self.source(&operands[3], Scalar::B32)?,
        ];
        let Operand::Number(crate::ptx::ast::Number::Int(table @ 0..=255)) = operands[4] else {
            return Err("the table must be a number from 0 to 255".to_owned());
        };
        let (first, second) = operands[0].pair();
        let p = self.second_predicate(second)?;
        let d = self.destination(first, Scalar::B32)?;
        self.emit(Op::Lop3 { table: table as u8, d, a, b, c });
        if let Some(logic) = logic {
            let c = self.condition(&operands[5])?;
            let zero = self.bits32(0);
            self.emit(Op::Compare {
                ty: CompareType::U32,
                cmp: Comparison::Ne,
                ftz: false,
                logic,
                d: p,
                e: P::NONE,
                a: d,
                b: zero,
                c,
            });
        }
        Ok(())
    }

    pub(super) fn shf(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let left = words.need(&[("l", true), ("r", false)])?;
        let wrap = words.need(&[("wrap", true), ("clamp", false)])?;
        words.scalar()?;
        words.finish()?;
        self.count(operands, 4)?;
        let op = match (left, wrap) {
            (true, true) => IntOp::FunnelLeftWrap,
            (true, false) => IntOp::FunnelLeftClamp,
            (false, true) => IntOp::FunnelRightWrap,
            (false, false) => IntOp::FunnelRightClamp,
        };
        self.three_words(op, operands)
    }

    pub(super) fn prmt(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        words.scalar()?;
        let op = words.choose(&[
            ("f4e", IntOp::PermuteF4e),
            ("b4e", IntOp::PermuteB4e),
            ("rc8", IntOp::PermuteRc8),
            ("ecl", IntOp::PermuteEcl),
            ("ecr", IntOp::PermuteEcr),
            ("rc16", IntOp::PermuteRc16),
        ]);
        words.finish()?;
        self.count(operands, 4)?;
        self.three_words(op.unwrap_or(IntOp::Permute), operands)
    }

    fn three_words(&mut self, op: IntOp, operands: &[Operand]) -> Selected {
        let a = self.source(&operands[1], Scalar::B32)?;
        let b = self.source(&operands[2], Scalar::B32)?;
        let c = self.source(&operands[3], Scalar::B32)?;
        let d = self.destination(&operands[0], Scalar::B32)?;
        self.emit(Op::Int32 { op, d, a, b, c });
        Ok(())
    }
}

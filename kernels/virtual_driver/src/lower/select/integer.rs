//! Integer arithmetic, bit fields, logic and shifts.

use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::{IntOp, Logic};
use crate::isa::{Cond, Mnemonic, Op, P, R, Scalar, Width};
use crate::ptx::ast::{Number, Operand};

/// The signed or the unsigned form.
fn by_sign(scalar: Scalar, signed: IntOp, unsigned: IntOp) -> IntOp {
    if scalar.is_signed() { signed } else { unsigned }
}

impl Selector<'_> {
    fn int_op(&mut self, scalar: Scalar, op: IntOp, d: R, [a, b, c]: [R; 3]) {
        self.emit(match width(scalar) {
            Width::W64 => Op::Int64 { op, d, a, b, c },
            Width::W32 | Width::W128 => Op::Int32 { op, d, a, b, c },
        });
    }

    /// A new register with the result of an operation.
    pub(super) fn temporary(&mut self, scalar: Scalar, op: IntOp, sources: [R; 3]) -> R {
        let d = self.register(width(scalar));
        self.int_op(scalar, op, d, sources);
        d
    }

    /// As `int_op`; 16-bit operands are extended before and the result truncated after.
    fn int_exact(&mut self, scalar: Scalar, op: IntOp, d: R, sources: [R; 3]) {
        if scalar.bytes() != 2 {
            return self.int_op(scalar, op, d, sources);
        }
        let sources = sources.map(|r| {
            if r.is_some() && scalar.is_signed() {
                self.temporary(Scalar::B32, IntOp::Sign16, [r, R::NONE, R::NONE])
            } else {
                r
            }
        });
        let wide = self.temporary(Scalar::B32, op, sources);
        self.int_op(Scalar::B32, IntOp::Zero16, d, [wide, R::NONE, R::NONE]);
    }

    /// Destination and up to three sources, all of one type.
    fn same_type(&mut self, scalar: Scalar, operands: &[Operand]) -> Result<(R, [R; 3]), String> {
        let mut sources = [R::NONE; 3];
        if operands.len() > 4 {
            return Err("too many operands".to_owned());
        }
        for (to, operand) in sources.iter_mut().zip(operands.iter().skip(1)) {
            *to = self.source(operand, scalar)?;
        }
        Ok((self.destination(self.nth(operands, 0)?, scalar)?, sources))
    }

    /// `add` to `max`: integers here, floats to their own file.
    pub(super) fn arithmetic(
        &mut self,
        mnemonic: Mnemonic,
        words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let mut types = words.clone();
        let mut last = types.scalar()?;
        while let Ok(scalar) = types.scalar() {
            last = scalar;
        }
        if last.is_float() {
            self.float(mnemonic, words, operands)
        } else {
            self.integer(mnemonic, words, operands)
        }
    }

    pub(super) fn integer(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        use Mnemonic as M;
        let scalar = words.scalar()?;
        let wanted = match mnemonic {
            M::Abs | M::Neg => 2,
            M::Mad | M::Sad => 4,
            _ => 3,
        };
        self.count(operands, wanted)?;
        let is_pair = matches!(scalar, Scalar::U16x2 | Scalar::S16x2);
        let saturates = words.take("sat");
        if is_pair {
            let signed = scalar == Scalar::S16x2;
            let op = match mnemonic {
                M::Add if !saturates => IntOp::Add16x2,
                M::Min => {
                    if signed {
                        IntOp::MinS16x2
                    } else {
                        IntOp::MinU16x2
                    }
                }
                M::Max => {
                    if signed {
                        IntOp::MaxS16x2
                    } else {
                        IntOp::MaxU16x2
                    }
                }
                _ => return Err(format!("no such operation on {scalar}")),
            };
            words.finish()?;
            let (d, sources) = self.same_type(scalar, operands)?;
            self.int_op(scalar, op, d, sources);
            return Ok(());
        }
        if matches!(mnemonic, M::Mul | M::Mad) {
            return self.product(mnemonic, scalar, saturates, words, operands);
        }
        if words.take("cc") {
            words.finish()?;
            let (d, [a, b, _]) = self.same_type(scalar, operands)?;
            return self.carry(scalar, mnemonic == M::Sub, d, [a, b], false, true);
        }
        let op = match mnemonic {
            M::Add if saturates => IntOp::AddSat,
            M::Sub if saturates => IntOp::SubSat,
            M::Add => IntOp::Add,
            M::Sub => IntOp::Sub,
            M::Div => by_sign(scalar, IntOp::DivS, IntOp::DivU),
            M::Rem => by_sign(scalar, IntOp::RemS, IntOp::RemU),
            M::Min => by_sign(scalar, IntOp::MinS, IntOp::MinU),
            M::Max => by_sign(scalar, IntOp::MaxS, IntOp::MaxU),
            M::Sad => by_sign(scalar, IntOp::SadS, IntOp::SadU),
            M::Abs => IntOp::Abs,
            M::Neg => IntOp::Neg,
            _ => return Err("no integer form".to_owned()),
        };
        if saturates && scalar != Scalar::S32 {
            return Err(".sat is for .s32 only".to_owned());
        }
        words.finish()?;
        let (d, sources) = self.same_type(scalar, operands)?;
        self.int_exact(scalar, op, d, sources);
        Ok(())
    }

    fn product(
        &mut self,
        mnemonic: Mnemonic,
        scalar: Scalar,
        saturates: bool,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let part = words.need(&[("lo", 0), ("hi", 1), ("wide", 2)])?;
        let sets_carry = words.take("cc");
        words.finish()?;
        let has_sum = mnemonic == Mnemonic::Mad;
        if part == 2 {
            return self.product_wide(scalar, has_sum, operands);
        }
        let (d, [a, b, c]) = self.same_type(scalar, operands)?;
        let multiply = if part == 0 { IntOp::MulLo } else { by_sign(scalar, IntOp::MulHiS, IntOp::MulHiU) };
        if part == 1 && scalar.bytes() == 2 {
            return self.product_high_16(scalar, d, [a, b, c]);
        }
        if !has_sum {
            self.int_exact(scalar, multiply, d, [a, b, R::NONE]);
            return Ok(());
        }
        if part == 0 && !sets_carry {
            self.int_exact(scalar, IntOp::MadLo, d, [a, b, c]);
            return Ok(());
        }
        let product = self.temporary(scalar, multiply, [a, b, R::NONE]);
        if sets_carry {
            return self.carry(scalar, false, d, [product, c], false, true);
        }
        self.int_op(scalar, if saturates { IntOp::AddSat } else { IntOp::Add }, d, [product, c, R::NONE]);
        Ok(())
    }

    fn product_high_16(&mut self, scalar: Scalar, d: R, [a, b, c]: [R; 3]) -> Selected {
        let [a, b] = [a, b].map(|r| {
            if scalar.is_signed() {
                self.temporary(Scalar::B32, IntOp::Sign16, [r, R::NONE, R::NONE])
            } else {
                r
            }
        });
        let product = self.temporary(Scalar::B32, IntOp::MulLo, [a, b, R::NONE]);
        let sixteen = self.bits32(16);
        let mut high = self.temporary(Scalar::B32, IntOp::ShrU, [product, sixteen, R::NONE]);
        if c.is_some() {
            high = self.temporary(Scalar::B32, IntOp::Add, [high, c, R::NONE]);
        }
        self.int_op(Scalar::B32, IntOp::Zero16, d, [high, R::NONE, R::NONE]);
        Ok(())
    }

    fn product_wide(&mut self, scalar: Scalar, has_sum: bool, operands: &[Operand]) -> Selected {
        let wide = match scalar {
            Scalar::U16 | Scalar::S16 => Scalar::B32,
            Scalar::U32 | Scalar::S32 => Scalar::B64,
            _ => return Err(format!(".wide has no form for {scalar}")),
        };
        self.count(operands, if has_sum { 4 } else { 3 })?;
        let a = self.source(&operands[1], scalar)?;
        let b = self.source(&operands[2], scalar)?;
        let c = if has_sum { self.source(&operands[3], wide)? } else { R::NONE };
        let d = self.destination(&operands[0], wide)?;
        if wide == Scalar::B64 {
            self.emit(Op::MulWide { signed: scalar.is_signed(), d, a, b, c });
            return Ok(());
        }
        let [a, b] = [a, b].map(|r| {
            if scalar.is_signed() {
                self.temporary(Scalar::B32, IntOp::Sign16, [r, R::NONE, R::NONE])
            } else {
                r
            }
        });
        self.int_op(wide, if has_sum { IntOp::MadLo } else { IntOp::MulLo }, d, [a, b, c]);
        Ok(())
    }

    fn carry_flag(&mut self) -> P {
        let known = self.carry;
        let flag = known.unwrap_or_else(|| self.predicate());
        self.carry = Some(flag);
        flag
    }

    fn carry(
        &mut self,
        scalar: Scalar,
        subtract: bool,
        d: R,
        [a, b]: [R; 2],
        takes: bool,
        sets: bool,
    ) -> Selected {
        let flag = self.carry_flag();
        let carry_in = if takes { flag } else { P::NONE };
        let carry_out = if sets { flag } else { P::NONE };
        self.emit(Op::Carry { width: width(scalar), subtract, d, a, b, carry_in, carry_out });
        Ok(())
    }

    /// `addc`, `subc`, `madc`.
    pub(super) fn extended(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let scalar = words.scalar()?;
        let sets = words.take("cc");
        let has_product = mnemonic == Mnemonic::Madc;
        self.count(operands, if has_product { 4 } else { 3 })?;
        let part = if has_product {
            words.need(&[("lo", IntOp::MulLo), ("hi", by_sign(scalar, IntOp::MulHiS, IntOp::MulHiU))])?
        } else {
            IntOp::Add
        };
        words.finish()?;
        let (d, [a, b, c]) = self.same_type(scalar, operands)?;
        if has_product {
            let product = self.temporary(scalar, part, [a, b, R::NONE]);
            return self.carry(scalar, false, d, [product, c], true, sets);
        }
        self.carry(scalar, mnemonic == Mnemonic::Subc, d, [a, b], true, sets)
    }

    pub(super) fn product24(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let scalar = words.scalar()?;
        let op = words.need(&[
            ("lo", by_sign(scalar, IntOp::Mul24LoS, IntOp::Mul24LoU)),
            ("hi", by_sign(scalar, IntOp::Mul24HiS, IntOp::Mul24HiU)),
        ])?;
        let sum = if words.take("sat") { IntOp::AddSat } else { IntOp::Add };
        words.finish()?;
        self.count(operands, if mnemonic == Mnemonic::Mad24 { 4 } else { 3 })?;
        let (d, [a, b, c]) = self.same_type(scalar, operands)?;
        if mnemonic == Mnemonic::Mul24 {
            self.int_op(scalar, op, d, [a, b, R::NONE]);
        } else {
            let product = self.temporary(scalar, op, [a, b, R::NONE]);
            self.int_op(scalar, sum, d, [product, c, R::NONE]);
        }
        Ok(())
    }

    /// Counts, searches, fields and masks.
    pub(super) fn bits(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let scalar = words.scalar()?;
        let op = match mnemonic {
            Mnemonic::Popc => IntOp::Popc,
            Mnemonic::Clz => IntOp::Clz,
            Mnemonic::Brev => IntOp::Brev,
            Mnemonic::Bfind if words.take("shiftamt") => {
                by_sign(scalar, IntOp::FindShiftS, IntOp::FindShiftU)
            }
            Mnemonic::Bfind => by_sign(scalar, IntOp::FindS, IntOp::FindU),
            Mnemonic::Fns => IntOp::FindNth,
            Mnemonic::Bfe => by_sign(scalar, IntOp::BfeS, IntOp::BfeU),
            Mnemonic::Bmsk => words.need(&[("clamp", IntOp::MaskClamp), ("wrap", IntOp::MaskWrap)])?,
            _ => return self.bit_insert(scalar, words, operands),
        };
        words.finish()?;
        let is_64 = scalar.bytes() == 8;
        match op {
            IntOp::Popc
            | IntOp::Clz
            | IntOp::FindS
            | IntOp::FindU
            | IntOp::FindShiftS
            | IntOp::FindShiftU => {
                self.count(operands, 2)?;
                let a = self.source(&operands[1], scalar)?;
                let d = self.destination(&operands[0], Scalar::U32)?;
                if is_64 {
                    let wide = self.temporary(scalar, op, [a, R::NONE, R::NONE]);
                    self.emit(Op::Unpack {
                        how: crate::isa::Packing::B32x2,
                        parts: [d, R::NONE, R::NONE, R::NONE],
                        a: wide,
                    });
                } else {
                    self.int_op(scalar, op, d, [a, R::NONE, R::NONE]);
                }
            }
            IntOp::BfeS | IntOp::BfeU => {
                self.count(operands, 4)?;
                let a = self.source(&operands[1], scalar)?;
                let pos = self.amount(&operands[2], scalar)?;
                let len = self.amount(&operands[3], scalar)?;
                let d = self.destination(&operands[0], scalar)?;
                self.int_op(scalar, op, d, [a, pos, len]);
            }
            _ => {
                let (d, sources) = self.same_type(scalar, operands)?;
                self.int_op(scalar, op, d, sources);
            }
        }
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

    fn bit_insert(&mut self, scalar: Scalar, words: Words<'_>, operands: &[Operand]) -> Selected {
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
        let op = match mnemonic {
            M::And => IntOp::And,
            M::Or => IntOp::Or,
            M::Xor => IntOp::Xor,
            M::Not => IntOp::Not,
            M::Cnot => IntOp::Cnot,
            M::Shl => IntOp::Shl,
            _ => by_sign(scalar, IntOp::ShrS, IntOp::ShrU),
        };
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
        let op = match mnemonic {
            Mnemonic::Not => {
                Op::Predicate { logic: Logic::And, d, a: Cond { p: a.p, negated: !a.negated }, b: Cond::TRUE }
            }
            Mnemonic::And => Op::Predicate { logic: Logic::And, d, a, b: self.condition(&operands[2])? },
            Mnemonic::Or => Op::Predicate { logic: Logic::Or, d, a, b: self.condition(&operands[2])? },
            Mnemonic::Xor => Op::Predicate { logic: Logic::Xor, d, a, b: self.condition(&operands[2])? },
            _ => return Err("no such operation on predicates".to_owned()),
        };
        self.emit(op);
        Ok(())
    }
}

//! Integer arithmetic.

use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::IntOp;
use crate::isa::{Mnemonic, Op, P, R, Scalar, Width};
use crate::ptx::ast::Operand;

/// The signed or the unsigned form.
pub(super) fn by_sign(scalar: Scalar, signed: IntOp, unsigned: IntOp) -> IntOp {
    if scalar.is_signed() || scalar == Scalar::S16x2 { signed } else { unsigned }
}

/// Operations by mnemonic: the signed, then the unsigned form.
pub(super) type BySign = [(Mnemonic, IntOp, IntOp)];

/// The operation that a mnemonic names for a type.
pub(super) fn find(table: &BySign, mnemonic: Mnemonic, scalar: Scalar) -> Result<IntOp, String> {
    let known = table.iter().find(|(known, ..)| *known == mnemonic);
    let op = known.map(|&(_, signed, unsigned)| by_sign(scalar, signed, unsigned));
    op.ok_or_else(|| format!("no such operation on {scalar}"))
}

const PLAIN: &BySign = &[
    (Mnemonic::Add, IntOp::Add, IntOp::Add),
    (Mnemonic::Sub, IntOp::Sub, IntOp::Sub),
    (Mnemonic::Div, IntOp::DivS, IntOp::DivU),
    (Mnemonic::Rem, IntOp::RemS, IntOp::RemU),
    (Mnemonic::Min, IntOp::MinS, IntOp::MinU),
    (Mnemonic::Max, IntOp::MaxS, IntOp::MaxU),
    (Mnemonic::Sad, IntOp::SadS, IntOp::SadU),
    (Mnemonic::Abs, IntOp::Abs, IntOp::Abs),
    (Mnemonic::Neg, IntOp::Neg, IntOp::Neg),
];
/// With `.sat`.
const SATURATING: &BySign =
    &[(Mnemonic::Add, IntOp::AddSat, IntOp::AddSat), (Mnemonic::Sub, IntOp::SubSat, IntOp::SubSat)];
/// On two halves.
const PAIRED: &BySign = &[
    (Mnemonic::Add, IntOp::Add16x2, IntOp::Add16x2),
    (Mnemonic::Min, IntOp::MinS16x2, IntOp::MinU16x2),
    (Mnemonic::Max, IntOp::MaxS16x2, IntOp::MaxU16x2),
];

impl Selector<'_> {
    pub(super) fn int_op(&mut self, scalar: Scalar, op: IntOp, d: R, [a, b, c]: [R; 3]) {
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
    pub(super) fn int_exact(&mut self, scalar: Scalar, op: IntOp, d: R, sources: [R; 3]) {
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
    pub(super) fn same_type(&mut self, scalar: Scalar, operands: &[Operand]) -> Result<(R, [R; 3]), String> {
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
        let wanted = if matches!(mnemonic, M::Abs | M::Neg) {
            2
        } else if matches!(mnemonic, M::Mad | M::Sad) {
            4
        } else {
            3
        };
        self.count(operands, wanted)?;
        let is_pair = matches!(scalar, Scalar::U16x2 | Scalar::S16x2);
        let saturates = words.take("sat");
        if is_pair {
            words.finish()?;
            return self.integer_pair(mnemonic, scalar, saturates, operands);
        }
        if matches!(mnemonic, M::Mul | M::Mad) {
            return self.product(mnemonic, scalar, saturates, words, operands);
        }
        if words.take("cc") {
            words.finish()?;
            let (d, [a, b, _]) = self.same_type(scalar, operands)?;
            return self.carry(scalar, mnemonic == M::Sub, d, [a, b], false, true);
        }
        let table = if saturates { SATURATING } else { PLAIN };
        let op = find(table, mnemonic, scalar)?;
        if saturates && scalar != Scalar::S32 {
            return Err(".sat is for .s32 only".to_owned());
        }
        words.finish()?;
        let (d, sources) = self.same_type(scalar, operands)?;
        self.int_exact(scalar, op, d, sources);
        Ok(())
    }

    /// Two 16-bit integers in a word.
    fn integer_pair(
        &mut self,
        mnemonic: Mnemonic,
        scalar: Scalar,
        saturates: bool,
        operands: &[Operand],
    ) -> Selected {
        let op = find(PAIRED, mnemonic, scalar)?;
        if saturates {
            return Err(format!(".sat is not for {scalar}"));
        }
        let (d, sources) = self.same_type(scalar, operands)?;
        self.int_op(scalar, op, d, sources);
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
        let wide = if scalar.is_int() && scalar.bytes() == 2 {
            Scalar::B32
        } else if scalar.is_int() && scalar.bytes() == 4 {
            Scalar::B64
        } else {
            return Err(format!(".wide has no form for {scalar}"));
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
}

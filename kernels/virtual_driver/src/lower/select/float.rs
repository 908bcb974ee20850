//! Floating-point arithmetic on f64, f32 and the 16-bit types.

use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::{FloatClass, FloatMode, FloatOp, HalfOp, HalfType};
use crate::isa::{Mnemonic, Op, R, Scalar};
use crate::ptx::ast::Operand;

const HALF_TYPES: &[(Scalar, HalfType)] = &[
    (Scalar::F16, HalfType::F16),
    (Scalar::F16x2, HalfType::F16x2),
    (Scalar::BF16, HalfType::BF16),
    (Scalar::BF16x2, HalfType::BF16x2),
];

/// The 16-bit type a scalar stands for.
pub(super) fn half_type(scalar: Scalar) -> Option<HalfType> {
    HALF_TYPES.iter().find(|(known, _)| *known == scalar).map(|&(_, ty)| ty)
}

fn min_max(words: &mut Words<'_>, four: [FloatOp; 4]) -> FloatOp {
    let nan = words.take("NaN");
    let xorsign = words.take("xorsign");
    if xorsign {
        words.take("abs");
    }
    four[usize::from(nan) + 2 * usize::from(xorsign)]
}

const FLOAT_OPS: &[(Mnemonic, FloatOp)] = &[
    (Mnemonic::Add, FloatOp::Add),
    (Mnemonic::Sub, FloatOp::Sub),
    (Mnemonic::Mul, FloatOp::Mul),
    (Mnemonic::Fma, FloatOp::Fma),
    (Mnemonic::Mad, FloatOp::Fma),
    (Mnemonic::Div, FloatOp::Div),
    (Mnemonic::Rcp, FloatOp::Rcp),
    (Mnemonic::Sqrt, FloatOp::Sqrt),
    (Mnemonic::Rsqrt, FloatOp::Rsqrt),
    (Mnemonic::Abs, FloatOp::Abs),
    (Mnemonic::Neg, FloatOp::Neg),
    (Mnemonic::Copysign, FloatOp::CopySign),
    (Mnemonic::Sin, FloatOp::Sin),
    (Mnemonic::Cos, FloatOp::Cos),
    (Mnemonic::Lg2, FloatOp::Lg2),
    (Mnemonic::Ex2, FloatOp::Ex2),
    (Mnemonic::Tanh, FloatOp::Tanh),
];

fn float_op(mnemonic: Mnemonic, words: &mut Words<'_>) -> Result<FloatOp, String> {
    if mnemonic == Mnemonic::Min {
        let four = [FloatOp::Min, FloatOp::MinNan, FloatOp::MinXorsign, FloatOp::MinNanXorsign];
        return Ok(min_max(words, four));
    }
    if mnemonic == Mnemonic::Max {
        let four = [FloatOp::Max, FloatOp::MaxNan, FloatOp::MaxXorsign, FloatOp::MaxNanXorsign];
        return Ok(min_max(words, four));
    }
    let known = FLOAT_OPS.iter().find(|(known, _)| *known == mnemonic);
    known.map(|&(_, op)| op).ok_or_else(|| "no floating-point form".to_owned())
}

fn half_op(op: FloatOp) -> Option<HalfOp> {
    Some(match op {
        FloatOp::Add => HalfOp::Add,
        FloatOp::Sub => HalfOp::Sub,
        FloatOp::Mul => HalfOp::Mul,
        FloatOp::Fma => HalfOp::Fma,
        FloatOp::Min => HalfOp::Min,
        FloatOp::Max => HalfOp::Max,
        FloatOp::MinNan => HalfOp::MinNan,
        FloatOp::MaxNan => HalfOp::MaxNan,
        FloatOp::MinXorsign => HalfOp::MinXorsign,
        FloatOp::MaxXorsign => HalfOp::MaxXorsign,
        FloatOp::MinNanXorsign => HalfOp::MinNanXorsign,
        FloatOp::MaxNanXorsign => HalfOp::MaxNanXorsign,
        FloatOp::Neg => HalfOp::Neg,
        FloatOp::Abs => HalfOp::Abs,
        FloatOp::Ex2 => HalfOp::Ex2,
        FloatOp::Tanh => HalfOp::Tanh,
        FloatOp::Div | FloatOp::Rcp | FloatOp::Sqrt | FloatOp::Rsqrt | FloatOp::CopySign => return None,
        FloatOp::Lg2 | FloatOp::Sin | FloatOp::Cos | FloatOp::RoundInt | FloatOp::Copy => return None,
    })
}

fn sources_of(op: FloatOp) -> usize {
    match op {
        FloatOp::Fma => 3,
        FloatOp::Rcp | FloatOp::Sqrt | FloatOp::Rsqrt | FloatOp::Neg | FloatOp::Abs => 1,
        FloatOp::Ex2
        | FloatOp::Lg2
        | FloatOp::Sin
        | FloatOp::Cos
        | FloatOp::Tanh
        | FloatOp::RoundInt
        | FloatOp::Copy => 1,
        FloatOp::Add | FloatOp::Sub | FloatOp::Mul | FloatOp::Div | FloatOp::CopySign => 2,
        FloatOp::Min | FloatOp::Max | FloatOp::MinNan | FloatOp::MaxNan => 2,
        FloatOp::MinXorsign | FloatOp::MaxXorsign | FloatOp::MinNanXorsign | FloatOp::MaxNanXorsign => 2,
    }
}

impl Selector<'_> {
    pub(super) fn float(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let scalar = words.scalar()?;
        let op = float_op(mnemonic, &mut words)?;
        // Approximations are computed as exactly as the machine can; `.full` and `.approx` ask for no rounding.
        words.ignore(&["approx", "full"]);
        let mode = FloatMode {
            rounding: words.rounding().unwrap_or_default(),
            ftz: words.take("ftz"),
            sat: words.take("sat"),
            relu: words.take("relu"),
        };
        words.finish()?;
        let wanted = sources_of(op);
        self.count(operands, wanted + 1)?;
        let mut sources = [R::NONE; 3];
        for (to, operand) in sources.iter_mut().zip(&operands[1..]) {
            *to = self.source(operand, scalar)?;
        }
        let d = self.destination(&operands[0], scalar)?;
        let [a, b, c] = sources;
        self.emit(if scalar == Scalar::F32 {
            Op::Float32 { op, mode, d, a, b, c }
        } else if scalar == Scalar::F64 {
            Op::Float64 { op, mode, d, a, b, c }
        } else if let (Some(ty), Some(op)) = (half_type(scalar), half_op(op)) {
            Op::Half { op, ty, mode, d, a, b, c }
        } else {
            return Err(format!("no such operation on {scalar}"));
        });
        Ok(())
    }

    pub(super) fn testp(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let class = words.need(&[
            ("finite", FloatClass::Finite),
            ("infinite", FloatClass::Infinite),
            ("number", FloatClass::Number),
            ("notanumber", FloatClass::NotANumber),
            ("normal", FloatClass::Normal),
            ("subnormal", FloatClass::Subnormal),
        ])?;
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, 2)?;
        let a = self.source(&operands[1], scalar)?;
        let d = self.predicate_destination(&operands[0])?;
        self.emit(Op::TestFloat { class, wide: width(scalar) == crate::isa::Width::W64, d, a });
        Ok(())
    }
}

//! `cvt`: conversions between number types.

use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::{FloatMode, FloatOp, IntOp, Rounding};
use crate::isa::convert::Conversion;
use crate::isa::{Op, Packing, R, Scalar, Width};
use crate::ptx::ast::Operand;

impl Selector<'_> {
    pub(super) fn cvt(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let integer_rounding = words.integer_rounding();
        let rounding = words.rounding();
        let (ftz, relu) = (words.take("ftz"), words.take("relu"));
        let (sat, finite) = (words.take("sat"), words.take("satfinite"));
        let (to, from) = (words.scalar()?, words.scalar()?);
        words.finish()?;
        let is_pair = matches!(to, Scalar::F16x2 | Scalar::BF16x2);
        if is_pair && from != Scalar::F32 {
            return Err(format!("no conversion from {from} to {to}"));
        }
        self.count(operands, if is_pair { 3 } else { 2 })?;
        if from.is_float() && !to.is_float() && integer_rounding.is_none() && rounding.is_none() {
            return Err("a rounding (.rni, .rzi, .rmi, .rpi) is needed".to_owned());
        }
        let a = self.source_low(&operands[1], from)?;
        let b = if is_pair { self.source_low(&operands[2], from)? } else { R::NONE };
        let how = Conversion {
            from,
            to,
            rounding: integer_rounding.or(rounding).unwrap_or(Rounding::Nearest),
            integral: integer_rounding.is_some() && to.is_float(),
            ftz,
            sat,
            finite,
            relu,
        };
        let (d, declared) = self.destination_any(&operands[0], to)?;
        let d = if d.is_some() { d } else { self.register(width(declared)) };
        if declared.bytes() < to.bytes() {
            return Err(format!("`{}` has {} bits where {to} is written", operands[0], declared.bits()));
        }
        self.converted(how, d, declared, a, b)
    }

    /// Emits the conversion and, where the destination is wider than the type, the extension.
    fn converted(&mut self, how: Conversion, d: R, declared: Scalar, a: R, b: R) -> Selected {
        let to = how.to;
        if width(declared) == Width::W64 && width(to) == Width::W32 {
            let narrow = self.register(Width::W32);
            self.emit(Op::Convert { how, d: narrow, a, b });
            return self.widen(narrow, to.is_signed(), d);
        }
        if to.is_signed() && to.bytes() < 4 {
            // The machine converts to a sign-extended word; a 16-bit register keeps the low half.
            if declared.bytes() == 2 {
                let narrow = self.register(Width::W32);
                self.emit(Op::Convert { how, d: narrow, a, b });
                self.emit(Op::Int32 { op: IntOp::Zero16, d, a: narrow, b: R::NONE, c: R::NONE });
                return Ok(());
            }
        }
        // A float to its own type only rounds, saturates or flushes.
        let op = if how.integral { FloatOp::RoundInt } else { FloatOp::Copy };
        let mode = FloatMode { rounding: how.rounding, ftz: how.ftz, sat: how.sat, relu: how.relu };
        let parts = [d, R::NONE, R::NONE, R::NONE];
        match (how.from, to) {
            (Scalar::U64 | Scalar::S64, Scalar::U32 | Scalar::S32) if !how.sat => {
                self.emit(Op::Unpack { how: Packing::B32x2, parts, a });
            }
            (Scalar::U32, Scalar::U64 | Scalar::S64) => return self.widen(a, false, d),
            (Scalar::F32, Scalar::F32) => self.emit(Op::Float32 { op, mode, d, a, b: R::NONE, c: R::NONE }),
            (Scalar::F64, Scalar::F64) => self.emit(Op::Float64 { op, mode, d, a, b: R::NONE, c: R::NONE }),
            _ => self.emit(Op::Convert { how, d, a, b }),
        }
        Ok(())
    }

    /// 32 bits to 64 by sign or zeros.
    pub(super) fn widen(&mut self, narrow: R, signed: bool, d: R) -> Selected {
        let zero = self.bits32(0);
        let parts = [narrow, zero, R::NONE, R::NONE];
        if !signed {
            self.emit(Op::Pack { how: Packing::B32x2, d, parts });
            return Ok(());
        }
        let wide = self.register(Width::W64);
        self.emit(Op::Pack { how: Packing::B32x2, d: wide, parts });
        self.emit(Op::Int64 { op: IntOp::Sign32, d, a: wide, b: R::NONE, c: R::NONE });
        Ok(())
    }

    /// `cvt.pack.sat.u8.s32.b32 d, a, b, c`: two integers saturated; with 8 bits they enter at the bottom of c.
    pub(super) fn cvt_pack(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        words.take("sat");
        let (to, from) = (words.scalar()?, words.scalar()?);
        if from != Scalar::S32 {
            return Err(format!("no cvt.pack from {from}"));
        }
        let shifts_in = words.scalar().is_ok();
        words.finish()?;
        self.count(operands, if shifts_in { 4 } else { 3 })?;
        let mut halves = [R::NONE; 2];
        for (half, operand) in halves.iter_mut().zip(&operands[1..3]) {
            let a = self.source(operand, from)?;
            let how = Conversion {
                from,
                to,
                rounding: Rounding::Nearest,
                integral: false,
                ftz: false,
                sat: true,
                finite: false,
                relu: false,
            };
            let saturated = self.register(Width::W32);
            self.emit(Op::Convert { how, d: saturated, a, b: R::NONE });
            let mask = if to.bytes() == 1 { IntOp::Zero8 } else { IntOp::Zero16 };
            *half = self.temporary(Scalar::B32, mask, [saturated, R::NONE, R::NONE]);
        }
        let by = self.bits32(to.bits());
        let high = self.temporary(Scalar::B32, IntOp::Shl, [halves[0], by, R::NONE]);
        let pair = self.temporary(Scalar::B32, IntOp::Or, [high, halves[1], R::NONE]);
        let d = self.destination(&operands[0], Scalar::B32)?;
        if to.bytes() == 1 && shifts_in {
            let c = self.source(&operands[3], Scalar::B32)?;
            let sixteen = self.bits32(16);
            let upper = self.temporary(Scalar::B32, IntOp::Shl, [c, sixteen, R::NONE]);
            self.emit(Op::Int32 { op: IntOp::Or, d, a: upper, b: pair, c: R::NONE });
            return Ok(());
        }
        self.emit(Op::Move { width: Width::W32, d, a: pair });
        Ok(())
    }
}

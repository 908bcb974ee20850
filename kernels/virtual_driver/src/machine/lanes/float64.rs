//! f64 operations.

use super::super::math::exact;
use super::{L64, for_each_isa, map1_64, map2_64, map3_64};
use crate::isa::arith::{FloatMode, FloatOp, Rounding};

const NAN: u64 = 0x7FF8_0000_0000_0000;
const SIGN: u64 = 1 << 63;

#[inline(always)]
fn result(value: f64) -> u64 {
    if value.is_nan() { NAN } else { value.to_bits() }
}

#[inline(always)]
fn two(d: &mut L64, a: &L64, b: &L64, f: impl Fn(f64, f64) -> f64) {
    map2_64(d, a, b, |a, b| result(f(f64::from_bits(a), f64::from_bits(b))));
}

#[inline(always)]
fn one(d: &mut L64, a: &L64, f: impl Fn(f64) -> f64) {
    map1_64(d, a, |a| result(f(f64::from_bits(a))));
}

#[inline(always)]
fn ordered(bits: u64) -> i64 {
    (bits ^ (((bits as i64) >> 63) as u64 >> 1)) as i64
}

#[inline(always)]
fn numbers_win(a: u64, b: u64, first: bool) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    let takes_a = !x.is_nan() && (y.is_nan() || (ordered(a) < ordered(b)) == first);
    let picked = if takes_a { a } else { b };
    if f64::from_bits(picked).is_nan() { NAN } else { picked }
}

for_each_isa! {
    /// d = op(a, b, c). Operations that exist on f32 only copy a; lowering never asks for them.
    pub(in super::super) fn float64(op: FloatOp, mode: FloatMode, d: &mut L64, a: &L64, b: &L64, c: &L64) {
        let directed = mode.rounding != Rounding::Nearest;
        match op {
            FloatOp::Add if directed => return map2_64(d, a, b, |a, b| exact::add(exact::F64, mode.rounding, a, b)),
            FloatOp::Sub if directed => return map2_64(d, a, b, |a, b| exact::add(exact::F64, mode.rounding, a, b ^ SIGN)),
            FloatOp::Mul if directed => return map2_64(d, a, b, |a, b| exact::mul(exact::F64, mode.rounding, a, b)),
            FloatOp::Fma if directed => return map3_64(d, a, b, c, |a, b, c| exact::fma(exact::F64, mode.rounding, a, b, c)),
            FloatOp::Div if directed => return map2_64(d, a, b, |a, b| exact::div(exact::F64, mode.rounding, a, b)),
            FloatOp::Rcp if directed => return map1_64(d, a, |a| exact::div(exact::F64, mode.rounding, 1.0_f64.to_bits(), a)),
            FloatOp::Sqrt if directed => return map1_64(d, a, |a| exact::sqrt(exact::F64, mode.rounding, a)),
            FloatOp::Add => two(d, a, b, |a, b| a + b),
            FloatOp::Sub => two(d, a, b, |a, b| a - b),
            FloatOp::Mul => two(d, a, b, |a, b| a * b),
            FloatOp::Fma => map3_64(d, a, b, c, |a, b, c| result(f64::from_bits(a).mul_add(f64::from_bits(b), f64::from_bits(c)))),
            FloatOp::Div => two(d, a, b, |a, b| a / b),
            FloatOp::Rcp => one(d, a, |a| 1.0 / a),
            FloatOp::Sqrt => one(d, a, f64::sqrt),
            FloatOp::Rsqrt => one(d, a, |a| 1.0 / a.sqrt()),
            FloatOp::Min => map2_64(d, a, b, |a, b| numbers_win(a, b, true)),
            FloatOp::Max => map2_64(d, a, b, |a, b| numbers_win(a, b, false)),
            FloatOp::Neg => map1_64(d, a, |a| if f64::from_bits(a).is_nan() { NAN } else { a ^ SIGN }),
            FloatOp::Abs => map1_64(d, a, |a| if f64::from_bits(a).is_nan() { NAN } else { a & !SIGN }),
            FloatOp::CopySign => map2_64(d, a, b, |a, b| (a & SIGN) | (b & !SIGN)),
            FloatOp::RoundInt => match mode.rounding {
                Rounding::Nearest => one(d, a, f64::round_ties_even),
                Rounding::Zero => one(d, a, f64::trunc),
                Rounding::Down => one(d, a, f64::floor),
                Rounding::Up => one(d, a, f64::ceil),
                Rounding::NearestAway => one(d, a, f64::round),
            },
            FloatOp::Copy => one(d, a, |a| a),
            FloatOp::MinNan | FloatOp::MaxNan | FloatOp::MinXorsign | FloatOp::MaxXorsign => *d = *a,
            FloatOp::MinNanXorsign | FloatOp::MaxNanXorsign => *d = *a,
            FloatOp::Ex2 | FloatOp::Lg2 | FloatOp::Sin | FloatOp::Cos | FloatOp::Tanh => *d = *a,
        }
        if mode.sat {
            let raw = *d;
            map1_64(d, &raw, |bits| {
                let value = f64::from_bits(bits);
                if value > 0.0 { value.min(1.0).to_bits() } else { 0 }
            });
        }
    }
}

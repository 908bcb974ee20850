//! f32 operations.

use super::super::math::{approx, exact};
use super::{L32, for_each_isa, map1, map2, map3};
use crate::isa::arith::{FloatMode, FloatOp, Rounding};

/// The NaN every f32 operation produces.
const NAN: u32 = 0x7FFF_FFFF;
const SIGN: u32 = 0x8000_0000;

#[inline(always)]
fn is_nan(bits: u32) -> bool {
    bits & !SIGN > 0x7F80_0000
}

#[inline(always)]
fn result(value: f32) -> u32 {
    if value.is_nan() { NAN } else { value.to_bits() }
}

#[inline(always)]
pub(super) fn flush(bits: u32) -> u32 {
    if bits & 0x7F80_0000 == 0 { bits & SIGN } else { bits }
}

/// Order of magnitudes and signs, with -0 below +0.
#[inline(always)]
fn ordered(bits: u32) -> i32 {
    (bits ^ (((bits as i32) >> 31) as u32 >> 1)) as i32
}

#[inline(always)]
fn minimum(a: u32, b: u32) -> u32 {
    if ordered(a) < ordered(b) { a } else { b }
}

#[inline(always)]
fn maximum(a: u32, b: u32) -> u32 {
    if ordered(a) > ordered(b) { a } else { b }
}

/// A NaN loses; two NaNs give one.
#[inline(always)]
fn numbers_win(a: u32, b: u32, pick: impl Fn(u32, u32) -> u32) -> u32 {
    let picked = if is_nan(a) {
        b
    } else if is_nan(b) {
        a
    } else {
        pick(a, b)
    };
    if is_nan(picked) { NAN } else { picked }
}

#[inline(always)]
fn nan_wins(a: u32, b: u32, pick: impl Fn(u32, u32) -> u32) -> u32 {
    if is_nan(a) || is_nan(b) { NAN } else { pick(a, b) }
}

#[inline(always)]
fn xorsign(a: u32, b: u32, magnitude: u32) -> u32 {
    if magnitude == NAN { NAN } else { (magnitude & !SIGN) | ((a ^ b) & SIGN) }
}

#[inline(always)]
fn two(d: &mut L32, a: &L32, b: &L32, f: impl Fn(f32, f32) -> f32) {
    map2(d, a, b, |a, b| result(f(f32::from_bits(a), f32::from_bits(b))));
}

#[inline(always)]
fn one(d: &mut L32, a: &L32, f: impl Fn(f32) -> f32) {
    map1(d, a, |a| result(f(f32::from_bits(a))));
}

/// Corrects the nearest result to a directed one; `sum + error` is the exact value.
#[inline(always)]
fn directed(mode: Rounding, sum: f64, error: f64) -> u32 {
    let nearest = sum as f32;
    let wide = f64::from(nearest);
    let above = wide > sum || (wide == sum && error < 0.0);
    let below = wide < sum || (wide == sum && error > 0.0);
    let negative = sum < 0.0 || (sum == 0.0 && error < 0.0);
    let bits = nearest.to_bits();
    let (down, up) = match mode {
        Rounding::Down => (above, false),
        Rounding::Up => (false, below),
        Rounding::Zero => (above && !negative, below && negative),
        Rounding::Nearest | Rounding::NearestAway => (false, false),
    };
    let stepped = if down {
        nearest.next_down()
    } else if up {
        nearest.next_up()
    } else {
        f32::from_bits(bits)
    };
    if stepped.is_nan() { NAN } else { stepped.to_bits() }
}

/// a * b + c in a directed mode: the product is exact in f64, the sum's error is known exactly.
#[inline(always)]
fn directed_fma(mode: Rounding, a: u32, b: u32, c: u32) -> u32 {
    let (x, y, z) = (f32::from_bits(a), f32::from_bits(b), f32::from_bits(c));
    let (product, z) = (f64::from(x) * f64::from(y), f64::from(z));
    let sum = product + z;
    let virtual_z = sum - product;
    let error = (product - (sum - virtual_z)) + (z - virtual_z);
    if sum == 0.0 || !sum.is_finite() {
        return exact::fma(exact::F32, mode, a.into(), b.into(), c.into()) as u32;
    }
    directed(mode, sum, error)
}

#[inline(always)]
fn arithmetic(op: FloatOp, rounding: Rounding, d: &mut L32, a: &L32, b: &L32, c: &L32) {
    let directed = rounding != Rounding::Nearest;
    let unit = 1.0_f32.to_bits();
    match op {
        FloatOp::Add if directed => map2(d, a, b, |a, b| directed_fma(rounding, a, unit, b)),
        FloatOp::Sub if directed => map2(d, a, b, |a, b| directed_fma(rounding, a, unit, b ^ SIGN)),
        FloatOp::Fma if directed => map3(d, a, b, c, |a, b, c| directed_fma(rounding, a, b, c)),
        FloatOp::Mul if directed => {
            map2(d, a, b, |a, b| exact::mul(exact::F32, rounding, a.into(), b.into()) as u32)
        }
        FloatOp::Div if directed => {
            map2(d, a, b, |a, b| exact::div(exact::F32, rounding, a.into(), b.into()) as u32)
        }
        FloatOp::Rcp if directed => {
            map1(d, a, |a| exact::div(exact::F32, rounding, unit.into(), a.into()) as u32)
        }
        FloatOp::Sqrt if directed => map1(d, a, |a| exact::sqrt(exact::F32, rounding, a.into()) as u32),
        FloatOp::Add => two(d, a, b, |a, b| a + b),
        FloatOp::Sub => two(d, a, b, |a, b| a - b),
        FloatOp::Mul => two(d, a, b, |a, b| a * b),
        FloatOp::Fma => map3(d, a, b, c, |a, b, c| {
            result(f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(c)))
        }),
        FloatOp::Div => two(d, a, b, |a, b| a / b),
        FloatOp::Rcp => one(d, a, |a| 1.0 / a),
        FloatOp::Sqrt => one(d, a, f32::sqrt),
        FloatOp::Rsqrt => one(d, a, |a| (1.0 / f64::from(a).sqrt()) as f32),
        FloatOp::Min => map2(d, a, b, |a, b| numbers_win(a, b, minimum)),
        FloatOp::Max => map2(d, a, b, |a, b| numbers_win(a, b, maximum)),
        FloatOp::MinNan => map2(d, a, b, |a, b| nan_wins(a, b, minimum)),
        FloatOp::MaxNan => map2(d, a, b, |a, b| nan_wins(a, b, maximum)),
        FloatOp::MinXorsign => {
            map2(d, a, b, |a, b| xorsign(a, b, numbers_win(a & !SIGN, b & !SIGN, minimum)))
        }
        FloatOp::MaxXorsign => {
            map2(d, a, b, |a, b| xorsign(a, b, numbers_win(a & !SIGN, b & !SIGN, maximum)))
        }
        FloatOp::MinNanXorsign => {
            map2(d, a, b, |a, b| xorsign(a, b, nan_wins(a & !SIGN, b & !SIGN, minimum)))
        }
        FloatOp::MaxNanXorsign => {
            map2(d, a, b, |a, b| xorsign(a, b, nan_wins(a & !SIGN, b & !SIGN, maximum)))
        }
        FloatOp::Neg => map1(d, a, |a| if is_nan(a) { NAN } else { a ^ SIGN }),
        FloatOp::Abs => map1(d, a, |a| if is_nan(a) { NAN } else { a & !SIGN }),
        FloatOp::CopySign => map2(d, a, b, |a, b| (a & SIGN) | (b & !SIGN)),
        FloatOp::Ex2 => one(d, a, approx::ex2),
        FloatOp::Lg2 => one(d, a, approx::lg2),
        FloatOp::Sin => one(d, a, approx::sin),
        FloatOp::Cos => one(d, a, approx::cos),
        FloatOp::Tanh => one(d, a, approx::tanh),
        FloatOp::RoundInt => round_int(rounding, d, a),
        FloatOp::Copy => map1(d, a, |a| if is_nan(a) { NAN } else { a }),
    }
}

#[inline(always)]
fn round_int(rounding: Rounding, d: &mut L32, a: &L32) {
    match rounding {
        Rounding::Nearest => one(d, a, f32::round_ties_even),
        Rounding::Zero => one(d, a, f32::trunc),
        Rounding::Down => one(d, a, f32::floor),
        Rounding::Up => one(d, a, f32::ceil),
        Rounding::NearestAway => one(d, a, f32::round),
    }
}

for_each_isa! {
    /// d = op(a, b, c) with the mode's effects around it.
    pub(in super::super) fn float32(op: FloatOp, mode: FloatMode, d: &mut L32, a: &L32, b: &L32, c: &L32) {
        if !mode.ftz {
            arithmetic(op, mode.rounding, d, a, b, c);
        } else {
            let [mut x, mut y, mut z] = [L32::ZERO; 3];
            map1(&mut x, a, flush);
            map1(&mut y, b, flush);
            map1(&mut z, c, flush);
            let mut raw = L32::ZERO;
            arithmetic(op, mode.rounding, &mut raw, &x, &y, &z);
            map1(d, &raw, flush);
        }
        if mode.sat {
            let raw = *d;
            map1(d, &raw, |bits| {
                let value = f32::from_bits(bits);
                if value > 0.0 { value.min(1.0).to_bits() } else { 0 }
            });
        }
        if mode.relu {
            let raw = *d;
            map1(d, &raw, |bits| if bits & SIGN != 0 { 0 } else { bits });
        }
    }
}

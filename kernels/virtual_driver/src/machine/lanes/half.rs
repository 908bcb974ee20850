//! Operations on 16-bit floats, one or two in a lane.

use super::super::math::approx;
use super::super::math::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, fma_sticky};
use super::{L32, for_each_isa, map3};
use crate::isa::arith::{FloatMode, HalfOp, HalfType};

const NAN: u32 = 0x7FFF;

/// One of the two 16-bit formats.
trait Format: Copy {
    const INFINITY: u32;
    const ONE: u32;
    fn widen(bits: u32) -> f32;
    fn narrow(value: f32) -> u32;
}

#[derive(Clone, Copy)]
struct Ieee;
#[derive(Clone, Copy)]
struct Brain;

impl Format for Ieee {
    const INFINITY: u32 = 0x7C00;
    const ONE: u32 = 0x3C00;
    #[inline(always)]
    fn widen(bits: u32) -> f32 {
        f16_to_f32(bits)
    }
    #[inline(always)]
    fn narrow(value: f32) -> u32 {
        f32_to_f16(value)
    }
}

impl Format for Brain {
    const INFINITY: u32 = 0x7F80;
    const ONE: u32 = 0x3F80;
    #[inline(always)]
    fn widen(bits: u32) -> f32 {
        bf16_to_f32(bits)
    }
    #[inline(always)]
    fn narrow(value: f32) -> u32 {
        f32_to_bf16(value)
    }
}

#[inline(always)]
fn is_nan<F: Format>(bits: u32) -> bool {
    bits & 0x7FFF > F::INFINITY
}

#[inline(always)]
fn ordered(bits: u32) -> i32 {
    let signed = i32::from(bits as u16 as i16);
    signed ^ ((signed >> 31) & 0x7FFF)
}

#[inline(always)]
fn extreme<F: Format>(a: u32, b: u32, smaller: bool, nan_wins: bool) -> u32 {
    let picked = if (ordered(a) < ordered(b)) == smaller { a } else { b };
    let with_nan = if nan_wins {
        NAN
    } else if is_nan::<F>(a) {
        b
    } else {
        a
    };
    let any_nan = is_nan::<F>(a) | is_nan::<F>(b);
    let result = if any_nan { with_nan } else { picked };
    if is_nan::<F>(result) { NAN } else { result }
}

#[inline(always)]
fn xorsign<F: Format>(a: u32, b: u32, smaller: bool, nan_wins: bool) -> u32 {
    let magnitude = extreme::<F>(a & 0x7FFF, b & 0x7FFF, smaller, nan_wins);
    if is_nan::<F>(magnitude) { NAN } else { magnitude | ((a ^ b) & 0x8000) }
}

#[inline(always)]
fn flush<F: Format>(bits: u32) -> u32 {
    if bits & F::INFINITY == 0 { bits & 0x8000 } else { bits }
}

#[inline(always)]
fn finish<F: Format>(mode: FloatMode, bits: u32) -> u32 {
    let bits = if mode.ftz { flush::<F>(bits) } else { bits };
    let clamped = if bits & 0x8000 != 0 || is_nan::<F>(bits) { 0 } else { bits.min(F::ONE) };
    let bits = if mode.sat { clamped } else { bits };
    if mode.relu && bits & 0x8000 != 0 { 0 } else { bits }
}

/// Applies `f` to the one or two values of each lane.
#[inline(always)]
fn apply<F: Format>(
    pair: bool,
    mode: FloatMode,
    d: &mut L32,
    [a, b, c]: [&L32; 3],
    f: impl Fn(u32, u32, u32) -> u32,
) {
    let one = |a: u32, b: u32, c: u32| {
        let [a, b, c] = if mode.ftz { [flush::<F>(a), flush::<F>(b), flush::<F>(c)] } else { [a, b, c] };
        finish::<F>(mode, f(a, b, c))
    };
    if pair {
        map3(d, a, b, c, |a, b, c| {
            one(a & 0xFFFF, b & 0xFFFF, c & 0xFFFF) | (one(a >> 16, b >> 16, c >> 16) << 16)
        });
    } else {
        map3(d, a, b, c, |a, b, c| one(a & 0xFFFF, b & 0xFFFF, c & 0xFFFF));
    }
}

#[inline(always)]
fn operate<F: Format>(op: HalfOp, pair: bool, mode: FloatMode, d: &mut L32, sources: [&L32; 3]) {
    let w = F::widen;
    // A sum, difference or product of two 16-bit floats rounded first to f32 and then to 16 bits is rounded correctly:
    // f32 has more than twice the bits and two more.
    match op {
        HalfOp::Add => apply::<F>(pair, mode, d, sources, |a, b, _| F::narrow(w(a) + w(b))),
        HalfOp::Sub => apply::<F>(pair, mode, d, sources, |a, b, _| F::narrow(w(a) - w(b))),
        HalfOp::Mul => apply::<F>(pair, mode, d, sources, |a, b, _| F::narrow(w(a) * w(b))),
        HalfOp::Fma => apply::<F>(pair, mode, d, sources, |a, b, c| F::narrow(fma_sticky(w(a), w(b), w(c)))),
        HalfOp::Min => apply::<F>(pair, mode, d, sources, |a, b, _| extreme::<F>(a, b, true, false)),
        HalfOp::Max => apply::<F>(pair, mode, d, sources, |a, b, _| extreme::<F>(a, b, false, false)),
        HalfOp::MinNan => apply::<F>(pair, mode, d, sources, |a, b, _| extreme::<F>(a, b, true, true)),
        HalfOp::MaxNan => apply::<F>(pair, mode, d, sources, |a, b, _| extreme::<F>(a, b, false, true)),
        HalfOp::MinXorsign => apply::<F>(pair, mode, d, sources, |a, b, _| xorsign::<F>(a, b, true, false)),
        HalfOp::MaxXorsign => apply::<F>(pair, mode, d, sources, |a, b, _| xorsign::<F>(a, b, false, false)),
        HalfOp::MinNanXorsign => apply::<F>(pair, mode, d, sources, |a, b, _| xorsign::<F>(a, b, true, true)),
        HalfOp::MaxNanXorsign => {
            apply::<F>(pair, mode, d, sources, |a, b, _| xorsign::<F>(a, b, false, true))
        }
        HalfOp::Neg => {
            apply::<F>(pair, mode, d, sources, |a, _, _| if is_nan::<F>(a) { NAN } else { a ^ 0x8000 })
        }
        HalfOp::Abs => {
            apply::<F>(pair, mode, d, sources, |a, _, _| if is_nan::<F>(a) { NAN } else { a & 0x7FFF })
        }
        HalfOp::Ex2 => apply::<F>(pair, mode, d, sources, |a, _, _| F::narrow(approx::ex2(w(a)))),
        HalfOp::Tanh => apply::<F>(pair, mode, d, sources, |a, _, _| F::narrow(approx::tanh(w(a)))),
    }
}

for_each_isa! {
    /// d = op(a, b, c)
    pub(in super::super) fn half(op: HalfOp, ty: HalfType, mode: FloatMode, d: &mut L32, sources: [&L32; 3]) {
        match ty {
            HalfType::F16 => operate::<Ieee>(op, false, mode, d, sources),
            HalfType::F16x2 => operate::<Ieee>(op, true, mode, d, sources),
            HalfType::BF16 => operate::<Brain>(op, false, mode, d, sources),
            HalfType::BF16x2 => operate::<Brain>(op, true, mode, d, sources),
        }
    }
}

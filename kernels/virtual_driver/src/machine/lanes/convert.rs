//! Conversions: vector loops for the common ones, exact arithmetic lane by lane for the rest.

use super::super::math::exact::{self, Format};
use super::super::math::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use super::float32::flush;
use super::{L32, L64, LANES, for_each_isa, map1, map2};
use crate::isa::Scalar;
use crate::isa::arith::Rounding;
use crate::isa::convert::Conversion;

/// A register of either width.
pub(in super::super) enum Lanes {
    Narrow(L32),
    Wide(L64),
}

const FORMATS: &[(Scalar, Format)] = &[
    (Scalar::F32, exact::F32),
    (Scalar::F64, exact::F64),
    (Scalar::F16, exact::F16),
    (Scalar::BF16, exact::BF16),
    (Scalar::TF32, exact::TF32),
    (Scalar::F16x2, exact::F16),
    (Scalar::BF16x2, exact::BF16),
];

/// The format of a float, of one of a pair; none for integers.
fn format(scalar: Scalar) -> Option<Format> {
    FORMATS.iter().find(|(known, _)| *known == scalar).map(|&(_, format)| format)
}

/// Smallest and largest value of an integer type.
fn range(scalar: Scalar) -> (i128, i128) {
    let bits = scalar.bits();
    if scalar.is_signed() { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

fn int_value(scalar: Scalar, bits: u64) -> i128 {
    let shift = 64 - scalar.bits();
    if scalar.is_signed() {
        i128::from(((bits << shift) as i64) >> shift)
    } else {
        i128::from((bits << shift) >> shift)
    }
}

/// What a NaN becomes as an integer.
fn nan_as_int(from: Scalar, to: Scalar) -> i128 {
    if from == Scalar::F64 || matches!(to, Scalar::S64 | Scalar::U64) { 1 << (to.bits() - 1) } else { 0 }
}

fn float_result(how: Conversion, format: Format, bits: u64) -> u64 {
    let negative = matches!(
        format.decode(bits),
        exact::Value::Finite { negative: true, .. } | exact::Value::Infinite { negative: true }
    );
    let is_nan = format.decode(bits) == exact::Value::Nan;
    let one = format.round(Rounding::Nearest, false, 1, 0);
    let mut bits = bits;
    if how.sat {
        bits = if negative || is_nan { 0 } else { bits.min(one) };
    }
    if how.relu && negative {
        bits = 0;
    }
    if how.ftz && how.to == Scalar::F32 {
        bits = u64::from(flush(bits as u32));
    }
    if how.finite && bits & (format.sign_bit() - 1) == format.infinity(false) {
        bits -= 1;
    }
    if how.to != Scalar::TF32 {
        bits
    } else if is_nan {
        exact::F32.nan()
    } else {
        bits << 13
    }
}

/// One value, exactly. Signed results narrower than 32 bits come sign-extended to 32.
fn convert_one(how: Conversion, bits: u64) -> u64 {
    let bits = if how.ftz && how.from == Scalar::F32 { u64::from(flush(bits as u32)) } else { bits };
    let bits = if how.from.bytes() == 2 { bits & 0xFFFF } else { bits };
    match (format(how.from), format(how.to)) {
        (Some(from), Some(to)) => {
            let bits = if how.integral { round_integral(from, how.rounding, bits) } else { bits };
            float_result(how, to, exact::convert(from, to, how.rounding, bits))
        }
        (None, Some(to)) => {
            float_result(how, to, exact::from_int(to, how.rounding, int_value(how.from, bits)))
        }
        (Some(from), None) => {
            let (low, high) = range(how.to);
            let value = exact::to_int(from, how.rounding, bits)
                .map_or(nan_as_int(how.from, how.to), |value| value.clamp(low, high));
            int_value(how.to, value as u64) as u64
        }
        (None, None) => {
            let value = int_value(how.from, bits);
            let (low, high) = range(how.to);
            let value = if how.sat { value.clamp(low, high) } else { value };
            int_value(how.to, value as u64) as u64
        }
    }
}

fn round_integral(format: Format, mode: Rounding, bits: u64) -> u64 {
    let exact::Value::Finite { negative, .. } = format.decode(bits) else { return bits };
    match exact::to_int(format, mode, bits) {
        Some(0) => format.round(mode, negative, 0, 0),
        Some(value) if value.unsigned_abs() < 1 << 64 => exact::from_int(format, mode, value),
        // Large values are integral already.
        Some(_) | None => bits,
    }
}

/// Conversions without special cases, as vector loops; `false` where there is none.
#[inline(always)]
fn fast32(how: Conversion, d: &mut L32, a: &L32) -> bool {
    if how.sat || how.finite || how.ftz || how.relu || how.integral {
        return false;
    }
    let nearest = how.rounding == Rounding::Nearest;
    match (how.from, how.to) {
        (Scalar::F16, Scalar::F32) => map1(d, a, |a| nan_or(f16_to_f32(a & 0xFFFF))),
        (Scalar::BF16, Scalar::F32) => map1(d, a, |a| nan_or(bf16_to_f32(a & 0xFFFF))),
        (Scalar::F32, Scalar::F16) if nearest => map1(d, a, |a| f32_to_f16(f32::from_bits(a))),
        (Scalar::F32, Scalar::BF16) if nearest => map1(d, a, |a| f32_to_bf16(f32::from_bits(a))),
        (Scalar::F32, Scalar::TF32) if how.rounding == Rounding::NearestAway => map1(d, a, |a| {
            let rounded = a.wrapping_add(0x1000) & !0x1FFF;
            if a & 0x7FFF_FFFF > 0x7F80_0000 {
                0x7FFF_FFFF
            } else if a & 0x7FFF_FFFF == 0x7F80_0000 {
                a
            } else {
                rounded
            }
        }),
        (Scalar::S32, Scalar::F32) if nearest => map1(d, a, |a| (a as i32 as f32).to_bits()),
        (Scalar::U32, Scalar::F32) if nearest => map1(d, a, |a| (a as f32).to_bits()),
        (Scalar::F32, Scalar::S32) if how.rounding == Rounding::Zero => {
            map1(d, a, |a| f32::from_bits(a) as i32 as u32)
        }
        (Scalar::F32, Scalar::U32) if how.rounding == Rounding::Zero => {
            map1(d, a, |a| f32::from_bits(a) as u32)
        }
        (Scalar::F32, Scalar::S32) if nearest => {
            map1(d, a, |a| f32::from_bits(a).round_ties_even() as i32 as u32)
        }
        (Scalar::F32, Scalar::S32) if how.rounding == Rounding::Down => {
            map1(d, a, |a| f32::from_bits(a).floor() as i32 as u32)
        }
        (Scalar::F32, Scalar::S32) if how.rounding == Rounding::Up => {
            map1(d, a, |a| f32::from_bits(a).ceil() as i32 as u32)
        }
        (Scalar::U32 | Scalar::S32, Scalar::U16) => map1(d, a, |a| a & 0xFFFF),
        (Scalar::U32 | Scalar::S32 | Scalar::U16 | Scalar::S16, Scalar::U8) => map1(d, a, |a| a & 0xFF),
        (Scalar::U16, Scalar::U32 | Scalar::S32) => map1(d, a, |a| a & 0xFFFF),
        (Scalar::S16, Scalar::U32 | Scalar::S32) => map1(d, a, |a| i32::from(a as u16 as i16) as u32),
        (Scalar::U8, Scalar::U16 | Scalar::S16 | Scalar::U32 | Scalar::S32) => map1(d, a, |a| a & 0xFF),
        (Scalar::S8, Scalar::U32 | Scalar::S32) => map1(d, a, |a| i32::from(a as u8 as i8) as u32),
        _ => return false,
    }
    true
}

#[inline(always)]
fn nan_or(value: f32) -> u32 {
    if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits() }
}

for_each_isa! {
    /// Narrow to narrow.
    pub(in super::super) fn convert32(how: Conversion, d: &mut L32, a: &L32) {
        if !fast32(how, d, a) {
            let narrow = how.to.bits() < 32 && !how.to.is_signed();
            let mask = if narrow { (1_u32 << how.to.bits()) - 1 } else { u32::MAX };
            for i in 0..LANES {
                d.0[i] = convert_one(how, a.0[i].into()) as u32 & mask;
            }
        }
    }
}

for_each_isa! {
    /// Two f32 to a pair, the first in the high half.
    pub(in super::super) fn convert_pair(how: Conversion, d: &mut L32, a: &L32, b: &L32) {
        let plain = !how.relu && !how.sat && !how.finite && !how.ftz && how.rounding == Rounding::Nearest;
        if plain && how.to == Scalar::BF16x2 {
            map2(d, a, b, |a, b| f32_to_bf16(f32::from_bits(a)) << 16 | f32_to_bf16(f32::from_bits(b)));
        } else if plain && how.to == Scalar::F16x2 {
            map2(d, a, b, |a, b| f32_to_f16(f32::from_bits(a)) << 16 | f32_to_f16(f32::from_bits(b)));
        } else {
            map2(d, a, b, |a, b| (convert_one(how, a.into()) as u32) << 16 | convert_one(how, b.into()) as u32);
        }
    }
}

for_each_isa! {
    /// Where source, result or both have 64 bits.
    pub(in super::super) fn convert64(how: Conversion, a: &Lanes) -> Lanes {
        let plain = !how.sat && !how.ftz && !how.integral;
        let nearest = plain && how.rounding == Rounding::Nearest;
        let mut wide = L64::ZERO;
        let mut narrow = L32::ZERO;
        match (a, how.from, how.to) {
            (Lanes::Narrow(a), Scalar::U32, Scalar::U64 | Scalar::S64) => {
                for i in 0..LANES { wide.0[i] = a.0[i].into(); }
            }
            (Lanes::Narrow(a), Scalar::S32, Scalar::U64 | Scalar::S64) if !how.sat => {
                for i in 0..LANES { wide.0[i] = i64::from(a.0[i] as i32) as u64; }
            }
            (Lanes::Narrow(a), Scalar::F32, Scalar::F64) if plain => {
                for i in 0..LANES {
                    let value = f64::from(f32::from_bits(a.0[i]));
                    wide.0[i] = if value.is_nan() { 0x7FF8_0000_0000_0000 } else { value.to_bits() };
                }
            }
            (Lanes::Narrow(a), Scalar::S32, Scalar::F64) if nearest => {
                for i in 0..LANES { wide.0[i] = f64::from(a.0[i] as i32).to_bits(); }
            }
            (Lanes::Wide(a), Scalar::U64 | Scalar::S64, Scalar::U32 | Scalar::S32) if !how.sat => {
                for i in 0..LANES { narrow.0[i] = a.0[i] as u32; }
            }
            (Lanes::Wide(a), Scalar::F64, Scalar::F32) if nearest => {
                for i in 0..LANES { narrow.0[i] = nan_or(f64::from_bits(a.0[i]) as f32); }
            }
            _ => {
                let mask = if how.to.bits() < 32 && !how.to.is_signed() { (1 << how.to.bits()) - 1 } else { u64::MAX };
                for i in 0..LANES {
                    let bits = match a { Lanes::Narrow(a) => a.0[i].into(), Lanes::Wide(a) => a.0[i] };
                    wide.0[i] = convert_one(how, bits) & mask;
                    narrow.0[i] = wide.0[i] as u32;
                }
            }
        }
        if how.to.bytes() == 8 { Lanes::Wide(wide) } else { Lanes::Narrow(narrow) }
    }
}

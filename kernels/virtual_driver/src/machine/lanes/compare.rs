//! Comparisons: lanes to a mask.

use super::super::math::half::{bf16_to_f32, f16_to_f32};
use super::float32::flush;
use super::{L32, L64, LANES, for_each_isa};
use crate::isa::arith::{CompareType, Comparison, FloatClass, HalfType};

#[inline(always)]
fn lanes(holds: impl Fn(usize) -> bool) -> u32 {
    let mut mask = 0;
    for i in 0..LANES {
        mask |= u32::from(holds(i)) << i;
    }
    mask
}

#[inline(always)]
fn total<T: PartialOrd + Copy>(cmp: Comparison, a: impl Fn(usize) -> T, b: impl Fn(usize) -> T) -> u32 {
    match cmp {
        Comparison::Eq => lanes(|i| a(i) == b(i)),
        Comparison::Ne => lanes(|i| a(i) < b(i) || a(i) > b(i)),
        Comparison::Lt => lanes(|i| a(i) < b(i)),
        Comparison::Le => lanes(|i| a(i) <= b(i)),
        Comparison::Gt => lanes(|i| a(i) > b(i)),
        Comparison::Ge => lanes(|i| a(i) >= b(i)),
        Comparison::Equ => !lanes(|i| a(i) < b(i) || a(i) > b(i)),
        Comparison::Neu => lanes(|i| a(i) != b(i)),
        Comparison::Ltu => !lanes(|i| a(i) >= b(i)),
        Comparison::Leu => !lanes(|i| a(i) > b(i)),
        Comparison::Gtu => !lanes(|i| a(i) <= b(i)),
        Comparison::Geu => !lanes(|i| a(i) < b(i)),
        Comparison::Num => lanes(|i| a(i) >= b(i) || a(i) < b(i)),
        Comparison::Nan => !lanes(|i| a(i) >= b(i) || a(i) < b(i)),
    }
}

/// An IEEE half as an f32, zero if it is subnormal.
#[inline(always)]
fn f16_flushed(bits: u32) -> f32 {
    if bits & 0x7C00 == 0 { 0.0 } else { f16_to_f32(bits) }
}

for_each_isa! {
    /// Lanes where a cmp b; for pairs the low halves in the first mask, the high halves in the second.
    pub(in super::super) fn compare32(ty: CompareType, cmp: Comparison, ftz: bool, a: &L32, b: &L32) -> (u32, u32) {
        let one = |mask| (mask, 0);
        match ty {
            CompareType::U32 | CompareType::U64 => one(total(cmp, |i| a.0[i], |i| b.0[i])),
            CompareType::S32 | CompareType::S64 => one(total(cmp, |i| a.0[i] as i32, |i| b.0[i] as i32)),
            CompareType::F32 | CompareType::F64 if ftz => {
                one(total(cmp, |i| f32::from_bits(flush(a.0[i])), |i| f32::from_bits(flush(b.0[i]))))
            }
            CompareType::F32 | CompareType::F64 => one(total(cmp, |i| f32::from_bits(a.0[i]), |i| f32::from_bits(b.0[i]))),
            CompareType::Half(HalfType::F16 | HalfType::F16x2) if ftz => (
                total(cmp, |i| f16_flushed(a.0[i] & 0xFFFF), |i| f16_flushed(b.0[i] & 0xFFFF)),
                total(cmp, |i| f16_flushed(a.0[i] >> 16), |i| f16_flushed(b.0[i] >> 16)),
            ),
            CompareType::Half(HalfType::F16 | HalfType::F16x2) => (
                total(cmp, |i| f16_to_f32(a.0[i] & 0xFFFF), |i| f16_to_f32(b.0[i] & 0xFFFF)),
                total(cmp, |i| f16_to_f32(a.0[i] >> 16), |i| f16_to_f32(b.0[i] >> 16)),
            ),
            CompareType::Half(HalfType::BF16 | HalfType::BF16x2) => (
                total(cmp, |i| bf16_to_f32(a.0[i] & 0xFFFF), |i| bf16_to_f32(b.0[i] & 0xFFFF)),
                total(cmp, |i| bf16_to_f32(a.0[i] >> 16), |i| bf16_to_f32(b.0[i] >> 16)),
            ),
        }
    }
}

for_each_isa! {
    /// Lanes where a cmp b.
    pub(in super::super) fn compare64(ty: CompareType, cmp: Comparison, a: &L64, b: &L64) -> u32 {
        match ty {
            CompareType::S64 | CompareType::S32 => total(cmp, |i| a.0[i] as i64, |i| b.0[i] as i64),
            CompareType::F64 | CompareType::F32 => total(cmp, |i| f64::from_bits(a.0[i]), |i| f64::from_bits(b.0[i])),
            CompareType::U64 | CompareType::U32 | CompareType::Half(_) => total(cmp, |i| a.0[i], |i| b.0[i]),
        }
    }
}

#[inline(always)]
fn class_of(class: FloatClass, value: f64, is_normal: bool) -> bool {
    match class {
        FloatClass::Finite => value.is_finite(),
        FloatClass::Infinite => value.is_infinite(),
        FloatClass::Number => !value.is_nan(),
        FloatClass::NotANumber => value.is_nan(),
        // PTX counts zeros among the normal numbers.
        FloatClass::Normal => is_normal || value == 0.0,
        FloatClass::Subnormal => value.is_finite() && !is_normal && value != 0.0,
    }
}

/// Lanes whose f32 is of the class.
pub(in super::super) fn classify32(class: FloatClass, a: &L32) -> u32 {
    lanes(|i| class_of(class, f64::from(f32::from_bits(a.0[i])), f32::from_bits(a.0[i]).is_normal()))
}

/// Lanes whose f64 is of the class.
pub(in super::super) fn classify64(class: FloatClass, a: &L64) -> u32 {
    lanes(|i| class_of(class, f64::from_bits(a.0[i]), f64::from_bits(a.0[i]).is_normal()))
}

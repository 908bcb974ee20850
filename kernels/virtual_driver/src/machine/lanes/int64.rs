//! Integer operations on 64-bit lanes.

use super::{L32, L64, LANES, for_each_isa, map1_64, map2_64, map3_64};
use crate::isa::arith::IntOp;

#[inline(always)]
fn shl(a: u64, n: u64) -> u64 {
    if n & 0xFFFF_FFFF > 63 { 0 } else { a << (n & 63) }
}

#[inline(always)]
fn shr_u(a: u64, n: u64) -> u64 {
    if n & 0xFFFF_FFFF > 63 { 0 } else { a >> (n & 63) }
}

#[inline(always)]
fn field_mask(len: u64) -> u64 {
    if len > 63 { u64::MAX } else { (1 << (len & 63)) - 1 }
}

#[inline(always)]
fn bfe_s(a: u64, pos: u64, len: u64) -> u64 {
    let (pos, len) = (pos & 0xFF, len & 0xFF);
    let shifted = ((a as i64) >> pos.min(63)) as u64;
    let keep = 64 - len.clamp(1, 64);
    let extended = ((shifted << (keep & 63)) as i64 >> (keep & 63)) as u64;
    if len == 0 { 0 } else { extended }
}

#[inline(always)]
fn find_u(a: u64) -> u64 {
    if a == 0 { 0xFFFF_FFFF } else { 63 - u64::from(a.leading_zeros()) }
}

#[inline(always)]
fn find_s(a: u64) -> u64 {
    find_u(if (a as i64) < 0 { !a } else { a })
}

#[inline(always)]
fn as_shift(position: u64) -> u64 {
    if position == 0xFFFF_FFFF { position } else { 63 - position }
}

for_each_isa! {
    /// d = op(a, b, c). Operations without a 64-bit form copy a; lowering never asks for them.
    pub(in super::super) fn int64(op: IntOp, d: &mut L64, a: &L64, b: &L64, c: &L64) {
        match op {
            IntOp::Add => map2_64(d, a, b, u64::wrapping_add),
            IntOp::Sub => map2_64(d, a, b, u64::wrapping_sub),
            IntOp::MulLo => map2_64(d, a, b, u64::wrapping_mul),
            IntOp::MulHiS => map2_64(d, a, b, |a, b| ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64),
            IntOp::MulHiU => map2_64(d, a, b, |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64),
            IntOp::MadLo => map3_64(d, a, b, c, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
            IntOp::SadS => map3_64(d, a, b, c, |a, b, c| (a as i64).abs_diff(b as i64).wrapping_add(c)),
            IntOp::SadU => map3_64(d, a, b, c, |a, b, c| a.abs_diff(b).wrapping_add(c)),
            IntOp::DivS => map2_64(d, a, b, |a, b| if b == 0 { u64::MAX } else { (a as i64).wrapping_div(b as i64) as u64 }),
            IntOp::DivU => map2_64(d, a, b, |a, b| a.checked_div(b).unwrap_or(u64::MAX)),
            IntOp::RemS => map2_64(d, a, b, |a, b| if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 }),
            IntOp::RemU => map2_64(d, a, b, |a, b| a.checked_rem(b).unwrap_or(a)),
            IntOp::Abs => map1_64(d, a, |a| (a as i64).wrapping_abs() as u64),
            IntOp::Neg => map1_64(d, a, u64::wrapping_neg),
            IntOp::MinS => map2_64(d, a, b, |a, b| (a as i64).min(b as i64) as u64),
            IntOp::MinU => map2_64(d, a, b, u64::min),
            IntOp::MaxS => map2_64(d, a, b, |a, b| (a as i64).max(b as i64) as u64),
            IntOp::MaxU => map2_64(d, a, b, u64::max),
            IntOp::And => map2_64(d, a, b, |a, b| a & b),
            IntOp::Or => map2_64(d, a, b, |a, b| a | b),
            IntOp::Xor => map2_64(d, a, b, |a, b| a ^ b),
            IntOp::Not => map1_64(d, a, |a| !a),
            IntOp::Cnot => map1_64(d, a, |a| u64::from(a == 0)),
            IntOp::Shl => map2_64(d, a, b, shl),
            IntOp::ShrS => map2_64(d, a, b, |a, n| ((a as i64) >> (n & 0xFFFF_FFFF).min(63)) as u64),
            IntOp::ShrU => map2_64(d, a, b, shr_u),
            IntOp::BfeS => map3_64(d, a, b, c, bfe_s),
            IntOp::BfeU => map3_64(d, a, b, c, |a, pos, len| shr_u(a, pos & 0xFF) & field_mask(len & 0xFF)),
            IntOp::Popc => map1_64(d, a, |a| u64::from(a.count_ones())),
            IntOp::Clz => map1_64(d, a, |a| u64::from(a.leading_zeros())),
            IntOp::Brev => map1_64(d, a, u64::reverse_bits),
            IntOp::FindS => map1_64(d, a, find_s),
            IntOp::FindU => map1_64(d, a, find_u),
            IntOp::FindShiftS => map1_64(d, a, |a| as_shift(find_s(a))),
            IntOp::FindShiftU => map1_64(d, a, |a| as_shift(find_u(a))),
            IntOp::Sign8 => map1_64(d, a, |a| i64::from(a as u8 as i8) as u64),
            IntOp::Sign16 => map1_64(d, a, |a| i64::from(a as u16 as i16) as u64),
            IntOp::Sign32 => map1_64(d, a, |a| i64::from(a as u32 as i32) as u64),
            IntOp::Zero8 => map1_64(d, a, |a| a & 0xFF),
            IntOp::Zero16 => map1_64(d, a, |a| a & 0xFFFF),
            IntOp::Zero32 => map1_64(d, a, |a| a & 0xFFFF_FFFF),
            IntOp::AddSat | IntOp::SubSat | IntOp::Mul24LoS | IntOp::Mul24LoU | IntOp::Mul24HiS | IntOp::Mul24HiU => *d = *a,
            IntOp::Add16x2 | IntOp::MinS16x2 | IntOp::MinU16x2 | IntOp::MaxS16x2 | IntOp::MaxU16x2 => *d = *a,
            IntOp::FunnelLeftWrap | IntOp::FunnelLeftClamp | IntOp::FunnelRightWrap | IntOp::FunnelRightClamp => *d = *a,
            IntOp::Permute | IntOp::PermuteF4e | IntOp::PermuteB4e | IntOp::PermuteRc8 => *d = *a,
            IntOp::PermuteEcl | IntOp::PermuteEcr | IntOp::PermuteRc16 | IntOp::FindNth => *d = *a,
            IntOp::MaskClamp | IntOp::MaskWrap => *d = *a,
            IntOp::Dp4aSS | IntOp::Dp4aSU | IntOp::Dp4aUS | IntOp::Dp4aUU => *d = *a,
            IntOp::Dp2aLoSS | IntOp::Dp2aLoSU | IntOp::Dp2aLoUS | IntOp::Dp2aLoUU => *d = *a,
            IntOp::Dp2aHiSS | IntOp::Dp2aHiSU | IntOp::Dp2aHiUS | IntOp::Dp2aHiUU => *d = *a,
        }
    }
}

for_each_isa! {
    /// Inserts `len` low bits of a into b at `pos`.
    pub(in super::super) fn insert64(d: &mut L64, a: &L64, b: &L64, pos: &L32, len: &L32) {
        for i in 0..LANES {
            let (pos, len) = (u64::from(pos.0[i] & 0xFF), u64::from(len.0[i] & 0xFF));
            let mask = shl(field_mask(len), pos);
            d.0[i] = (shl(a.0[i], pos) & mask) | (b.0[i] & !mask);
        }
    }
}

for_each_isa! {
    /// 64-bit d = 32-bit a * b + c
    pub(in super::super) fn multiply_wide(signed: bool, d: &mut L64, a: &L32, b: &L32, c: &L64) {
        if signed {
            for i in 0..LANES {
                d.0[i] = (i64::from(a.0[i] as i32) * i64::from(b.0[i] as i32)).wrapping_add(c.0[i] as i64) as u64;
            }
        } else {
            for i in 0..LANES {
                d.0[i] = (u64::from(a.0[i]) * u64::from(b.0[i])).wrapping_add(c.0[i]);
            }
        }
    }
}

for_each_isa! {
    /// d = a ± b ± carry; returns the lanes that carry (or borrow).
    pub(in super::super) fn carry64(subtract: bool, d: &mut L64, a: &L64, b: &L64, carry: u32) -> u32 {
        let mut out = 0;
        for i in 0..LANES {
            let carry = u128::from(carry >> i & 1);
            let (a, b) = (u128::from(a.0[i]), u128::from(b.0[i]));
            let wide = if subtract { a.wrapping_sub(b).wrapping_sub(carry) } else { a + b + carry };
            d.0[i] = wide as u64;
            out |= u32::from(wide >> 64 != 0) << i;
        }
        out
    }
}

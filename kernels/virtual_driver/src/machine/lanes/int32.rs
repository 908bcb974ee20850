//! Integer operations on 32-bit lanes.

use super::{L32, LANES, for_each_isa, map1, map2, map3};
use crate::isa::arith::IntOp;

fn find_nth(mask: u32, base: u32, offset: i32) -> u32 {
    let set = |position: i64| (0..32).contains(&position) && mask >> position & 1 == 1;
    let base = i64::from(base);
    if offset == 0 {
        return if set(base) { base as u32 } else { u32::MAX };
    }
    let step = i64::from(offset.signum());
    let mut left = offset.unsigned_abs();
    let mut position = base;
    while (0..32).contains(&position) {
        if set(position) {
            left -= 1;
            if left == 0 {
                return position as u32;
            }
        }
        position += step;
    }
    u32::MAX
}

#[inline(always)]
fn permute(a: u32, b: u32, c: u32) -> u32 {
    let both = u64::from(b) << 32 | u64::from(a);
    let byte = |i: u32| {
        let selector = c >> (4 * i) & 0xF;
        let value = (both >> (8 * (selector & 7))) as u32 & 0xFF;
        let sign = if value & 0x80 != 0 { 0xFF } else { 0 };
        (if selector & 8 != 0 { sign } else { value }) << (8 * i)
    };
    byte(0) | byte(1) | byte(2) | byte(3)
}

/// The selector of a named permutation, by the two low bits of c.
fn named_permute(table: [u32; 4], c: u32) -> u32 {
    table[(c & 3) as usize]
}

#[inline(always)]
pub(super) fn shl(a: u32, n: u32) -> u32 {
    if n > 31 { 0 } else { a << (n & 31) }
}

#[inline(always)]
fn shr_u(a: u32, n: u32) -> u32 {
    if n > 31 { 0 } else { a >> (n & 31) }
}

#[inline(always)]
fn bfe_u(a: u32, pos: u32, len: u32) -> u32 {
    let (pos, len) = (pos & 0xFF, len & 0xFF);
    let mask = if len > 31 { u32::MAX } else { (1 << (len & 31)) - 1 };
    shr_u(a, pos) & mask
}

#[inline(always)]
fn bfe_s(a: u32, pos: u32, len: u32) -> u32 {
    let (pos, len) = (pos & 0xFF, len & 0xFF);
    // Bits beyond the top are copies of the sign, which is the field's top bit or bit 31.
    let shifted = ((a as i32) >> pos.min(31)) as u32;
    let keep = 32 - len.clamp(1, 32);
    let extended = ((shifted << (keep & 31)) as i32 >> (keep & 31)) as u32;
    if len == 0 { 0 } else { extended }
}

#[inline(always)]
fn bfi(a: u32, b: u32, pos: u32, len: u32) -> u32 {
    let (pos, len) = (pos & 0xFF, len & 0xFF);
    let mask = shl(if len > 31 { u32::MAX } else { (1 << (len & 31)) - 1 }, pos);
    (shl(a, pos) & mask) | (b & !mask)
}

#[inline(always)]
fn find_s(a: u32) -> u32 {
    find_u(if (a as i32) < 0 { !a } else { a })
}

#[inline(always)]
fn find_u(a: u32) -> u32 {
    31_u32.wrapping_sub(a.leading_zeros())
}

#[inline(always)]
fn as_shift(position: u32) -> u32 {
    if position == u32::MAX { position } else { 31 - position }
}

#[inline(always)]
fn byte(word: u32, index: u32, signed: bool) -> i32 {
    let value = word >> (8 * index) & 0xFF;
    if signed { i32::from(value as u8 as i8) } else { value as i32 }
}

#[inline(always)]
fn half(word: u32, index: u32, signed: bool) -> i32 {
    let value = word >> (16 * index) & 0xFFFF;
    if signed { i32::from(value as u16 as i16) } else { value as i32 }
}

#[inline(always)]
fn dp4a(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
    (0..4).fold(c, |sum, i| sum.wrapping_add(byte(a, i, a_signed).wrapping_mul(byte(b, i, b_signed)) as u32))
}

#[inline(always)]
fn dp2a(a: u32, b: u32, c: u32, high: u32, a_signed: bool, b_signed: bool) -> u32 {
    (0..2).fold(c, |sum, i| {
        sum.wrapping_add(half(a, i, a_signed).wrapping_mul(byte(b, i + 2 * high, b_signed)) as u32)
    })
}

#[inline(always)]
fn halves(a: u32, b: u32, f: impl Fn(u32, u32) -> u32) -> u32 {
    (f(a & 0xFFFF, b & 0xFFFF) & 0xFFFF) | (f(a >> 16, b >> 16) << 16)
}

#[inline(always)]
fn signed(bits: u32) -> i32 {
    i32::from(bits as u16 as i16)
}

#[inline(always)]
fn mul24_s(a: u32, b: u32) -> i64 {
    let wide = |x: u32| i64::from((x << 8) as i32 >> 8);
    wide(a) * wide(b)
}

#[inline(always)]
fn mul24_u(a: u32, b: u32) -> u64 {
    u64::from(a & 0xFF_FFFF) * u64::from(b & 0xFF_FFFF)
}

for_each_isa! {
    /// d = op(a, b, c)
    pub(in super::super) fn int32(op: IntOp, d: &mut L32, a: &L32, b: &L32, c: &L32) {
        match op {
            IntOp::Add => map2(d, a, b, u32::wrapping_add),
            IntOp::Sub => map2(d, a, b, u32::wrapping_sub),
            IntOp::AddSat => map2(d, a, b, |a, b| (a as i32).saturating_add(b as i32) as u32),
            IntOp::SubSat => map2(d, a, b, |a, b| (a as i32).saturating_sub(b as i32) as u32),
            IntOp::MulLo => map2(d, a, b, u32::wrapping_mul),
            IntOp::MulHiS => map2(d, a, b, |a, b| ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32),
            IntOp::MulHiU => map2(d, a, b, |a, b| ((u64::from(a) * u64::from(b)) >> 32) as u32),
            IntOp::MadLo => map3(d, a, b, c, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
            IntOp::Mul24LoS => map2(d, a, b, |a, b| mul24_s(a, b) as u32),
            IntOp::Mul24LoU => map2(d, a, b, |a, b| mul24_u(a, b) as u32),
            IntOp::Mul24HiS => map2(d, a, b, |a, b| (mul24_s(a, b) >> 16) as u32),
            IntOp::Mul24HiU => map2(d, a, b, |a, b| (mul24_u(a, b) >> 16) as u32),
            IntOp::SadS => map3(d, a, b, c, |a, b, c| (a as i32).abs_diff(b as i32).wrapping_add(c)),
            IntOp::SadU => map3(d, a, b, c, |a, b, c| a.abs_diff(b).wrapping_add(c)),
            IntOp::DivS => map2(d, a, b, |a, b| if b == 0 { u32::MAX } else { (a as i32).wrapping_div(b as i32) as u32 }),
            IntOp::DivU => map2(d, a, b, |a, b| a.checked_div(b).unwrap_or(u32::MAX)),
            IntOp::RemS => map2(d, a, b, |a, b| if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 }),
            IntOp::RemU => map2(d, a, b, |a, b| a.checked_rem(b).unwrap_or(a)),
            IntOp::Abs => map1(d, a, |a| (a as i32).wrapping_abs() as u32),
            IntOp::Neg => map1(d, a, u32::wrapping_neg),
            IntOp::MinS => map2(d, a, b, |a, b| (a as i32).min(b as i32) as u32),
            IntOp::MinU => map2(d, a, b, u32::min),
            IntOp::MaxS => map2(d, a, b, |a, b| (a as i32).max(b as i32) as u32),
            IntOp::MaxU => map2(d, a, b, u32::max),
            IntOp::Add16x2 => map2(d, a, b, |a, b| halves(a, b, u32::wrapping_add)),
            IntOp::MinS16x2 => map2(d, a, b, |a, b| halves(a, b, |a, b| signed(a).min(signed(b)) as u32)),
            IntOp::MinU16x2 => map2(d, a, b, |a, b| halves(a, b, u32::min)),
            IntOp::MaxS16x2 => map2(d, a, b, |a, b| halves(a, b, |a, b| signed(a).max(signed(b)) as u32)),
            IntOp::MaxU16x2 => map2(d, a, b, |a, b| halves(a, b, u32::max)),
            IntOp::And => map2(d, a, b, |a, b| a & b),
            IntOp::Or => map2(d, a, b, |a, b| a | b),
            IntOp::Xor => map2(d, a, b, |a, b| a ^ b),
            IntOp::Not => map1(d, a, |a| !a),
            IntOp::Cnot => map1(d, a, |a| u32::from(a == 0)),
            IntOp::Shl => map2(d, a, b, shl),
            IntOp::ShrS => map2(d, a, b, |a, n| ((a as i32) >> n.min(31)) as u32),
            IntOp::ShrU => map2(d, a, b, shr_u),
            IntOp::FunnelLeftWrap => map3(d, a, b, c, |a, b, c| (((u64::from(b) << 32 | u64::from(a)) << (c & 31)) >> 32) as u32),
            IntOp::FunnelLeftClamp => map3(d, a, b, c, |a, b, c| (((u64::from(b) << 32 | u64::from(a)) << c.min(32)) >> 32) as u32),
            IntOp::FunnelRightWrap => map3(d, a, b, c, |a, b, c| ((u64::from(b) << 32 | u64::from(a)) >> (c & 31)) as u32),
            IntOp::FunnelRightClamp => map3(d, a, b, c, |a, b, c| ((u64::from(b) << 32 | u64::from(a)) >> c.min(32)) as u32),
            IntOp::Permute => map3(d, a, b, c, permute),
            IntOp::PermuteF4e => map3(d, a, b, c, |a, b, c| permute(a, b, named_permute([0x3210, 0x4321, 0x5432, 0x6543], c))),
            IntOp::PermuteB4e => map3(d, a, b, c, |a, b, c| permute(a, b, named_permute([0x5670, 0x6701, 0x7012, 0x0123], c))),
            IntOp::PermuteRc8 => map3(d, a, b, c, |a, b, c| permute(a, b, named_permute([0x0000, 0x1111, 0x2222, 0x3333], c))),
            IntOp::PermuteEcl => map3(d, a, b, c, |a, b, c| permute(a, b, named_permute([0x3210, 0x3211, 0x3222, 0x3333], c))),
            IntOp::PermuteEcr => map3(d, a, b, c, |a, b, c| permute(a, b, named_permute([0x0000, 0x1110, 0x2210, 0x3210], c))),
            IntOp::PermuteRc16 => map3(d, a, b, c, |a, b, c| permute(a, b, named_permute([0x1010, 0x3232, 0x1010, 0x3232], c))),
            IntOp::BfeS => map3(d, a, b, c, bfe_s),
            IntOp::BfeU => map3(d, a, b, c, bfe_u),
            IntOp::MaskClamp => map2(d, a, b, |pos, len| shl(if len > 31 { u32::MAX } else { (1 << (len & 31)) - 1 }, pos)),
            IntOp::MaskWrap => map2(d, a, b, |pos, len| ((1_u32 << (len & 31)) - 1) << (pos & 31)),
            IntOp::Popc => map1(d, a, u32::count_ones),
            IntOp::Clz => map1(d, a, u32::leading_zeros),
            IntOp::Brev => map1(d, a, u32::reverse_bits),
            IntOp::FindS => map1(d, a, find_s),
            IntOp::FindU => map1(d, a, find_u),
            IntOp::FindShiftS => map1(d, a, |a| as_shift(find_s(a))),
            IntOp::FindShiftU => map1(d, a, |a| as_shift(find_u(a))),
            IntOp::FindNth => map3(d, a, b, c, |a, b, c| find_nth(a, b, c as i32)),
            IntOp::Dp4aSS => map3(d, a, b, c, |a, b, c| dp4a(a, b, c, true, true)),
            IntOp::Dp4aSU => map3(d, a, b, c, |a, b, c| dp4a(a, b, c, true, false)),
            IntOp::Dp4aUS => map3(d, a, b, c, |a, b, c| dp4a(a, b, c, false, true)),
            IntOp::Dp4aUU => map3(d, a, b, c, |a, b, c| dp4a(a, b, c, false, false)),
            IntOp::Dp2aLoSS => map3(d, a, b, c, |a, b, c| dp2a(a, b, c, 0, true, true)),
            IntOp::Dp2aLoSU => map3(d, a, b, c, |a, b, c| dp2a(a, b, c, 0, true, false)),
            IntOp::Dp2aLoUS => map3(d, a, b, c, |a, b, c| dp2a(a, b, c, 0, false, true)),
            IntOp::Dp2aLoUU => map3(d, a, b, c, |a, b, c| dp2a(a, b, c, 0, false, false)),
            IntOp::Dp2aHiSS => map3(d, a, b, c, |a, b, c| dp2a(a, b, c, 1, true, true)),
            IntOp::Dp2aHiSU => map3(d, a, b, c, |a, b, c| dp2a(a, b, c, 1, true, false)),
            IntOp::Dp2aHiUS => map3(d, a, b, c, |a, b, c| dp2a(a, b, c, 1, false, true)),
            IntOp::Dp2aHiUU => map3(d, a, b, c, |a, b, c| dp2a(a, b, c, 1, false, false)),
            IntOp::Sign8 => map1(d, a, |a| i32::from(a as u8 as i8) as u32),
            IntOp::Sign16 => map1(d, a, |a| i32::from(a as u16 as i16) as u32),
            IntOp::Zero8 => map1(d, a, |a| a & 0xFF),
            IntOp::Zero16 => map1(d, a, |a| a & 0xFFFF),
            IntOp::Sign32 | IntOp::Zero32 => *d = *a,
        }
    }
}

for_each_isa! {
    /// Inserts `len` low bits of a into b at `pos`.
    pub(in super::super) fn insert32(d: &mut L32, a: &L32, b: &L32, pos: &L32, len: &L32) {
        for i in 0..LANES {
            d.0[i] = bfi(a.0[i], b.0[i], pos.0[i], len.0[i]);
        }
    }
}

for_each_isa! {
    /// Any logic of three inputs: bit 4a+2b+c of the table.
    pub(in super::super) fn lop3(table: u8, d: &mut L32, a: &L32, b: &L32, c: &L32) {
        let term = |bit: u32| if table >> bit & 1 == 1 { u32::MAX } else { 0 };
        let terms: [u32; 8] = std::array::from_fn(|bit| term(bit as u32));
        map3(d, a, b, c, |a, b, c| {
            (!a & !b & !c & terms[0])
                | (!a & !b & c & terms[1])
                | (!a & b & !c & terms[2])
                | (!a & b & c & terms[3])
                | (a & !b & !c & terms[4])
                | (a & !b & c & terms[5])
                | (a & b & !c & terms[6])
                | (a & b & c & terms[7])
        });
    }
}

for_each_isa! {
    /// d = a ± b ± carry; returns the lanes that carry (or borrow).
    pub(in super::super) fn carry32(subtract: bool, d: &mut L32, a: &L32, b: &L32, carry: u32) -> u32 {
        let mut out = 0;
        for i in 0..LANES {
            let carry = u64::from(carry >> i & 1);
            let (a, b) = (u64::from(a.0[i]), u64::from(b.0[i]));
            let wide = if subtract { a.wrapping_sub(b).wrapping_sub(carry) } else { a + b + carry };
            d.0[i] = wide as u32;
            out |= u32::from(wide >> 32 != 0) << i;
        }
        out
    }
}

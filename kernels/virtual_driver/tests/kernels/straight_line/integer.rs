//! Integer arithmetic, computed in 128 bits.

use super::instruction::{Choice, Instruction, bits, is_signed, ones};

const INTEGERS: &[&str] = &["u16", "s16", "u32", "s32", "u64", "s64"];
const WIDE: &[&str] = &["u32", "s32", "u64", "s64"];

/// The number that the low bits stand for.
pub(crate) fn number(ty: &str, value: u64) -> i128 {
    let low = i128::from(value & ones(bits(ty)));
    if is_signed(ty) && low >> (bits(ty) - 1) != 0 { low - (1 << bits(ty)) } else { low }
}

/// The low bits of a number.
pub(crate) fn wrapped(ty: &str, value: i128) -> u64 {
    value as u64 & ones(bits(ty))
}

/// The nearest number that the type holds.
pub(crate) fn clamped(ty: &str, value: i128) -> i128 {
    let count = bits(ty);
    if is_signed(ty) {
        value.clamp(-(1 << (count - 1)), (1 << (count - 1)) - 1)
    } else {
        value.clamp(0, (1 << count) - 1)
    }
}

/// `opcode.ty d, ...` where all operands have the type and the result wraps.
fn uniform(
    opcode: &str,
    ty: &'static str,
    sources: usize,
    run: impl Fn(&[i128]) -> i128 + 'static,
) -> Instruction {
    Instruction::plain(format!("{opcode}.{ty}"), ty, &vec![ty; sources], move |sources| {
        let numbers: Vec<i128> = sources.iter().map(|&source| number(ty, source)).collect();
        wrapped(ty, run(&numbers))
    })
}

pub(crate) fn two_sources(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(INTEGERS);
    let all_ones = |by: i128, value: i128| if by == 0 { -1 } else { value };
    match choice.below(7) {
        0 => uniform("add", ty, 2, |v| v[0] + v[1]),
        1 => uniform("sub", ty, 2, |v| v[0] - v[1]),
        2 => uniform("min", ty, 2, |v| v[0].min(v[1])),
        3 => uniform("max", ty, 2, |v| v[0].max(v[1])),
        4 => uniform("div", ty, 2, move |v| all_ones(v[1], v[0].checked_div(v[1]).unwrap_or(0))),
        5 => uniform("rem", ty, 2, |v| v[0].checked_rem(v[1]).unwrap_or(v[0])),
        _ if choice.flag() => uniform("add.sat", "s32", 2, |v| clamped("s32", v[0] + v[1])),
        _ => uniform("sub.sat", "s32", 2, |v| clamped("s32", v[0] - v[1])),
    }
}

pub(crate) fn one_source(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["s16", "s32", "s64"]);
    if choice.flag() { uniform("abs", ty, 1, |v| v[0].abs()) } else { uniform("neg", ty, 1, |v| -v[0]) }
}

pub(crate) fn sad(choice: &mut Choice<'_>) -> Instruction {
    uniform("sad", choice.of(INTEGERS), 3, |v| v[2] + (v[0] - v[1]).abs())
}

/// The high half of a product.
fn high(ty: &str, product: i128) -> i128 {
    product >> bits(ty)
}

/// Exact product of two numbers of the type; 64-bit ones need the unsigned 128 bits too, of which the low ones agree.
fn product(v: &[i128]) -> i128 {
    v[0].wrapping_mul(v[1])
}

/// The high half, also where the product of two unsigned 64-bit numbers passes 2^127.
fn high_product(ty: &str, v: &[i128]) -> i128 {
    if ty == "u64" { ((v[0] as u128 * v[1] as u128) >> 64) as i128 } else { high(ty, product(v)) }
}

pub(crate) fn products(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(INTEGERS);
    match choice.below(7) {
        0 => uniform("mul.lo", ty, 2, product),
        1 => uniform("mul.hi", ty, 2, move |v| high_product(ty, v)),
        2 => uniform("mad.lo", ty, 3, |v| product(v).wrapping_add(v[2])),
        3 => uniform("mad.hi", ty, 3, move |v| high_product(ty, v) + v[2]),
        4 => uniform("mad.hi.sat", "s32", 3, |v| clamped("s32", high("s32", product(v)) + v[2])),
        5 => wide_product(choice, false),
        _ => wide_product(choice, true),
    }
}

fn wide_product(choice: &mut Choice<'_>, has_sum: bool) -> Instruction {
    let (ty, wide) = choice.of(&[("u16", "u32"), ("s16", "s32"), ("u32", "u64"), ("s32", "s64")]);
    let opcode = if has_sum { "mad.wide" } else { "mul.wide" };
    let from: &[&str] = if has_sum { &[ty, ty, wide] } else { &[ty, ty] };
    Instruction::plain(format!("{opcode}.{ty}"), wide, from, move |s| {
        let sum = s.get(2).map_or(0, |&c| number(wide, c));
        wrapped(wide, number(ty, s[0]) * number(ty, s[1]) + sum)
    })
}

/// The low 24 bits as a number.
fn low24(ty: &str, value: i128) -> i128 {
    let low = value & 0xFF_FFFF;
    if is_signed(ty) && low >= 0x80_0000 { low - 0x100_0000 } else { low }
}

pub(crate) fn products24(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["u32", "s32"]);
    let product = move |v: &[i128]| low24(ty, v[0]) * low24(ty, v[1]);
    match choice.below(5) {
        0 => uniform("mul24.lo", ty, 2, product),
        1 => uniform("mul24.hi", ty, 2, move |v| product(v) >> 16),
        2 => uniform("mad24.lo", ty, 3, move |v| product(v) + v[2]),
        3 => uniform("mad24.hi", ty, 3, move |v| (product(v) >> 16) + v[2]),
        _ => {
            let product = |v: &[i128]| low24("s32", v[0]) * low24("s32", v[1]);
            uniform("mad24.hi.sat", "s32", 3, move |v| clamped("s32", (product(v) >> 16) + v[2]))
        }
    }
}

/// Two halves, each by itself.
pub(crate) fn pairs(choice: &mut Choice<'_>) -> Instruction {
    let (ty, half) = choice.of(&[("u16x2", "u16"), ("s16x2", "s16")]);
    let (opcode, f) = choice.of(&[
        ("add", (|a, b| a + b) as fn(i128, i128) -> i128),
        ("min", |a, b| a.min(b)),
        ("max", |a, b| a.max(b)),
    ]);
    Instruction::plain(format!("{opcode}.{ty}"), ty, &[ty, ty], move |s| {
        let part = |at: u32| wrapped(half, f(number(half, s[0] >> at), number(half, s[1] >> at))) << at;
        part(0) | part(16)
    })
}

/// Sums with the carry flag: what goes in, what comes out.
pub(crate) fn carries(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(WIDE);
    let unsigned = if bits(ty) == 32 { "u32" } else { "u64" };
    let (opcode, takes, sets) = choice.of(&[
        ("add.cc", false, true),
        ("addc", true, false),
        ("addc.cc", true, true),
        ("sub.cc", false, true),
        ("subc", true, false),
        ("subc.cc", true, true),
        ("mad.lo.cc", false, true),
        ("mad.hi.cc", false, true),
        ("madc.lo", true, false),
        ("madc.hi", true, false),
        ("madc.lo.cc", true, true),
        ("madc.hi.cc", true, true),
    ]);
    let has_product = opcode.starts_with("mad");
    let from = vec![ty; if has_product { 3 } else { 2 }];
    let text = format!("{opcode}.{ty} $d0, $s0, $s1{};", if has_product { ", $s2" } else { "" });
    Instruction::new(text, &[ty], &from, move |s, side| {
        let v: Vec<i128> = s.iter().map(|&source| number(ty, source)).collect();
        let (a, b) = match (has_product, opcode.contains("hi")) {
            (false, _) => (s[0], s[1]),
            (true, false) => (wrapped(ty, product(&v)), s[2]),
            (true, true) => (wrapped(ty, high_product(ty, &v)), s[2]),
        };
        let (a, b) = (number(unsigned, a), number(unsigned, b));
        let carry = i128::from(takes && side.carry);
        let result = if opcode.starts_with("sub") { a - b - carry } else { a + b + carry };
        if sets {
            side.carry = result >> bits(ty) != 0;
        }
        vec![wrapped(ty, result)]
    })
}

/// Dot products of bytes, or of halves and bytes.
pub(crate) fn dot_products(choice: &mut Choice<'_>) -> Instruction {
    let (a_type, b_type) = (choice.of(&["u32", "s32"]), choice.of(&["u32", "s32"]));
    let sum = if is_signed(a_type) || is_signed(b_type) { "s32" } else { "u32" };
    let narrow = |ty: &str, count: u32| match (is_signed(ty), count) {
        (true, 8) => "s8",
        (false, 8) => "u8",
        (true, _) => "s16",
        (false, _) => "u16",
    };
    let byte_a = narrow(a_type, 8);
    let (half_a, byte_b) = (narrow(a_type, 16), narrow(b_type, 8));
    if choice.flag() {
        return Instruction::plain(format!("dp4a.{a_type}.{b_type}"), sum, &["b32", "b32", sum], move |s| {
            let products = (0..4).map(|i| number(byte_a, s[0] >> (8 * i)) * number(byte_b, s[1] >> (8 * i)));
            wrapped(sum, products.sum::<i128>() + number(sum, s[2]))
        });
    }
    let (word, skip) = choice.of(&[("lo", 0), ("hi", 16)]);
    Instruction::plain(format!("dp2a.{word}.{a_type}.{b_type}"), sum, &["b32", "b32", sum], move |s| {
        let products =
            (0..2).map(|i| number(half_a, s[0] >> (16 * i)) * number(byte_b, s[1] >> (skip + 8 * i)));
        wrapped(sum, products.sum::<i128>() + number(sum, s[2]))
    })
}

//! Conversions between numbers of all types.

use std::cmp::Ordering;

use super::floating::{After, ROUNDINGS};
use super::instruction::{Choice, Instruction, bits, is_signed, ones};
use super::integer::{clamped, number, wrapped};
use super::natural::Natural;
use super::real::{BF16, F16, F32, F64, Format, Real, Rounding, TF32, round_to};

const NARROW: &[&str] = &["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"];
const FLOATS: &[(&str, Format)] = &[("f16", F16), ("bf16", BF16), ("f32", F32), ("f64", F64)];
const TO_INTEGER: &[(&str, Rounding)] = &[
    (".rni", Rounding::NearestEven),
    (".rzi", Rounding::Zero),
    (".rmi", Rounding::Down),
    (".rpi", Rounding::Up),
];

/// A register type at least as wide as the type.
fn container(choice: &mut Choice<'_>, ty: &str) -> &'static str {
    let all = ["b16", "b32", "b64"];
    let least = all.iter().position(|c| bits(c) >= bits(ty)).unwrap();
    choice.of(&all[least..])
}

/// A number of type `ty` extended to the register it is written to.
fn extended(ty: &str, register: &str, value: u64) -> u64 {
    wrapped(register, number(ty, value))
}

pub(crate) fn integer_to_integer(choice: &mut Choice<'_>) -> Instruction {
    let (to, from) = (choice.of(NARROW), choice.of(NARROW));
    let sat = choice.maybe(".sat");
    let (d, a) = (container(choice, to), container(choice, from));
    Instruction::plain(format!("cvt{sat}.{to}.{from}"), d, &[a], move |s| {
        let value = number(from, s[0]);
        let value = if sat.is_empty() { value } else { clamped(to, value) };
        extended(to, d, wrapped(to, value))
    })
    .registers_only()
}

pub(crate) fn integer_to_float(choice: &mut Choice<'_>) -> Instruction {
    let ((to, format), from) = (choice.of(FLOATS), choice.of(NARROW));
    let (word, rounding) = choice.of(&ROUNDINGS[1..]);
    let sat = to != "bf16" && choice.below(4) == 0;
    let a = container(choice, from);
    let after = After { rounding, sat, ..After::NOTHING };
    let text = format!("cvt{word}{}.{to}.{from}", if sat { ".sat" } else { "" });
    Instruction::plain(text, to, &[a], move |s| {
        let value = number(from, s[0]);
        after.apply(format, &Real::Finite(value < 0, Natural::from(value.unsigned_abs() as u64), 0))
    })
    .registers_only()
}

/// The real rounded to a whole number.
fn whole(real: &Real, rounding: Rounding) -> Real {
    match real {
        Real::Finite(negative, magnitude, power) if *power < 0 => {
            Real::Finite(*negative, round_to(magnitude, *power, *negative, rounding), 0)
        }
        Real::Finite(..) | Real::Infinite(_) | Real::Nan => real.clone(),
    }
}

/// A whole number clamped to the type; NaN becomes zero, or the top bit where 64 bits take part.
fn to_integer(ty: &'static str, from_f64: bool, real: &Real) -> u64 {
    let (least, most) = (clamped(ty, i128::MIN), clamped(ty, i128::MAX));
    let value = match real {
        Real::Nan => return if from_f64 || bits(ty) == 64 { 1 << (bits(ty) - 1) } else { 0 },
        Real::Infinite(negative) => {
            if *negative {
                least
            } else {
                most
            }
        }
        Real::Finite(negative, magnitude, power) => {
            let digits = magnitude.up(*power as usize);
            let limit = Natural::from(1).up(64);
            let size =
                if digits.compare(&limit) == Ordering::Less { digits.to_u64().into() } else { 1 << 64 };
            clamped(ty, if *negative { -size } else { size })
        }
    };
    wrapped(ty, value)
}

pub(crate) fn float_to_integer(choice: &mut Choice<'_>) -> Instruction {
    let (to, (from, format)) = (choice.of(NARROW), choice.of(FLOATS));
    let (word, rounding) = choice.of(TO_INTEGER);
    let ftz = from == "f32" && choice.flag();
    let sat = choice.maybe(".sat");
    let d = container(choice, to);
    let text = format!("cvt{word}{}{sat}.{to}.{from}", if ftz { ".ftz" } else { "" });
    Instruction::plain(text, d, &[from], move |s| {
        let real = format.read(if ftz { format.flushed(s[0]) } else { s[0] });
        extended(to, d, to_integer(to, from == "f64", &whole(&real, rounding)))
    })
}

pub(crate) fn float_to_float(choice: &mut Choice<'_>) -> Instruction {
    let ((to, to_format), (from, from_format)) = (choice.of(FLOATS), choice.of(FLOATS));
    let same = to == from;
    let exact = same || from == "f16" && to != "bf16" || from == "bf16" && to != "f16" || to == "f64";
    let rounds_whole = same && choice.flag();
    let (word, rounding) = match (rounds_whole, exact) {
        (true, _) => choice.of(TO_INTEGER),
        (false, true) => ("", Rounding::NearestEven),
        (false, false) => choice.of(&ROUNDINGS[1..]),
    };
    let ftz = (to == "f32" || from == "f32") && choice.flag();
    let sat = to != "bf16" && choice.below(4) == 0;
    let after = After { rounding, ftz: ftz && to == "f32", sat, relu: false };
    let text =
        format!("cvt{word}{}{}.{to}.{from}", if ftz { ".ftz" } else { "" }, if sat { ".sat" } else { "" });
    Instruction::plain(text, to, &[from], move |s| {
        let bits = if ftz && from == "f32" { from_format.flushed(s[0]) } else { s[0] };
        let real = from_format.read(bits);
        after.apply(to_format, &if rounds_whole { whole(&real, rounding) } else { real })
    })
}

/// One number to 16 bits with the modifiers of the newer forms: rectified, or clamped to what is finite.
fn narrowed(format: Format, rounding: Rounding, relu: bool, finite: bool, bits: u64) -> u64 {
    let after = After { rounding, relu, ..After::NOTHING };
    let result = after.apply(format, &F32.read(bits));
    let is_infinite = result & !format.sign() == format.infinity();
    if finite && is_infinite { result - 1 } else { result }
}

pub(crate) fn narrowing(choice: &mut Choice<'_>) -> Instruction {
    let (to, pair, format) = choice.of(&[("f16", "f16x2", F16), ("bf16", "bf16x2", BF16)]);
    let (word, rounding) = choice.of(&ROUNDINGS[1..3]);
    let (relu, finite) = (choice.maybe(".relu"), choice.maybe(".satfinite"));
    let one = move |bits: u64| narrowed(format, rounding, !relu.is_empty(), !finite.is_empty(), bits);
    if choice.flag() {
        return Instruction::plain(format!("cvt{word}{relu}{finite}.{to}.f32"), to, &["f32"], move |s| {
            one(s[0])
        });
    }
    let text = format!("cvt{word}{relu}{finite}.{pair}.f32");
    Instruction::plain(text, pair, &["f32", "f32"], move |s| one(s[0]) << 16 | one(s[1]))
}

pub(crate) fn to_tf32(choice: &mut Choice<'_>) -> Instruction {
    let (word, rounding) = choice.of(&[
        (".rna", Rounding::NearestAway),
        (".rn", Rounding::NearestEven),
        (".rz", Rounding::Zero),
    ]);
    Instruction::plain(format!("cvt{word}.tf32.f32"), "b32", &["f32"], move |s| {
        let bits = TF32.write(&F32.read(s[0]), rounding);
        if TF32.is_nan(bits) { F32.nan() } else { bits << 13 }
    })
}

pub(crate) fn packed(choice: &mut Choice<'_>) -> Instruction {
    let to = choice.of(&["u16", "s16", "u8", "s8"]);
    let count = bits(to);
    let pair = move |s: &[u64]| {
        let part = |value: u64| wrapped(to, clamped(to, number("s32", value)));
        part(s[0]) << count | part(s[1])
    };
    if count == 16 {
        return Instruction::plain(format!("cvt.pack.sat.{to}.s32"), "b32", &["s32", "s32"], pair);
    }
    Instruction::plain(format!("cvt.pack.sat.{to}.s32.b32"), "b32", &["s32", "s32", "b32"], move |s| {
        (s[2] << 16 | pair(s)) & ones(32)
    })
}

/// Whether a type is signed decides how narrow numbers are extended; a sanity check of the helpers themselves.
#[test]
fn containers_extend_by_sign() {
    assert!(is_signed("s8"));
    assert_eq!(extended("s8", "b32", 0x80), 0xFFFF_FF80);
    assert_eq!(extended("u8", "b64", 0x80), 0x80);
}

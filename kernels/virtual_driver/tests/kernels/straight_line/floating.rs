//! Floating-point arithmetic: exact results, rounded once, then flushed, clamped or rectified as the text says.

use std::cmp::Ordering;

use super::instruction::{Choice, Instruction, ones};
use super::real::{BF16, F16, F32, F64, Format, Real, Rounding};

/// A type, its format, and whether it is a pair.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Float {
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    pub(crate) is_pair: bool,
}

const fn float(name: &'static str, format: Format, is_pair: bool) -> Float {
    Float { name, format, is_pair }
}

pub(crate) const SINGLE: Float = float("f32", F32, false);
pub(crate) const DOUBLE: Float = float("f64", F64, false);
pub(crate) const HALVES: &[Float] = &[
    float("f16", F16, false),
    float("f16x2", F16, true),
    float("bf16", BF16, false),
    float("bf16x2", BF16, true),
];
const ALL: &[Float] = &[SINGLE, SINGLE, DOUBLE, HALVES[0], HALVES[1], HALVES[2], HALVES[3]];

/// What is done to a result.
#[derive(Clone, Copy)]
pub(crate) struct After {
    pub(crate) rounding: Rounding,
    pub(crate) ftz: bool,
    pub(crate) sat: bool,
    pub(crate) relu: bool,
}

impl After {
    pub(crate) const NOTHING: After =
        After { rounding: Rounding::NearestEven, ftz: false, sat: false, relu: false };

    /// The modifiers as PTX orders them.
    fn words(self, rounding: &str) -> String {
        let word = |on: bool, text: &'static str| if on { text } else { "" };
        format!("{rounding}{}{}{}", word(self.ftz, ".ftz"), word(self.sat, ".sat"), word(self.relu, ".relu"))
    }

    pub(crate) fn apply(self, format: Format, real: &Real) -> u64 {
        self.finish(format, format.write(real, self.rounding))
    }

    /// Flushes, clamps to [0, 1] with NaN as zero, rectifies with NaN kept.
    pub(crate) fn finish(self, format: Format, bits: u64) -> u64 {
        let bits = if self.ftz { format.flushed(bits) } else { bits };
        let is_negative = bits & format.sign() != 0;
        if self.sat {
            let is_zero = format.is_nan(bits) || is_negative;
            return if is_zero { 0 } else { bits.min(format.one()) };
        }
        if self.relu && is_negative && !format.is_nan(bits) { 0 } else { bits }
    }
}

pub(crate) const ROUNDINGS: &[(&str, Rounding)] = &[
    ("", Rounding::NearestEven),
    (".rn", Rounding::NearestEven),
    (".rz", Rounding::Zero),
    (".rm", Rounding::Down),
    (".rp", Rounding::Up),
];

/// Modifiers that the type has: roundings for f32 and f64, flushing for f32 and f16, clamping for all but f64 and bf16.
fn modifiers(choice: &mut Choice<'_>, ty: Float, needs_rounding: bool) -> (After, String) {
    let roundings = if ty.format == F32 || ty.format == F64 { ROUNDINGS } else { &ROUNDINGS[..2] };
    let (word, rounding) = choice.of(&roundings[usize::from(needs_rounding)..]);
    let ftz = (ty.format == F32 || ty.format == F16) && choice.flag();
    let sat = (ty.format == F32 || ty.format == F16) && choice.below(4) == 0;
    let after = After { rounding, ftz, sat, relu: false };
    (after, after.words(word))
}

/// Applies `f` to one number, or to both halves of a pair.
fn each(ty: Float, sources: &[u64], f: impl Fn(&[u64]) -> u64) -> u64 {
    if !ty.is_pair {
        return f(sources);
    }
    let part = |at: u32| f(&sources.iter().map(|s| s >> at & ones(16)).collect::<Vec<u64>>()) << at;
    part(0) | part(16)
}

/// An operation on bits of one number.
fn bitwise(
    opcode: String,
    ty: Float,
    sources: usize,
    f: impl Fn(&[u64]) -> u64 + Copy + 'static,
) -> Instruction {
    Instruction::plain(opcode, ty.name, &vec![ty.name; sources], move |s| each(ty, s, f))
}

/// An exact operation with its modifiers.
fn exact(
    opcode: &str,
    ty: Float,
    (after, words): (After, String),
    sources: usize,
    f: impl Fn(&[Real], Rounding) -> Real + Copy + 'static,
) -> Instruction {
    bitwise(format!("{opcode}{words}.{}", ty.name), ty, sources, move |s| {
        let read = |&bits: &u64| ty.format.read(if after.ftz { ty.format.flushed(bits) } else { bits });
        let reals: Vec<Real> = s.iter().map(read).collect();
        after.apply(ty.format, &f(&reals, after.rounding))
    })
}

pub(crate) fn arithmetic(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(ALL);
    let which = choice.below(3);
    let modifiers = modifiers(choice, ty, false);
    match which {
        0 => exact("add", ty, modifiers, 2, |v, rounding| v[0].plus(&v[1], rounding)),
        1 => exact("sub", ty, modifiers, 2, |v, rounding| v[0].plus(&v[1].clone().negated(), rounding)),
        _ => exact("mul", ty, modifiers, 2, |v, _| v[0].times(&v[1])),
    }
}

pub(crate) fn fma(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(ALL);
    let is_wide = ty == SINGLE || ty == DOUBLE;
    let opcode = if is_wide { choice.of(&["fma", "mad"]) } else { "fma" };
    let (mut after, mut words) = modifiers(choice, ty, true);
    if !is_wide && !after.sat && choice.flag() {
        after.relu = true;
        words = after.words(".rn");
    }
    exact(opcode, ty, (after, words), 3, |v, rounding| v[0].times(&v[1]).plus(&v[2], rounding))
}

pub(crate) fn division(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&[SINGLE, DOUBLE]);
    let which = choice.below(3);
    let (word, rounding) = choice.of(&ROUNDINGS[1..]);
    let after = After { rounding, ftz: ty == SINGLE && choice.flag(), ..After::NOTHING };
    let modifiers = (after, after.words(word));
    match which {
        0 => exact("div", ty, modifiers, 2, |v, _| v[0].over(&v[1])),
        1 => exact("rcp", ty, modifiers, 1, |v, _| F64.read(F64.one()).over(&v[0])),
        _ => exact("sqrt", ty, modifiers, 1, |v, _| v[0].root()),
    }
}

/// PTX leaves open which NaN comes out of `abs` and `neg`; this machine gives the one of all other operations.
pub(crate) fn signs(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(ALL);
    let format = ty.format;
    let ftz = (format == F32 || format == F16) && choice.flag();
    let word = if ftz { ".ftz" } else { "" };
    let number = move |bits: u64, result: fn(u64, u64) -> u64| {
        let bits = if ftz { format.flushed(bits) } else { bits };
        if format.is_nan(bits) { format.nan() } else { result(bits, format.sign()) }
    };
    match choice.below(3) {
        0 => {
            let opcode = format!("abs{word}.{}", ty.name);
            bitwise(opcode, ty, 1, move |s| number(s[0], |bits, sign| bits & !sign))
        }
        1 => {
            bitwise(format!("neg{word}.{}", ty.name), ty, 1, move |s| number(s[0], |bits, sign| bits ^ sign))
        }
        _ => {
            let ty = choice.of(&[SINGLE, DOUBLE]);
            let sign = ty.format.sign();
            bitwise(format!("copysign.{}", ty.name), ty, 2, move |s| s[0] & sign | s[1] & !sign)
        }
    }
}

/// `min` and `max` as the manual's pseudo-code has them.
pub(crate) fn extremes(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(ALL);
    let format = ty.format;
    let is_max = choice.flag();
    let ftz = (format == F32 || format == F16) && choice.flag();
    let (nan_wins, xorsign) = if ty == DOUBLE { (false, false) } else { (choice.flag(), choice.flag()) };
    let word = |on: bool, text: &'static str| if on { text } else { "" };
    let opcode = format!(
        "{}{}{}{}.{}",
        if is_max { "max" } else { "min" },
        word(ftz, ".ftz"),
        word(nan_wins, ".NaN"),
        word(xorsign, ".xorsign.abs"),
        ty.name
    );
    bitwise(opcode, ty, 2, move |s| {
        let flushed = |bits: u64| if ftz { format.flushed(bits) } else { bits };
        let (mut a, mut b) = (flushed(s[0]), flushed(s[1]));
        let sign = (a ^ b) & format.sign();
        if xorsign {
            (a, b) = (a & !format.sign(), b & !format.sign());
        }
        let (a_nan, b_nan) = (format.is_nan(a), format.is_nan(b));
        if a_nan && b_nan || nan_wins && (a_nan || b_nan) {
            return format.nan();
        }
        let a_first = match (a_nan, b_nan) {
            (true, _) => false,
            (_, true) => true,
            (false, false) => is_less(format, a, b) != is_max,
        };
        let chosen = if a_first { a } else { b };
        if xorsign { chosen | sign } else { chosen }
    })
}

/// Order in which -0 is less than +0.
fn is_less(format: Format, a: u64, b: u64) -> bool {
    match format.read(a).compare(&format.read(b)) {
        Some(Ordering::Equal) => a & format.sign() != 0,
        order => order == Some(Ordering::Less),
    }
}

pub(crate) fn classes(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&[SINGLE, DOUBLE]);
    let format = ty.format;
    let class = choice.of(&["finite", "infinite", "number", "notanumber", "normal", "subnormal"]);
    Instruction::plain(format!("testp.{class}.{}", ty.name), "pred", &[ty.name], move |s| {
        let magnitude = s[0] & (format.sign() - 1);
        let holds = match class {
            "finite" => magnitude < format.infinity(),
            "infinite" => magnitude == format.infinity(),
            "number" => magnitude <= format.infinity(),
            "notanumber" => magnitude > format.infinity(),
            // PTX counts zero among the normal numbers.
            "normal" => magnitude < format.infinity() && !format.is_subnormal(magnitude),
            _ => format.is_subnormal(magnitude),
        };
        holds.into()
    })
}

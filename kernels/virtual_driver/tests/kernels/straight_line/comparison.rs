//! Comparisons, and choices made by them.

use std::cmp::Ordering;

use super::floating::{DOUBLE, Float, HALVES, SINGLE};
use super::instruction::{Choice, Instruction, bits, is_signed, ones};
use super::integer::number;

const FLOAT_COMPARISONS: &[&str] =
    &["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"];

fn holds(comparison: &str, order: Option<Ordering>) -> bool {
    let Some(order) = order else { return comparison.ends_with('u') || comparison == "nan" };
    match comparison.trim_end_matches('u') {
        "eq" => order.is_eq(),
        "ne" | "ne_" => order.is_ne(),
        "lt" | "lo" => order.is_lt(),
        "le" | "ls" => order.is_le(),
        "gt" | "hi" => order.is_gt(),
        "ge" | "hs" => order.is_ge(),
        other => other == "num",
    }
}

/// What two operands are compared as.
#[derive(Clone, Copy)]
enum Compared {
    Integer(&'static str),
    Float(Float, bool),
}

impl Compared {
    fn name(self) -> &'static str {
        match self {
            Compared::Integer(name) => name,
            Compared::Float(ty, _) => ty.name,
        }
    }

    fn choose(choice: &mut Choice<'_>) -> (Compared, &'static str, &'static str) {
        match choice.below(3) {
            0 => {
                let ty = choice.of(&["s16", "s32", "s64"]);
                (Compared::Integer(ty), choice.of(&["eq", "ne", "lt", "le", "gt", "ge"]), "")
            }
            1 => {
                let ty = choice.of(&["u16", "u32", "u64", "b16", "b32", "b64"]);
                let all = &["eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"];
                (Compared::Integer(ty), choice.of(&all[..if ty.starts_with('b') { 2 } else { 10 }]), "")
            }
            _ => {
                let ty = choice.of(&[SINGLE, DOUBLE, HALVES[0], HALVES[1], HALVES[2], HALVES[3]]);
                let ftz = matches!(ty.name, "f32" | "f16" | "f16x2") && choice.flag();
                let word = if ftz { ".ftz" } else { "" };
                (Compared::Float(ty, ftz), choice.of(FLOAT_COMPARISONS), word)
            }
        }
    }

    /// The comparison of the lower, or of the only number, and of the upper.
    fn test(self, comparison: &str, a: u64, b: u64) -> [bool; 2] {
        match self {
            Compared::Integer(ty) => [holds(comparison, Some(number(ty, a).cmp(&number(ty, b)))), false],
            Compared::Float(ty, ftz) => [0, 16].map(|at| {
                if at > 0 && !ty.is_pair {
                    return false;
                }
                let read = |bits: u64| {
                    let bits = if ty.is_pair { bits >> at & ones(16) } else { bits };
                    ty.format.read(if ftz { ty.format.flushed(bits) } else { bits })
                };
                holds(comparison, read(a).compare(&read(b)))
            }),
        }
    }

    fn is_pair(self) -> bool {
        matches!(self, Compared::Float(ty, _) if ty.is_pair)
    }
}

fn combined(logic: &str, test: bool, with: u64) -> bool {
    match logic {
        ".and" => test && with == 1,
        ".or" => test || with == 1,
        ".xor" => test != (with == 1),
        _ => test,
    }
}

pub(crate) fn setp(choice: &mut Choice<'_>) -> Instruction {
    let (compared, comparison, ftz) = Compared::choose(choice);
    let logic = choice.of(&["", "", ".and", ".or", ".xor"]);
    let ty = compared.name();
    let (negation, source) = if logic.is_empty() { ("", "") } else { (choice.maybe("!"), ", ") };
    let third = if logic.is_empty() { String::new() } else { format!("{source}{negation}$s2") };
    let has_two = compared.is_pair() || choice.flag();
    let mut from = vec![ty, ty];
    if !logic.is_empty() {
        from.push("pred");
    }
    let results = if has_two { "$d0|$d1" } else { "$d0" };
    let text = format!("setp.{comparison}{logic}{ftz}.{ty} {results}, $s0, $s1{third};");
    let to = if has_two { vec!["pred"; 2] } else { vec!["pred"] };
    Instruction::new(text, &to, &from, move |s, _| {
        let [low, high] = compared.test(comparison, s[0], s[1]);
        let with = s.get(2).map_or(0, |p| p ^ u64::from(negation == "!"));
        // The second result is that of the upper half, or the complement of the comparison.
        let second = if compared.is_pair() { high } else { !low };
        let results = [combined(logic, low, with).into(), combined(logic, second, with).into()];
        results[..if has_two { 2 } else { 1 }].to_vec()
    })
}

/// What `set` may write for what it compares.
fn set_results(compared: Compared) -> &'static [&'static str] {
    match compared {
        Compared::Float(ty, _) => match ty.name {
            "f16" => &["f16", "u16", "s16", "u32", "s32"],
            "bf16" => &["bf16", "u16", "s16", "u32", "s32"],
            "f16x2" => &["f16x2", "u32", "s32"],
            "bf16x2" => &["bf16x2", "u32", "s32"],
            _ => &["u32", "s32", "f32"],
        },
        Compared::Integer(_) => &["u32", "s32", "f32"],
    }
}

pub(crate) fn set(choice: &mut Choice<'_>) -> Instruction {
    let (compared, comparison, ftz) = Compared::choose(choice);
    let result = choice.of(set_results(compared));
    let logic = choice.of(&["", "", ".and", ".or", ".xor"]);
    let ty = compared.name();
    let (third, from) = if logic.is_empty() { ("", vec![ty, ty]) } else { (", $s2", vec![ty, ty, "pred"]) };
    let text = format!("set.{comparison}{logic}{ftz}.{result}.{ty} $d0, $s0, $s1{third};");
    Instruction::new(text, &[result], &from, move |s, _| {
        let with = s.get(2).copied().unwrap_or(0);
        let [low, high] = compared.test(comparison, s[0], s[1]).map(|test| combined(logic, test, with));
        let one = match result {
            "f32" => 0x3F80_0000,
            "f16" | "f16x2" => 0x3C00,
            "bf16" | "bf16x2" => 0x3F80,
            _ if compared.is_pair() => 0xFFFF,
            other => ones(bits(other)),
        };
        let high = compared.is_pair() && high;
        vec![(u64::from(low) * one) | ((u64::from(high) * one) << 16)]
    })
}

pub(crate) fn selp(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["b16", "b32", "b64", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"]);
    Instruction::plain(format!("selp.{ty}"), ty, &[ty, ty, "pred"], |s| if s[2] == 1 { s[0] } else { s[1] })
}

pub(crate) fn slct(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["b16", "b32", "b64", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"]);
    let (by, ftz) = choice.of(&[("s32", ""), ("f32", ""), ("f32", ".ftz")]);
    Instruction::plain(format!("slct{ftz}.{ty}.{by}"), ty, &[ty, ty, by], move |s| {
        let format = SINGLE.format;
        let takes_first = if is_signed(by) {
            number(by, s[2]) >= 0
        } else {
            let c = if ftz.is_empty() { s[2] } else { format.flushed(s[2]) };
            // -0 is not less than 0; a NaN is not at least 0.
            !format.is_nan(c) && (c & format.sign() == 0 || c == format.sign())
        };
        if takes_first { s[0] } else { s[1] }
    })
}

//! Moves between registers of different widths, and through local memory.

use super::instruction::{Choice, Instruction, bits, ones};
use super::integer::{number, wrapped};

pub(crate) fn mov(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["b16", "b32", "b64", "u16", "s32", "u64", "f32", "f64", "pred"]);
    Instruction::plain(format!("mov.{ty}"), ty, &[ty], |s| s[0])
}

const SPLITS: &[(&str, &str, usize)] = &[("b32", "b16", 2), ("b64", "b32", 2), ("b64", "b16", 4)];

fn list(letter: char, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("${letter}{i}")).collect();
    format!("{{{}}}", names.join(", "))
}

pub(crate) fn packing(choice: &mut Choice<'_>) -> Instruction {
    let (whole, part, count) = choice.of(SPLITS);
    if choice.flag() {
        let text = format!("mov.{whole} $d0, {};", list('s', count));
        return Instruction::new(text, &[whole], &vec![part; count], move |s, _| {
            vec![s.iter().enumerate().map(|(i, value)| value << (i as u32 * bits(part))).sum()]
        })
        .registers_only();
    }
    let text = format!("mov.{whole} {}, $s0;", list('d', count));
    Instruction::new(text, &vec![part; count], &[whole], move |s, _| {
        (0..count).map(|i| s[0] >> (i as u32 * bits(part)) & ones(bits(part))).collect()
    })
    .registers_only()
}

/// Type of an access, how many of it, and an aligned place in the array.
fn place(choice: &mut Choice<'_>) -> (&'static str, usize, usize) {
    let ty = choice.of(&["u8", "s8", "b8", "u16", "s16", "b16", "u32", "s32", "f32", "u64", "s64", "f64"]);
    let width = bits(ty) as usize / 8;
    let count = choice.of(&[1, 1, 2, if width < 8 { 4 } else { 2 }]);
    let at = choice.below(32 / (width * count)) * width * count;
    (ty, count, at)
}

fn vector(count: usize) -> String {
    if count == 1 { String::new() } else { format!(".v{count}") }
}

/// A register type that may hold the type: as wide, or wider for integers.
fn register(choice: &mut Choice<'_>, ty: &'static str) -> &'static str {
    if ty.starts_with('f') {
        return ty;
    }
    let all = ["b16", "b32", "b64"];
    let least = all.iter().position(|c| bits(c) >= bits(ty)).unwrap();
    choice.of(&all[least..])
}

pub(crate) fn store(choice: &mut Choice<'_>) -> Instruction {
    let (ty, count, at) = place(choice);
    let from = register(choice, ty);
    let values = if count == 1 { "$s0".to_owned() } else { list('s', count) };
    let text = format!("st.local{}.{ty} [m+{at}], {values};", vector(count));
    let width = bits(ty) as usize / 8;
    Instruction::new(text, &[], &vec![from; count], move |s, side| {
        for (i, value) in s.iter().enumerate() {
            side.memory[at + i * width..][..width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        Vec::new()
    })
    .registers_only()
}

pub(crate) fn load(choice: &mut Choice<'_>) -> Instruction {
    let (ty, count, at) = place(choice);
    let to = register(choice, ty);
    let values = if count == 1 { "$d0".to_owned() } else { list('d', count) };
    let text = format!("ld.local{}.{ty} {values}, [m+{at}];", vector(count));
    let width = bits(ty) as usize / 8;
    Instruction::new(text, &vec![to; count], &[], move |_, side| {
        let value = |i: usize| {
            let mut bytes = [0; 8];
            bytes[..width].copy_from_slice(&side.memory[at + i * width..][..width]);
            let value = u64::from_le_bytes(bytes);
            wrapped(to, number(ty, value))
        };
        (0..count).map(value).collect()
    })
}

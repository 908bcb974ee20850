//! Bits: counts, fields, masks, logic, shifts, bytes picked.

use super::instruction::{Choice, Instruction, bits, is_signed, ones};
use super::integer::number;

fn is_set(value: u64, at: i64) -> bool {
    (0..64).contains(&at) && value >> at & 1 == 1
}

/// A number whose bit `i` is `f(i)`.
fn gathered(count: u32, f: impl Fn(u32) -> bool) -> u64 {
    (0..count).map(|i| u64::from(f(i)) << i).sum()
}

pub(crate) fn counts(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["b32", "b64"]);
    let count = bits(ty);
    match choice.below(3) {
        0 => Instruction::plain(format!("popc.{ty}"), "u32", &[ty], |s| {
            (0..64).filter(|&i| is_set(s[0], i)).count() as u64
        }),
        1 => Instruction::plain(format!("clz.{ty}"), "u32", &[ty], move |s| {
            (0..count).rev().take_while(|&i| !is_set(s[0], i.into())).count() as u64
        }),
        _ => Instruction::plain(format!("brev.{ty}"), ty, &[ty], move |s| {
            gathered(count, |i| is_set(s[0], (count - 1 - i).into()))
        }),
    }
}

pub(crate) fn bfind(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["u32", "s32", "u64", "s64"]);
    let shift = choice.maybe(".shiftamt");
    let top = i64::from(bits(ty)) - 1;
    Instruction::plain(format!("bfind{shift}.{ty}"), "u32", &[ty], move |s| {
        let wanted = !(is_signed(ty) && is_set(s[0], top));
        let found = (0..=top).rev().find(|&i| is_set(s[0], i) == wanted);
        found.map_or(0xFFFF_FFFF, |i| if shift.is_empty() { i } else { top - i } as u64)
    })
}

pub(crate) fn fns(_: &mut Choice<'_>) -> Instruction {
    Instruction::plain("fns.b32", "b32", &["b32", "b32", "s32"], |s| {
        let offset = number("s32", s[2]);
        let base = i64::from(s[1] as u32);
        let missing = 0xFFFF_FFFF;
        if base > 31 {
            return missing;
        }
        if offset == 0 {
            return if is_set(s[0], base) { s[1] } else { missing };
        }
        let places: Vec<i64> = if offset > 0 { (base..32).collect() } else { (0..=base).rev().collect() };
        let mut set = places.into_iter().filter(|&i| is_set(s[0], i));
        set.nth(offset.unsigned_abs() as usize - 1).map_or(missing, |i| i as u64)
    })
}

pub(crate) fn bfe(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["u32", "s32", "u64", "s64"]);
    Instruction::plain(format!("bfe.{ty}"), ty, &[ty, "u32", "u32"], move |s| {
        let (top, pos, len) = (i64::from(bits(ty)) - 1, (s[1] & 0xFF) as i64, (s[2] & 0xFF) as i64);
        let sign = is_signed(ty) && len != 0 && is_set(s[0], (pos + len - 1).min(top));
        gathered(bits(ty), |i| {
            let i = i64::from(i);
            if i < len && pos + i <= top { is_set(s[0], pos + i) } else { sign }
        })
    })
}

pub(crate) fn bfi(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["b32", "b64"]);
    Instruction::plain(format!("bfi.{ty}"), ty, &[ty, ty, "u32", "u32"], move |s| {
        let (pos, len) = ((s[2] & 0xFF) as i64, (s[3] & 0xFF) as i64);
        gathered(bits(ty), |i| {
            let from = i64::from(i) - pos;
            if (0..len).contains(&from) { is_set(s[0], from) } else { is_set(s[1], i.into()) }
        })
    })
}

/// `bmsk` and `szext`, which treat numbers of 32 and more alike.
pub(crate) fn masks(choice: &mut Choice<'_>) -> Instruction {
    let mode = choice.of(&["clamp", "wrap"]);
    let clamps = mode == "clamp";
    if choice.flag() {
        return Instruction::plain(format!("bmsk.{mode}.b32"), "b32", &["u32", "u32"], move |s| {
            let pos = if clamps { s[0].min(32) } else { s[0] % 32 };
            let len = if clamps { s[1].min(32) } else { s[1] % 32 };
            gathered(32, |i| u64::from(i) >= pos && u64::from(i) < pos + len)
        });
    }
    let ty = choice.of(&["u32", "s32"]);
    Instruction::plain(format!("szext.{mode}.{ty}"), ty, &[ty, "u32"], move |s| {
        let len = if clamps { s[1].min(32) } else { s[1] % 32 };
        let sign = is_signed(ty) && len != 0 && is_set(s[0], len as i64 - 1);
        gathered(32, |i| if u64::from(i) < len { is_set(s[0], i.into()) } else { sign })
    })
}

pub(crate) fn logic(choice: &mut Choice<'_>) -> Instruction {
    let ty = choice.of(&["b16", "b32", "b64", "pred"]);
    let all = ones(bits(ty));
    match choice.below(5) {
        0 => Instruction::plain(format!("and.{ty}"), ty, &[ty, ty], |s| s[0] & s[1]),
        1 => Instruction::plain(format!("or.{ty}"), ty, &[ty, ty], |s| s[0] | s[1]),
        2 => Instruction::plain(format!("xor.{ty}"), ty, &[ty, ty], |s| s[0] ^ s[1]),
        3 if ty != "pred" => Instruction::plain(format!("cnot.{ty}"), ty, &[ty], |s| u64::from(s[0] == 0)),
        _ => Instruction::plain(format!("not.{ty}"), ty, &[ty], move |s| !s[0] & all),
    }
}

pub(crate) fn lop3(choice: &mut Choice<'_>) -> Instruction {
    let table = u64::from(choice.byte());
    let run = move |s: &[u64]| {
        gathered(32, |i| {
            let at = |n: usize| u64::from(is_set(s[n], i.into()));
            is_set(table, (at(0) << 2 | at(1) << 1 | at(2)) as i64)
        })
    };
    let from = &["b32", "b32", "b32"];
    if choice.flag() {
        let text = format!("lop3.b32 $d0, $s0, $s1, $s2, {table};");
        return Instruction::new(text, &["b32"], from, move |s, _| vec![run(s)]);
    }
    let is_or = choice.flag();
    let word = if is_or { "or" } else { "and" };
    let text = format!("lop3.{word}.b32 $d0|$d1, $s0, $s1, $s2, {table}, $s3;");
    Instruction::new(text, &["b32", "pred"], &["b32", "b32", "b32", "pred"], move |s, _| {
        let d = run(s);
        let some = d != 0;
        let p = if is_or { some || s[3] == 1 } else { some && s[3] == 1 };
        vec![d, p.into()]
    })
    .registers_only()
}

pub(crate) fn shifts(choice: &mut Choice<'_>) -> Instruction {
    if choice.flag() {
        let ty = choice.of(&["b16", "b32", "b64"]);
        return Instruction::plain(format!("shl.{ty}"), ty, &[ty, "u32"], move |s| {
            gathered(bits(ty), |i| is_set(s[0], i64::from(i) - s[1] as i64))
        });
    }
    let ty = choice.of(&["b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64"]);
    let top = i64::from(bits(ty)) - 1;
    Instruction::plain(format!("shr.{ty}"), ty, &[ty, "u32"], move |s| {
        gathered(bits(ty), |i| {
            let from = i64::from(i) + s[1] as i64;
            if from <= top { is_set(s[0], from) } else { is_signed(ty) && is_set(s[0], top) }
        })
    })
}

pub(crate) fn funnel(choice: &mut Choice<'_>) -> Instruction {
    let (side, mode) = (choice.of(&["l", "r"]), choice.of(&["clamp", "wrap"]));
    Instruction::plain(format!("shf.{side}.{mode}.b32"), "b32", &["b32", "b32", "u32"], move |s| {
        let n = if mode == "clamp" { s[2].min(32) } else { s[2] % 32 } as i64;
        let both = s[1] << 32 | s[0];
        let skip = if side == "l" { 32 - n } else { n };
        gathered(32, |i| is_set(both, i64::from(i) + skip))
    })
}

/// Which byte of b:a goes to place `i`, and whether only its sign does.
fn picked(mode: &str, control: u64, i: u64) -> (u64, bool) {
    let n = control & 3;
    match mode {
        ".f4e" => (n + i, false),
        ".b4e" => ((n + 8 - i) % 8, false),
        ".rc8" => (n, false),
        ".ecl" => (i.max(n), false),
        ".ecr" => (i.min(n), false),
        ".rc16" => ((n & 1) * 2 + i % 2, false),
        _ => (control >> (4 * i) & 7, control >> (4 * i) & 8 != 0),
    }
}

pub(crate) fn prmt(choice: &mut Choice<'_>) -> Instruction {
    let mode = choice.of(&["", "", "", ".f4e", ".b4e", ".rc8", ".ecl", ".ecr", ".rc16"]);
    Instruction::plain(format!("prmt.b32{mode}"), "b32", &["b32", "b32", "b32"], move |s| {
        let both = s[1] << 32 | s[0];
        let byte = |i: u64| {
            let (from, only_sign) = picked(mode, s[2], i);
            let byte = both >> (8 * from) & 0xFF;
            if only_sign { (byte >> 7) * 0xFF } else { byte }
        };
        (0..4).map(|i| byte(i) << (8 * i)).sum()
    })
}

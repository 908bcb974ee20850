//! Random straight-line programs against a small evaluator of their own.
//!
//! The evaluator knows one thread and plain Rust arithmetic; it shares nothing with the machine. Programs mix 32- and
//! 64-bit registers and guards, and read their inputs by lane, so that lanes differ.

use proptest::prelude::*;

use crate::device::{Arg, Device};

const WORDS: usize = 6;
const DOUBLES: usize = 4;

/// A thread's registers.
#[derive(Clone, Default)]
struct Thread {
    r: [u32; WORDS],
    d: [u64; DOUBLES],
    p: bool,
}

/// An operation: PTX with %D, %A, %B, %C for its registers, and what it does.
enum Kind {
    Word(fn(u32, u32, u32) -> u32),
    Double(fn(u64, u64, u32) -> u64),
    Widen(fn(u32, u32, u64) -> u64),
    Narrow(fn(u64, u32) -> u32),
    Test(fn(u32, u32, bool) -> bool),
    Pick(fn(u32, u32, bool) -> u32),
}

fn float(f: fn(f32, f32, f32) -> f32, [a, b, c]: [u32; 3]) -> u32 {
    let value = f(f32::from_bits(a), f32::from_bits(b), f32::from_bits(c));
    if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits() }
}

fn shift(n: u32) -> u32 {
    n.min(32)
}

const OPERATIONS: &[(&str, Kind)] = &[
    ("add.u32 %D, %A, %B;", Kind::Word(|a, b, _| a.wrapping_add(b))),
    ("sub.s32 %D, %A, %B;", Kind::Word(|a, b, _| a.wrapping_sub(b))),
    ("mul.lo.u32 %D, %A, %B;", Kind::Word(|a, b, _| a.wrapping_mul(b))),
    ("mul.hi.s32 %D, %A, %B;", Kind::Word(|a, b, _| (((a as i32 as i64) * (b as i32 as i64)) >> 32) as u32)),
    ("mad.lo.s32 %D, %A, %B, %C;", Kind::Word(|a, b, c| a.wrapping_mul(b).wrapping_add(c))),
    ("min.s32 %D, %A, %B;", Kind::Word(|a, b, _| if (a as i32) < (b as i32) { a } else { b })),
    ("max.u32 %D, %A, %B;", Kind::Word(|a, b, _| if a > b { a } else { b })),
    ("div.u32 %D, %A, %B;", Kind::Word(|a, b, _| a.checked_div(b).unwrap_or(u32::MAX))),
    ("and.b32 %D, %A, %B;", Kind::Word(|a, b, _| a & b)),
    ("xor.b32 %D, %A, %B;", Kind::Word(|a, b, _| a ^ b)),
    ("shl.b32 %D, %A, %B;", Kind::Word(|a, b, _| (u64::from(a) << shift(b)) as u32)),
    ("shr.u32 %D, %A, %B;", Kind::Word(|a, b, _| (u64::from(a) >> shift(b)) as u32)),
    ("shr.s32 %D, %A, %B;", Kind::Word(|a, b, _| (i64::from(a as i32) >> shift(b)) as u32)),
    (
        "shf.l.wrap.b32 %D, %A, %B, %C;",
        Kind::Word(|a, b, c| if c % 32 == 0 { b } else { b << (c % 32) | a >> (32 - c % 32) }),
    ),
    ("bfe.u32 %D, %A, 5, 9;", Kind::Word(|a, _, _| a / 32 % 512)),
    ("popc.b32 %D, %A;", Kind::Word(|a, _, _| (0..32).filter(|i| a >> i & 1 == 1).count() as u32)),
    ("brev.b32 %D, %A;", Kind::Word(|a, _, _| (0..32).fold(0, |r, i| r | (a >> i & 1) << (31 - i)))),
    ("lop3.b32 %D, %A, %B, %C, 0xCA;", Kind::Word(|a, b, c| (a & b) | (!a & c))),
    (
        "prmt.b32 %D, %A, %B, 0x2415;",
        Kind::Word(|a, b, _| (b >> 8 & 0xFF) | (a & 0xFF00) | (b & 0xFF) << 16 | (a >> 16 & 0xFF) << 24),
    ),
    ("add.rn.f32 %D, %A, %B;", Kind::Word(|a, b, c| float(|a, b, _| a + b, [a, b, c]))),
    ("mul.rn.f32 %D, %A, %B;", Kind::Word(|a, b, c| float(|a, b, _| a * b, [a, b, c]))),
    ("fma.rn.f32 %D, %A, %B, %C;", Kind::Word(|a, b, c| float(f32::mul_add, [a, b, c]))),
    ("div.rn.f32 %D, %A, %B;", Kind::Word(|a, b, c| float(|a, b, _| a / b, [a, b, c]))),
    ("cvt.rn.f32.s32 %D, %A;", Kind::Word(|a, _, _| (a as i32 as f32).to_bits())),
    ("cvt.rzi.s32.f32 %D, %A;", Kind::Word(|a, _, _| f32::from_bits(a) as i32 as u32)),
    ("cvt.s32.s8 %D, %A;", Kind::Word(|a, _, _| a as i8 as i32 as u32)),
    ("add.s64 %D, %A, %B;", Kind::Double(|a, b, _| a.wrapping_add(b))),
    ("mul.lo.u64 %D, %A, %B;", Kind::Double(|a, b, _| a.wrapping_mul(b))),
    ("mul.hi.u64 %D, %A, %B;", Kind::Double(|a, b, _| ((u128::from(a) * u128::from(b)) >> 64) as u64)),
    ("or.b64 %D, %A, %B;", Kind::Double(|a, b, _| a | b)),
    ("shl.b64 %D, %A, %C;", Kind::Double(|a, _, c| if c > 63 { 0 } else { a << c })),
    ("shr.s64 %D, %A, %C;", Kind::Double(|a, _, c| ((a as i64) >> c.min(63)) as u64)),
    ("sub.u64 %D, %A, %B;", Kind::Double(|a, b, _| a.wrapping_sub(b))),
    ("mul.wide.s32 %D, %A, %B;", Kind::Widen(|a, b, _| ((a as i32 as i64) * (b as i32 as i64)) as u64)),
    ("mad.wide.u32 %D, %A, %B, %C;", Kind::Widen(|a, b, c| (u64::from(a) * u64::from(b)).wrapping_add(c))),
    ("mov.b64 %D, {%A, %B};", Kind::Widen(|a, b, _| u64::from(b) << 32 | u64::from(a))),
    ("cvt.s64.s32 %D, %A;", Kind::Widen(|a, _, _| a as i32 as i64 as u64)),
    ("cvt.u32.u64 %D, %A;", Kind::Narrow(|a, _| a as u32)),
    ("mov.b64 {_, %D}, %A;", Kind::Narrow(|a, _| (a >> 32) as u32)),
    ("clz.b64 %D, %A;", Kind::Narrow(|a, _| a.leading_zeros())),
    ("setp.lt.s32 %p, %A, %B;", Kind::Test(|a, b, _| (a as i32) < (b as i32))),
    ("setp.ge.and.u32 %p, %A, %B, !%p;", Kind::Test(|a, b, p| a >= b && !p)),
    ("setp.lt.f32 %p, %A, %B;", Kind::Test(|a, b, _| f32::from_bits(a) < f32::from_bits(b))),
    ("selp.b32 %D, %A, %B, %p;", Kind::Pick(|a, b, p| if p { a } else { b })),
];

/// Operation, guard (0 none, 1 @%p, 2 @!%p), register numbers.
type Line = (usize, u8, [usize; 4]);

fn text(&(operation, guard, [d, a, b, c]): &Line) -> String {
    let (template, kind) = &OPERATIONS[operation];
    let word = |n: usize| format!("%r{}", n % WORDS);
    let double = |n: usize| format!("%d{}", n % DOUBLES);
    let names = match kind {
        Kind::Word(_) | Kind::Test(_) | Kind::Pick(_) => [word(d), word(a), word(b), word(c)],
        Kind::Double(_) => [double(d), double(a), double(b), word(c)],
        Kind::Widen(_) => [double(d), word(a), word(b), double(c)],
        Kind::Narrow(_) => [word(d), double(a), word(b), word(c)],
    };
    let body = ["%D", "%A", "%B", "%C"]
        .iter()
        .zip(&names)
        .fold((*template).to_owned(), |text, (from, to)| text.replace(from, to));
    format!("{}{body}\n", ["", "@%p ", "@!%p "][guard as usize])
}

fn run(thread: &mut Thread, &(operation, guard, [d, a, b, c]): &Line) {
    if guard == 1 && !thread.p || guard == 2 && thread.p {
        return;
    }
    let word = |n: usize| thread.r[n % WORDS];
    let double = |n: usize| thread.d[n % DOUBLES];
    match OPERATIONS[operation].1 {
        Kind::Word(f) => thread.r[d % WORDS] = f(word(a), word(b), word(c)),
        Kind::Double(f) => thread.d[d % DOUBLES] = f(double(a), double(b), word(c)),
        Kind::Widen(f) => thread.d[d % DOUBLES] = f(word(a), word(b), double(c)),
        Kind::Narrow(f) => thread.r[d % WORDS] = f(double(a), word(b)),
        Kind::Test(f) => thread.p = f(word(a), word(b), thread.p),
        Kind::Pick(f) => thread.r[d % WORDS] = f(word(a), word(b), thread.p),
    }
}

/// Every word a thread starts from, then every word it ends with.
const PER_THREAD: usize = WORDS + 2 * DOUBLES;

fn program(lines: &[Line]) -> String {
    let mut text_of =
        ".version 8.8\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 memory) {\n".to_owned();
    text_of += ".reg .b32 %r<8>; .reg .b64 %d<6>; .reg .b64 %m; .reg .pred %p; .reg .b32 %t;\n";
    text_of += &format!(
        "ld.param.u64 %m, [memory]; mov.u32 %t, %tid.x; mad.wide.u32 %m, %t, {}, %m; setp.ne.u32 %p, 0, 0;\n",
        4 * PER_THREAD
    );
    let place = |action: &str| -> String {
        let words = (0..WORDS).map(|i| (format!("%r{i}"), "b32", 4 * i + 8 * DOUBLES));
        let doubles = (0..DOUBLES).map(|i| (format!("%d{i}"), "b64", 8 * i));
        let line = |(name, ty, at): (String, &str, usize)| {
            if action == "ld" {
                format!("ld.global.{ty} {name}, [%m+{at}];\n")
            } else {
                format!("st.global.{ty} [%m+{at}], {name};\n")
            }
        };
        words.chain(doubles).map(line).collect()
    };
    text_of += &place("ld");
    text_of.extend(lines.iter().map(text));
    text_of + &place("st") + "ret;\n}\n"
}

/// Numbers with interesting bits among them.
fn input(seed: u64, index: usize) -> u32 {
    let mixed = (seed ^ index as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(23)
        .wrapping_mul(0xD1B5_4A32_D192_ED03)
        >> 20;
    match mixed % 11 {
        0 => 0,
        1 => u32::MAX,
        2 => 0x8000_0000,
        3 => (mixed >> 8) as u32 % 70,
        4 => ((mixed >> 8) as f32 / 1000.0 - 5000.0).to_bits(),
        5 => 0x7F80_0000 + (mixed >> 30) as u32 % 2,
        _ => (mixed >> 4) as u32,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").map_or(200, |n| n.parse().unwrap()), ..ProptestConfig::default() })]
    #[test]
    fn the_machine_agrees_with_a_plain_evaluator(
        lines in prop::collection::vec((0..OPERATIONS.len(), 0_u8..3, [0_usize..24, 0_usize..24, 0_usize..24, 0_usize..24]), 1..60),
        seed: u64,
        threads in 1_usize..70,
    ) {
        let inputs: Vec<u32> = (0..threads * PER_THREAD).map(|i| input(seed, i)).collect();
        let mut expected = Vec::new();
        for words in inputs.chunks_exact(PER_THREAD) {
            let mut thread = Thread { d: std::array::from_fn(|i| u64::from(words[2 * i + 1]) << 32 | u64::from(words[2 * i])), ..Thread::default() };
            thread.r.copy_from_slice(&words[2 * DOUBLES..]);
            lines.iter().for_each(|line| run(&mut thread, line));
            expected.extend(thread.d.iter().flat_map(|d| [*d as u32, (*d >> 32) as u32]));
            expected.extend(thread.r);
        }
        let text = program(&lines);
        let device = Device::load(&text);
        let memory = device.upload_u32(&inputs);
        device.launch("k", [1, 1, 1], [threads as u32, 1, 1], 0, &[Arg::U64(memory)]);
        prop_assert_eq!(device.download_u32(memory, expected.len()), expected, "{}", text);
    }
}

//! A program of random instructions: its text for the machine, its effect for the evaluator, and the comparison.

use goldlap_virtual_driver::machine::Isa;

use super::instruction::{Choice, Instruction, Side, bits, interesting, is_signed, ones};
use crate::device::{Arg, Device};

/// Registers of a class: name, bits, how many.
const CLASSES: [(&str, u32, usize); 4] = [("%d", 64, 4), ("%r", 32, 6), ("%h", 16, 4), ("%p", 1, 2)];
/// Words of a thread in memory: the registers in the order of their classes, the halves two by two, then the array.
const WORDS: usize = 8 + 6 + 4 + 2 + 8;

#[derive(Clone, Default, PartialEq)]
struct Thread {
    /// Values by class and number.
    registers: [[u64; 6]; 4],
    side: Side,
}

impl Thread {
    fn from_words(words: &[u32]) -> Thread {
        let mut thread = Thread::default();
        for i in 0..4 {
            thread.registers[0][i] = u64::from(words[2 * i + 1]) << 32 | u64::from(words[2 * i]);
            thread.registers[2][i] = u64::from(words[14 + i] & 0xFFFF);
        }
        for i in 0..6 {
            thread.registers[1][i] = words[8 + i].into();
        }
        for i in 0..2 {
            thread.registers[3][i] = u64::from(words[18 + i] != 0);
        }
        for (bytes, word) in thread.side.memory.chunks_exact_mut(4).zip(&words[20..]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        thread
    }

    fn to_words(&self) -> Vec<u32> {
        let [doubles, words, halves, predicates] = &self.registers;
        let mut all: Vec<u32> = doubles[..4].iter().flat_map(|d| [*d as u32, (*d >> 32) as u32]).collect();
        all.extend(words.iter().chain(&halves[..4]).chain(&predicates[..2]).map(|&value| value as u32));
        let bytes = self.side.memory.chunks_exact(4);
        all.extend(bytes.map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())));
        all
    }

    fn tell(&self) -> String {
        let mut text = String::new();
        for ((name, _, count), values) in CLASSES.iter().zip(&self.registers) {
            for (number, value) in values[..*count].iter().enumerate() {
                text += &format!("{name}{number}={value:x} ");
            }
        }
        text + &format!("m={:02x?}", self.side.memory)
    }
}

/// An operand: a register by class and number, or a literal.
#[derive(Clone, Copy)]
enum Operand {
    Register(usize, usize),
    Literal(u64),
}

fn class(ty: &str) -> usize {
    CLASSES.iter().position(|&(_, width, _)| width == bits(ty)).unwrap()
}

fn register(choice: &mut Choice<'_>, ty: &str) -> Operand {
    let class = class(ty);
    Operand::Register(class, choice.below(CLASSES[class].2))
}

/// A literal as the type is written, or none if the type has no literals.
fn literal(ty: &str, value: u64) -> Option<String> {
    Some(match ty {
        "pred" | "f16" | "bf16" | "f16x2" | "bf16x2" | "u16x2" | "s16x2" => return None,
        "f32" => format!("0f{:08X}", value as u32),
        "f64" => format!("0d{value:016X}"),
        _ if is_signed(ty) => super::integer::number(ty, value).to_string(),
        _ => format!("0x{value:X}"),
    })
}

/// An instruction with its operands and its guard.
struct Line {
    text: String,
    instruction: Instruction,
    guard: Option<(usize, bool)>,
    to: Vec<(usize, usize)>,
    from: Vec<Operand>,
}

impl Line {
    fn draw(choice: &mut Choice<'_>) -> Line {
        let instruction = super::draw(choice);
        let guard = match choice.below(6) {
            0 => Some((choice.below(2), choice.flag())),
            _ => None,
        };
        let mut text = instruction.text.clone();
        let mut to: Vec<(usize, usize)> = Vec::new();
        for (index, ty) in instruction.to.iter().enumerate() {
            let class = class(ty);
            let mut number = choice.below(CLASSES[class].2);
            // Two results of one instruction go to two registers.
            while to.contains(&(class, number)) {
                number = (number + 1) % CLASSES[class].2;
            }
            text = text.replace(&format!("$d{index}"), &format!("{}{number}", CLASSES[class].0));
            to.push((class, number));
        }
        let mut from = Vec::new();
        for (index, ty) in instruction.from.iter().enumerate() {
            let mut operand = register(choice, ty);
            if instruction.takes_literals && choice.below(8) == 0 {
                let value = choice.number() & ones(bits(ty));
                operand = literal(ty, value).map_or(operand, |_| Operand::Literal(value));
            }
            let written = match operand {
                Operand::Register(class, number) => format!("{}{number}", CLASSES[class].0),
                Operand::Literal(value) => literal(ty, value).unwrap_or_default(),
            };
            text = text.replace(&format!("$s{index}"), &written);
            from.push(operand);
        }
        if let Some((p, negated)) = guard {
            text = format!("@{}%p{p} {text}", if negated { "!" } else { "" });
        }
        Line { text, instruction, guard, to, from }
    }

    fn run(&self, thread: &mut Thread) {
        if let Some((p, negated)) = self.guard
            && (thread.registers[3][p] == 1) == negated
        {
            return;
        }
        let value = |operand: &Operand| match *operand {
            Operand::Register(class, number) => thread.registers[class][number],
            Operand::Literal(value) => value,
        };
        let sources: Vec<u64> = self.from.iter().map(value).collect();
        let results = (self.instruction.run)(&sources, &mut thread.side);
        for (&(class, number), result) in self.to.iter().zip(results) {
            assert!(result <= ones(CLASSES[class].1), "the evaluator of `{}` gave {result:x}", self.text);
            thread.registers[class][number] = result;
        }
    }
}

/// Instructions that move every register and the array from or to memory.
fn moved(action: &str) -> String {
    let mut text = String::new();
    let mut at = 0;
    for (name, width, count) in CLASSES {
        for number in 0..count {
            text += &match (action, width) {
                ("ld", 1) => format!("ld.global.u32 %t, [%m+{at}]; setp.ne.u32 {name}{number}, %t, 0;\n"),
                (_, 1) => format!("selp.u32 %t, 1, 0, {name}{number}; st.global.u32 [%m+{at}], %t;\n"),
                ("ld", _) => format!("ld.global.b{width} {name}{number}, [%m+{at}];\n"),
                (_, 16) => format!("cvt.u32.u16 %t, {name}{number}; st.global.u32 [%m+{at}], %t;\n"),
                _ => format!("st.global.b{width} [%m+{at}], {name}{number};\n"),
            };
            at += width.max(32) / 8;
        }
    }
    let (from, to) = if action == "ld" { ("global", "local") } else { ("local", "global") };
    let (source, target) = if action == "ld" { ("%m", "m") } else { ("m", "%m") };
    for word in 0..8 {
        let (here, there) = (4 * word, 4 * word + at);
        let (source_at, target_at) = if action == "ld" { (there, here) } else { (here, there) };
        text +=
            &format!("ld.{from}.u32 %t, [{source}+{source_at}]; st.{to}.u32 [{target}+{target_at}], %t;\n");
    }
    text
}

fn text(lines: &[Line]) -> String {
    let body: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
    format!(
        ".version 8.8\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 memory) {{\n\
         .reg .b64 %d<4>; .reg .b32 %r<6>; .reg .b16 %h<4>; .reg .pred %p<2>; .reg .b64 %m; .reg .b32 %t;\n\
         .local .align 16 .b8 m[32];\n\
         ld.param.u64 %m, [memory]; mov.u32 %t, %tid.x; mad.wide.u32 %m, %t, {}, %m;\n{}{body}{}ret;\n}}\n",
        4 * WORDS,
        moved("ld"),
        moved("st"),
    )
}

/// Lines are drawn until the bytes run out, at most this many.
const MOST_LINES: usize = 60;

/// Draws a program from the bytes and runs it on every executor and on the evaluator.
///
/// # Errors
/// The first instruction whose result differs, with what it read, what came out, and what should have.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut choice = Choice::new(bytes);
    let threads = 1 + choice.below(40);
    let seed = choice.number();
    let mut lines = Vec::new();
    while !choice.is_empty() && lines.len() < MOST_LINES {
        lines.push(Line::draw(&mut choice));
    }
    let inputs = inputs(seed, threads);
    compare(&lines, &inputs).map_err(|_| {
        let first = (1..=lines.len()).find_map(|count| compare(&lines[..count], &inputs).err());
        first.unwrap_or_else(|| "the whole program differs, none of its beginnings does".to_owned())
    })
}

/// Runs the lines on every executor; the error tells of the last line.
fn compare(lines: &[Line], inputs: &[u32]) -> Result<(), String> {
    let mut device = Device::load(&text(lines));
    let run = |words: &[u32], count: usize| {
        let mut thread = Thread::from_words(words);
        lines[..count].iter().for_each(|line| line.run(&mut thread));
        thread
    };
    let threads = (inputs.len() / WORDS) as u32;
    for isa in executors() {
        device.options.isa = isa;
        let memory = device.upload_u32(inputs);
        device.launch("k", [1, 1, 1], [threads, 1, 1], 0, &[Arg::U64(memory)]);
        let got = device.download_u32(memory, inputs.len());
        for (got, before) in got.chunks_exact(WORDS).zip(inputs.chunks_exact(WORDS)) {
            let expected = run(before, lines.len());
            if got != expected.to_words() {
                let before = run(before, lines.len().saturating_sub(1));
                let last: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
                let (before, got, expected) =
                    (before.tell(), Thread::from_words(got).tell(), expected.tell());
                return Err(format!(
                    "{isa:?}, after the last of\n{last}before   {before}\ngot      {got}\nexpected {expected}\n"
                ));
            }
        }
    }
    Ok(())
}

/// Every executor of this host.
fn executors() -> Vec<Isa> {
    let best = Isa::detect();
    let all = [Isa::Scalar, Isa::Avx2, Isa::Avx512];
    let count = all.iter().position(|&isa| isa == best).map_or(1, |at| at + 1);
    all[..count].to_vec()
}

fn inputs(seed: u64, threads: usize) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        // SplitMix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    };
    let mut words = Vec::new();
    while words.len() < threads * WORDS {
        let value = interesting((next() >> 20) as u8, next());
        words.extend([value as u32, (value >> 32) as u32]);
    }
    words.truncate(threads * WORDS);
    words
}

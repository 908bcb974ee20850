//! Mutations of PTX text that keep most of it meaningful: words for words of their kind, lines for lines.

use goldlap_virtual_driver::isa::special::Special;
use goldlap_virtual_driver::isa::table::TABLE;
use goldlap_virtual_driver::isa::{Mnemonic, Scalar};

/// SplitMix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// `.rn`, `.f32`
    Dotted,
    /// `%r1`
    Register,
    Number,
    /// An opcode, a label, a symbol.
    Name,
    /// Anything else.
    Mark,
}

fn kind(piece: &str) -> Kind {
    let second = piece.chars().nth(1);
    match piece.chars().next() {
        Some('.') if second.is_some() => Kind::Dotted,
        Some('%') if second.is_some() => Kind::Register,
        Some(first) if first.is_ascii_digit() => Kind::Number,
        Some(first) if first.is_ascii_alphabetic() || first == '_' || first == '$' => Kind::Name,
        Some(_) | None => Kind::Mark,
    }
}

/// Words with the dot or percent sign before them, and single marks.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for c in text.chars() {
        let continues = c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | ':');
        match pieces.last_mut() {
            Some(last)
                if continues && last.starts_with(|f: char| f.is_ascii_alphanumeric() || "._$%".contains(f)) =>
            {
                last.push(c);
            }
            _ => pieces.push(c.to_string()),
        }
    }
    pieces
}

/// A word of the instruction set.
fn dictionary(kind: Kind, random: &mut Random) -> String {
    const NUMBERS: &[&str] = &[
        "0", "1", "-1", "4", "16", "31", "32", "63", "64", "255", "256", "65535", "2147483647", "2147483648",
        "4294967295", "4294967296", "9223372036854775807", "18446744073709551615", "0f7F800000", "0f7FC00000",
        "0f00000001", "0d7FF0000000000000", "1.5", "1000000", "1048576",
    ];
    let row = &TABLE[random.below(TABLE.len())];
    match kind {
        Kind::Dotted if !row.words.is_empty() && random.below(2) == 0 => {
            format!(".{}", row.words[random.below(row.words.len())])
        }
        Kind::Dotted => format!(".{}", Scalar::ALL[random.below(Scalar::ALL.len())].text()),
        Kind::Register => Special::ALL[random.below(Special::ALL.len())].text().to_owned(),
        Kind::Number => NUMBERS[random.below(NUMBERS.len())].to_owned(),
        Kind::Name | Kind::Mark => Mnemonic::form(row.mnemonic).text.to_owned(),
    }
}

fn mutate_word(text: &str, random: &mut Random) -> String {
    let mut pieces = pieces(text);
    let words: Vec<usize> = (0..pieces.len()).filter(|&i| kind(&pieces[i]) != Kind::Mark).collect();
    if words.is_empty() {
        return text.to_owned();
    }
    let at = words[random.below(words.len())];
    let wanted = kind(&pieces[at]);
    let same: Vec<usize> = words.iter().copied().filter(|&i| kind(&pieces[i]) == wanted).collect();
    match random.below(8) {
        0 => pieces[at] = String::new(),
        1 => pieces[at] = format!("{}{}", pieces[at], dictionary(Kind::Dotted, random)),
        2..=4 => pieces[at] = dictionary(wanted, random),
        5 => pieces[at] = pieces[words[random.below(words.len())]].clone(),
        _ => pieces[at] = pieces[same[random.below(same.len())]].clone(),
    }
    pieces.concat()
}

fn mutate_line(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let (a, b) = (random.below(lines.len()), random.below(lines.len()));
    if lines.is_empty() {
        return text.to_owned();
    }
    match random.below(4) {
        0 => lines.swap(a, b),
        1 => {
            lines.remove(a);
        }
        2 => lines.insert(b, lines[a]),
        _ => lines[a] = lines[b],
    }
    lines.join("\n")
}

/// The text with one to four words or lines changed.
pub fn mutated(text: &str, seed: u32) -> String {
    let mut random = Random(seed.into());
    let mut text = text.to_owned();
    for _ in 0..1 + random.below(4) {
        text = if random.below(4) == 0 { mutate_line(&text, &mut random) } else { mutate_word(&text, &mut random) };
    }
    text
}

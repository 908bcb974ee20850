//! One random instruction: its text, its operands, and what it does to plain numbers.

/// What a thread has besides registers.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Side {
    /// The carry flag.
    pub(crate) carry: bool,
    /// The local array `m`.
    pub(crate) memory: [u8; 32],
}

type Run = Box<dyn Fn(&[u64], &mut Side) -> Vec<u64>>;

/// An instruction whose operands are yet to be chosen.
pub(crate) struct Instruction {
    /// Text in which `$d0` and `$s0` stand for the first result and the first source.
    pub(crate) text: String,
    /// PTX types of the results.
    pub(crate) to: Vec<&'static str>,
    /// PTX types of the sources.
    pub(crate) from: Vec<&'static str>,
    /// Whether sources may be literals.
    pub(crate) takes_literals: bool,
    /// Values of the sources to values of the results.
    pub(crate) run: Run,
}

impl Instruction {
    pub(crate) fn new(
        text: impl Into<String>,
        to: &[&'static str],
        from: &[&'static str],
        run: impl Fn(&[u64], &mut Side) -> Vec<u64> + 'static,
    ) -> Self {
        let run = Box::new(run);
        Self { text: text.into(), to: to.to_vec(), from: from.to_vec(), takes_literals: true, run }
    }

    /// `opcode d, a, b, ...;` with one result.
    pub(crate) fn plain(
        opcode: impl Into<String>,
        to: &'static str,
        from: &[&'static str],
        run: impl Fn(&[u64]) -> u64 + 'static,
    ) -> Self {
        let mut text = opcode.into() + " $d0";
        for index in 0..from.len() {
            text += &format!(", $s{index}");
        }
        Self::new(text + ";", &[to], from, move |sources, _| vec![run(sources)])
    }

    pub(crate) fn registers_only(mut self) -> Self {
        self.takes_literals = false;
        self
    }
}

/// Bits of a PTX type; a predicate has one.
pub(crate) fn bits(ty: &str) -> u32 {
    match ty.trim_start_matches(|c: char| c.is_ascii_alphabetic()) {
        "" => 1,
        "16x2" => 32,
        number => number.parse().unwrap(),
    }
}

pub(crate) fn is_signed(ty: &str) -> bool {
    ty.starts_with('s')
}

/// All ones in the low `count` bits.
pub(crate) fn ones(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Decisions drawn from bytes; when they run out, the first of every choice.
pub(crate) struct Choice<'b> {
    bytes: &'b [u8],
}

impl<'b> Choice<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    pub(crate) fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// The word or nothing.
    pub(crate) fn maybe(&mut self, word: &'static str) -> &'static str {
        if self.flag() { word } else { "" }
    }

    /// 64 bits with interesting ones among them.
    pub(crate) fn number(&mut self) -> u64 {
        let many = (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()));
        interesting(self.byte(), many)
    }
}

/// Edge values of integers and floats of all widths; `many` where no edge is asked for.
pub(crate) fn interesting(which: u8, many: u64) -> u64 {
    let words = |word: u64| word << 32 | word;
    let halves = |half: u64| words(half << 16 | half);
    match which % 32 {
        0 => 0,
        1 => u64::MAX,
        2 => 1,
        3 => words(1),
        4 => 1 << 63,
        5 => words(1 << 31),
        6 => halves(1 << 15),
        7 => i64::MAX as u64,
        8 => words(0x7FFF_FFFF),
        9 => many % 70,
        10 => words(many % 70),
        11 => (many as i8) as i64 as u64,
        12 => f64::from(many as i16).to_bits(),
        13 => words(f32::from(many as i16).to_bits().into()),
        14 => words((f32::from(many as i16) / 8.0).to_bits().into()),
        15 => words(0x7F80_0000 + many % 2),
        16 => words(0xFF80_0000 + many % 2),
        17 => words(many % 0x0100_0000),
        18 => words(0x8000_0000 + many % 0x0100_0000),
        19 => words(0x3F7F_FFF0 + many % 32),
        20 => words(0x7F7F_FFF0 + many % 16),
        21 => halves(0x7C00 + many % 2),
        22 => halves(many % 0x800),
        23 => halves(0x3C00 - 2 + many % 4),
        24 => (0x7FF0 << 48) | (many % 2),
        25 => many % (1 << 53),
        26 => 0x41DF_FFFF_FFFF_0000 | (many % 0x1_0000),
        27 => words(0x4F00_0000 - 2 + many % 4),
        _ => many,
    }
}

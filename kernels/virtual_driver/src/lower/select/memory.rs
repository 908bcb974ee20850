//! Loads, stores and asynchronous copies.

use super::super::scope::Meaning;
use super::moves::space_word;
use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::IntOp;
use crate::isa::memory::{Address, Base, MemorySpace};
use crate::isa::{Op, R, Scalar, Width};
use crate::ptx::ast::{Number, Operand};

/// Cache and ordering words: every access of this machine goes straight to memory, in order.
const WITHOUT_EFFECT: &[&str] = &[
    "weak",
    "relaxed",
    "acquire",
    "release",
    "cta",
    "gpu",
    "sys",
    "cluster",
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "nc",
    "unified",
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::cache_hint",
    "L2::64B",
    "L2::128B",
    "L2::256B",
];

/// What an access moves.
struct Shape {
    scalar: Scalar,
    count: u8,
    volatile: bool,
    space: Option<MemorySpace>,
}

/// The elements of a vector operand, or the operand itself.
fn elements(operand: &Operand) -> &[Operand] {
    if let Operand::Vector(items) = operand { items } else { std::slice::from_ref(operand) }
}

impl Selector<'_> {
    fn shape(&self, words: &mut Words<'_>) -> Result<Shape, String> {
        let space = space_word(words);
        // What is read through `.volatile`, `.relaxed`, `.acquire` may change between two reads.
        let volatile =
            words.take("volatile") | words.take("relaxed") | words.take("acquire") | words.take("release");
        let count = words.choose(&[("v2", 2), ("v4", 4)]).unwrap_or(1);
        words.ignore(WITHOUT_EFFECT);
        let scalar = words.scalar()?;
        words.finish()?;
        if scalar.bytes() * u32::from(count) > 16 && scalar.bytes() != 16 {
            return Err("more than 16 bytes at once need sm_100".to_owned());
        }
        Ok(Shape { scalar, count, volatile, space })
    }

    /// The components of a vector register named whole, or the operand's own elements.
    fn spread(&mut self, operand: &Operand) -> Vec<Operand> {
        if let Operand::Name(name) = operand
            && let Some(Meaning::Vector(parts)) = self.meaning(name)
        {
            return ["x", "y", "z", "w"][..parts.len().min(4)]
                .iter()
                .map(|c| Operand::Name(format!("{name}.{c}")))
                .collect();
        }
        elements(operand).to_vec()
    }

    pub(super) fn load(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let shape = self.shape(&mut words)?;
        if !matches!(operands.len(), 2 | 3) {
            return Err("two operands are needed".to_owned());
        }
        let items = self.spread(&operands[0]);
        if items.len() != usize::from(shape.count) {
            return Err(format!("{} registers are given for {} elements", items.len(), shape.count));
        }
        let param = self.kernel_param(&operands[1]);
        let (address, named) = self.address(&operands[1])?;
        let mut after = Vec::new();
        let mut d = [R::NONE; 4];
        for (to, item) in d.iter_mut().zip(&items) {
            *to = self.loaded(item, shape.scalar, &mut after)?;
        }
        let (bytes, signed, count) = (shape.scalar.bytes() as u8, shape.scalar.is_signed(), shape.count);
        if let Some(offset) = param {
            self.emit(Op::LoadParam { bytes, signed, count, d, offset });
        } else {
            let space = space_of(shape.space, named);
            self.emit(Op::Load { space, bytes, signed, count, volatile: shape.volatile, d, address });
        }
        for (op, d) in after {
            match op {
                Widen::Truncate(a) => {
                    self.emit(Op::Int32 { op: IntOp::Zero16, d, a, b: R::NONE, c: R::NONE })
                }
                Widen::Extend(a, signed) => self.widen(a, signed, d)?,
            }
        }
        Ok(())
    }

    /// The register an element is loaded to; where the declared one is wider, a temporary that is extended after.
    fn loaded(&mut self, item: &Operand, scalar: Scalar, after: &mut Vec<(Widen, R)>) -> Result<R, String> {
        let (d, declared) = self.destination_any(item, scalar)?;
        if !d.is_some() {
            return Ok(d);
        }
        if declared.bytes() < scalar.bytes() {
            // `ld.b8` may go to a register of 16 bits and more, never to a narrower one.
            return Err(format!("`{item}` has {} bits where {scalar} is written", declared.bits()));
        }
        // The machine sign-extends to 32 bits; a register of 16 is kept zero-extended.
        if width(declared) == width(scalar) && !(declared.bytes() == 2 && scalar.is_signed()) {
            return Ok(d);
        }
        let narrow = self.register(width(scalar));
        match width(declared) {
            Width::W32 => after.push((Widen::Truncate(narrow), d)),
            Width::W64 => after.push((Widen::Extend(narrow, scalar.is_signed()), d)),
            Width::W128 => return Err(format!("{scalar} cannot be loaded to 128 bits")),
        }
        Ok(narrow)
    }

    /// The offset, where the operand names a kernel parameter directly and lies inside it.
    fn kernel_param(&mut self, operand: &Operand) -> Option<u32> {
        let Operand::Address(Some(name), offset) = operand else { return None };
        match self.meaning(name) {
            Some(Meaning::KernelParam(at, _)) => u32::try_from(i64::from(at) + offset).ok(),
            _ => None,
        }
    }

    pub(super) fn store(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let shape = self.shape(&mut words)?;
        if !matches!(operands.len(), 2 | 3) {
            return Err("two operands are needed".to_owned());
        }
        let items = self.spread(&operands[1]);
        if items.len() != usize::from(shape.count) {
            return Err(format!("{} values are given for {} elements", items.len(), shape.count));
        }
        let mut a = [R::NONE; 4];
        for (from, item) in a.iter_mut().zip(&items) {
            *from = self.source_low(item, shape.scalar)?;
        }
        let (address, named) = self.address(&operands[0])?;
        let space = space_of(shape.space, named);
        if space == MemorySpace::Const {
            return Err("constant memory cannot be written".to_owned());
        }
        self.emit(Op::Store {
            space,
            bytes: shape.scalar.bytes() as u8,
            count: shape.count,
            volatile: shape.volatile,
            a,
            address,
        });
        Ok(())
    }

    pub(super) fn cp_async(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        if words.take("commit_group") {
            words.finish()?;
            self.emit(Op::CopyCommit);
            return Ok(());
        }
        if words.take("wait_all") {
            words.finish()?;
            self.emit(Op::CopyWait { pending: 0, all: true });
            return Ok(());
        }
        if words.take("wait_group") {
            words.finish()?;
            let Some(Operand::Number(Number::Int(pending @ 0..=0xFFFF_FFFF))) = operands.first() else {
                return Err("the number of groups must be a constant".to_owned());
            };
            self.emit(Op::CopyWait { pending: *pending as u32, all: false });
            return Ok(());
        }
        if words.take("mbarrier") {
            return self.copies_arrive(words, operands);
        }
        words.ignore(&["ca", "cg", "shared::cta", "shared", "global"]);
        let has_hint = words.take("L2::cache_hint");
        words.ignore(WITHOUT_EFFECT);
        words.finish()?;
        let Some(Operand::Number(Number::Int(bytes @ (4 | 8 | 16)))) = operands.get(2) else {
            return Err("the size must be 4, 8 or 16".to_owned());
        };
        let extra = operands.len() - usize::from(has_hint);
        let source_bytes = match (extra, operands.get(3)) {
            (4, Some(operand)) => self.copy_length(operand, *bytes as u32)?,
            (3, _) => R::NONE,
            _ => return Err("three or four operands are needed".to_owned()),
        };
        let (to, _) = self.address(&operands[0])?;
        let (from, _) = self.address(&operands[1])?;
        self.emit(Op::CopyAsync { bytes: *bytes as u8, source_bytes, to, from });
        Ok(())
    }

    /// The fourth operand: bytes to read, or a predicate under which nothing is read.
    fn copy_length(&mut self, operand: &Operand, bytes: u32) -> Result<R, String> {
        let is_predicate = if let Operand::Name(name) = operand {
            matches!(self.meaning(name), Some(Meaning::Predicate(_)))
        } else {
            matches!(operand, Operand::Not(_))
        };
        if !is_predicate {
            return self.source(operand, Scalar::U32);
        }
        let c = self.condition(operand)?;
        let (zero, all) = (self.bits32(0), self.bits32(bytes));
        let d = self.register(Width::W32);
        self.emit(Op::Select { width: Width::W32, d, a: zero, b: all, c });
        Ok(d)
    }

    /// Stores a register or literal to the frame, as an argument of a call.
    pub(super) fn store_argument(&mut self, operand: &Operand, bytes: u32) -> Result<u32, String> {
        let scalar = match bytes {
            1 => Scalar::B8,
            2 => Scalar::B16,
            4 => Scalar::B32,
            8 => Scalar::B64,
            other => return Err(format!("an argument of {other} bytes cannot be a register")),
        };
        let a = self.source(operand, scalar)?;
        let at = self.frame_bytes(u64::from(bytes), 8).ok_or("too much local memory")?;
        let address = Address { base: Base::Frame, offset: i64::from(at) };
        let space = MemorySpace::Local;
        self.emit(Op::Store {
            space,
            bytes: bytes as u8,
            count: 1,
            volatile: false,
            a: [a, R::NONE, R::NONE, R::NONE],
            address,
        });
        Ok(at)
    }
}

/// What follows a load into a register wider than the element.
enum Widen {
    Truncate(R),
    Extend(R, bool),
}

/// The space written, unless the variable's own space says it better (parameters of functions lie in the frame).
fn space_of(written: Option<MemorySpace>, named: Option<MemorySpace>) -> MemorySpace {
    match (written, named) {
        (_, Some(MemorySpace::Local)) => MemorySpace::Local,
        (Some(MemorySpace::Const), _) => MemorySpace::Const,
        (_, Some(named)) => named,
        (Some(written), None) => written,
        (None, None) => MemorySpace::Generic,
    }
}

//! `mov` in all its forms, and conversions of addresses between spaces.

use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::arith::{IntOp, Logic};
use crate::isa::memory::MemorySpace;
use crate::isa::{Cond, Op, Packing, R, Scalar, Width};
use crate::machine::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW};
use crate::ptx::ast::Operand;

/// How `parts` parts make up the type.
fn packing(scalar: Scalar, parts: usize) -> Result<(Packing, Scalar), String> {
    Ok(match (scalar.bytes(), parts) {
        (4, 2) => (Packing::B16x2, Scalar::B16),
        (4, 4) => (Packing::B8x4, Scalar::B8),
        (8, 2) => (Packing::B32x2, Scalar::B32),
        (8, 4) => (Packing::B16x4, Scalar::B16),
        (16, 2) => (Packing::B64x2, Scalar::B64),
        (16, 4) => (Packing::B32x4, Scalar::B32),
        _ => return Err(format!("{scalar} does not consist of {parts} parts")),
    })
}

/// The space named by the modifiers.
pub(super) fn space_word(words: &mut Words<'_>) -> Option<MemorySpace> {
    words.choose(&[
        ("const", MemorySpace::Const),
        ("global", MemorySpace::Global),
        ("local", MemorySpace::Local),
        ("shared::cta", MemorySpace::Shared),
        ("shared", MemorySpace::Shared),
        ("param::entry", MemorySpace::Param),
        ("param::func", MemorySpace::Param),
        ("param", MemorySpace::Param),
    ])
}

impl Selector<'_> {
    pub(super) fn mov(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, 2)?;
        if scalar == Scalar::Pred {
            let d = self.predicate_destination(&operands[0])?;
            let a = self.condition(&operands[1])?;
            self.emit(Op::Predicate { logic: Logic::And, d, a, b: Cond::TRUE });
            return Ok(());
        }
        match (&operands[0], &operands[1]) {
            (Operand::Vector(to), Operand::Vector(from)) => self.move_vector(scalar, to, from),
            (Operand::Vector(to), from) => self.unpack(scalar, to, from),
            (to, Operand::Vector(from)) => self.pack(scalar, to, from),
            (to, from) => {
                let a = self.source(from, scalar)?;
                let d = self.destination(to, scalar)?;
                self.emit(Op::Move { width: width(scalar), d, a });
                Ok(())
            }
        }
    }

    fn move_vector(&mut self, scalar: Scalar, to: &[Operand], from: &[Operand]) -> Selected {
        if to.len() != from.len() {
            return Err(format!("{} parts cannot be moved to {}", from.len(), to.len()));
        }
        // All sources are read before any destination is written.
        let mut held = Vec::new();
        for operand in from {
            let a = self.source(operand, scalar)?;
            let copy = self.register(width(scalar));
            self.emit(Op::Move { width: width(scalar), d: copy, a });
            held.push(copy);
        }
        for (operand, a) in to.iter().zip(held) {
            let d = self.destination(operand, scalar)?;
            self.emit(Op::Move { width: width(scalar), d, a });
        }
        Ok(())
    }

    fn pack(&mut self, scalar: Scalar, to: &Operand, from: &[Operand]) -> Selected {
        let (how, part) = packing(scalar, from.len())?;
        let mut parts = [R::NONE; 4];
        for (slot, operand) in parts.iter_mut().zip(from) {
            *slot = self.source(operand, part)?;
        }
        let d = self.destination(to, scalar)?;
        self.emit(Op::Pack { how, d, parts });
        Ok(())
    }

    fn unpack(&mut self, scalar: Scalar, to: &[Operand], from: &Operand) -> Selected {
        let (how, part) = packing(scalar, to.len())?;
        let a = self.source(from, scalar)?;
        let mut parts = [R::NONE; 4];
        for (slot, operand) in parts.iter_mut().zip(to) {
            let (r, declared) = self.destination_any(operand, part)?;
            if r.is_some() && (width(declared) != width(part) || declared.bytes() < part.bytes()) {
                return Err(format!("`{operand}` has {} bits where {part} is written", declared.bits()));
            }
            *slot = r;
        }
        self.emit(Op::Unpack { how, parts, a });
        Ok(())
    }

    /// Address conversions: global and constant addresses are generic already, the others carry their window's bits.
    pub(super) fn cvta(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let to = words.take("to");
        let space = space_word(&mut words).ok_or("a space is missing")?;
        let scalar = words.scalar()?;
        words.finish()?;
        self.count(operands, 2)?;
        let a = self.source(&operands[1], scalar)?;
        let d = self.destination(&operands[0], scalar)?;
        let window = match space {
            MemorySpace::Shared => SHARED_WINDOW,
            MemorySpace::Local => LOCAL_WINDOW,
            MemorySpace::Param => PARAM_WINDOW,
            MemorySpace::Global | MemorySpace::Const | MemorySpace::Generic => 0,
        };
        if window == 0 {
            self.emit(Op::Move { width: Width::W64, d, a });
        } else if to {
            let mask = self.bits64(0xFFFF_FFFF);
            self.emit(Op::Int64 { op: IntOp::And, d, a, b: mask, c: R::NONE });
        } else {
            let window = self.bits64(window);
            self.emit(Op::Int64 { op: IntOp::Or, d, a, b: window, c: R::NONE });
        }
        Ok(())
    }

    pub(super) fn isspacep(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        let space = space_word(&mut words).ok_or("a space is missing")?;
        words.finish()?;
        self.count(operands, 2)?;
        let a = self.source(&operands[1], Scalar::B64)?;
        let d = self.predicate_destination(&operands[0])?;
        self.emit(Op::IsSpace { space, d, a });
        Ok(())
    }

    pub(super) fn createpolicy(&mut self, operands: &[Operand]) -> Selected {
        let d = self.destination(self.nth(operands, 0)?, Scalar::B64)?;
        let zero = self.bits64(0);
        self.emit(Op::Move { width: Width::W64, d, a: zero });
        Ok(())
    }
}

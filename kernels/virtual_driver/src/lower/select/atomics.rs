//! `atom` and `red`.

use super::moves::space_word;
use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::memory::{AtomicKind, AtomicOp, MemorySpace};
use crate::isa::{Mnemonic, Op, R, Scalar};
use crate::ptx::ast::Operand;

/// Whether operation and type go together.
fn exists(kind: AtomicKind, ty: Scalar) -> bool {
    match kind {
        AtomicKind::And | AtomicKind::Or | AtomicKind::Xor => ty.is_bits() && ty.bytes() >= 4,
        AtomicKind::Exch => ty.bytes() >= 4,
        AtomicKind::Cas => true,
        // Written as `mbarrier`, not as `atom`.
        AtomicKind::Arrive | AtomicKind::ArriveDrop => false,
        AtomicKind::Add => ty.is_int() || ty.is_float(),
        AtomicKind::Inc | AtomicKind::Dec => ty == Scalar::U32,
        AtomicKind::Min | AtomicKind::Max => ty.is_int() || ty.is_half(),
    }
}

/// Whether the order of two of them can be seen in memory.
fn commutes(kind: AtomicKind, ty: Scalar) -> bool {
    match kind {
        AtomicKind::And | AtomicKind::Or | AtomicKind::Xor | AtomicKind::Min | AtomicKind::Max => true,
        AtomicKind::Add => !ty.is_float(),
        AtomicKind::Cas | AtomicKind::Exch | AtomicKind::Inc | AtomicKind::Dec => false,
        AtomicKind::Arrive | AtomicKind::ArriveDrop => false,
    }
}

impl Selector<'_> {
    pub(super) fn atomic(
        &mut self,
        mnemonic: Mnemonic,
        mut words: Words<'_>,
        operands: &[Operand],
    ) -> Selected {
        let written = space_word(&mut words);
        words.ignore(&["relaxed", "acquire", "release", "acq_rel", "cta", "gpu", "sys", "cluster", "noftz"]);
        let hint = usize::from(words.take("L2::cache_hint"));
        let kind = words.need(&[
            ("and", AtomicKind::And),
            ("or", AtomicKind::Or),
            ("xor", AtomicKind::Xor),
            ("cas", AtomicKind::Cas),
            ("exch", AtomicKind::Exch),
            ("add", AtomicKind::Add),
            ("inc", AtomicKind::Inc),
            ("dec", AtomicKind::Dec),
            ("min", AtomicKind::Min),
            ("max", AtomicKind::Max),
        ])?;
        let ty = words.scalar()?;
        words.finish()?;
        if !exists(kind, ty) {
            return Err(format!("no such operation on {ty}"));
        }
        let returns = mnemonic == Mnemonic::Atom;
        let first = usize::from(returns);
        self.count(operands, first + 2 + usize::from(kind == AtomicKind::Cas) + hint)?;
        let (address, named) = self.address(&operands[first])?;
        let b = self.source(&operands[first + 1], ty)?;
        let c = if kind == AtomicKind::Cas { self.source(&operands[first + 2], ty)? } else { R::NONE };
        let mut d = R::NONE;
        if returns {
            let (register, declared) = self.destination_any(&operands[0], ty)?;
            if register.is_some() && (width(declared) != width(ty) || declared.bytes() < ty.bytes()) {
                return Err(format!("`{}` has {} bits where {ty} is written", operands[0], declared.bits()));
            }
            d = register;
        }
        let space = named.or(written).unwrap_or(MemorySpace::Generic);
        if matches!(space, MemorySpace::Global | MemorySpace::Generic) && (d.is_some() || !commutes(kind, ty))
        {
            self.function.is_order_dependent = true;
        }
        self.emit(Op::Atomic { space, op: AtomicOp { kind, ty }, d, b, c, address });
        Ok(())
    }
}

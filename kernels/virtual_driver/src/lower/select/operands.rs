//! Operands to registers: names, literals, special registers, addresses of variables.

use super::super::lay_out_variables::literal_bits;
use super::super::program::Constant;
use super::super::scope::Meaning;
use super::Selector;
use crate::isa::memory::{Address, Base, MemorySpace};
use crate::isa::special::Special;
use crate::isa::{Clock, Cond, Op, P, Packing, R, Scalar, Width};
use crate::ptx::ast::{Number, Operand};

/// The register width a type needs.
pub(super) fn width(scalar: Scalar) -> Width {
    match scalar.bytes() {
        16 => Width::W128,
        8 => Width::W64,
        _ => Width::W32,
    }
}

fn component(name: &str) -> Option<(&str, usize)> {
    let (base, component) = name.rsplit_once('.')?;
    let index = match component {
        "x" | "r" => 0,
        "y" | "g" => 1,
        "z" | "b" => 2,
        "w" | "a" => 3,
        _ => return None,
    };
    Some((base, index))
}

impl Selector<'_> {
    /// The operand at `index`, or an error that counts.
    pub(super) fn nth<'o>(&self, operands: &'o [Operand], index: usize) -> Result<&'o Operand, String> {
        operands.get(index).ok_or_else(|| format!("operand {} is missing", index + 1))
    }

    /// Fails unless there are exactly `count` operands.
    pub(super) fn count(&self, operands: &[Operand], count: usize) -> Result<(), String> {
        if operands.len() == count {
            Ok(())
        } else {
            Err(format!("{count} operands are needed, {} are given", operands.len()))
        }
    }

    /// A register by name with its declared type.
    pub(super) fn named(&mut self, name: &str) -> Result<(R, Scalar), String> {
        match self.meaning(name) {
            Some(Meaning::Register(r, scalar)) => return Ok((r, scalar)),
            Some(Meaning::Vector(_) | Meaning::Predicate(_)) => {
                return Err(format!("`{name}` is a vector or predicate; a plain register is needed"));
            }
            Some(other) => return Err(format!("`{name}` is not a register but {other:?}")),
            None => {}
        }
        if let Some((base, index)) = component(name)
            && let Some(Meaning::Vector(parts)) = self.meaning(base)
        {
            return parts
                .get(index)
                .copied()
                .ok_or_else(|| format!("`{base}` has {} components", parts.len()));
        }
        Err(format!("`{name}` is not declared"))
    }

    /// A special register's value, or the address of a variable.
    fn value_of_name(&mut self, name: &str, scalar: Scalar) -> Result<Option<R>, String> {
        if let Some(special) = Special::parse(name) {
            let r = self.constant(Constant::Special(special));
            return Ok(Some(if width(scalar) == Width::W64 { self.zero_extend(r) } else { r }));
        }
        let clock = match name {
            "%clock" => Clock::Clock,
            "%clock_hi" => Clock::ClockHi,
            "%clock64" => Clock::Clock64,
            "%globaltimer" => Clock::GlobalTimer,
            "%globaltimer_lo" => return self.globaltimer_part(0).map(Some),
            "%globaltimer_hi" => return self.globaltimer_part(1).map(Some),
            _ => return self.address_of(name, 0, scalar),
        };
        let d = self.register(width(scalar));
        if width(scalar)
            != if matches!(clock, Clock::Clock64 | Clock::GlobalTimer) { Width::W64 } else { Width::W32 }
        {
            return Err(format!("`{name}` does not fit {scalar}"));
        }
        self.emit(Op::ReadClock { clock, d });
        Ok(Some(d))
    }

    fn globaltimer_part(&mut self, part: usize) -> Result<R, String> {
        let wide = self.register(Width::W64);
        self.emit(Op::ReadClock { clock: Clock::GlobalTimer, d: wide });
        let mut parts = [R::NONE; 4];
        parts[part] = self.register(Width::W32);
        self.emit(Op::Unpack { how: Packing::B32x2, parts, a: wide });
        Ok(parts[part])
    }

    /// The address of a variable plus `offset` in its own space; `None` if the name is no variable.
    pub(super) fn address_of(
        &mut self,
        name: &str,
        offset: i64,
        scalar: Scalar,
    ) -> Result<Option<R>, String> {
        let wide = width(scalar) == Width::W64;
        let r = match self.meaning(name) {
            Some(Meaning::Variable(index)) if wide => self.constant(Constant::Variable(index, offset)),
            Some(Meaning::Shared(index)) if wide => self.constant(Constant::Shared(index, offset)),
            Some(Meaning::Shared(index)) => self.constant(Constant::Shared32(index, offset)),
            Some(Meaning::Function(index)) if wide => self.constant(Constant::Function(index)),
            Some(Meaning::KernelParam(at, _)) if wide => {
                self.bits64(crate::machine::PARAM_WINDOW.wrapping_add_signed(i64::from(at) + offset))
            }
            Some(Meaning::Frame(at, _)) if wide => {
                let d = self.register(Width::W64);
                let offset = u32::try_from(i64::from(at) + offset)
                    .map_err(|_| "an address outside the frame".to_owned())?;
                self.emit(Op::FrameAddress { d, offset });
                d
            }
            Some(
                Meaning::Variable(_) | Meaning::Function(_) | Meaning::KernelParam(..) | Meaning::Frame(..),
            ) => {
                return Err(format!("the address of `{name}` needs 64 bits"));
            }
            Some(
                Meaning::Register(..)
                | Meaning::Vector(_)
                | Meaning::Predicate(_)
                | Meaning::Label(_)
                | Meaning::Targets(_)
                | Meaning::Prototype(_),
            )
            | None => {
                return Ok(None);
            }
        };
        Ok(Some(r))
    }

    /// 32 bits extended with zeros to 64.
    pub(super) fn zero_extend(&mut self, a: R) -> R {
        let d = self.register(Width::W64);
        let zero = self.bits32(0);
        self.emit(Op::Pack { how: Packing::B32x2, d, parts: [a, zero, R::NONE, R::NONE] });
        d
    }

    /// The low 32 bits of 64.
    pub(super) fn low_word(&mut self, a: R) -> R {
        let d = self.register(Width::W32);
        self.emit(Op::Unpack { how: Packing::B32x2, parts: [d, R::NONE, R::NONE, R::NONE], a });
        d
    }

    /// A register that holds a literal of the type.
    pub(super) fn literal(&mut self, number: Number, scalar: Scalar) -> R {
        let bits = literal_bits(number, scalar);
        match scalar.bytes() {
            1 => self.bits32(bits as u32 & 0xFF),
            2 => self.bits32(bits as u32 & 0xFFFF),
            4 => self.bits32(bits as u32),
            8 => self.bits64(bits),
            _ => self.constant(Constant::Bits128(u128::from(bits))),
        }
    }

    /// A source of exactly the type's width.
    pub(super) fn source(&mut self, operand: &Operand, scalar: Scalar) -> Result<R, String> {
        let (r, declared) = self.source_any(operand, scalar)?;
        if width(declared) == width(scalar)
            && (declared.bytes() == scalar.bytes() || declared.bytes() > scalar.bytes())
        {
            return Ok(r);
        }
        if scalar.bytes() < declared.bytes() && width(scalar) == Width::W32 && width(declared) == Width::W64 {
            return Err(format!("`{operand}` has {} bits where {scalar} is needed", declared.bits()));
        }
        Err(format!("`{operand}` has {} bits where {scalar} is needed", declared.bits()))
    }

    /// A source of any width, with the type its register was declared with (for others: `scalar`).
    pub(super) fn source_any(&mut self, operand: &Operand, scalar: Scalar) -> Result<(R, Scalar), String> {
        match operand {
            Operand::Number(number) => Ok((self.literal(*number, scalar), scalar)),
            Operand::Name(name) => {
                if !matches!(self.meaning(name), Some(Meaning::Register(..)))
                    && let Some(r) = self.value_of_name(name, scalar)?
                {
                    return Ok((r, scalar));
                }
                self.named(name)
            }
            Operand::Offset(name, offset) => match self.address_of(name, *offset, scalar)? {
                Some(r) => Ok((r, scalar)),
                None => Err(format!("`{name}` is not a variable")),
            },
            Operand::Address(..)
            | Operand::Indexed(..)
            | Operand::Vector(_)
            | Operand::Pair(..)
            | Operand::Not(_)
            | Operand::Group(_) => {
                Err(format!("`{operand}` cannot stand here: a register or number is needed"))
            }
        }
    }

    /// A source whose low bits are taken where the register is wider than the type (`st`, `cvt`).
    pub(super) fn source_low(&mut self, operand: &Operand, scalar: Scalar) -> Result<R, String> {
        let (r, declared) = self.source_any(operand, scalar)?;
        if declared.bytes() < scalar.bytes() {
            return Err(format!("`{operand}` has {} bits where {scalar} is needed", declared.bits()));
        }
        if width(declared) == Width::W64 && width(scalar) == Width::W32 {
            Ok(self.low_word(r))
        } else {
            Ok(r)
        }
    }

    /// A destination and the type it was declared with; `_` is no register.
    pub(super) fn destination_any(
        &mut self,
        operand: &Operand,
        scalar: Scalar,
    ) -> Result<(R, Scalar), String> {
        let Operand::Name(name) = operand else {
            return Err(format!("`{operand}` cannot be written: a register is needed"));
        };
        if name == "_" { Ok((R::NONE, scalar)) } else { self.named(name) }
    }

    /// A destination of the type's width; for `_` a register nobody reads.
    pub(super) fn destination(&mut self, operand: &Operand, scalar: Scalar) -> Result<R, String> {
        let (r, declared) = self.destination_any(operand, scalar)?;
        if !r.is_some() {
            return Ok(self.register(width(scalar)));
        }
        if width(declared) == width(scalar) && declared.bytes() >= scalar.bytes() {
            return Ok(r);
        }
        Err(format!("`{operand}` has {} bits where {scalar} is written", declared.bits()))
    }

    /// A predicate source.
    pub(super) fn condition(&mut self, operand: &Operand) -> Result<Cond, String> {
        if let Operand::Number(Number::Int(value)) = operand {
            return Ok(Cond { p: P::TRUE, negated: *value == 0 });
        }
        let (Operand::Name(name) | Operand::Not(name)) = operand else {
            return Err(format!("`{operand}` cannot stand here: a predicate is needed"));
        };
        Ok(Cond { p: self.named_predicate(name)?, negated: matches!(operand, Operand::Not(_)) })
    }

    fn named_predicate(&mut self, name: &str) -> Result<P, String> {
        match self.meaning(name) {
            Some(Meaning::Predicate(p)) => Ok(p),
            Some(_) => Err(format!("`{name}` is not a predicate")),
            None => Err(format!("`{name}` is not declared")),
        }
    }

    /// A predicate destination; `_` is none.
    pub(super) fn predicate_destination(&mut self, operand: &Operand) -> Result<P, String> {
        let Operand::Name(name) = operand else {
            return Err(format!("`{operand}` cannot be written: a predicate is needed"));
        };
        if name == "_" { Ok(P::NONE) } else { self.named_predicate(name) }
    }

    /// The predicate after the bar of `a|b`, if there is one.
    pub(super) fn second_predicate(&mut self, operand: Option<&Operand>) -> Result<P, String> {
        operand.map_or(Ok(P::NONE), |operand| self.predicate_destination(operand))
    }

    /// An address operand and the space its variable lies in, if it names one.
    pub(super) fn address(&mut self, operand: &Operand) -> Result<(Address, Option<MemorySpace>), String> {
        let Operand::Address(name, offset) = operand else {
            return Err(format!("`{operand}` cannot stand here: an address in brackets is needed"));
        };
        let Some(name) = name else {
            let r = self.bits64(*offset as u64);
            return Ok((Address { base: Base::R64(r), offset: 0 }, None));
        };
        match self.meaning(name) {
            Some(Meaning::Frame(at, _)) => {
                Ok((Address { base: Base::Frame, offset: i64::from(at) + offset }, Some(MemorySpace::Local)))
            }
            Some(Meaning::Variable(_)) => self.variable_address(name, *offset, MemorySpace::Global),
            Some(Meaning::Shared(_)) => self.variable_address(name, *offset, MemorySpace::Shared),
            Some(Meaning::KernelParam(..)) => self.variable_address(name, *offset, MemorySpace::Param),
            _ => {
                let (r, declared) = self.named(name)?;
                let base = match width(declared) {
                    Width::W64 => Base::R64(r),
                    Width::W32 if declared.bytes() == 4 => Base::R32(r),
                    Width::W32 | Width::W128 => {
                        return Err(format!(
                            "`{name}` has {} bits; an address has 32 or 64",
                            declared.bits()
                        ));
                    }
                };
                Ok((Address { base, offset: *offset }, None))
            }
        }
    }

    fn variable_address(
        &mut self,
        name: &str,
        offset: i64,
        space: MemorySpace,
    ) -> Result<(Address, Option<MemorySpace>), String> {
        let Some(r) = self.address_of(name, offset, Scalar::B64)? else {
            return Err(format!("`{name}` is not a variable"));
        };
        Ok((Address { base: Base::R64(r), offset: 0 }, Some(space)))
    }
}

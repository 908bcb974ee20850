//! The disassembler's half: syntax back to text.

use std::fmt;

use super::ast::{Guard, Instruction, Number, Operand};

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(value) => write!(f, "{value}"),
            Number::Single(bits) => write!(f, "0f{bits:08X}"),
            Number::Double(bits) => write!(f, "0d{bits:016X}"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[Operand]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Name(name) => f.write_str(name),
            Operand::Number(number) => write!(f, "{number}"),
            Operand::Offset(name, offset) => write!(f, "{name}{offset:+}"),
            Operand::Address(None, offset) => write!(f, "[{offset}]"),
            Operand::Address(Some(name), 0) => write!(f, "[{name}]"),
            Operand::Address(Some(name), offset) => write!(f, "[{name}{offset:+}]"),
            Operand::Vector(items) => {
                f.write_str("{")?;
                list(f, items)?;
                f.write_str("}")
            }
            Operand::Pair(first, second) => write!(f, "{first}|{second}"),
            Operand::Not(name) => write!(f, "!{name}"),
            Operand::Group(items) => {
                f.write_str("(")?;
                list(f, items)?;
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}{}", if self.negated { "!" } else { "" }, self.register)
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(guard) = &self.guard {
            write!(f, "{guard} ")?;
        }
        f.write_str(&self.opcode)?;
        for modifier in &self.modifiers {
            write!(f, ".{modifier}")?;
        }
        if !self.operands.is_empty() {
            f.write_str(" ")?;
        }
        list(f, &self.operands)
    }
}

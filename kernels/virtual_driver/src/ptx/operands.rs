//! Operands of instructions.

use super::ast::Operand;
use super::parser::{Parsed, Parser};
use super::token::Token;

/// Components of vector registers and special registers.
const COMPONENTS: [&str; 8] = ["x", "y", "z", "w", "r", "g", "b", "a"];

impl Parser {
    /// A name with its component, if it has one: `%tid.x`.
    fn component_name(&mut self) -> Parsed<String> {
        let mut name = self.name("an operand")?;
        if let Token::Dotted(component) = self.peek()
            && COMPONENTS.contains(&component.as_str())
        {
            name = format!("{name}.{component}");
            self.advance();
        }
        Ok(name)
    }

    fn offset(&mut self) -> Parsed<i64> {
        // `+-4` and `-4` and `+4`: the sign belongs to the number.
        if matches!(self.peek(), Token::Mark(b'+' | b'-')) { self.integer() } else { Ok(0) }
    }

    fn address(&mut self) -> Parsed<Operand> {
        let operand = if self.is_at_number() || *self.peek() == Token::Mark(b'(') {
            Operand::Address(None, self.integer()?)
        } else {
            let name = self.component_name()?;
            // `name[3]` inside brackets counts bytes, like `name+3`.
            Operand::Address(Some(name), self.offset()?)
        };
        self.expect(b']')?;
        Ok(operand)
    }

    /// One operand.
    pub(super) fn operand(&mut self) -> Parsed<Operand> {
        match self.peek() {
            Token::Mark(b'[') => {
                self.advance();
                self.address()
            }
            Token::Mark(b'{') => {
                self.advance();
                self.nested(|parser| Ok(Operand::Vector(parser.list(b'}', Self::operand)?)))
            }
            Token::Mark(b'(') => {
                self.advance();
                self.nested(|parser| Ok(Operand::Group(parser.list(b')', Self::operand)?)))
            }
            Token::Mark(b'!') => {
                self.advance();
                Ok(Operand::Not(self.component_name()?))
            }
            Token::Word(_) => {
                let name = self.component_name()?;
                if self.take(b'|') {
                    let second = self.nested(Self::operand)?;
                    return Ok(Operand::Pair(Box::new(Operand::Name(name)), Box::new(second)));
                }
                if matches!(self.peek(), Token::Mark(b'+' | b'-')) {
                    return Ok(Operand::Offset(name, self.integer()?));
                }
                Ok(Operand::Name(name))
            }
            Token::Number(_) | Token::Mark(_) | Token::Dotted(_) | Token::Text(_) | Token::End => {
                if self.is_at_number() {
                    return Ok(Operand::Number(self.number()?));
                }
                self.wrong("an operand")
            }
        }
    }
}

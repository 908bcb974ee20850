//! Declarations of variables, registers and parameters.

use super::Diagnostic;
use super::ast::{Initial, Linkage, Space, Variable};
use super::parser::{Parsed, Parser};
use super::token::Token;
use crate::isa::Scalar;

/// A module with more registers of one name than this is refused: it would only exhaust memory.
const MOST_REGISTERS: u32 = 1 << 20;

/// The space a word names.
pub(super) fn space(word: &str) -> Option<Space> {
    Some(match word {
        "reg" => Space::Reg,
        "const" => Space::Const,
        "global" => Space::Global,
        "local" => Space::Local,
        "param" => Space::Param,
        "shared" | "shared::cta" => Space::Shared,
        _ => return None,
    })
}

/// What stands before the names of a declaration.
struct Head {
    linkage: Linkage,
    space: Space,
    align: Option<u32>,
    vector: u32,
    scalar: Scalar,
}

impl Parser {
    fn alignment(&mut self) -> Parsed<u32> {
        let position = self.position();
        let bytes = self.small()?;
        if bytes.is_power_of_two() && bytes <= 65536 {
            return Ok(bytes);
        }
        Err(Diagnostic::new(position, format!("an alignment is a power of two up to 65536, got {bytes}")))
    }

    fn head(&mut self, linkage: Linkage) -> Parsed<Head> {
        let Token::Dotted(word) = self.peek() else { return self.wrong("a state space such as `.global`") };
        let Some(space) = space(word) else { return self.wrong("a state space such as `.global`") };
        self.advance();
        let (mut align, mut vector, mut scalar) = (None, 1, None);
        while let Token::Dotted(word) = self.peek().clone() {
            let position = self.position();
            self.advance();
            match word.as_str() {
                "align" => {
                    let bytes = self.alignment()?;
                    // The alignment behind `.ptr` speaks of what is pointed to.
                    align = if scalar.is_some() { align } else { Some(bytes) };
                }
                "v2" => vector = 2,
                "v4" => vector = 4,
                "v8" => vector = 8,
                "ptr" | "global" | "const" | "shared" | "local" if scalar.is_some() => {}
                "attribute" => {
                    self.expect(b'(')?;
                    while !self.take(b')') {
                        if *self.peek() == Token::End {
                            return self.wrong("`)`");
                        }
                        self.advance();
                    }
                }
                text => match Scalar::parse(text) {
                    Some(found) if scalar.is_none() => scalar = Some(found),
                    _ => {
                        return Err(Diagnostic::new(
                            position,
                            format!("`.{text}` has no meaning in a declaration"),
                        ));
                    }
                },
            }
        }
        match scalar {
            Some(scalar) => Ok(Head { linkage, space, align, vector, scalar }),
            None => self.wrong("a type such as `.b32`"),
        }
    }

    fn initial(&mut self) -> Parsed<Initial> {
        if self.take(b'{') {
            return self.nested(|parser| Ok(Initial::List(parser.list(b'}', Self::initial)?)));
        }
        if let Token::Word(name) = self.peek().clone() {
            self.advance();
            let generic = name == "generic" && self.take(b'(');
            let name = if generic { self.name("a variable's name")? } else { name };
            if generic {
                self.expect(b')')?;
            }
            let addend = if matches!(self.peek(), Token::Mark(b'+' | b'-')) { self.integer()? } else { 0 };
            return Ok(Initial::Symbol { name, addend, generic });
        }
        Ok(Initial::Number(self.number()?))
    }

    fn declarator(&mut self, head: &Head) -> Parsed<Variable> {
        let position = self.position();
        let name = self.name("a name")?;
        let mut count = None;
        if self.take(b'<') {
            let at = self.position();
            let number = self.small()?;
            if number > MOST_REGISTERS {
                return Err(Diagnostic::new(
                    at,
                    format!("{number} registers of one name; at most {MOST_REGISTERS} are allowed"),
                ));
            }
            count = Some(number);
            self.expect(b'>')?;
        }
        let mut dimensions = Vec::new();
        while self.take(b'[') {
            let size = if *self.peek() == Token::Mark(b']') { None } else { Some(u64::from(self.small()?)) };
            dimensions.push(size);
            self.expect(b']')?;
        }
        let mut initial = Vec::new();
        if self.take(b'=') {
            initial = match self.initial()? {
                Initial::List(items) => items,
                single @ (Initial::Number(_) | Initial::Symbol { .. }) => vec![single],
            };
        }
        Ok(Variable {
            position,
            linkage: head.linkage,
            space: head.space,
            align: head.align,
            vector: head.vector,
            scalar: head.scalar,
            name,
            count,
            dimensions,
            initial,
        })
    }

    /// `.space ... name, name;` with the space next.
    pub(super) fn declaration(&mut self, linkage: Linkage) -> Parsed<Vec<Variable>> {
        let head = self.head(linkage)?;
        self.list(b';', |parser| parser.declarator(&head))
    }

    /// `(params)` with the parenthesis already taken. A nameless parameter (`_` or none) is allowed in prototypes.
    pub(super) fn parameters(&mut self) -> Parsed<Vec<Variable>> {
        self.list(b')', |parser| {
            let head = parser.head(Linkage::Internal)?;
            parser.declarator(&head)
        })
    }
}

//! Function bodies: labels, instructions, declarations, scopes, source locations.

use super::ast::{Guard, Instruction, Linkage, Location, Prototype, Statement};
use super::parser::{Parsed, Parser};
use super::token::Token;
use super::variables::space;

impl Parser {
    /// The statements up to the closing brace, which is taken. Errors are noted; the rest is still read.
    pub(super) fn body(&mut self) -> Parsed<Vec<Statement>> {
        let mut statements = Vec::new();
        while !self.take(b'}') {
            if self.is_at_end() {
                return self.wrong("`}`");
            }
            let before = self.position();
            if let Err(diagnostic) = self.statement(&mut statements) {
                self.recover(diagnostic);
                if self.position() == before {
                    self.advance();
                }
            }
        }
        Ok(statements)
    }

    fn statement(&mut self, out: &mut Vec<Statement>) -> Parsed<()> {
        match self.peek() {
            Token::Mark(b'{') => {
                self.advance();
                let inner = self.nested(Self::body)?;
                out.push(Statement::Block(inner));
            }
            Token::Mark(b';') => {
                self.advance();
            }
            Token::Mark(b'@') => {
                self.advance();
                let negated = self.take(b'!');
                let register = self.name("a predicate register")?;
                let instruction = self.instruction(Some(Guard { register, negated }))?;
                out.push(Statement::Instruction(instruction));
            }
            Token::Word(_) if *self.peek_after(1) == Token::Mark(b':') => {
                let position = self.position();
                let name = self.name("a label")?;
                self.advance();
                let table = self.label_table(position, &name)?;
                out.push(table.unwrap_or(Statement::Label(position, name)));
            }
            Token::Word(_) => {
                let instruction = self.instruction(None)?;
                out.push(Statement::Instruction(instruction));
            }
            Token::Dotted(_) => self.directive(out)?,
            Token::Number(_) | Token::Text(_) | Token::Mark(_) | Token::End => {
                return self.wrong("a statement");
            }
        }
        Ok(())
    }

    /// `.branchtargets`, `.calltargets` or `.callprototype` behind a label.
    fn label_table(&mut self, position: super::Position, name: &str) -> Parsed<Option<Statement>> {
        if self.take_dotted("branchtargets") {
            let targets = self.list(b';', |parser| parser.name("a label"))?;
            return Ok(Some(Statement::BranchTargets(position, name.to_owned(), targets)));
        }
        if self.take_dotted("calltargets") {
            let targets = self.list(b';', |parser| parser.name("a function"))?;
            return Ok(Some(Statement::CallTargets(position, name.to_owned(), targets)));
        }
        if self.take_dotted("callprototype") {
            let returns = if self.take(b'(') { self.parameters()? } else { Vec::new() };
            self.name("`_`")?;
            let params = if self.take(b'(') { self.parameters()? } else { Vec::new() };
            self.take_dotted("noreturn");
            self.expect(b';')?;
            return Ok(Some(Statement::CallPrototype(Prototype {
                position,
                name: name.to_owned(),
                returns,
                params,
            })));
        }
        Ok(None)
    }

    fn directive(&mut self, out: &mut Vec<Statement>) -> Parsed<()> {
        let Token::Dotted(word) = self.peek().clone() else { return self.wrong("a directive") };
        match word.as_str() {
            "loc" => {
                self.advance();
                let location = self.location()?;
                out.push(Statement::Location(location));
            }
            "pragma" => {
                self.advance();
                self.list(b';', |parser| {
                    parser.advance();
                    Ok(())
                })?;
            }
            "extern" | "visible" | "weak" => {
                self.advance();
                let linkage = if word == "extern" { Linkage::Extern } else { Linkage::Internal };
                out.extend(self.declaration(linkage)?.into_iter().map(Statement::Variable));
            }
            text if space(text).is_some() => {
                out.extend(self.declaration(Linkage::Internal)?.into_iter().map(Statement::Variable));
            }
            _ => return self.wrong("a statement"),
        }
        Ok(())
    }

    /// `file line column [, function_name label[+offset], inlined_at file line column]`
    fn location(&mut self) -> Parsed<Location> {
        let (file, line, column) = (self.small()?, self.small()?, self.small()?);
        let mut inlined_at = None;
        while self.take(b',') {
            match self.name("`function_name` or `inlined_at`")?.as_str() {
                "function_name" => {
                    self.name("a label")?;
                    if self.take(b'+') {
                        self.small()?;
                    }
                }
                "inlined_at" => inlined_at = Some((self.small()?, self.small()?, self.small()?)),
                _ => return self.wrong("`function_name` or `inlined_at`"),
            }
        }
        Ok(Location { file, line, column, inlined_at })
    }

    fn instruction(&mut self, guard: Option<Guard>) -> Parsed<Instruction> {
        let position = self.position();
        let opcode = self.name("an instruction")?;
        let mut modifiers = Vec::new();
        while let Token::Dotted(word) = self.peek() {
            modifiers.push(word.clone());
            self.advance();
        }
        let operands = self.list(b';', Self::operand)?;
        Ok(Instruction { position, guard, opcode, modifiers, operands })
    }
}

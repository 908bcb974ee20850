//! The module level: directives, variables, kernels and functions.

use super::ast::{Function, Linkage, Module};
use super::parser::{Parsed, Parser};
use super::token::Token;
use super::{Diagnostic, Position};

/// The newest PTX version that is accepted: that of CUDA 13.0. What it has beyond 8.8 is not known and is refused by name.
const NEWEST: (u32, u32) = (9, 0);

impl Parser {
    /// The whole text; what is wrong is left in `diagnostics`.
    pub(super) fn module(&mut self) -> Module {
        let mut module = Module { address_size: 64, ..Module::default() };
        while !self.is_at_end() {
            let before = self.position();
            if let Err(diagnostic) = self.item(&mut module) {
                self.recover(diagnostic);
                if *self.peek() == Token::Mark(b'{') {
                    self.skip_braces();
                } else if self.position() == before || *self.peek() == Token::Mark(b'}') {
                    self.advance();
                }
            }
        }
        if module.version == (0, 0) && self.diagnostics.is_empty() {
            let position = Position { line: 1, column: 1 };
            self.diagnostics
                .push(Diagnostic::new(position, "expected `.version` at the start of the module"));
        }
        module
    }

    fn version(&mut self) -> Parsed<(u32, u32)> {
        let position = self.position();
        let Token::Number(text) = self.advance() else {
            return Err(Diagnostic::new(position, "expected a version such as 8.8"));
        };
        let parts =
            text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        match parts {
            Some(version) if version <= NEWEST => Ok(version),
            Some(_) => Err(Diagnostic::new(
                position,
                format!(
                    "PTX {text} is newer than {}.{}, the newest understood: compile with an older toolkit",
                    NEWEST.0, NEWEST.1
                ),
            )),
            None => Err(Diagnostic::new(position, format!("expected a version such as 8.8, got `{text}`"))),
        }
    }

    fn item(&mut self, module: &mut Module) -> Parsed<()> {
        let Token::Dotted(word) = self.peek().clone() else {
            // `@@DWARF` lines of old toolkits carry debug information only.
            if self.take(b'@') || self.take(b';') {
                return self.skip_old_debug_line();
            }
            return self.wrong("a directive");
        };
        match word.as_str() {
            "version" => {
                self.advance();
                module.version = self.version()?;
            }
            "target" => {
                self.advance();
                self.target(module)?;
            }
            "address_size" => {
                self.advance();
                module.address_size = self.small()?;
            }
            "file" => {
                self.advance();
                self.file(module)?;
            }
            "section" => {
                while !matches!(self.peek(), Token::Mark(b'{') | Token::End) {
                    self.advance();
                }
                self.skip_braces();
            }
            "pragma" => {
                self.advance();
                let texts = self.list(b';', |parser| {
                    Ok(if let Token::Text(text) = parser.advance() { Some(text) } else { None })
                })?;
                module.pragmas.extend(texts.into_iter().flatten());
            }
            "alias" => {
                self.advance();
                self.list(b';', |parser| {
                    parser.advance();
                    Ok(())
                })?;
            }
            _ => self.definition(module)?,
        }
        Ok(())
    }

    fn skip_old_debug_line(&mut self) -> Parsed<()> {
        let line = self.position().line;
        while self.position().line == line && !self.is_at_end() {
            self.advance();
        }
        Ok(())
    }

    fn target(&mut self, module: &mut Module) -> Parsed<()> {
        loop {
            module.target.push(self.name("a target such as sm_80")?);
            if !self.take(b',') {
                return Ok(());
            }
        }
    }

    fn file(&mut self, module: &mut Module) -> Parsed<()> {
        let index = self.small()?;
        let Token::Text(name) = self.peek().clone() else { return self.wrong("a file name in quotes") };
        self.advance();
        while self.take(b',') {
            self.integer()?;
        }
        module.files.push((index, name));
        Ok(())
    }

    fn definition(&mut self, module: &mut Module) -> Parsed<()> {
        let mut linkage = Linkage::Internal;
        while let Token::Dotted(word) = self.peek() {
            linkage = match word.as_str() {
                "extern" => Linkage::Extern,
                "visible" => Linkage::Visible,
                "weak" => Linkage::Weak,
                "common" => Linkage::Common,
                _ => break,
            };
            self.advance();
        }
        if self.take_dotted("entry") {
            module.functions.push(self.function(linkage, true)?);
        } else if self.take_dotted("func") {
            module.functions.push(self.function(linkage, false)?);
        } else {
            module.variables.extend(self.declaration(linkage)?);
        }
        Ok(())
    }

    fn function(&mut self, linkage: Linkage, is_entry: bool) -> Parsed<Function> {
        while self.take_dotted("attribute") {
            self.expect(b'(')?;
            self.list(b')', |parser| {
                parser.advance();
                Ok(())
            })?;
        }
        let returns = if self.take(b'(') { self.parameters()? } else { Vec::new() };
        let position = self.position();
        let name = self.name("a function's name")?;
        let params = if self.take(b'(') { self.parameters()? } else { Vec::new() };
        let mut directives = Vec::new();
        while let Token::Dotted(word) = self.peek().clone() {
            self.advance();
            let mut numbers = Vec::new();
            if word == "pragma" {
                self.advance();
                self.take(b';');
            }
            while self.is_at_number() {
                numbers.push(self.small()?);
                self.take(b',');
            }
            directives.push((word, numbers));
        }
        let body = if self.take(b';') {
            None
        } else {
            self.expect(b'{')?;
            Some(self.body()?)
        };
        Ok(Function { position, linkage, is_entry, name, returns, params, directives, body })
    }
}

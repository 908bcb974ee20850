//! The parser's hands: a cursor over tokens, expectations, recovery after an error.

use super::token::{Token, tokens};
use super::{Diagnostic, Position};

/// After so many messages the parser gives up: the rest would be noise.
const MOST_DIAGNOSTICS: usize = 50;
/// Deepest nesting of scopes and parentheses; text must not be able to exhaust the stack.
const DEEPEST: u32 = 64;

pub(super) type Parsed<T> = Result<T, Diagnostic>;

/// A cursor over the tokens of one module.
pub(super) struct Parser {
    tokens: Vec<(Token, Position)>,
    at: usize,
    depth: u32,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Parser {
    pub(super) fn new(text: &str) -> Self {
        let (tokens, diagnostics) = tokens(text);
        Self { tokens, at: 0, depth: 0, diagnostics }
    }

    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub(super) fn peek_after(&self, ahead: usize) -> &Token {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].0
    }

    pub(super) fn position(&self) -> Position {
        self.tokens[self.at].1
    }

    pub(super) fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    /// Takes the mark if it is next.
    pub(super) fn take(&mut self, mark: u8) -> bool {
        let found = *self.peek() == Token::Mark(mark);
        if found {
            self.advance();
        }
        found
    }

    /// Takes `.word` if it is next.
    pub(super) fn take_dotted(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Dotted(text) if text == word);
        if found {
            self.advance();
        }
        found
    }

    /// An error at the next token.
    pub(super) fn wrong<T>(&self, expected: &str) -> Parsed<T> {
        Err(Diagnostic::new(self.position(), format!("expected {expected}, got {}", self.peek().describe())))
    }

    pub(super) fn expect(&mut self, mark: u8) -> Parsed<()> {
        if self.take(mark) { Ok(()) } else { self.wrong(&format!("`{}`", mark as char)) }
    }

    /// A name; `what` says of what.
    pub(super) fn name(&mut self, what: &str) -> Parsed<String> {
        match self.peek() {
            Token::Word(word) => {
                let word = word.clone();
                self.advance();
                Ok(word)
            }
            Token::Dotted(_) | Token::Number(_) | Token::Text(_) | Token::Mark(_) | Token::End => {
                self.wrong(what)
            }
        }
    }

    /// Runs `inside` one level deeper, or refuses where the text is nested too deeply.
    pub(super) fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST {
            return Err(Diagnostic::new(self.position(), format!("nested more than {DEEPEST} deep")));
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// `item, item, ... close`, `close` taken; empty lists are allowed.
    pub(super) fn list<T>(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.take(close) {
                return Ok(items);
            }
            if !self.take(b',') {
                return self.wrong(&format!("`,` or `{}`", close as char));
            }
        }
    }

    /// Notes the error and moves behind the next `;`, or in front of a brace.
    pub(super) fn recover(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
        loop {
            match self.peek() {
                Token::End | Token::Mark(b'{' | b'}') => return,
                Token::Mark(b';') => {
                    self.advance();
                    return;
                }
                Token::Mark(_) | Token::Word(_) | Token::Dotted(_) | Token::Number(_) | Token::Text(_) => {
                    self.advance();
                }
            }
        }
    }

    /// Skips a balanced `{...}` whose opening brace is next.
    pub(super) fn skip_braces(&mut self) {
        let mut depth = 0_u32;
        loop {
            match self.peek() {
                Token::Mark(b'{') => depth += 1,
                Token::Mark(b'}') => depth = depth.saturating_sub(1),
                Token::End => return,
                Token::Mark(_) | Token::Word(_) | Token::Dotted(_) | Token::Number(_) | Token::Text(_) => {}
            }
            self.advance();
            if depth == 0 {
                return;
            }
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        *self.peek() == Token::End || self.diagnostics.len() >= MOST_DIAGNOSTICS
    }
}

//! The lexer: PTX text to tokens with positions. Comments and white space vanish here.

use super::{Diagnostic, Position};

/// What a token is. Words keep their text; `.word` is one token, so that `ld.global.v4.f32` is a word and three suffixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An identifier: opcode, register (`%r1`), label or symbol.
    Word(String),
    /// A directive or modifier without its dot: `.global` is `Dotted("global")`, `.L2::128B` is `Dotted("L2::128B")`.
    Dotted(String),
    /// A number as written, without sign.
    Number(String),
    /// A string literal without its quotes.
    Text(String),
    /// Any punctuation; `<<` and `>>` come as two marks.
    Mark(u8),
    /// The end of the text.
    End,
}

impl Token {
    /// How a message names the token.
    pub(super) fn describe(&self) -> String {
        match self {
            Token::Word(word) | Token::Number(word) => format!("`{word}`"),
            Token::Dotted(word) => format!("`.{word}`"),
            Token::Text(text) => format!("\"{text}\""),
            Token::Mark(mark) => format!("`{}`", *mark as char),
            Token::End => "the end of the text".to_owned(),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'%')
}

struct Lexer<'t> {
    bytes: &'t [u8],
    at: usize,
    position: Position,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn bump(&mut self) {
        if self.peek(0) == b'\n' {
            self.position.line += 1;
            self.position.column = 1;
        } else if self.peek(0) & 0xC0 != 0x80 {
            self.position.column += 1;
        }
        self.at += 1;
    }

    fn take_while(&mut self, accept: impl Fn(&Self) -> bool) -> String {
        let start = self.at;
        while self.at < self.bytes.len() && accept(self) {
            self.bump();
        }
        String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned()
    }

    /// Skips blanks and comments; an unclosed block comment swallows the rest and is reported.
    fn skip_blanks(&mut self) -> Result<(), Diagnostic> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (byte, _) if byte.is_ascii_whitespace() => self.bump(),
                (b'/', b'/') => {
                    self.take_while(|lexer| lexer.peek(0) != b'\n');
                }
                (b'/', b'*') => {
                    let start = self.position;
                    self.take_while(|lexer| (lexer.peek(0), lexer.peek(1)) != (b'*', b'/'));
                    if self.at >= self.bytes.len() {
                        return Err(Diagnostic::new(start, "this comment is never closed with `*/`"));
                    }
                    self.bump();
                    self.bump();
                }
                _ => return Ok(()),
            }
        }
    }

    fn number(&mut self) -> String {
        // A dot belongs to the number only when a digit follows or an exponent does (`1.0`, `1.e5`); signs only after `e`.
        let is_prefixed = self.peek(0) == b'0' && self.peek(1).is_ascii_alphabetic();
        self.take_while(|lexer| {
            let byte = lexer.peek(0);
            let before = if lexer.at > 0 { lexer.bytes[lexer.at - 1] } else { 0 };
            byte.is_ascii_alphanumeric()
                || (!is_prefixed && byte == b'.')
                || (!is_prefixed && matches!(byte, b'+' | b'-') && matches!(before, b'e' | b'E'))
        })
    }

    fn quoted(&mut self) -> Result<Token, Diagnostic> {
        let start = self.position;
        self.bump();
        let text = self.take_while(|lexer| !matches!(lexer.peek(0), b'"' | b'\n'));
        if self.peek(0) != b'"' {
            return Err(Diagnostic::new(start, "this string is never closed with `\"`"));
        }
        self.bump();
        Ok(Token::Text(text))
    }

    fn next(&mut self) -> Result<Token, Diagnostic> {
        let byte = self.peek(0);
        if self.at >= self.bytes.len() {
            return Ok(Token::End);
        }
        if byte.is_ascii_digit() {
            return Ok(Token::Number(self.number()));
        }
        if byte == b'"' {
            return self.quoted();
        }
        if byte == b'.' {
            self.bump();
            let word = self.take_while(|lexer| {
                let before = lexer.bytes[lexer.at - 1];
                is_word(lexer.peek(0)) || (lexer.peek(0) == b':' && (lexer.peek(1) == b':' || before == b':'))
            });
            return if word.is_empty() { Ok(Token::Mark(b'.')) } else { Ok(Token::Dotted(word)) };
        }
        if is_word(byte) {
            return Ok(Token::Word(self.take_while(|lexer| is_word(lexer.peek(0)))));
        }
        if byte.is_ascii_graphic() {
            self.bump();
            return Ok(Token::Mark(byte));
        }
        let at = self.position;
        self.bump();
        Err(Diagnostic::new(at, format!("a byte 0x{byte:02x} that PTX does not use")))
    }
}

/// All tokens of the text with their positions (the last is [`Token::End`]), and what could not be read.
pub(super) fn tokens(text: &str) -> (Vec<(Token, Position)>, Vec<Diagnostic>) {
    let mut lexer = Lexer {
        bytes: text.trim_end_matches('\0').as_bytes(),
        at: 0,
        position: Position { line: 1, column: 1 },
    };
    let (mut tokens, mut diagnostics) = (Vec::new(), Vec::new());
    loop {
        if let Err(diagnostic) = lexer.skip_blanks() {
            diagnostics.push(diagnostic);
        }
        let position = lexer.position;
        match lexer.next() {
            Ok(token) => {
                let is_end = token == Token::End;
                tokens.push((token, position));
                if is_end {
                    return (tokens, diagnostics);
                }
            }
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Token> {
        tokens(text).0.into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn suffixes_numbers_and_comments() {
        assert_eq!(
            words("ld.L2::128B /* x\n */ [%r1+-4]; // end\n 0f3F800000 1.5e-3"),
            [
                Token::Word("ld".into()),
                Token::Dotted("L2::128B".into()),
                Token::Mark(b'['),
                Token::Word("%r1".into()),
                Token::Mark(b'+'),
                Token::Mark(b'-'),
                Token::Number("4".into()),
                Token::Mark(b']'),
                Token::Mark(b';'),
                Token::Number("0f3F800000".into()),
                Token::Number("1.5e-3".into()),
                Token::End,
            ]
        );
    }

    #[test]
    fn positions_count_lines_and_columns() {
        let (tokens, diagnostics) = tokens("a\n  b é c");
        assert_eq!(tokens[1].1, Position { line: 2, column: 3 });
        assert!(!diagnostics.is_empty());
        assert_eq!(tokens[2].1, Position { line: 2, column: 7 });
    }
}

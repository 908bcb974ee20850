//! Numeric literals and constant expressions.

use super::Diagnostic;
use super::ast::Number;
use super::parser::{Parsed, Parser};
use super::token::Token;

/// Reads a literal as written: decimal, `0x`, `0b`, octal, `0f`, `0d`, decimal fraction; a final `U` is ignored.
fn read(text: &str) -> Option<Number> {
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0f") {
        return (hex.len() == 8).then(|| u32::from_str_radix(hex, 16).ok().map(Number::Single)).flatten();
    }
    if let Some(hex) = lower.strip_prefix("0d") {
        return (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok().map(Number::Double)).flatten();
    }
    let digits = lower.strip_suffix('u').unwrap_or(&lower);
    let int = |digits: &str, radix| {
        u64::from_str_radix(digits, radix).ok().map(|value| Number::Int(i128::from(value)))
    };
    if let Some(hex) = digits.strip_prefix("0x") {
        return int(hex, 16);
    }
    if let Some(binary) = digits.strip_prefix("0b") {
        return int(binary, 2);
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let is_octal = digits.len() > 1 && digits.starts_with('0');
        return if is_octal { int(&digits[1..], 8) } else { int(digits, 10) };
    }
    text.parse::<f64>().ok().map(|value| Number::Double(value.to_bits()))
}

fn negated(number: Number) -> Number {
    match number {
        Number::Int(value) => Number::Int(value.wrapping_neg()),
        Number::Single(bits) => Number::Single(bits ^ 0x8000_0000),
        Number::Double(bits) => Number::Double(bits ^ (1 << 63)),
    }
}

/// Binary operators of constant expressions by precedence, loosest first.
fn operator(parser: &Parser) -> Option<(u8, u32, usize)> {
    let Token::Mark(mark) = *parser.peek() else { return None };
    let is_double = *parser.peek_after(1) == Token::Mark(mark);
    match mark {
        b'|' if !is_double => Some((mark, 1, 1)),
        b'^' => Some((mark, 2, 1)),
        b'&' if !is_double => Some((mark, 3, 1)),
        b'<' | b'>' if is_double => Some((mark, 4, 2)),
        b'+' | b'-' => Some((mark, 5, 1)),
        b'*' | b'/' | b'%' => Some((mark, 6, 1)),
        _ => None,
    }
}

fn apply(mark: u8, left: i128, right: i128) -> Option<i128> {
    match mark {
        b'|' => Some(left | right),
        b'^' => Some(left ^ right),
        b'&' => Some(left & right),
        b'<' => left.checked_shl(u32::try_from(right).ok()?),
        b'>' => left.checked_shr(u32::try_from(right).ok()?),
        b'+' => left.checked_add(right),
        b'-' => left.checked_sub(right),
        b'*' => left.checked_mul(right),
        b'/' => left.checked_div(right),
        b'%' => left.checked_rem(right),
        _ => None,
    }
}

impl Parser {
    /// Whether a constant starts here (parentheses not counted: a call's group starts with them too).
    pub(super) fn is_at_number(&self) -> bool {
        matches!(self.peek(), Token::Number(_) | Token::Mark(b'-' | b'+' | b'~'))
    }

    fn primary(&mut self) -> Parsed<Number> {
        let position = self.position();
        match self.advance() {
            Token::Number(text) => read(&text)
                .ok_or_else(|| Diagnostic::new(position, format!("`{text}` is not a number PTX knows"))),
            Token::Mark(b'-') => Ok(negated(self.nested(Self::primary)?)),
            Token::Mark(b'+') => self.nested(Self::primary),
            Token::Mark(b'~') => match self.nested(Self::primary)? {
                Number::Int(value) => Ok(Number::Int(!value)),
                Number::Single(_) | Number::Double(_) => {
                    Err(Diagnostic::new(position, "`~` needs an integer"))
                }
            },
            Token::Mark(b'(') => {
                let number = self.nested(|parser| parser.number())?;
                self.expect(b')')?;
                Ok(number)
            }
            other @ (Token::Word(_) | Token::Dotted(_) | Token::Text(_) | Token::Mark(_) | Token::End) => {
                Err(Diagnostic::new(position, format!("expected a number, got {}", other.describe())))
            }
        }
    }

    fn binary(&mut self, loosest: u32) -> Parsed<Number> {
        let mut left = self.primary()?;
        while let Some((mark, precedence, marks)) = operator(self) {
            if precedence < loosest {
                break;
            }
            let position = self.position();
            for _ in 0..marks {
                self.advance();
            }
            let right = self.nested(|parser| parser.binary(precedence + 1))?;
            let value = if let (Number::Int(left), Number::Int(right)) = (left, right) {
                apply(mark, left, right)
            } else {
                None
            };
            left =
                Number::Int(value.ok_or_else(|| {
                    Diagnostic::new(position, "this constant expression has no integer value")
                })?);
        }
        Ok(left)
    }

    /// A constant expression.
    pub(super) fn number(&mut self) -> Parsed<Number> {
        self.binary(1)
    }

    /// A constant expression that must be an integer.
    pub(super) fn integer(&mut self) -> Parsed<i64> {
        let position = self.position();
        let number = self.number()?;
        if let Number::Int(value) = number
            && (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value)
        {
            return Ok(value as i64);
        }
        Err(Diagnostic::new(position, format!("expected an integer of 64 bits, got {number}")))
    }

    /// An integer that fits 32 unsigned bits, as directives take.
    pub(super) fn small(&mut self) -> Parsed<u32> {
        let position = self.position();
        let value = self.integer()?;
        u32::try_from(value).map_err(|_| {
            Diagnostic::new(position, format!("expected a number from 0 to 2^32-1, got {value}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_every_kind() {
        assert_eq!(read("0x10U"), Some(Number::Int(16)));
        assert_eq!(read("010"), Some(Number::Int(8)));
        assert_eq!(read("0b101"), Some(Number::Int(5)));
        assert_eq!(read("18446744073709551615"), Some(Number::Int(i128::from(u64::MAX))));
        assert_eq!(read("0f3F800000"), Some(Number::Single(0x3F80_0000)));
        assert_eq!(read("0d3FF0000000000000"), Some(Number::Double(1.0_f64.to_bits())));
        assert_eq!(read("1.5e-3"), Some(Number::Double(1.5e-3_f64.to_bits())));
        assert_eq!(read("0f3F80"), None);
        assert_eq!(read("99999999999999999999"), None);
    }

    #[test]
    fn expressions_follow_precedence() {
        assert_eq!(Parser::new("1 + 2 * 3 << 1").integer(), Ok(14));
        assert_eq!(Parser::new("-(4 - 1) | 8").integer(), Ok(-3));
        assert!(Parser::new("1 / 0").integer().is_err());
    }
}

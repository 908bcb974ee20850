//! Positions in PTX text and the messages that point at them.

use std::fmt;

/// Where something stands in the PTX text; both numbers start at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line in the text.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One thing that is wrong with the text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it is wrong.
    pub position: Position,
    /// What is wrong: expected and got.
    pub message: String,
}

impl Diagnostic {
    /// A message at a position.
    pub fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into() }
    }

    /// The message, the line it speaks of, and a caret under the place; `line` is that line of the text.
    pub fn pointed(&self, line: &str) -> String {
        let number = self.position.line.to_string();
        let margin = " ".repeat(number.len());
        let before = line.chars().take(self.position.column.saturating_sub(1) as usize);
        // Tabs stay tabs, so that the caret stands right whatever their width.
        let blank: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        format!("{self}\n {number} | {line}\n {margin} | {blank}^")
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)
    }
}

impl std::error::Error for Diagnostic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_place() {
        let diagnostic = Diagnostic::new(Position { line: 12, column: 6 }, "expected `;`");
        assert_eq!(
            diagnostic.pointed("\tadd %r1"),
            "line 12, column 6: expected `;`\n 12 | \tadd %r1\n    | \t    ^"
        );
    }
}

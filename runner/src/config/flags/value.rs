//! Types of flag values: how a value is read and what a wrong one is told.

use std::fmt;

use super::super::diagnostic::suggestion;
use super::super::words::Words;

/// What a flag's value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueType {
    /// `true` and nothing else; to switch it off, omit it.
    Switch,
    /// A whole number, at least this.
    Integer(i64),
    /// A finite number.
    Number,
    /// One argument, any text.
    Text,
    /// A file or folder.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One text, or `"[a b c]"`.
    Words,
    /// `"[a b]"`, two whole numbers.
    Range,
    /// Whatever the file says: of a flag that Goldlap knows by name only.
    Anything,
}

/// A flag's value, read by its [`ValueType`].
#[derive(Clone, Debug, PartialEq)]
pub enum FlagValue {
    /// A switch that is on.
    On,
    /// From [`ValueType::Integer`].
    Integer(i64),
    /// From [`ValueType::Number`].
    Number(f64),
    /// From [`ValueType::Text`], [`ValueType::Path`] and [`ValueType::Choice`].
    Text(String),
    /// From [`ValueType::Words`].
    Words(Vec<String>),
    /// From [`ValueType::Range`].
    Range(i64, i64),
}

impl ValueType {
    /// Reads a value's text, quoting rules included. `Ok(None)`: empty, the entry is dropped as the original does.
    pub fn parse_text(self, text: &str) -> Result<Option<FlagValue>, String> {
        if self == Self::Anything {
            return Ok((!text.is_empty()).then(|| FlagValue::Text(text.to_owned())));
        }
        let words = Words::parse(text)?;
        if words == Words::Dropped {
            return Ok(None);
        }
        self.parse_words(words).map(Some).ok_or_else(|| self.complaint(text))
    }

    fn parse_words(self, words: Words) -> Option<FlagValue> {
        match (self, words) {
            (Self::Switch, Words::Bare) => Some(FlagValue::On),
            (Self::Integer(least), Words::One(text)) => {
                text.parse().ok().filter(|n| *n >= least).map(FlagValue::Integer)
            }
            (Self::Number, Words::One(text)) => {
                text.parse().ok().filter(|x: &f64| x.is_finite()).map(FlagValue::Number)
            }
            (Self::Text | Self::Path, Words::One(text)) => Some(FlagValue::Text(text)),
            (Self::Choice(known), Words::One(text)) => {
                known.contains(&text.as_str()).then_some(FlagValue::Text(text))
            }
            (Self::Words, Words::One(text)) => Some(FlagValue::Words(vec![text])),
            (Self::Words, Words::Many(words)) => (!words.is_empty()).then_some(FlagValue::Words(words)),
            (Self::Range, Words::Many(words)) => match words.as_slice() {
                [low, high] => Some(FlagValue::Range(low.parse().ok()?, high.parse().ok()?)),
                _ => None,
            },
            (_, Words::Dropped | Words::Bare | Words::One(_) | Words::Many(_)) => None,
        }
    }

    fn complaint(self, text: &str) -> String {
        let shown: String = text.chars().take(60).collect();
        let dots = if shown.len() < text.len() { "..." } else { "" };
        format!("expected {self}, got \"{shown}{dots}\"")
    }

    /// Advice about a value that does not fit.
    pub fn advice(self, text: &str) -> Option<String> {
        match self {
            Self::Switch if matches!(text, "false" | "False" | "no" | "off" | "0") => Some(
                "a switch that is off is not written: omit the flag (or set it to null under PLATFORMS)"
                    .into(),
            ),
            Self::Switch => Some("write `true`, or omit the flag".into()),
            Self::Choice(known) => suggestion(text, known.iter().copied()),
            Self::Integer(_)
                if text.parse::<i64>().is_err() && text.parse::<f64>().is_ok_and(f64::is_finite) =>
            {
                Some("write it without a fraction or exponent".into())
            }
            Self::Range => Some("write \"[64 1024]\"".into()),
            Self::Integer(_) | Self::Number | Self::Text | Self::Path | Self::Words | Self::Anything => None,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("true"),
            Self::Integer(i64::MIN) => f.write_str("an integer"),
            Self::Integer(least) => write!(f, "an integer of at least {least}"),
            Self::Number => f.write_str("a finite number"),
            Self::Text => f.write_str("a text"),
            Self::Path => f.write_str("a path"),
            Self::Choice(known) => write!(f, "one of {}", known.join(", ")),
            Self::Words => f.write_str("a text, or several words as \"[a b c]\""),
            Self::Range => f.write_str("two integers as \"[low high]\""),
            Self::Anything => f.write_str("a value"),
        }
    }
}

impl fmt::Display for FlagValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("true"),
            Self::Integer(n) => write!(f, "{n}"),
            Self::Number(x) => write!(f, "{x:?}"),
            Self::Text(text) => f.write_str(text),
            Self::Words(words) if words.len() == 1 => f.write_str(&words[0]),
            Self::Words(words) => write!(f, "[{}]", words.join(" ")),
            Self::Range(low, high) => write!(f, "[{low} {high}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(kind: ValueType, text: &str, value: FlagValue) {
        assert_eq!(kind.parse_text(text), Ok(Some(value)), "{kind:?} {text:?}");
    }

    fn refuses(kind: ValueType, text: &str, expected: &str) {
        let error = kind.parse_text(text).unwrap_err();
        assert!(error.contains(expected), "{error:?} should contain {expected:?}");
    }

    #[test]
    fn well_typed_values() {
        accepts(ValueType::Switch, "true", FlagValue::On);
        accepts(ValueType::Integer(0), "12", FlagValue::Integer(12));
        accepts(ValueType::Number, "1e-3", FlagValue::Number(1e-3));
        accepts(ValueType::Number, "20", FlagValue::Number(20.0));
        accepts(ValueType::Choice(&["a", "b"]), "b", FlagValue::Text("b".into()));
        accepts(ValueType::Words, "two words", FlagValue::Words(vec!["two words".into()]));
        accepts(ValueType::Words, "[two words]", FlagValue::Words(vec!["two".into(), "words".into()]));
        accepts(ValueType::Range, "[64 1024]", FlagValue::Range(64, 1024));
        assert_eq!(ValueType::Text.parse_text(""), Ok(None));
    }

    #[test]
    fn ill_typed_values() {
        refuses(ValueType::Switch, "false", "expected true, got \"false\"");
        refuses(ValueType::Integer(1), "one", "expected an integer of at least 1, got \"one\"");
        refuses(ValueType::Integer(1), "0", "at least 1");
        refuses(ValueType::Integer(0), "1.5", "integer");
        refuses(ValueType::Integer(0), "99999999999999999999", "integer");
        refuses(ValueType::Integer(0), "true", "integer");
        refuses(ValueType::Number, "nan", "finite");
        refuses(ValueType::Number, "1e999", "finite");
        refuses(ValueType::Path, "true", "a path");
        refuses(ValueType::Choice(&["a", "b"]), "c", "one of a, b");
        refuses(ValueType::Range, "[1 2 3]", "two integers");
        refuses(ValueType::Range, "1 2", "two integers");
        assert!(ValueType::Switch.advice("false").unwrap().contains("omit the flag"));
    }
}

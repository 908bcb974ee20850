//! JSON as Python's `json` module writes it: like serde_json's, but `NaN` and `Infinity` are numbers, and a
//! key that appears twice in an object is refused instead of silently winning.

use std::fmt;

use serde_json::Number;
use sha2::{Digest, Sha256};

use super::json_parser;

/// A JSON value. Objects keep the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A finite number; integers stay integers.
    Number(Number),
    /// `NaN`, `Infinity` or `-Infinity`: no JSON, but Python writes and reads them.
    NonFinite(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object; keys are unique.
    Object(Vec<(String, Json)>),
}

/// Where and why a text is not JSON. Line and column count from 1; the column counts bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct JsonError {
    /// Line.
    pub line: usize,
    /// Byte in the line.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl Json {
    /// Reads exactly one value.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        json_parser::parse(text)
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(n) if n.is_f64() => "a number with a fraction",
            Self::Number(_) => "an integer",
            Self::NonFinite(_) => "a number that is not finite",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The member `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.iter().find(|(k, _)| k == key).map(|(_, value)| value),
            Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::NonFinite(_)
            | Self::String(_)
            | Self::Array(_) => None,
        }
    }

    /// A finite float as JSON, or its non-finite form.
    pub fn float(value: f64) -> Self {
        Number::from_f64(value).map_or(Self::NonFinite(value), Self::Number)
    }

    /// Path of the first number that is not finite, like `0.logprobs[3]`.
    pub fn first_non_finite(&self) -> Option<String> {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => None,
            Self::NonFinite(_) => Some(String::new()),
            Self::Array(items) => {
                let found = items.iter().enumerate();
                found
                    .filter_map(|(i, item)| item.first_non_finite().map(|rest| format!("[{i}]{rest}")))
                    .next()
            }
            Self::Object(members) => members.iter().find_map(|(key, value)| {
                value.first_non_finite().map(|rest| {
                    let dot = if rest.is_empty() || rest.starts_with('[') { "" } else { "." };
                    format!("{key}{dot}{rest}")
                })
            }),
        }
    }

    /// As serde_json's value; numbers that are not finite become null.
    pub fn to_serde(&self) -> serde_json::Value {
        match self {
            Self::Null | Self::NonFinite(_) => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(value) => value.clone().into(),
            Self::String(value) => value.as_str().into(),
            Self::Array(items) => items.iter().map(Self::to_serde).collect(),
            Self::Object(members) => members.iter().map(|(k, v)| (k.clone(), v.to_serde())).collect(),
        }
    }

    /// From serde_json's value.
    pub fn from_serde(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(value) => Self::Number(value.clone()),
            Value::String(value) => Self::String(value.clone()),
            Value::Array(items) => Self::Array(items.iter().map(Self::from_serde).collect()),
            Value::Object(members) => {
                Self::Object(members.iter().map(|(k, v)| (k.clone(), Self::from_serde(v))).collect())
            }
        }
    }

    /// Text for people: indented by four spaces, lists of plain values on one line, a final newline.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write_pretty(&mut out, 0);
        out.push('\n');
        out
    }

    /// SHA-256, in hexadecimal, of the canonical text: no spaces, keys sorted.
    pub fn hash(&self) -> String {
        let mut out = String::new();
        self.write_canonical(&mut out);
        Sha256::digest(out.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn write_canonical(&self, out: &mut String) {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::NonFinite(_) | Self::String(_) => {
                out.push_str(&self.scalar());
            }
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    item.write_canonical(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by_key(|(key, _)| key);
                out.push('{');
                for (i, (key, value)) in sorted.into_iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(&quote(key));
                    out.push(':');
                    value.write_canonical(out);
                }
                out.push('}');
            }
        }
    }

    fn write_pretty(&self, out: &mut String, indent: usize) {
        let pad = "    ".repeat(indent + 1);
        match self {
            Self::Object(members) if !members.is_empty() => {
                out.push_str("{\n");
                for (i, (key, value)) in members.iter().enumerate() {
                    out.push_str(if i > 0 { ",\n" } else { "" });
                    out.push_str(&format!("{pad}{}: ", quote(key)));
                    value.write_pretty(out, indent + 1);
                }
                out.push_str(&format!("\n{}}}", "    ".repeat(indent)));
            }
            Self::Array(items) if items.iter().any(|i| matches!(i, Self::Array(_) | Self::Object(_))) => {
                out.push_str("[\n");
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { ",\n" } else { "" });
                    out.push_str(&pad);
                    item.write_pretty(out, indent + 1);
                }
                out.push_str(&format!("\n{}]", "    ".repeat(indent)));
            }
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(Self::scalar).collect();
                out.push_str(&format!("[{}]", items.join(", ")));
            }
            Self::Object(_) => out.push_str("{}"),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::NonFinite(_) | Self::String(_) => {
                out.push_str(&self.scalar());
            }
        }
    }

    /// Text of a value that is no list or object (those give nothing).
    fn scalar(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::NonFinite(value) if value.is_nan() => "NaN".to_owned(),
            Self::NonFinite(value) => if *value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
            Self::String(value) => quote(value),
            Self::Array(_) | Self::Object(_) => String::new(),
        }
    }
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}

impl JsonError {
    /// This error in the file `path`.
    pub fn in_file(&self, path: &std::path::Path) -> String {
        format!("{}:{}:{}: not valid JSON: {}", path.display(), self.line, self.column, self.what)
    }
}

/// The canonical text.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write_canonical(&mut out);
        f.write_str(&out)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;

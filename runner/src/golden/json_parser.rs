//! Reads [`Json`]. Structure is parsed here; strings and numbers are cut out and left to serde_json.

use std::collections::HashSet;

use serde_json::Number;

use super::json::{Json, JsonError};

/// Objects nested deeper than this are refused, so that a hostile file cannot exhaust the stack.
const MAX_DEPTH: usize = 64;

/// Reads exactly one value.
pub(super) fn parse(text: &str) -> Result<Json, JsonError> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.error("the JSON value ends here, but more text follows"));
    }
    Ok(value)
}

/// Where the reader is.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.skip_space();
        if depth > MAX_DEPTH {
            return Err(self.error(&format!("nested deeper than {MAX_DEPTH} levels")));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => self.word(),
            Some(_) => Err(self.error("expected a JSON value")),
            None => Err(self.error("the file ends where a JSON value was expected")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut members: Vec<(String, Json)> = Vec::new();
        // Linear search would be quadratic on a golden with thousands of requests.
        let mut seen = HashSet::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a key in double quotes"));
            }
            let start = self.at;
            let key = self.string()?;
            if !seen.insert(key.clone()) {
                self.at = start;
                return Err(self.error(&format!("the key {key:?} appears twice in the same object")));
            }
            self.skip_space();
            if !self.take(b':') {
                return Err(self.error(&format!("expected ':' after the key {key:?}")));
            }
            members.push((key, self.value(depth + 1)?));
            self.skip_space();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return Err(self.error("expected ',' or '}' in an object"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return Err(self.error("expected ',' or ']' in a list"));
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        while bytes.get(end).is_some_and(|&b| b != b'"') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let Some(text) = self.text.get(start..=end).filter(|t| t.len() > 1) else {
            return Err(self.error("a string starts here and never ends"));
        };
        let value = serde_json::from_str(text).map_err(|e| {
            let reason = e.to_string();
            self.error(&format!("bad string: {}", reason.split(" at line").next().unwrap_or(&reason)))
        })?;
        self.at = end + 1;
        Ok(value)
    }

    /// A number or one of the words.
    fn word(&mut self) -> Result<Json, JsonError> {
        let rest = &self.text[self.at..];
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_'));
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        let value = match word {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            "NaN" => Json::NonFinite(f64::NAN),
            "Infinity" => Json::NonFinite(f64::INFINITY),
            "-Infinity" => Json::NonFinite(f64::NEG_INFINITY),
            _ => match serde_json::from_str::<Number>(word) {
                Ok(number) => Json::Number(number),
                Err(_) => {
                    return Err(self.error(&format!("{word:?} is not a JSON value (or too large a number)")));
                }
            },
        };
        self.at += word.len();
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn error(&self, what: &str) -> JsonError {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        JsonError { line, column: before.len() - line_start + 1, what: what.to_owned() }
    }
}

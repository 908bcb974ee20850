//! Typed access to a JSON object whose errors name the file, the key, what was expected and what is there.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::model::weights::CheckpointError;

/// A JSON object and where it came from.
pub(super) struct JsonObject {
    path: PathBuf,
    /// Keys that lead from the file's root to this object, each followed by a dot.
    prefix: String,
    map: Map<String, Value>,
}

impl JsonObject {
    /// Reads a file of at most `max_bytes` that holds one object.
    pub(super) fn read(path: &Path, max_bytes: u64) -> Result<Self, CheckpointError> {
        let fail = |text: String| CheckpointError(format!("{}: {text}", path.display()));
        let len = std::fs::metadata(path).map_err(|error| fail(format!("cannot be read: {error}")))?.len();
        if len > max_bytes {
            return Err(fail(format!("expected at most {max_bytes} bytes, got {len}")));
        }
        let bytes = std::fs::read(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
        let json =
            serde_json::from_slice(&bytes).map_err(|error| fail(format!("not valid JSON: {error}")))?;
        let Value::Object(map) = json else {
            return Err(fail(format!("expected a JSON object, got {}", shorten(&json))));
        };
        Ok(Self::of(path, map))
    }

    /// The content that a file at `path` will have.
    pub(super) fn of(path: &Path, map: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), prefix: String::new(), map }
    }

    /// An error about the file as a whole.
    pub(super) fn error(&self, text: impl std::fmt::Display) -> CheckpointError {
        CheckpointError(format!("{}: {text}", self.path.display()))
    }

    /// An error about one key's value.
    pub(super) fn unfit(&self, key: &str, expected: &str) -> CheckpointError {
        let got = self.map.get(key).map_or("nothing".to_owned(), shorten);
        self.error(format!("{}{key}: expected {expected}, got {got}", self.prefix))
    }

    /// The key's value, if it is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The key is there, be it null.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Keys and values in file order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map.iter()
    }

    /// A whole number; absent or null is `None`.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        let convert = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        self.typed(key, "a whole number, 0 or more", convert)
    }

    /// A whole number that must be there.
    pub(super) fn required_size(&self, key: &str) -> Result<usize, CheckpointError> {
        self.size(key)?.ok_or_else(|| self.unfit(key, "a whole number"))
    }

    /// A number; absent or null is `None`.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A number that must be there.
    pub(super) fn required_number(&self, key: &str) -> Result<f64, CheckpointError> {
        self.number(key)?.ok_or_else(|| self.unfit(key, "a number"))
    }

    /// True or false; absent or null is `default`.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, CheckpointError> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A string; absent or null is `None`.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, CheckpointError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// An object; absent or null is `None`.
    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, CheckpointError> {
        let map = self.typed(key, "an object", Value::as_object)?;
        let prefix = format!("{}{key}.", self.prefix);
        Ok(map.map(|map| Self { path: self.path.clone(), prefix, map: map.clone() }))
    }

    /// An array; absent or null is `None`.
    pub(super) fn array(&self, key: &str) -> Result<Option<&Vec<Value>>, CheckpointError> {
        self.typed(key, "an array", Value::as_array)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, CheckpointError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => convert(value).map(Some).ok_or_else(|| self.unfit(key, expected)),
        }
    }
}

/// The value as JSON, cut where it would fill the screen.
pub(super) fn shorten(value: &Value) -> String {
    const MAX_CHARS: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        None => text,
        Some((end, _)) => format!("{} ...", &text[..end]),
    }
}

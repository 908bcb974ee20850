//! From msgpack values to Rust types and back, with the place of every mismatch.

use rmpv::Value;

/// A value of the wrong type, and where it stands inside what was being read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mismatch {
    /// `.key` and `[index]` steps from the outside in.
    pub(super) path: String,
    pub(super) expected: &'static str,
    pub(super) got: String,
}

impl Mismatch {
    pub(super) fn new(expected: &'static str, got: &Value) -> Mismatch {
        Mismatch { path: String::new(), expected, got: describe(got) }
    }

    /// The same mismatch, seen from one level further out.
    pub(super) fn inside(self, step: impl std::fmt::Display) -> Mismatch {
        Mismatch { path: format!("{step}{}", self.path), ..self }
    }
}

/// A value in a few words, however long it is.
pub(super) fn describe(value: &Value) -> String {
    const SHOWN: usize = 40;
    match value {
        Value::Nil => "nil".into(),
        Value::Boolean(b) => b.to_string(),
        Value::Integer(i) => i.to_string(),
        Value::F32(x) => x.to_string(),
        Value::F64(x) => x.to_string(),
        Value::String(s) => match s.as_str() {
            Some(s) if s.chars().count() <= SHOWN => format!("string {s:?}"),
            Some(s) => format!("string {:?}...", s.chars().take(SHOWN).collect::<String>()),
            None => "a string that is not UTF-8".into(),
        },
        Value::Binary(b) => format!("{} raw bytes", b.len()),
        Value::Array(a) => format!("an array of {}", a.len()),
        Value::Map(m) => format!("a map of {}", m.len()),
        Value::Ext(kind, b) => format!("an extension of type {kind} with {} bytes", b.len()),
    }
}

/// A type that one msgpack value can be read as.
pub(super) trait FromValue: Sized {
    fn from_value(value: Value) -> Result<Self, Mismatch>;
}

macro_rules! from_value {
    ($($kind:ty, $expected:literal, $read:expr;)*) => {
        $(impl FromValue for $kind {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                let read: fn(&Value) -> Option<$kind> = $read;
                read(&value).ok_or_else(|| Mismatch::new($expected, &value))
            }
        })*
    };
}

from_value! {
    u64, "an integer of at least 0", Value::as_u64;
    u32, "an integer from 0 to 4294967295", |value| value.as_u64().and_then(|n| n.try_into().ok());
    i64, "a 64-bit integer", Value::as_i64;
    // Python writes a whole number where it means a float.
    f64, "a number", Value::as_f64;
    f32, "a number", |value| value.as_f64().map(|x| x as f32);
    bool, "a boolean", Value::as_bool;
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Ok(value)
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::String(s) if s.is_str() => Ok(s.into_str().unwrap_or_default()),
            other => Err(Mismatch::new("a UTF-8 string", &other)),
        }
    }
}

/// Raw bytes.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl FromValue for Bytes {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Binary(bytes) => Ok(Bytes(bytes)),
            other => Err(Mismatch::new("raw bytes", &other)),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if value.is_nil() { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let Value::Array(values) = value else { return Err(Mismatch::new("an array", &value)) };
        let read = |(i, value)| T::from_value(value).map_err(|mismatch| mismatch.inside(format!("[{i}]")));
        values.into_iter().enumerate().map(read).collect()
    }
}

/// A map with string keys, read key by key.
pub(super) struct Dict(Vec<(String, Value)>);

impl FromValue for Dict {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let Value::Map(entries) = value else { return Err(Mismatch::new("a map", &value)) };
        let read = |(key, value)| match String::from_value(key) {
            Ok(key) => Ok((key, value)),
            Err(mismatch) => Err(Mismatch { expected: "string keys", ..mismatch }),
        };
        let mut entries = entries.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        // As in Python, the last of equal keys counts: else the others would pass as keys we do not know.
        entries.reverse();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|(later, _), (first, _)| later == first);
        Ok(Dict(entries))
    }
}

impl Dict {
    /// Takes the key out; `None` if it is not there.
    pub(super) fn optional<T: FromValue>(&mut self, key: &str) -> Result<Option<T>, Mismatch> {
        let Some(at) = self.0.iter().position(|(name, _)| name == key) else { return Ok(None) };
        let (_, value) = self.0.swap_remove(at);
        T::from_value(value).map(Some).map_err(|mismatch| mismatch.inside(format!(".{key}")))
    }

    /// Takes the key out; `default` if it is not there.
    pub(super) fn or<T: FromValue>(&mut self, key: &str, default: T) -> Result<T, Mismatch> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// Takes the key out; it must be there.
    pub(super) fn required<T: FromValue>(
        &mut self,
        key: &str,
        expected: &'static str,
    ) -> Result<T, Mismatch> {
        let missing = || Mismatch { path: format!(".{key}"), expected, got: "no such key".into() };
        self.optional(key)?.ok_or_else(missing)
    }

    /// What nobody took, by key.
    pub(super) fn rest(mut self) -> Vec<(String, Value)> {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0
    }
}

/// Numbers as the original writes them: 64-bit floats (exact for our 32-bit ones).
pub(super) fn floats(values: &[f32]) -> Value {
    Value::Array(values.iter().map(|&x| Value::F64(f64::from(x))).collect())
}

/// Token ids.
pub(super) fn tokens(values: &[u32]) -> Value {
    Value::Array(values.iter().map(|&id| Value::from(id)).collect())
}

/// nil for `None`.
pub(super) fn nullable<T>(value: &Option<T>, write: impl FnOnce(&T) -> Value) -> Value {
    value.as_ref().map_or(Value::Nil, write)
}

/// A map in the given order.
pub(super) fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<(Value, Value)> {
    entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect()
}

/// Appends entries that were passed through unread.
pub(super) fn append(map: &mut Vec<(Value, Value)>, extra: &[(String, Value)]) {
    map.extend(extra.iter().map(|(key, value)| (Value::from(key.as_str()), value.clone())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_keys_counts_and_the_others_are_gone() {
        let entry = |key: &str, value: u64| (Value::from(key), Value::from(value));
        let map = Value::Map(vec![entry("a", 1), entry("b", 2), entry("a", 3), entry("c", 4), entry("c", 5)]);
        let mut dict = Dict::from_value(map).ok().unwrap();
        assert_eq!(dict.optional::<u64>("a").ok().unwrap(), Some(3));
        let rest: Vec<_> = dict.rest().into_iter().map(|(key, value)| (key, value.as_u64())).collect();
        assert_eq!(rest, [("b".to_owned(), Some(2)), ("c".to_owned(), Some(5))]);
    }
}

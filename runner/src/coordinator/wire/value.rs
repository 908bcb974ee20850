//! From msgpack to Rust types, with the place of every mismatch.

use std::collections::HashSet;

use rmpv::Value;

use super::reader::{Number, Reader};

/// A value of the wrong type, and where it stands inside what was being read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mismatch {
    /// `.key` and `[index]` steps from the outside in.
    pub(super) path: String,
    pub(super) expected: &'static str,
    pub(super) got: String,
}

impl Mismatch {
    /// `got`: before the value.
    pub(super) fn new(expected: &'static str, got: Reader<'_>) -> Mismatch {
        Mismatch { path: String::new(), expected, got: got.describe() }
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
    /// Reads the value ahead and steps over it.
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch>;
}

macro_rules! from_number {
    ($($kind:ty, $expected:literal, $read:expr;)*) => {
        $(impl FromValue for $kind {
            fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
                let (start, read): (_, fn(Number) -> Option<$kind>) = (*from, $read);
                from.number().and_then(read).ok_or_else(|| Mismatch::new($expected, start))
            }
        })*
    };
}

fn natural(number: Number) -> Option<u64> {
    match number {
        Number::Natural(n) => Some(n),
        Number::Negative(_) | Number::Real(_) => None,
    }
}

fn integer(number: Number) -> Option<i64> {
    match number {
        Number::Natural(n) => i64::try_from(n).ok(),
        Number::Negative(n) => Some(n),
        Number::Real(_) => None,
    }
}

/// Python writes a whole number where it means a float.
fn real(number: Number) -> f64 {
    match number {
        Number::Natural(n) => n as f64,
        Number::Negative(n) => n as f64,
        Number::Real(x) => x,
    }
}

from_number! {
    u64, "an integer of at least 0", natural;
    u32, "an integer from 0 to 4294967295", |number| natural(number).and_then(|n| n.try_into().ok());
    i64, "a 64-bit integer", integer;
    f64, "a number", |number| Some(real(number));
    f32, "a number", |number| Some(real(number) as f32);
}

impl FromValue for bool {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let start = *from;
        from.boolean().ok_or_else(|| Mismatch::new("a boolean", start))
    }
}

impl FromValue for Value {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let start = *from;
        from.value().ok_or_else(|| Mismatch::new("a value", start))
    }
}

impl FromValue for String {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let start = *from;
        from.text().map(str::to_owned).ok_or_else(|| Mismatch::new("a UTF-8 string", start))
    }
}

/// Raw bytes.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl FromValue for Bytes {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let start = *from;
        let bytes = from.raw_bytes().ok_or_else(|| Mismatch::new("raw bytes", start))?;
        Ok(Bytes(bytes.to_vec()))
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        if from.is_at_nil() {
            from.skip();
            return Ok(None);
        }
        T::read(from).map(Some)
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        // What is reserved for values that did not come must stay small.
        const MOST_RESERVED_BYTES: usize = 16 << 10;
        let start = *from;
        let count = from.list().ok_or_else(|| Mismatch::new("an array", start))?;
        let mut values = Vec::with_capacity(count.min(MOST_RESERVED_BYTES / size_of::<T>().max(1)));
        for i in 0..count {
            values.push(T::read(from).map_err(|mismatch| mismatch.inside(format!("[{i}]")))?);
        }
        Ok(values)
    }
}

/// A map with string keys, read key by key. Fastest where keys are asked for in the order in which they came.
pub(super) struct Dict<'a> {
    entries: Vec<Entry<'a>>,
    /// After the key asked for last.
    next: usize,
    num_open: usize,
}

struct Entry<'a> {
    key: &'a [u8],
    /// At its end once somebody has asked for it.
    value: Reader<'a>,
}

impl Entry<'_> {
    fn is_open(&self) -> bool {
        !self.value.is_at_end()
    }
}

impl<'a> Dict<'a> {
    /// Reads the keys of the map ahead and steps over it.
    pub(super) fn read(from: &mut Reader<'a>) -> Result<Dict<'a>, Mismatch> {
        /// Ours have some twenty keys; and of 1 KiB the allocator still keeps one at hand.
        const RESERVED: usize = 32;
        let start = *from;
        let cut_off = || Mismatch::new("a map", start);
        let count = from.map().ok_or_else(cut_off)?;
        let mut entries = Vec::with_capacity(count.min(RESERVED));
        for _ in 0..count {
            let key_start = *from;
            let key = from.text_bytes().ok_or_else(|| Mismatch::new("string keys", key_start))?;
            entries.push(Entry { key, value: from.skip().ok_or_else(cut_off)? });
        }
        // As in Python, the last of equal keys counts: else the others would pass as keys we do not know.
        if has_equal_keys(&entries) {
            let mut seen = HashSet::new();
            entries.reverse();
            entries.retain(|entry| seen.insert(entry.key));
            entries.reverse();
        }
        Ok(Dict { num_open: entries.len(), entries, next: 0 })
    }

    fn find(&self, key: &str) -> Option<usize> {
        if self.num_open == 0 {
            return None;
        }
        let is_it = |entry: &Entry<'_>| entry.key == key.as_bytes() && entry.is_open();
        if self.entries.get(self.next).is_some_and(is_it) {
            return Some(self.next);
        }
        self.entries.iter().position(is_it)
    }

    /// Takes the key out; `None` if it is not there.
    pub(super) fn optional<T: FromValue>(&mut self, key: &str) -> Result<Option<T>, Mismatch> {
        let Some(at) = self.find(key) else { return Ok(None) };
        self.next = at + 1;
        self.num_open -= 1;
        let mut value = std::mem::take(&mut self.entries[at].value);
        T::read(&mut value).map(Some).map_err(|mismatch| mismatch.inside(format!(".{key}")))
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
    pub(super) fn rest(self) -> Result<Vec<(String, Value)>, Mismatch> {
        let mut rest = Vec::new();
        for Entry { key, mut value } in self.entries {
            if !value.is_at_end() {
                let key = std::str::from_utf8(key).map_err(|_| Mismatch {
                    path: String::new(),
                    expected: "string keys",
                    got: "a string that is not UTF-8".into(),
                })?;
                let value = Value::read(&mut value).map_err(|m| m.inside(format!(".{key}")))?;
                rest.push((key.to_owned(), value));
            }
        }
        rest.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(rest)
    }
}

/// Exact, and fast where keys differ: then hardly any two have the same mark.
fn has_equal_keys(entries: &[Entry<'_>]) -> bool {
    /// Up to so many keys marks may say that they differ.
    const FEW: usize = 64;
    if entries.len() <= FEW {
        let mut seen = [0_u64; 16];
        let is_new = |entry: &Entry<'_>| {
            let mark = mark(entry.key);
            let (word, bit) = (&mut seen[mark >> 6], 1 << (mark & 63));
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        };
        if entries.iter().all(is_new) {
            return false;
        }
    }
    let distinct: HashSet<&[u8]> = entries.iter().map(|entry| entry.key).collect();
    distinct.len() < entries.len()
}

/// Below 1024; differs for most keys that differ.
fn mark(key: &[u8]) -> usize {
    let tail = match key.last_chunk() {
        Some(tail) => u64::from_le_bytes(*tail),
        None => key.iter().fold(0, |tail, &byte| tail << 8 | u64::from(byte)),
    };
    let mixed = (tail ^ (key.len() as u64) << 56).wrapping_mul(MARK_FACTOR);
    (mixed >> 54) as usize
}

/// Gives all keys that we write different marks.
const MARK_FACTOR: u64 = 0x91b7_584a_2265_b1f5;

/// A map in the given order.
pub(super) fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<(Value, Value)> {
    entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect()
}

/// nil for `None`.
pub(super) fn nullable<T>(value: &Option<T>, write: impl FnOnce(&T) -> Value) -> Value {
    value.as_ref().map_or(Value::Nil, write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_keys_counts_and_the_others_are_gone() {
        let entry = |key: &str, value: u64| (Value::from(key), Value::from(value));
        let few = vec![entry("a", 1), entry("b", 2), entry("a", 3), entry("c", 4), entry("c", 5)];
        let many = (0..100).map(|i| entry("c", i)).chain(few.clone()).collect();
        for entries in [few, many] {
            let mut bytes = Vec::new();
            rmpv::encode::write_value(&mut bytes, &Value::Map(entries)).unwrap();
            let mut dict = Dict::read(&mut Reader::new(&bytes)).ok().unwrap();
            assert_eq!(dict.optional::<u64>("a").ok().unwrap(), Some(3));
            let rest = dict.rest().ok().unwrap();
            let rest: Vec<_> = rest.into_iter().map(|(key, value)| (key, value.as_u64())).collect();
            assert_eq!(rest, [("b".to_owned(), Some(2)), ("c".to_owned(), Some(5))]);
        }
    }
}

//! Where a key or value stands in a YAML text. The reader reports places only with errors, so a second read
//! fails on purpose at the wanted key: exact in block and flow style, quoted or not, and paid for only after an error.

use std::fmt;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess};

/// A place in a text: 1-based line and column, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

/// Which end of an entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// Keys from the root down; a decimal number steps into a list. Displayed as `MODEL_ARGS.--top_k`, `METRICS[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(pub Vec<String>);

impl KeyPath {
    /// Path of the given keys.
    pub fn new(keys: &[&str]) -> Self {
        Self(keys.iter().map(|&key| key.to_owned()).collect())
    }

    /// This path and one key more.
    pub fn child(&self, key: &str) -> Self {
        let mut keys = self.0.clone();
        keys.push(key.to_owned());
        Self(keys)
    }

    /// Where the entry stands in `text`; where its parent does, if the entry is absent.
    pub fn locate(&self, text: &str, part: Part) -> Option<Location> {
        let mut keys = self.0.as_slice();
        let mut part = part;
        loop {
            let found = Search { keys, part }.deserialize(serde_yaml::Deserializer::from_str(text));
            if let Some(at) =
                found.err().filter(|error| error.to_string().contains(FOUND)).and_then(|e| e.location())
            {
                return Some(Location { line: at.line(), column: at.column() });
            }
            (keys, part) = (keys.split_last()?.1, Part::Key);
            if keys.is_empty() {
                return None;
            }
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            match key.parse::<usize>() {
                Ok(item) => write!(f, "[{item}]")?,
                Err(_) if index == 0 => f.write_str(key)?,
                Err(_) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Text of the deliberate error; a file that contains it can only misplace a caret.
const FOUND: &str = "\u{1}located\u{1}";

struct Search<'a> {
    keys: &'a [String],
    part: Part,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Search<'_> {
    fn scalar<E: de::Error>(self) -> Result<(), E> {
        if self.keys.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
    }
}

impl<'de> de::Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((wanted, below)) = self.keys.split_first() else { return Err(de::Error::custom(FOUND)) };
        let stop_at_key = below.is_empty() && self.part == Part::Key;
        while let Some(matches) = map.next_key_seed(Key { wanted, stop_at_key })? {
            if matches {
                map.next_value_seed(Search { keys: below, part: self.part })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((wanted, below)) = self.keys.split_first() else { return Err(de::Error::custom(FOUND)) };
        let mut index = 0usize;
        loop {
            let item = if *wanted == index.to_string() {
                seq.next_element_seed(Search { keys: below, part: self.part })?
            } else {
                seq.next_element::<IgnoredAny>()?.map(|_| ())
            };
            if item.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }
}

struct Key<'a> {
    wanted: &'a str,
    stop_at_key: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl de::Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        let matches = key == self.wanted;
        if matches && self.stop_at_key { Err(E::custom(FOUND)) } else { Ok(matches) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "A: 1\nMODEL_ARGS:\n  --x: one\n  \"--y\": [p,\n    q]\nF: {k:   2, \"m\": {n: ~}}\nL:\n  - a\n  - b: 3\n";

    fn at(keys: &[&str], part: Part) -> (usize, usize) {
        let location = KeyPath::new(keys).locate(TEXT, part).unwrap();
        (location.line, location.column)
    }

    #[test]
    fn keys_and_values_are_found_in_every_style() {
        assert_eq!(at(&["MODEL_ARGS", "--x"], Part::Key), (3, 3));
        assert_eq!(at(&["MODEL_ARGS", "--x"], Part::Value), (3, 8));
        assert_eq!(at(&["MODEL_ARGS", "--y"], Part::Key), (4, 3));
        assert_eq!(at(&["MODEL_ARGS", "--y", "1"], Part::Value), (5, 5));
        assert_eq!(at(&["F", "k"], Part::Value), (6, 10));
        assert_eq!(at(&["F", "m", "n"], Part::Value), (6, 22));
        assert_eq!(at(&["L", "1", "b"], Part::Value), (9, 8));
    }

    #[test]
    fn an_absent_entry_is_located_at_its_parent() {
        assert_eq!(at(&["MODEL_ARGS", "--z"], Part::Value), (2, 1));
        assert_eq!(KeyPath::new(&["Z"]).locate(TEXT, Part::Key), None);
    }
}

//! A YAML mapping in the file's order that refuses a key given twice.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Key-value pairs in the file's order. Maps of the standard library would keep the last of two equal keys in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<V>(pub Vec<(String, V)>);

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Entries<V> {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// In the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// Reads one key; failing inside the key's own visitor makes the YAML reader report the key's line and column.
struct NewKey<'a> {
    seen: &'a mut HashSet<String>,
    may_repeat: bool,
}

impl<'de> de::DeserializeSeed<'de> for NewKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl de::Visitor<'_> for NewKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        if key == "<<" {
            return Err(E::custom("merge keys (`<<`) are not merged: write the entries out"));
        }
        if !self.may_repeat && !self.seen.insert(key.to_owned()) {
            return Err(E::custom(format_args!("the key {key} is given twice: keep one of the two")));
        }
        Ok(key.to_owned())
    }
}

struct MapVisitor<V> {
    may_repeat: bool,
    values: PhantomData<V>,
}

impl<'de, V: Deserialize<'de>> de::Visitor<'de> for MapVisitor<V> {
    type Value = Entries<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of keys to values")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut seen, may_repeat) = (HashSet::with_capacity(64), self.may_repeat);
        let mut entries = Vec::with_capacity(64);
        while let Some(key) = map.next_key_seed(NewKey { seen: &mut seen, may_repeat })? {
            entries.push((key, map.next_value()?));
        }
        Ok(Entries(entries))
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor { may_repeat: false, values: PhantomData })
    }
}

/// Reads entries of which some may be given twice; both stay.
struct Repeatable<V>(Entries<V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Repeatable<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor { may_repeat: true, values: PhantomData }).map(Self)
    }
}

/// Reads flags as they would stand on the original's command line, where one may stand twice.
pub(super) fn repeatable<'de, D, V>(deserializer: D) -> Result<Option<Entries<V>>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    Ok(Option::<Repeatable<V>>::deserialize(deserializer)?.map(|Repeatable(entries)| entries))
}

impl<V: JsonSchema> JsonSchema for Entries<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Entries_of_{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_the_files() {
        let entries: Entries<u32> = serde_yaml::from_str("b: 1\na: 2\n").unwrap();
        assert_eq!(entries.iter().collect::<Vec<_>>(), [("b", &1), ("a", &2)]);
    }

    #[test]
    fn the_second_of_two_equal_keys_is_located() {
        let error = serde_yaml::from_str::<Entries<u32>>("a: 1\nb: 2\n\"a\": 3\n").unwrap_err();
        assert!(error.to_string().contains("the key a is given twice"), "{error}");
        assert_eq!(error.location().unwrap().line(), 3);
    }

    #[test]
    fn merge_keys_are_refused() {
        let error =
            serde_yaml::from_str::<Entries<Entries<u32>>>("a: &x {k: 1}\nb:\n  <<: *x\n").unwrap_err();
        assert!(error.to_string().contains("merge keys"), "{error}");
    }
}

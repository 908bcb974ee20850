//! A JSON object, and nothing else: serde's derived readers also take a list for a struct, by position.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// `T`, read from an object only.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Point {
        x: u8,
    }

    #[test]
    fn a_list_is_no_object() {
        assert_eq!(serde_json::from_str::<Object<Point>>("{\"x\": 3, \"y\": 4}").unwrap().0.x, 3);
        assert!(serde_json::from_str::<Point>("[3]").is_ok(), "what this type is for");
        let error = serde_json::from_str::<Object<Point>>("[3]").err().unwrap().to_string();
        assert_eq!(error, "invalid type: sequence, expected an object at line 1 column 0");
    }
}

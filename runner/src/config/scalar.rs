//! One YAML scalar, kept as it is spelled: `1.0`, `1e-3` and `007` reach the flag as they stand in the file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Text of a scalar after YAML's own unquoting. YAML null is not a `Scalar`: read an `Option<Scalar>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar(pub String);

impl Scalar {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpellingVisitor;

        impl de::Visitor<'_> for SpellingVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value (text, a number, true or false)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
        }

        // Asked for a string, the YAML reader hands over any scalar unparsed.
        deserializer.deserialize_str(SpellingVisitor)
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_survives() {
        for (yaml, text) in [
            ("1.0", "1.0"),
            ("1e-3", "1e-3"),
            ("-1", "-1"),
            ("007", "007"),
            ("true", "true"),
            ("':4096:8'", ":4096:8"),
        ] {
            assert_eq!(serde_yaml::from_str::<Scalar>(yaml).unwrap().as_str(), text);
        }
    }

    #[test]
    fn null_is_told_from_empty_text() {
        assert_eq!(serde_yaml::from_str::<Option<Scalar>>("~").unwrap(), None);
        assert_eq!(serde_yaml::from_str::<Option<Scalar>>("").unwrap(), None);
        assert_eq!(serde_yaml::from_str::<Option<Scalar>>("''").unwrap(), Some(Scalar(String::new())));
    }

    #[test]
    fn a_list_is_not_a_scalar() {
        let error = serde_yaml::from_str::<Scalar>("[a, b]").unwrap_err().to_string();
        assert!(error.contains("expected one value"), "{error}");
    }
}

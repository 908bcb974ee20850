//! JSON Schema of `model_config.yaml`, generated from [`RawCase`] and the flag table, for editors.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::flags::{self, FlagSpec, Support, ValueType};
use super::raw_case::{RawCase, RawPerformanceCase};

/// Both schemas, by the name of the committed file in `runner`, as pretty-printed JSON that ends in a newline.
pub fn schemas() -> [(&'static str, String); 2] {
    [
        (
            "model_config.schema.json",
            titled(schemars::schema_for!(RawCase), "Goldlap test case (model_config.yaml)"),
        ),
        (
            "performance_config.schema.json",
            titled(schemars::schema_for!(RawPerformanceCase), "Goldlap performance case (model_config.yaml)"),
        ),
    ]
}

fn titled(mut schema: Schema, title: &str) -> String {
    schema.insert("title".to_owned(), json!(title));
    format!("{:#}\n", schema.to_value())
}

pub(super) fn model_args(_: &mut SchemaGenerator) -> Schema {
    let properties: Map<String, Value> =
        flags::all().map(|flag| (flag.name.to_owned(), flag_schema(flag))).collect();
    json_schema!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// The same flags, each of which may be null too.
pub(super) fn override_args(_: &mut SchemaGenerator) -> Schema {
    let nullable = |flag: &FlagSpec| {
        let reference = format!("#/properties/MODEL_ARGS/properties/{}", flag.name);
        json!({ "anyOf": [{ "$ref": reference }, { "type": "null" }] })
    };
    let properties: Map<String, Value> =
        flags::all().map(|flag| (flag.name.to_owned(), nullable(flag))).collect();
    json_schema!({ "type": "object", "additionalProperties": false, "properties": properties })
}

pub(super) fn metrics(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = functional_metrics();
    json_schema!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": names } })
}

pub(super) fn performance_metrics(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = crate::plan::metrics_of_performance_cases().collect();
    json_schema!({ "type": ["array", "null"], "minItems": 1, "uniqueItems": true, "items": { "enum": names } })
}

/// Metrics of functional cases.
fn functional_metrics() -> Vec<&'static str> {
    let rows = crate::golden::METRICS.iter().filter(|row| row.scope != crate::golden::Scope::PerBatch);
    rows.map(|row| row.name).collect()
}

fn flag_schema(flag: &FlagSpec) -> Value {
    let mut schema = value_schema(flag.value);
    let note = match flag.support {
        Support::Used => String::new(),
        Support::Irrelevant(reason) => format!(" (changes nothing here: {reason})"),
        Support::NotYet(reason) => format!(" (skips the case: {reason})"),
        Support::Removed(reason) => format!(" (changes nothing: {reason})"),
    };
    let default = flag.default.map(|default| format!("; default {default}")).unwrap_or_default();
    schema["description"] = json!(format!("{}{default}{note}", flag.meaning));
    schema
}

/// A value may be written as text too: `"1"` and `1` are the same word on a command line.
fn value_schema(value: ValueType) -> Value {
    match value {
        ValueType::Switch => json!({ "enum": [true, "true"] }),
        ValueType::Integer(i64::MIN) => json!({ "type": ["integer", "string"] }),
        ValueType::Integer(least) => json!({ "type": ["integer", "string"], "minimum": least }),
        ValueType::Number => json!({ "type": ["number", "string"] }),
        ValueType::Text | ValueType::Words => json!({ "type": ["string", "number"] }),
        ValueType::Path | ValueType::Range => json!({ "type": "string" }),
        ValueType::Choice(known) => json!({ "enum": known }),
        ValueType::Anything => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_in_the_schema() {
        let [(_, schema), _] = schemas();
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let properties = schema["properties"]["MODEL_ARGS"]["properties"].as_object().unwrap();
        assert_eq!(properties.len(), flags::all().count());
        assert!(properties["--top_k"]["description"].as_str().unwrap().contains("greedy"));
        assert_eq!(schema["additionalProperties"], json!(false));
    }

    #[test]
    fn performance_cases_have_a_schema_of_their_own() {
        let [_, (_, schema)] = schemas();
        let schema: Value = serde_json::from_str(&schema).unwrap();
        assert_eq!(schema["required"], json!(["MODEL", "NUM_OUTPUT_TOKENS", "BATCH_SIZES"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        let metrics = schema["properties"]["METRICS"]["items"]["enum"].as_array().unwrap();
        for (name, is_known) in [("tpot_ms_per_tok", true), ("efficiency", true), ("generated_tokens", false)]
        {
            assert_eq!(metrics.contains(&json!(name)), is_known, "{name}");
        }
    }
}

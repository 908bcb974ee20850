//! Fingerprint of what a case asks for, so that a golden can tell that its case has changed since.

use serde_json::Value;

use super::json::Json;

/// Keys of a plan that say how it is judged, or where it lies, not what it computes.
const NOT_PART: [&str; 13] = [
    "name",
    "folder",
    "golden_folder",
    "metrics",
    "tolerances",
    "uncompared",
    "time_limit",
    "num_repeats",
    "known_failure",
    "opt_in",
    "output",
    "ignored_flags",
    "settings",
];

/// Hash of a plan (as JSON), the same on every machine: of absolute paths, only the last part counts.
pub fn case_hash(plan: &Value) -> String {
    let relevant = match plan {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| !NOT_PART.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), portable(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => plan.clone(),
    };
    Json::from_serde(&relevant).hash()
}

fn portable(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('/') => {
            text.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().into()
        }
        Value::Array(items) => items.iter().map(portable).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), portable(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_computed_counts() {
        let plan = json!({"folder": "/a/x", "metrics": [1], "workload": {"path": "/a/data.json", "n": 3}});
        let moved = json!({"folder": "/b/x", "metrics": [2], "workload": {"path": "/b/c/data.json", "n": 3}});
        let other = json!({"folder": "/a/x", "metrics": [1], "workload": {"path": "/a/data.json", "n": 4}});
        assert_eq!(case_hash(&plan), case_hash(&moved));
        assert_ne!(case_hash(&plan), case_hash(&other));
    }
}

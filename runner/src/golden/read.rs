//! Reads a golden's JSON strictly: every error names the key, what was expected and what is there.

use super::batches::{batch, batch_size};
use super::golden_file::{Golden, GoldenRequest, Integrity, PROVENANCE, SystemValue, content_hash};
use super::json::Json;
use super::metric::{METRICS, Scope};
use super::number::as_f64;
use super::provenance::{GOLDEN_SCHEMA_VERSION, Provenance};

/// Megatron's system metrics that Goldlap reads and compares nothing with.
const FOREIGN_SYSTEM_KEYS: [&str; 2] = ["async_sched_step_count", "async_sched_compaction_step_count"];

/// Reads a golden's text.
pub(super) fn golden(text: &str) -> Result<Golden, String> {
    let not_json = |e: super::json::JsonError| format!("not valid JSON: {e}");
    let mut json = Json::parse(text).map_err(not_json)?;
    // Megatron's own checker takes a file whose JSON is a string for JSON inside that string.
    if let Json::String(inner) = &json {
        json = Json::parse(inner).map_err(|e| format!("JSON inside a JSON string: {}", not_json(e)))?;
    }
    let Json::Object(members) = &json else {
        return Err(format!("expected an object of request ids and system metrics, got {}", json.kind()));
    };
    let mut golden = Golden::default();
    for (key, value) in members {
        member(&mut golden, key, value)?;
    }
    if golden.requests.is_empty() && golden.system.is_empty() && golden.batches.is_empty() {
        return Err("holds no request and no system metric: nothing could be compared with it".to_owned());
    }
    if let Some(provenance) = &golden.provenance {
        let matches = provenance.content_hash == content_hash(&json);
        golden.integrity = if matches { Integrity::Intact } else { Integrity::Edited };
    }
    Ok(golden)
}

fn member(golden: &mut Golden, key: &str, value: &Json) -> Result<(), String> {
    let is_system = METRICS.iter().any(|row| row.scope == Scope::System && row.name == key);
    if key == PROVENANCE {
        golden.provenance = Some(provenance(value)?);
    } else if is_system || FOREIGN_SYSTEM_KEYS.contains(&key) {
        golden.system.push((key.to_owned(), system_value(key, value)?));
    } else if let Some(size) = batch_size(key) {
        golden.batches.insert(size, batch(key, value)?);
    } else if let Some(id) = request_id(key) {
        golden.requests.insert(id, request(key, value)?);
    } else {
        return Err(format!(
            "key {key:?} is neither a request id (a decimal number) nor a system metric ({}) nor {PROVENANCE:?}",
            system_keys()
        ));
    }
    Ok(())
}

fn system_keys() -> String {
    let plain = METRICS.iter().filter(|row| row.scope == Scope::System && !row.name.contains("_p9"));
    plain.map(|row| row.name).chain(FOREIGN_SYSTEM_KEYS).collect::<Vec<_>>().join(", ")
}

/// Canonical decimals only, so that two keys never mean one request.
fn request_id(key: &str) -> Option<u64> {
    key.parse::<u64>().ok().filter(|id| id.to_string() == key)
}

fn system_value(key: &str, value: &Json) -> Result<SystemValue, String> {
    if let Json::Array(items) = value {
        let numbers = items.iter().enumerate().map(|(i, item)| {
            as_f64(item).ok_or_else(|| format!("{key}[{i}]: expected a number, got {}", item.kind()))
        });
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        return if numbers.is_empty() {
            Err(format!("{key}: expected a number or a list of numbers, got an empty list"))
        } else {
            Ok(SystemValue::List(numbers))
        };
    }
    let number = as_f64(value);
    number
        .map(SystemValue::Number)
        .ok_or_else(|| format!("{key}: expected a number or a list of numbers, got {}", value.kind()))
}

fn request(id: &str, value: &Json) -> Result<GoldenRequest, String> {
    let Json::Object(fields) = value else {
        return Err(format!("request {id}: expected an object, got {}", value.kind()));
    };
    let mut request = GoldenRequest::default();
    for (field, value) in fields {
        let at = || format!("request {id}, {field}");
        match field.as_str() {
            "input_prompt" => request.input_prompt = optional(value, |v| string(v, at))?,
            "generated_text" => request.generated_text = optional(value, |v| string(v, at))?,
            "generated_tokens" => {
                request.generated_tokens = optional(value, |v| list(v, at, "a token id", token))?
            }
            "logprobs" => request.logprobs = optional(value, |v| list(v, at, "a logprob", logprob))?,
            "prompt_logprobs" => {
                request.prompt_logprobs = optional(value, |v| list(v, at, "a logprob", logprob))?
            }
            "generated_logprobs" => {
                request.generated_logprobs = optional(value, |v| list(v, at, "a logprob", logprob))?;
            }
            _ => request.other.push((field.clone(), value.clone())),
        }
    }
    Ok(request)
}

fn optional<T>(value: &Json, read: impl FnOnce(&Json) -> Result<T, String>) -> Result<Option<T>, String> {
    if *value == Json::Null { Ok(None) } else { read(value).map(Some) }
}

fn string(value: &Json, at: impl Fn() -> String) -> Result<String, String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::NonFinite(_)
        | Json::Array(_)
        | Json::Object(_) => Err(format!("{}: expected a string, got {}", at(), value.kind())),
    }
}

fn list<T>(
    value: &Json,
    at: impl Fn() -> String,
    what: &str,
    read: impl Fn(&Json) -> Option<T>,
) -> Result<Vec<T>, String> {
    let Json::Array(items) = value else {
        return Err(format!("{}: expected a list, got {}", at(), value.kind()));
    };
    let items = items.iter().enumerate().map(|(i, item)| {
        read(item).ok_or_else(|| {
            // A number of the right kind in the wrong range reads better than "got an integer".
            let got = if as_f64(item).is_some() { item.to_string() } else { item.kind().to_owned() };
            format!("{}[{i}]: expected {what}, got {got}", at())
        })
    });
    items.collect()
}

fn token(value: &Json) -> Option<u32> {
    match value {
        Json::Number(number) => number.as_u64().and_then(|id| u32::try_from(id).ok()),
        Json::Null
        | Json::Bool(_)
        | Json::NonFinite(_)
        | Json::String(_)
        | Json::Array(_)
        | Json::Object(_) => None,
    }
}

/// Finite in the file means finite as f32.
fn logprob(value: &Json) -> Option<f32> {
    let number = as_f64(value)?;
    Some(number as f32).filter(|narrow| narrow.is_finite() || !number.is_finite())
}

fn provenance(value: &Json) -> Result<Provenance, String> {
    if let Some(at) = value.first_non_finite() {
        return Err(format!("{PROVENANCE}.{at}: not a finite number"));
    }
    let fields = value.to_serde();
    let version = fields.get("schema_version").and_then(serde_json::Value::as_u64);
    if version.is_some_and(|version| version > u64::from(GOLDEN_SCHEMA_VERSION)) {
        return Err(format!(
            "{PROVENANCE}.schema_version is {}, written by a newer Goldlap; this one reads up to {GOLDEN_SCHEMA_VERSION}",
            version.unwrap_or_default()
        ));
    }
    let provenance: Provenance = serde_path_to_error::deserialize(fields).map_err(|e| {
        let path = e.path().to_string();
        let dot = if path == "." { String::new() } else { format!(".{path}") };
        format!("{PROVENANCE}{dot}: {}", e.inner())
    })?;
    for (metric, band) in &provenance.bands {
        band.check().map_err(|what| format!("{PROVENANCE}.bands.{metric}: {what}"))?;
    }
    Ok(provenance)
}

//! A golden record: Megatron's layout (request ids and system metrics at the top level) plus `provenance`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::batches::{GoldenBatch, batch_key};
use super::json::Json;
use super::metric::{Metric, Origin};
use super::number::{logprob_to_json, measured_to_json, rounded};
use super::provenance::Provenance;
use super::read;
use crate::report::write_atomically;

/// The reserved key that Megatron's goldens do not have.
pub(super) const PROVENANCE: &str = "provenance";
/// Its field that is not part of what it covers.
pub(super) const CONTENT_HASH: &str = "content_hash";

/// What a run is compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Golden {
    /// By request id.
    pub requests: BTreeMap<u64, GoldenRequest>,
    /// System metrics by key, in the file's order.
    pub system: Vec<(String, SystemValue)>,
    /// By batch size: the baseline of a performance case.
    pub batches: BTreeMap<u64, GoldenBatch>,
    /// `None` = a foreign golden.
    pub provenance: Option<Provenance>,
    /// Whether the file is as it was written; see [`Integrity`].
    pub integrity: Integrity,
}

/// One request's entry. Absent and `null` are the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoldenRequest {
    /// The prompt.
    pub input_prompt: Option<String>,
    /// The reply as text.
    pub generated_text: Option<String>,
    /// The reply's token ids.
    pub generated_tokens: Option<Vec<u32>>,
    /// `prompt_logprobs`, then `generated_logprobs`.
    pub logprobs: Option<Vec<f32>>,
    /// Of prompt positions 1 and up.
    pub prompt_logprobs: Option<Vec<f32>>,
    /// Of generated tokens.
    pub generated_logprobs: Option<Vec<f32>>,
    /// Other fields: facts about the request ([`super::RequestFact`]), and what nothing is compared with, such as `latency`.
    pub other: Vec<(String, Json)>,
}

/// Value of a system metric.
#[derive(Clone, Debug, PartialEq)]
pub enum SystemValue {
    /// One number.
    Number(f64),
    /// One number per request or per repeat.
    List(Vec<f64>),
}

/// Whether a golden is what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Integrity {
    /// No provenance: nothing to check against.
    #[default]
    Unsealed,
    /// The content hash matches.
    Intact,
    /// The content hash does not match: the file was edited by hand.
    Edited,
}

/// A golden that cannot be used, and why. The text starts with the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct GoldenError {
    /// The file.
    pub path: PathBuf,
    /// Key, expected and got.
    pub what: String,
}

impl Golden {
    /// Reads a file; `None` where there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, GoldenError> {
        let error = |what: String| GoldenError { path: path.to_owned(), what };
        match fs::read(path) {
            Ok(bytes) => Self::from_bytes(&bytes).map(Some).map_err(error),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(error(format!("cannot be read: {e}"))),
        }
    }

    /// Reads a file's content; the error names key, expected and got.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| format!("not UTF-8 text: byte {} is no part of a character", e.valid_up_to()))?;
        read::golden(text)
    }

    /// Writes the file, sealed with its content hash. Numbers that are not finite are refused: nothing could
    /// ever equal them.
    pub fn save(&self, path: &Path) -> Result<(), GoldenError> {
        let error = |what: String| GoldenError { path: path.to_owned(), what };
        let json = self.to_json();
        if let Some(at) = json.first_non_finite() {
            return Err(error(format!("{at} is not a finite number; a golden with it could never pass")));
        }
        write_atomically(path, json.pretty().as_bytes()).map_err(|e| error(format!("cannot be written: {e}")))
    }

    /// Whose golden it is.
    pub fn origin(&self) -> Origin {
        if self.provenance.is_some() { Origin::Own } else { Origin::Foreign }
    }

    /// A system metric's value.
    pub fn system(&self, metric: Metric) -> Option<&SystemValue> {
        self.system.iter().find(|(key, _)| key == metric.name()).map(|(_, value)| value)
    }

    /// Names of the metrics that this golden holds, for messages.
    pub fn held_metrics(&self) -> Vec<&'static str> {
        let holds = |row: &&super::metric::MetricRow| {
            self.system(row.metric).is_some()
                || self.batches.values().any(|batch| batch.number(row.metric).is_some())
                || self.requests.values().any(|r| r.holds(row.metric))
        };
        super::metric::METRICS.iter().filter(holds).map(|row| row.name).collect()
    }

    /// The file as JSON, sealed.
    pub fn to_json(&self) -> Json {
        let mut members: Vec<(String, Json)> =
            self.requests.iter().map(|(id, request)| (id.to_string(), request.to_json())).collect();
        members.extend(self.batches.iter().map(|(size, batch)| (batch_key(*size), batch.to_json())));
        members.extend(self.system.iter().map(|(key, value)| (key.clone(), value.to_json(key))));
        if let Some(provenance) = &self.provenance {
            let fields = serde_json::to_value(provenance).expect("a provenance is plain data");
            members.push((PROVENANCE.to_owned(), Json::from_serde(&fields)));
        }
        let mut json = Json::Object(members);
        let hash = content_hash(&json);
        if let Json::Object(members) = &mut json
            && let Some((_, Json::Object(fields))) = members.iter_mut().find(|(key, _)| key == PROVENANCE)
            && let Some((_, field)) = fields.iter_mut().find(|(key, _)| key == CONTENT_HASH)
        {
            *field = Json::String(hash);
        }
        json
    }
}

impl GoldenRequest {
    /// Whether the entry has this metric.
    pub fn holds(&self, metric: Metric) -> bool {
        match metric {
            Metric::GeneratedTokens => self.generated_tokens.is_some(),
            Metric::GeneratedText => self.generated_text.is_some(),
            Metric::Logprobs | Metric::PromptLogprobs | Metric::GeneratedLogprobs => {
                self.logprobs_of(metric).is_some()
            }
            Metric::Fact(_) => self.other(metric.name()).is_some(),
            Metric::Throughput
            | Metric::OutputThroughput
            | Metric::Efficiency
            | Metric::MemMaxAllocatedBytes
            | Metric::LifetimePrefillTokenCount
            | Metric::Count(_)
            | Metric::Peak(_)
            | Metric::CudaGraphSizes
            | Metric::Latency(_, _)
            | Metric::Batch(_) => false,
        }
    }

    /// The logprobs that a metric means; `None` for other metrics.
    pub fn logprobs_of(&self, metric: Metric) -> Option<&[f32]> {
        let list = match metric {
            Metric::Logprobs => &self.logprobs,
            Metric::PromptLogprobs => &self.prompt_logprobs,
            Metric::GeneratedLogprobs => &self.generated_logprobs,
            Metric::GeneratedTokens
            | Metric::GeneratedText
            | Metric::Fact(_)
            | Metric::Throughput
            | Metric::OutputThroughput
            | Metric::Efficiency
            | Metric::MemMaxAllocatedBytes
            | Metric::LifetimePrefillTokenCount
            | Metric::Count(_)
            | Metric::Peak(_)
            | Metric::CudaGraphSizes
            | Metric::Latency(_, _)
            | Metric::Batch(_) => &None,
        };
        list.as_deref()
    }

    /// A field outside Megatron's compared layout.
    pub(super) fn other(&self, name: &str) -> Option<&Json> {
        self.other.iter().find(|(field, value)| field == name && *value != Json::Null).map(|(_, value)| value)
    }

    /// Takes that field over from another golden, or its absence.
    pub(super) fn take_other(&mut self, name: &str, from: &GoldenRequest) {
        self.other.retain(|(field, _)| field != name);
        self.other.extend(from.other(name).map(|value| (name.to_owned(), value.clone())));
    }

    /// The metric's value as JSON, so that any two compare.
    pub(super) fn value(&self, metric: Metric) -> Option<Json> {
        let json = self.to_json();
        json.get(metric.name()).cloned()
    }

    fn to_json(&self) -> Json {
        let logprobs = |list: &Vec<f32>| Json::Array(list.iter().copied().map(logprob_to_json).collect());
        let tokens = |list: &Vec<u32>| Json::Array(list.iter().map(|&t| Json::from(u64::from(t))).collect());
        let text = |text: &String| Json::String(text.clone());
        let mut members = Vec::new();
        let mut put = |key: &str, value: Option<Json>| {
            members.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("input_prompt", self.input_prompt.as_ref().map(text));
        put("generated_text", self.generated_text.as_ref().map(text));
        put("generated_tokens", self.generated_tokens.as_ref().map(tokens));
        put("prompt_logprobs", self.prompt_logprobs.as_ref().map(logprobs));
        put("generated_logprobs", self.generated_logprobs.as_ref().map(logprobs));
        put("logprobs", self.logprobs.as_ref().map(logprobs));
        members.extend(self.other.iter().cloned());
        Json::Object(members)
    }
}

impl SystemValue {
    /// Counts stay integers; what was measured keeps six digits.
    fn to_json(&self, key: &str) -> Json {
        let counts = [Metric::MemMaxAllocatedBytes, Metric::LifetimePrefillTokenCount];
        let is_count = counts.iter().any(|m| m.name() == key)
            || ["async_sched_", "num_", "max_step_", "cuda_graph_"]
                .iter()
                .any(|prefix| key.starts_with(prefix));
        let number = |value: f64| {
            let value = if value.fract() == 0.0 { value } else { rounded(value) };
            if is_count && value >= 0.0 && value.fract() == 0.0 && value < 2f64.powi(53) {
                Json::from(value as u64)
            } else {
                measured_to_json(value)
            }
        };
        match self {
            Self::Number(value) => number(*value),
            Self::List(values) => Json::Array(values.iter().copied().map(number).collect()),
        }
    }

    /// The numbers in it.
    pub fn numbers(&self) -> &[f64] {
        match self {
            Self::Number(value) => std::slice::from_ref(value),
            Self::List(values) => values,
        }
    }
}

/// Hash of a golden's JSON without `provenance.content_hash`: values, bands and reason, in any order and layout.
pub(super) fn content_hash(json: &Json) -> String {
    let Json::Object(members) = json else {
        return json.hash();
    };
    let stripped = members.iter().map(|(key, value)| match value {
        Json::Object(fields) if key == PROVENANCE => {
            let kept = fields.iter().filter(|(field, _)| field != CONTENT_HASH).cloned().collect();
            (key.clone(), Json::Object(kept))
        }
        Json::Object(_)
        | Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::NonFinite(_)
        | Json::String(_)
        | Json::Array(_) => (key.clone(), value.clone()),
    });
    Json::Object(stripped.collect()).hash()
}

#[cfg(test)]
#[path = "golden_file_tests.rs"]
mod tests;

//! The request dictionary of a final reply.

use rmpv::Value;

use super::sampling::SamplingParams;
use super::value::{Dict, FromValue, Mismatch, append, floats, map, nullable, tokens};

/// How a request ended at the rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyStatus {
    /// `COMPLETED`: ran to its end, or to an abort.
    Completed,
    /// `FAILED`: refused or given up.
    Failed,
}

/// Which rank answered, and after how many dispatches; sent to Goldlap clients only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// Data-parallel rank.
    pub rank: u32,
    /// 1 without incidents.
    pub num_dispatches: u32,
}

/// What a request cost its rank; sent to Goldlap clients only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Prompt tokens found in the prefix cache.
    pub num_cached_tokens: u64,
    /// Times it lost its KV blocks and was computed again.
    pub num_evictions: u64,
}

/// Everything about one finished request.
///
/// Written with the keys that clients from Megatron 0.17 to HEAD all know: a key unknown to a client ends its
/// process. Keys of a foreign engine that are not read here are passed through.
#[derive(Clone, Debug, PartialEq)]
pub struct FinalReply {
    /// The coordinator's id of the request, also towards the client.
    pub request_id: u64,
    /// The prompt, iff it was submitted as text.
    pub prompt: Option<String>,
    /// Sampling as the rank resolved it.
    pub sampling: SamplingParams,
    /// The prompt's tokens, iff they were asked for.
    pub prompt_tokens: Option<Vec<u32>>,
    /// How it ended.
    pub status: ReplyStatus,
    /// `None` from the rank; the coordinator fills it in.
    pub generated_text: Option<String>,
    /// Generated ids, including a termination id.
    pub generated_tokens: Vec<u32>,
    /// Logprobs of prompt positions 1.., where asked for.
    pub prompt_log_probs: Option<Vec<f32>>,
    /// Logprob of each generated token, where asked for.
    pub generated_log_probs: Option<Vec<f32>>,
    /// `[{text: logprob}]` per prompt position.
    pub prompt_top_n_logprobs: Option<Vec<Value>>,
    /// `[{text: logprob}]` per generated token.
    pub generated_top_n_logprobs: Option<Vec<Value>>,
    /// Seconds between tokens, as the rank saw them; may be empty.
    pub tpot: Vec<f64>,
    /// Seconds from arrival at the rank to the first token.
    pub ttft: Option<f64>,
    /// The original's event log, `[{timestamp, type, payload}]`.
    pub events: Vec<Value>,
    /// Set by the coordinator, for Goldlap clients only.
    pub served_by: Option<ServedBy>,
    /// What it cost; `None` where the rank does not say.
    pub effort: Option<Effort>,
    /// Keys we do not know, by name.
    pub extra: Vec<(String, Value)>,
}

impl FinalReply {
    /// A completed request without text, prompt or logprobs; set what the request asked for.
    pub fn completed(request_id: u64, sampling: SamplingParams, generated_tokens: Vec<u32>) -> FinalReply {
        FinalReply {
            request_id,
            prompt: None,
            sampling,
            prompt_tokens: None,
            status: ReplyStatus::Completed,
            generated_text: None,
            generated_tokens,
            prompt_log_probs: None,
            generated_log_probs: None,
            prompt_top_n_logprobs: None,
            generated_top_n_logprobs: None,
            tpot: Vec::new(),
            ttft: None,
            events: Vec::new(),
            served_by: None,
            effort: None,
            extra: Vec::new(),
        }
    }

    /// A request that was refused or given up, for `reason`. `kind` is the original's error class, such as
    /// `MaxSequenceLengthOverflowError`; `at_s` the event's timestamp.
    pub fn failed(
        request_id: u64,
        sampling: SamplingParams,
        kind: &str,
        reason: &str,
        at_s: f64,
    ) -> FinalReply {
        let payload = map([
            ("type", kind.into()),
            ("request_id", request_id.into()),
            ("message", reason.into()),
            ("is_transient", false.into()),
        ]);
        let event = |name: &str, payload| {
            Value::Map(map([("timestamp", at_s.into()), ("type", name.into()), ("payload", payload)]))
        };
        FinalReply {
            status: ReplyStatus::Failed,
            events: vec![event("ERROR_NONTRANSIENT", Value::Map(payload)), event("FAIL", Value::Nil)],
            ..FinalReply::completed(request_id, sampling, Vec::new())
        }
    }

    /// Leaves only keys that every client from 0.17 to HEAD knows: an unknown one ends the client's process.
    pub(in crate::coordinator) fn keep_safe_keys(&mut self) {
        self.extra.retain(|(key, _)| is_ours_to_fill(key));
    }

    /// Why it failed, in the words of whoever gave it up; `None` if it did not fail.
    pub fn failure(&self) -> Option<String> {
        if self.status == ReplyStatus::Completed {
            return None;
        }
        let message =
            self.events.iter().rev().find_map(|event| lookup(lookup(event, "payload")?, "message")?.as_str());
        Some(message.unwrap_or("the engine gave no reason").to_owned())
    }
}

fn lookup<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_map()?.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
}

/// Keys that every client wants to see, nil where no foreign engine gave a value, which then stands in `extra`.
const ALWAYS_WRITTEN: [&str; 2] = ["inference_parameters", "routing_indices"];

fn is_ours_to_fill(key: &str) -> bool {
    ALWAYS_WRITTEN.contains(&key)
}

/// `["tensor", [ids]]`, or a plain list.
struct Tensor(Vec<u32>);

impl FromValue for Tensor {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Array(mut pair) if pair.len() == 2 && pair[0].as_str() == Some("tensor") => {
                Vec::from_value(pair.swap_remove(1)).map(Tensor).map_err(|mismatch| mismatch.inside("[1]"))
            }
            list => Vec::from_value(list).map(Tensor),
        }
    }
}

impl FromValue for ReplyStatus {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value.as_str() {
            Some("COMPLETED") => Ok(ReplyStatus::Completed),
            Some("FAILED") => Ok(ReplyStatus::Failed),
            Some(_) | None => Err(Mismatch::new("\"COMPLETED\" or \"FAILED\"", &value)),
        }
    }
}

impl FromValue for FinalReply {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let mut dict = Dict::from_value(value)?;
        // Always what we write ourselves: derived, or filled in by the client.
        for derived in ["generated_length", "latency"] {
            dict.optional::<Value>(derived)?;
        }
        let rank = dict.optional("rank")?;
        let num_dispatches = dict.optional("num_dispatches")?;
        let num_cached_tokens = dict.optional("num_cached_tokens")?;
        let num_evictions = dict.optional("num_evictions")?;
        Ok(FinalReply {
            request_id: dict.required("request_id", "the request's id")?,
            prompt: dict.or("prompt", None)?,
            sampling: dict.or("sampling_params", SamplingParams::default())?,
            prompt_tokens: dict.or::<Option<Tensor>>("prompt_tokens", None)?.map(|tensor| tensor.0),
            status: dict.required("status", "\"COMPLETED\" or \"FAILED\"")?,
            generated_text: dict.or("generated_text", None)?,
            generated_tokens: dict.or("generated_tokens", None)?.unwrap_or_default(),
            prompt_log_probs: dict.or("prompt_log_probs", None)?,
            generated_log_probs: dict.or("generated_log_probs", None)?,
            prompt_top_n_logprobs: dict.or("prompt_top_n_logprobs", None)?,
            generated_top_n_logprobs: dict.or("generated_top_n_logprobs", None)?,
            tpot: dict.or("tpot", None)?.unwrap_or_default(),
            ttft: dict.or("ttft", None)?,
            events: dict.or("events", None)?.unwrap_or_default(),
            served_by: rank
                .zip(num_dispatches)
                .map(|(rank, num_dispatches)| ServedBy { rank, num_dispatches }),
            effort: num_cached_tokens
                .zip(num_evictions)
                .map(|(num_cached_tokens, num_evictions)| Effort { num_cached_tokens, num_evictions }),
            extra: dict
                .rest()
                .into_iter()
                .filter(|(key, value)| !(is_ours_to_fill(key) && value.is_nil()))
                .collect(),
        })
    }
}

impl FinalReply {
    pub(super) fn to_value(&self) -> Value {
        let tensor = |ids: &Vec<u32>| Value::Array(vec!["tensor".into(), tokens(ids)]);
        let list = |values: &Vec<Value>| Value::Array(values.clone());
        let mut entries = map([
            ("request_id", self.request_id.into()),
            ("prompt", nullable(&self.prompt, |text| text.as_str().into())),
            ("sampling_params", self.sampling.to_value()),
        ]);
        let absent =
            ALWAYS_WRITTEN.into_iter().filter(|absent| !self.extra.iter().any(|(key, _)| key == absent));
        entries.extend(absent.map(|key| (key.into(), Value::Nil)));
        entries.extend(map([
            ("prompt_tokens", nullable(&self.prompt_tokens, tensor)),
            ("status", if self.status == ReplyStatus::Completed { "COMPLETED" } else { "FAILED" }.into()),
            ("generated_text", nullable(&self.generated_text, |text| text.as_str().into())),
            ("generated_tokens", tokens(&self.generated_tokens)),
            ("prompt_log_probs", nullable(&self.prompt_log_probs, |p| floats(p))),
            ("generated_log_probs", nullable(&self.generated_log_probs, |p| floats(p))),
            ("prompt_top_n_logprobs", nullable(&self.prompt_top_n_logprobs, list)),
            ("generated_top_n_logprobs", nullable(&self.generated_top_n_logprobs, list)),
            ("generated_length", self.generated_tokens.len().into()),
            ("tpot", Value::Array(self.tpot.iter().map(|&x| x.into()).collect())),
            ("latency", Value::Nil),
            ("ttft", nullable(&self.ttft, |&x| x.into())),
            ("events", list(&self.events)),
        ]));
        if let Some(served) = self.served_by {
            entries.extend(map([
                ("rank", served.rank.into()),
                ("num_dispatches", served.num_dispatches.into()),
            ]));
        }
        if let Some(effort) = self.effort {
            entries.extend(map([
                ("num_cached_tokens", effort.num_cached_tokens.into()),
                ("num_evictions", effort.num_evictions.into()),
            ]));
        }
        append(&mut entries, &self.extra);
        Value::Map(entries)
    }
}

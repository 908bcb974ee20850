//! The request dictionary of a final reply.

use rmpv::Value;

use super::numbering::Numbering;
use super::reader::Reader;
use super::sampling::SamplingParams;
use super::value::{Dict, FromValue, Mismatch, map};
use super::writer::Writer;

/// How a request ended at the rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyStatus {
    /// `COMPLETED`: ran to its end, or to an abort.
    Completed,
    /// `FAILED`: refused or given up.
    Failed,
}

/// What a failure is in the original's words. A client that deserialises looks the name up, and ends where it finds none.
/// (`ContextErrorFactory` in `megatron/core/inference/contexts/dynamic_context.py`, the same from 0.16 to 0.19)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The base of the others, for everything that has no class of its own.
    Any,
    /// Prompt and output exceed the sequence length, or the output's length makes no sense.
    MaxSequenceLength,
    /// The prompt has more tokens than a step.
    Tokens,
    /// The KV cache has too few blocks.
    Blocks,
}

impl ErrorClass {
    /// The name of the original's class.
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::Any => "ContextOverflowError",
            ErrorClass::MaxSequenceLength => "MaxSequenceLengthOverflowError",
            ErrorClass::Tokens => "TokenOverflowError",
            ErrorClass::Blocks => "BlockOverflowError",
        }
    }
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

    /// A request that was refused or given up, for `reason`; `at_s` is the event's timestamp.
    pub fn failed(
        request_id: u64,
        sampling: SamplingParams,
        class: ErrorClass,
        reason: &str,
        at_s: f64,
    ) -> FinalReply {
        let payload = map([
            ("type", class.name().into()),
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

/// Keys that 0.17 brought.
const UNKNOWN_TO_0_16: [&str; 2] = ["routing_indices", "ttft"];

fn is_ours_to_fill(key: &str) -> bool {
    ALWAYS_WRITTEN.contains(&key)
}

/// `["tensor", [ids]]`, or a plain list.
struct Tensor(Vec<u32>);

impl FromValue for Tensor {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let mut pair = *from;
        if pair.list() == Some(2) && pair.text() == Some("tensor") {
            *from = pair;
            return Vec::read(from).map(Tensor).map_err(|mismatch| mismatch.inside("[1]"));
        }
        Vec::read(from).map(Tensor)
    }
}

impl FromValue for ReplyStatus {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let start = *from;
        match from.text() {
            Some("COMPLETED") => Ok(ReplyStatus::Completed),
            Some("FAILED") => Ok(ReplyStatus::Failed),
            Some(_) | None => Err(Mismatch::new("\"COMPLETED\" or \"FAILED\"", start)),
        }
    }
}

/// The value of a key that is not looked at.
struct Ignored;

impl FromValue for Ignored {
    fn read(_: &mut Reader<'_>) -> Result<Self, Mismatch> {
        Ok(Ignored)
    }
}

impl FromValue for FinalReply {
    /// In the order in which we write, except for what foreign engines alone have.
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let mut dict = Dict::read(from)?;
        let request_id = dict.required("request_id", "the request's id")?;
        let mut reply = FinalReply::completed(request_id, SamplingParams::default(), Vec::new());
        reply.prompt = dict.or("prompt", None)?;
        reply.sampling = dict.or("sampling_params", SamplingParams::default())?;
        reply.prompt_tokens = dict.or::<Option<Tensor>>("prompt_tokens", None)?.map(|tensor| tensor.0);
        reply.status = dict.required("status", "\"COMPLETED\" or \"FAILED\"")?;
        reply.generated_text = dict.or("generated_text", None)?;
        reply.generated_tokens = dict.or("generated_tokens", None)?.unwrap_or_default();
        reply.prompt_log_probs = dict.or("prompt_log_probs", None)?;
        reply.generated_log_probs = dict.or("generated_log_probs", None)?;
        reply.prompt_top_n_logprobs = dict.or("prompt_top_n_logprobs", None)?;
        reply.generated_top_n_logprobs = dict.or("generated_top_n_logprobs", None)?;
        // Always what we write ourselves: derived, or filled in by the client.
        dict.optional::<Ignored>("generated_length")?;
        reply.tpot = dict.or("tpot", None)?.unwrap_or_default();
        dict.optional::<Ignored>("latency")?;
        reply.ttft = dict.or("ttft", None)?;
        reply.events = dict.or("events", None)?.unwrap_or_default();
        let served_by = dict.optional("rank")?.zip(dict.optional("num_dispatches")?);
        reply.served_by = served_by.map(|(rank, num_dispatches)| ServedBy { rank, num_dispatches });
        let effort = dict.optional("num_cached_tokens")?.zip(dict.optional("num_evictions")?);
        reply.effort =
            effort.map(|(num_cached_tokens, num_evictions)| Effort { num_cached_tokens, num_evictions });
        reply.extra = dict.rest()?;
        reply.extra.retain(|(key, value)| !(is_ours_to_fill(key) && value.is_nil()));
        Ok(reply)
    }
}

impl FinalReply {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        self.write_for(Numbering::Current, to);
    }

    pub(super) fn write_for(&self, release: Numbering, to: &mut Writer<'_>) {
        let is_known = |key: &str| release != Numbering::V0_16 || !UNKNOWN_TO_0_16.contains(&key);
        let is_absent = |absent: &str| !self.extra.iter().any(|(key, _)| key == absent);
        let absent = ALWAYS_WRITTEN.iter().filter(|key| is_absent(key) && is_known(key));
        let extra = self.extra.iter().filter(|(key, _)| is_known(key));
        let num_ours = 2 * usize::from(self.served_by.is_some()) + 2 * usize::from(self.effort.is_some());
        to.map(
            15 + usize::from(is_known("ttft")) + absent.clone().count() + num_ours + extra.clone().count(),
        );
        to.key("request_id").natural(self.request_id);
        to.key("prompt").nullable(self.prompt.as_deref(), Writer::text);
        self.sampling.write(to.key("sampling_params"));
        absent.for_each(|key| to.key(key).nil());
        to.key("prompt_tokens").nullable(self.prompt_tokens.as_deref(), |to, tokens| {
            to.list(2);
            to.text("tensor");
            to.tokens(tokens);
        });
        to.key("status").text(if self.status == ReplyStatus::Completed { "COMPLETED" } else { "FAILED" });
        to.key("generated_text").nullable(self.generated_text.as_deref(), Writer::text);
        to.key("generated_tokens").tokens(&self.generated_tokens);
        to.key("prompt_log_probs").nullable(self.prompt_log_probs.as_deref(), Writer::reals);
        to.key("generated_log_probs").nullable(self.generated_log_probs.as_deref(), Writer::reals);
        to.key("prompt_top_n_logprobs").nullable(self.prompt_top_n_logprobs.as_deref(), Writer::values);
        to.key("generated_top_n_logprobs").nullable(self.generated_top_n_logprobs.as_deref(), Writer::values);
        to.key("generated_length").natural(self.generated_tokens.len() as u64);
        to.key("tpot").list(self.tpot.len());
        self.tpot.iter().for_each(|&seconds| to.real(seconds));
        to.key("latency").nil();
        if is_known("ttft") {
            to.key("ttft").nullable(self.ttft, Writer::real);
        }
        to.key("events").values(&self.events);
        if let Some(ServedBy { rank, num_dispatches }) = self.served_by {
            to.key("rank").natural(rank.into());
            to.key("num_dispatches").natural(num_dispatches.into());
        }
        if let Some(Effort { num_cached_tokens, num_evictions }) = self.effort {
            to.key("num_cached_tokens").natural(num_cached_tokens);
            to.key("num_evictions").natural(num_evictions);
        }
        extra.for_each(|(key, value)| to.key(key).value(value));
    }
}

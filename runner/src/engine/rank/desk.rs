//! Between wire and engine: reads submitted requests, writes partial and final replies.

use std::collections::HashMap;

use crate::coordinator::alternatives_by_id;
use crate::coordinator::wire::{
    Effort, ErrorClass, FinalReply, PartialReply, Prompt, SamplingParams, Submit,
};
use crate::engine::{
    Engine, EngineRequest, FailedRequest, FinishedRequest, NewToken, OutputLength, Rejection, Sampling,
    StepSummary,
};

/// Open requests as their clients wrote them.
pub(super) struct Desk {
    /// What ends a request that names no token, the main one first.
    eods: Vec<u32>,
    tickets: HashMap<u64, Ticket>,
}

struct Ticket {
    params: SamplingParams,
    stream: Option<Stream>,
}

/// What a streaming client has not got yet.
#[derive(Default)]
struct Stream {
    interval: usize,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    is_begun: bool,
}

/// A refusal: what the original would call it, and the reason in words.
struct Refusal {
    class: ErrorClass,
    reason: String,
}

impl Desk {
    pub(super) fn new(eods: Vec<u32>) -> Self {
        Self { eods, tickets: HashMap::new() }
    }

    /// Opens a request at the engine; the reply if it was refused.
    pub(super) fn submit(&mut self, submit: Submit, engine: &mut Engine, now_s: f64) -> Option<FinalReply> {
        let Submit { id, prompt, mut sampling, multi_modal } = submit;
        let ends = if sampling.termination_id.is_none() { self.eods.clone() } else { Vec::new() };
        sampling.termination_id = sampling.termination_id.or(ends.first().copied().map(i64::from));
        let opened = match multi_modal.filter(|data| !data.is_nil()) {
            Some(_) => Err(unsupported("multi-modal data")),
            None => engine_request(id, prompt, &sampling, ends),
        };
        let accepted = opened.and_then(|request| engine.submit(request).map_err(Refusal::from));
        match accepted {
            Ok(()) => {
                let stream = sampling.streaming.then(|| Stream {
                    interval: sampling.streaming_interval.max(1) as usize,
                    ..Stream::default()
                });
                self.tickets.insert(id, Ticket { params: sampling, stream });
                None
            }
            Err(refusal) => Some(FinalReply::failed(id, sampling, refusal.class, &refusal.reason, now_s)),
        }
    }

    /// Ends a request at its current length; no reply for an unknown one.
    pub(super) fn abort(&mut self, id: u64, engine: &mut Engine) -> Option<FinalReply> {
        engine.abort(id).and_then(|aborted| self.completed(aborted))
    }

    /// Answers all open requests as failed: they will not be worked on any more.
    pub(super) fn drop_all(&mut self, now_s: f64) -> Vec<FinalReply> {
        let reason = "the ranks were stopped before it was finished";
        let fail =
            |(id, Ticket { params, .. })| FinalReply::failed(id, params, ErrorClass::Any, reason, now_s);
        let mut dropped: Vec<FinalReply> = self.tickets.drain().map(fail).collect();
        dropped.sort_unstable_by_key(|reply| reply.request_id);
        dropped
    }

    /// What a step brought, for the clients: new tokens of requests that go on, and everything about those that ended.
    pub(super) fn answer(
        &mut self,
        summary: &mut StepSummary,
        engine: &Engine,
        now_s: f64,
    ) -> (Vec<PartialReply>, Vec<FinalReply>) {
        let mut finals: Vec<FinalReply> =
            summary.finished.drain(..).filter_map(|finished| self.completed(finished)).collect();
        finals.extend(summary.failed.drain(..).filter_map(|failed| self.failed(failed, now_s)));
        // Tickets of ended requests are gone: their last tokens are in the final reply.
        let partials = summary.new_tokens.drain(..).filter_map(|new| self.partial(new, engine)).collect();
        (partials, finals)
    }

    fn partial(&mut self, new: NewToken, engine: &Engine) -> Option<PartialReply> {
        let Ticket { params, stream } = self.tickets.get_mut(&new.id)?;
        let stream = stream.as_mut()?;
        stream.tokens.push(new.token);
        stream.logprobs.push(new.logprob);
        if stream.tokens.len() < stream.interval {
            return None;
        }
        let logprobs = std::mem::take(&mut stream.logprobs);
        let has_alternatives = params.top_n_logprobs > 0;
        let alternatives =
            if has_alternatives { engine.latest_alternatives(new.id, logprobs.len()) } else { None };
        let is_first = !std::mem::replace(&mut stream.is_begun, true);
        Some(PartialReply {
            request_id: new.id,
            new_tokens: std::mem::take(&mut stream.tokens),
            new_log_probs: params.return_log_probs.then_some(logprobs),
            new_top_n_logprobs: alternatives.map(alternatives_by_id),
            prompt_log_probs: if is_first {
                engine.prompt_logprobs(new.id).map(<[f32]>::to_vec)
            } else {
                None
            },
            prompt_top_n_logprobs: if is_first {
                engine.prompt_alternatives(new.id).map(alternatives_by_id)
            } else {
                None
            },
            ..PartialReply::default()
        })
    }

    fn completed(&mut self, finished: FinishedRequest) -> Option<FinalReply> {
        let mut params = self.tickets.remove(&finished.id)?.params;
        params.num_tokens_to_generate = Some(finished.num_tokens_to_generate as u64);
        params.num_tokens_total = None;
        let prompt_tokens = params.return_prompt_tokens.then_some(finished.prompt);
        Some(FinalReply {
            prompt_tokens,
            prompt_log_probs: finished.prompt_logprobs,
            generated_log_probs: finished.generated_logprobs,
            prompt_top_n_logprobs: finished.prompt_alternatives.as_deref().map(alternatives_by_id),
            generated_top_n_logprobs: finished.generated_alternatives.as_deref().map(alternatives_by_id),
            effort: Some(Effort {
                num_cached_tokens: finished.num_cached_tokens as u64,
                num_evictions: u64::from(finished.num_evictions),
            }),
            ttft: finished.first_token_s.map(|first_token_s| first_token_s - finished.submitted_s),
            ..FinalReply::completed(finished.id, params, finished.generated_tokens)
        })
    }

    fn failed(&mut self, failed: FailedRequest, now_s: f64) -> Option<FinalReply> {
        let params = self.tickets.remove(&failed.id)?.params;
        Some(FinalReply::failed(failed.id, params, ErrorClass::Any, &failed.reason, now_s))
    }
}

fn engine_request(
    id: u64,
    prompt: Prompt,
    params: &SamplingParams,
    ends: Vec<u32>,
) -> Result<EngineRequest, Refusal> {
    let prompt = match prompt {
        Prompt::Tokens(tokens) => tokens,
        Prompt::Text(_) => {
            let reason = "the prompt is text, expected token ids: ranks have no tokenizer".to_owned();
            return Err(Refusal { class: ErrorClass::Any, reason });
        }
    };
    // The coordinator watches for them: here is no tokenizer.
    if params.stop_words.as_ref().is_some_and(|words| !words.is_empty()) {
        return Err(unsupported("stop_words without a coordinator that watches for them"));
    }
    if params.do_kv_handoff {
        return Err(unsupported("do_kv_handoff"));
    }
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let output_length = match (params.num_tokens_to_generate, params.num_tokens_total) {
        (Some(count), _) => OutputLength::Generate(signed(count)),
        (None, Some(total)) => OutputLength::Total(signed(total)),
        (None, None) => OutputLength::Fill,
    };
    let sampling = Sampling {
        temperature: params.temperature as f32,
        top_k: params.top_k,
        top_p: params.top_p as f32,
        return_log_probs: params.return_log_probs,
        skip_prompt_log_probs: params.skip_prompt_log_probs,
        top_n_logprobs: params.top_n_logprobs,
        // Negative = never; beyond any vocabulary = never, too.
        termination_id: params.termination_id.and_then(|id| u32::try_from(id).ok()),
    };
    Ok(EngineRequest { id, prompt, output_length, sampling, ends })
}

fn unsupported(what: &str) -> Refusal {
    Refusal { class: ErrorClass::Any, reason: format!("{what} is not supported by this engine") }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let class = match rejection {
            Rejection::NegativeOutput { .. } | Rejection::PromptTooLong { .. } => {
                ErrorClass::MaxSequenceLength
            }
            Rejection::PromptExceedsStep { .. } => ErrorClass::Tokens,
            Rejection::PoolTooSmall { .. } => ErrorClass::Blocks,
            Rejection::DuplicateId { .. }
            | Rejection::EmptyPrompt { .. }
            | Rejection::TokenOutOfVocabulary { .. }
            | Rejection::Sampling { .. } => ErrorClass::Any,
        };
        Self { class, reason: rejection.to_string() }
    }
}

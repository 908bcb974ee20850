//! One request on its way: from the timetable to its record.

use crate::coordinator::read_alternatives;
use crate::coordinator::wire::{FinalReply, PartialReply, Prompt, SamplingParams, Submit};
use crate::metrics::{RequestOutcome, RequestRecord, TokenArrival};
use crate::plan::TerminationPlan;
use crate::workload::TimedRequest;

/// The request as it is submitted under `client_id`.
///
/// The prompt goes as tokens, not as text: the workload has tokenised it already, so that every rank works on the
/// tokens the record counts, and no rank needs a tokenizer.
pub(super) fn submission(request: &TimedRequest, client_id: u64) -> Submit {
    let plan = &request.sampling;
    let sampling = SamplingParams {
        temperature: plan.temperature.into(),
        top_k: plan.top_k,
        top_p: plan.top_p.into(),
        return_log_probs: plan.return_log_probs,
        skip_prompt_log_probs: plan.skip_prompt_log_probs,
        top_n_logprobs: plan.top_n_logprobs,
        stop_words: (!plan.stop_words.is_empty()).then(|| plan.stop_words.clone()),
        num_tokens_to_generate: Some(request.num_tokens_to_generate as u64),
        termination_id: match plan.termination {
            TerminationPlan::Never => Some(-1),
            TerminationPlan::Id(id) => Some(i64::from(id)),
            // The rank was told at its start.
            TerminationPlan::TokenizerEod => None,
        },
        streaming: true,
        streaming_interval: 1,
        ..SamplingParams::default()
    };
    Submit {
        id: client_id,
        prompt: Prompt::Tokens(request.prompt_tokens.clone()),
        sampling,
        multi_modal: None,
    }
}

/// What is known of a request so far.
pub(super) struct Pending {
    record: RequestRecord,
    streamed: Vec<u32>,
}

impl Pending {
    /// Not sent yet; `scheduled_s` on the run's clock.
    pub(super) fn new(index: usize, request: &TimedRequest, scheduled_s: f64) -> Pending {
        let record = RequestRecord {
            id: index as u64,
            prompt: request.prompt.clone(),
            num_prompt_tokens: request.prompt_tokens.len(),
            num_tokens_to_generate: request.num_tokens_to_generate,
            arrival_s: request.arrival_s,
            scheduled_s,
            ..RequestRecord::default()
        };
        Pending { record, streamed: Vec::new() }
    }

    pub(super) fn scheduled_s(&self) -> f64 {
        self.record.scheduled_s
    }

    pub(super) fn sent(&mut self, at_s: f64) {
        self.record.sent_s = at_s;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.record.finished_s.is_some()
    }

    /// Tokens came; returns how many.
    pub(super) fn on_partial(&mut self, at_s: f64, partial: PartialReply) -> usize {
        self.arrived(at_s, partial.new_tokens.len());
        self.streamed.extend(&partial.new_tokens);
        partial.new_tokens.len()
    }

    /// The final answer came; returns how many tokens are new in it.
    pub(super) fn on_final(&mut self, at_s: f64, reply: FinalReply) -> usize {
        self.record.outcome = self.outcome(&reply);
        let num_new = reply.generated_tokens.len().saturating_sub(self.streamed.len());
        self.arrived(at_s, num_new);
        let record = &mut self.record;
        record.finished_s = Some(at_s);
        record.rank = reply.served_by.map(|served| served.rank);
        record.num_dispatches = reply.served_by.map_or(0, |served| served.num_dispatches);
        record.num_cached_tokens = reply.effort.map(|effort| effort.num_cached_tokens);
        record.num_evictions = reply.effort.map(|effort| effort.num_evictions);
        record.generated_tokens = reply.generated_tokens;
        record.generated_text = reply.generated_text.unwrap_or_default();
        record.prompt_logprobs = reply.prompt_log_probs;
        record.generated_logprobs = reply.generated_log_probs;
        record.prompt_top_n_logprobs = reply.prompt_top_n_logprobs.as_deref().map(read_alternatives);
        record.generated_top_n_logprobs = reply.generated_top_n_logprobs.as_deref().map(read_alternatives);
        num_new
    }

    /// The request cannot be answered any more.
    pub(super) fn fail(&mut self, reason: &str) {
        self.record.outcome = RequestOutcome::Failed { reason: reason.to_owned() };
    }

    /// The record as it stands; what was streamed without a final answer is kept.
    pub(super) fn into_record(mut self) -> RequestRecord {
        if self.record.finished_s.is_none() {
            self.record.generated_tokens = self.streamed;
        }
        self.record
    }

    fn outcome(&self, reply: &FinalReply) -> RequestOutcome {
        if let Some(reason) = reply.failure() {
            return RequestOutcome::Failed { reason };
        }
        if reply.generated_tokens.starts_with(&self.streamed) {
            return RequestOutcome::Completed;
        }
        let same = self.streamed.iter().zip(&reply.generated_tokens).take_while(|(a, b)| a == b).count();
        let (streamed, all) = (self.streamed.len(), reply.generated_tokens.len());
        let reason = format!(
            "the {streamed} streamed tokens are not the start of the {all} final ones: token {same} differs"
        );
        RequestOutcome::Failed { reason }
    }

    fn arrived(&mut self, at_s: f64, num_tokens: usize) {
        if num_tokens > 0 {
            self.record.arrivals.push(TokenArrival { at_s, num_tokens: num_tokens as u32 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::wire::{Effort, ServedBy};
    use crate::plan::SamplingPlan;

    fn request() -> TimedRequest {
        let sampling = SamplingPlan {
            temperature: 0.7,
            top_k: 3,
            top_p: 0.0,
            seed: 5,
            return_log_probs: true,
            skip_prompt_log_probs: false,
            top_n_logprobs: 0,
            stop_words: Vec::new(),
            termination: TerminationPlan::Never,
        };
        TimedRequest {
            arrival_s: 0.0,
            prompt: Some("hi".into()),
            prompt_tokens: vec![7, 8],
            num_tokens_to_generate: 3,
            sampling,
        }
    }

    fn partial(new_tokens: Vec<u32>) -> PartialReply {
        PartialReply { new_tokens, ..PartialReply::default() }
    }

    fn finished(tokens: &[u32]) -> FinalReply {
        let reply = FinalReply::completed(0, SamplingParams::default(), tokens.to_vec());
        let effort = Some(Effort { num_cached_tokens: 64, num_evictions: 1 });
        FinalReply { served_by: Some(ServedBy { rank: 6, num_dispatches: 2 }), effort, ..reply }
    }

    #[test]
    fn a_request_is_submitted_as_planned() {
        let submit = submission(&request(), 4);
        assert_eq!((submit.id, submit.prompt), (4, Prompt::Tokens(vec![7, 8])));
        assert_eq!(submit.sampling.termination_id, Some(-1));
        assert_eq!(submit.sampling.temperature as f32, 0.7);
        assert!(submit.sampling.streaming && submit.sampling.return_log_probs);
    }

    #[test]
    fn every_new_token_has_one_arrival() {
        let mut pending = Pending::new(0, &request(), 1.0);
        pending.sent(1.5);
        assert_eq!(pending.on_partial(2.0, partial(vec![1, 2])), 2);
        assert_eq!(pending.on_final(3.0, finished(&[1, 2, 3])), 1);
        let record = pending.into_record();
        let arrivals = [(2.0, 2), (3.0, 1)].map(|(at_s, num_tokens)| TokenArrival { at_s, num_tokens });
        assert_eq!(record.arrivals, arrivals);
        assert_eq!((record.rank, record.num_dispatches), (Some(6), 2));
        assert_eq!((record.num_cached_tokens, record.num_evictions), (Some(64), Some(1)));
        assert_eq!(record.outcome, RequestOutcome::Completed);
    }

    #[test]
    fn a_stream_that_contradicts_the_final_answer_fails() {
        let mut pending = Pending::new(0, &request(), 1.0);
        pending.on_partial(2.0, partial(vec![1, 9]));
        pending.on_final(3.0, finished(&[1, 2, 3]));
        let RequestOutcome::Failed { reason } = pending.into_record().outcome else { panic!("must fail") };
        assert!(reason.contains("token 1 differs"), "{reason}");
    }

    #[test]
    fn an_unanswered_request_keeps_what_was_streamed() {
        let mut pending = Pending::new(0, &request(), 1.0);
        pending.on_partial(2.0, partial(vec![1, 2]));
        let record = pending.into_record();
        assert_eq!((record.outcome, record.generated_tokens), (RequestOutcome::Unanswered, vec![1, 2]));
    }
}

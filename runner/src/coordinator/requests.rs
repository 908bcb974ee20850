//! Requests between acceptance and their one final answer.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Detokenize, Identity};
use super::stop_words::StopWords;
use super::wire::{FinalReply, PartialReply, Submit};

/// A request that waits or runs.
pub(super) struct Request {
    /// Who asked.
    pub(super) client: Identity,
    /// Under which id of its own.
    pub(super) client_id: u64,
    /// As it goes to a rank, under the coordinator's id; kept for another dispatch.
    pub(super) submit: Submit,
    /// The prompt, iff it came as text that the coordinator made tokens of.
    pub(super) text: Option<String>,
    /// Where it runs; `None` while it waits in the coordinator.
    pub(super) rank: Option<u32>,
    /// Where it was sent last.
    pub(super) last_rank: Option<u32>,
    /// How often it was sent to a rank.
    pub(super) num_dispatches: u32,
    /// Names of its prompt's complete blocks, where the routing asks for them.
    pub(super) block_names: Vec<u64>,
    /// Texts that end it.
    stop_words: Option<StopWords>,
    /// Its client wants it ended.
    pub(super) aborted: bool,
    /// Tokens the client has.
    streamed: Vec<u32>,
    /// Of those, how many this dispatch has produced (again).
    received: usize,
    /// The client has the prompt's logprobs.
    prompt_streamed: bool,
}

/// What a dispatch produced contradicts what an earlier one produced and the client has already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Divergence {
    /// Index of the first generated token that differs.
    pub(super) at: usize,
}

impl Request {
    pub(super) fn new(client: Identity, client_id: u64, submit: Submit) -> Request {
        let sampling = &submit.sampling;
        let interval = sampling.streaming.then_some(sampling.streaming_interval.max(1) as usize);
        let words = sampling.stop_words.as_deref().unwrap_or_default();
        let stop_words = StopWords::new(words, sampling.detokenize_stop_sequence, interval);
        Request {
            block_names: Vec::new(),
            stop_words,
            client,
            client_id,
            submit,
            text: None,
            rank: None,
            last_rank: None,
            num_dispatches: 0,
            aborted: false,
            streamed: Vec::new(),
            received: 0,
            prompt_streamed: false,
        }
    }

    /// Goes to a rank, from the prompt on.
    pub(super) fn dispatch_to(&mut self, rank: u32) {
        self.rank = Some(rank);
        self.last_rank = Some(rank);
        self.num_dispatches += 1;
        self.received = 0;
    }

    /// What a rank is told: stop words are watched for here, token by token. `later`: it knows the form of five elements.
    pub(super) fn for_rank(&self, later: bool) -> Submit {
        let mut submit = self.submit.clone();
        if later {
            submit.make_later_form();
        }
        submit.sampling.stop_words = None;
        if self.stop_words.is_some() {
            submit.sampling.streaming = true;
            submit.sampling.streaming_interval = 1;
        }
        submit
    }

    /// What of new tokens may be streamed to the client, and whether a stop word was found in them.
    pub(super) fn watch(
        &mut self,
        partial: PartialReply,
        detokenize: &Detokenize,
    ) -> (Option<PartialReply>, bool) {
        let Some(stop_words) = &mut self.stop_words else { return (Some(partial), false) };
        let was_found = stop_words.is_found();
        let partial = stop_words.on_partial(partial, detokenize);
        (partial, stop_words.is_found() && !was_found)
    }

    /// Cuts the final reply at a stop word, and names the sampling that the client asked for.
    pub(super) fn conclude(&mut self, reply: &mut FinalReply, detokenize: &Detokenize) {
        let Some(stop_words) = &mut self.stop_words else { return };
        stop_words.on_final(reply, detokenize);
        reply.sampling.stop_words.clone_from(&self.submit.sampling.stop_words);
        reply.sampling.streaming = self.submit.sampling.streaming;
        reply.sampling.streaming_interval = self.submit.sampling.streaming_interval;
    }

    /// Cuts from a partial reply what the client has already; `None` if nothing is left of it.
    pub(super) fn advance(&mut self, mut partial: PartialReply) -> Result<Option<PartialReply>, Divergence> {
        let known = &self.streamed[self.received..];
        let repeated = known.len().min(partial.new_tokens.len());
        if let Some(i) = (0..repeated).find(|&i| known[i] != partial.new_tokens[i]) {
            return Err(Divergence { at: self.received + i });
        }
        self.received += partial.new_tokens.len();
        partial.cut_front(repeated);
        self.streamed.extend(&partial.new_tokens);
        if self.prompt_streamed {
            partial.prompt_log_probs = None;
            partial.prompt_top_n_logprobs = None;
        }
        let has_prompt = partial.prompt_log_probs.is_some() || partial.prompt_top_n_logprobs.is_some();
        self.prompt_streamed |= has_prompt;
        Ok((has_prompt || !partial.new_tokens.is_empty()).then_some(partial))
    }

    /// Compares a final answer with what was streamed, where more than one dispatch had a hand in it.
    pub(super) fn agrees_with(&self, generated: &[u32]) -> Result<(), Divergence> {
        if self.num_dispatches < 2 || generated.starts_with(&self.streamed) {
            return Ok(());
        }
        let same = self.streamed.iter().zip(generated).take_while(|(a, b)| a == b).count();
        Err(Divergence { at: same })
    }
}

/// All unfinished requests by the coordinator's id, and the queue of those without a rank.
#[derive(Default)]
pub(super) struct Requests {
    by_id: BTreeMap<u64, Request>,
    /// Ids are given in order of arrival, so that the order of ids is first come, first served; a request that
    /// lost its rank comes before all that arrived later.
    queued: BTreeSet<u64>,
    next_id: u64,
    /// Longest the queue ever was.
    pub(super) max_queued: usize,
}

impl Requests {
    /// The next id. Every submitted request gets one, also if it is refused at once.
    pub(super) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Whether a request with this id was ever there.
    pub(super) fn was_given(&self, id: u64) -> bool {
        id < self.next_id
    }

    pub(super) fn insert(&mut self, request: Request) {
        let id = request.submit.id;
        self.by_id.insert(id, request);
        self.queue(id);
    }

    /// (Back) into the queue.
    pub(super) fn queue(&mut self, id: u64) {
        if let Some(request) = self.by_id.get_mut(&id) {
            request.rank = None;
            self.queued.insert(id);
        }
    }

    /// The request that waits longest.
    pub(super) fn first_queued(&self) -> Option<u64> {
        self.queued.first().copied()
    }

    /// Out of the queue, to a rank.
    pub(super) fn dispatch(&mut self, id: u64, rank: u32) -> Option<&Request> {
        self.queued.remove(&id);
        let request = self.by_id.get_mut(&id)?;
        request.dispatch_to(rank);
        Some(request)
    }

    /// [`Request::block_names`] of a request; none of one that is unknown.
    pub(super) fn block_names(&self, id: u64) -> &[u64] {
        self.by_id.get(&id).map_or(&[], |request| &request.block_names)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Request> {
        self.by_id.get_mut(&id)
    }

    /// Takes a request out for good.
    pub(super) fn remove(&mut self, id: u64) -> Option<Request> {
        self.queued.remove(&id);
        self.by_id.remove(&id)
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.by_id.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Called once everything that can go has gone to a rank.
    pub(super) fn note_queue(&mut self) {
        self.max_queued = self.max_queued.max(self.queued.len());
    }

    pub(super) fn num_queued(&self) -> usize {
        self.queued.len()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Request, bool)> {
        self.by_id.iter().map(|(&id, request)| (id, request, self.queued.contains(&id)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Prompt, SamplingParams};
    use super::*;

    fn request() -> Request {
        let submit = Submit {
            id: 0,
            prompt: Prompt::Tokens(vec![1]),
            sampling: SamplingParams::default(),
            multi_modal: None,
        };
        Request::new(b"c".to_vec(), 0, submit)
    }

    fn partial(tokens: &[u32]) -> PartialReply {
        let new_log_probs = Some(tokens.iter().map(|&t| t as f32).collect());
        PartialReply { new_tokens: tokens.to_vec(), new_log_probs, ..PartialReply::default() }
    }

    #[test]
    fn a_second_dispatch_streams_only_what_is_new() {
        let mut request = request();
        request.dispatch_to(0);
        assert_eq!(request.advance(partial(&[5, 6, 7])), Ok(Some(partial(&[5, 6, 7]))));
        request.dispatch_to(1);
        assert_eq!(request.advance(partial(&[5, 6])), Ok(None));
        assert_eq!(request.advance(partial(&[7, 8])), Ok(Some(partial(&[8]))));
        assert_eq!(request.agrees_with(&[5, 6, 7, 8, 9]), Ok(()));
        assert_eq!(request.agrees_with(&[5, 6]), Err(Divergence { at: 2 }));
    }

    #[test]
    fn prompt_logprobs_are_streamed_once() {
        let mut request = request();
        let with_prompt = || PartialReply { prompt_log_probs: Some(vec![-1.0]), ..partial(&[5]) };
        request.dispatch_to(0);
        assert_eq!(request.advance(with_prompt()), Ok(Some(with_prompt())));
        request.dispatch_to(1);
        assert_eq!(request.advance(with_prompt()), Ok(None));
    }

    #[test]
    fn a_rank_that_contradicts_the_stream_is_noticed() {
        let mut request = request();
        request.dispatch_to(0);
        assert!(request.advance(partial(&[5, 6, 7])).is_ok());
        request.dispatch_to(1);
        assert_eq!(request.advance(partial(&[5])), Ok(None));
        assert_eq!(request.advance(partial(&[6, 9])), Err(Divergence { at: 2 }));
        assert_eq!(request.agrees_with(&[5, 9, 7]), Err(Divergence { at: 1 }));
    }
}

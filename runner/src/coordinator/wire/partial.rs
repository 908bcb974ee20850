//! The dictionary of a partial reply: tokens that are streamed before the request ends.

use rmpv::Value;

use super::reader::Reader;
use super::value::{Dict, FromValue, Mismatch};
use super::writer::Writer;

/// New tokens of one request. Logprob keys are written iff they are `Some`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartialReply {
    /// The coordinator's id of the request.
    pub request_id: u64,
    /// Tokens since the last partial reply.
    pub new_tokens: Vec<u32>,
    /// One per new token, where logprobs were asked for.
    pub new_log_probs: Option<Vec<f32>>,
    /// `{text: logprob}` per new token, where alternatives were asked for.
    pub new_top_n_logprobs: Option<Vec<Value>>,
    /// In the first partial reply, where prompt logprobs were asked for.
    pub prompt_log_probs: Option<Vec<f32>>,
    /// In the first partial reply, where alternatives of the prompt were asked for.
    pub prompt_top_n_logprobs: Option<Vec<Value>>,
    /// Keys we do not know, by name.
    pub extra: Vec<(String, Value)>,
}

impl PartialReply {
    /// Adds what came later.
    pub fn append(&mut self, later: PartialReply) {
        fn join<T>(list: &mut Option<Vec<T>>, later: Option<Vec<T>>) {
            if let Some(later) = later {
                list.get_or_insert_default().extend(later);
            }
        }
        self.new_tokens.extend(later.new_tokens);
        join(&mut self.new_log_probs, later.new_log_probs);
        join(&mut self.new_top_n_logprobs, later.new_top_n_logprobs);
        join(&mut self.prompt_log_probs, later.prompt_log_probs);
        join(&mut self.prompt_top_n_logprobs, later.prompt_top_n_logprobs);
        self.extra.extend(later.extra);
    }

    /// Takes the first `n` tokens with all that belongs to them, and what is known of the prompt.
    pub fn take_front(&mut self, n: usize) -> PartialReply {
        let n = n.min(self.new_tokens.len());
        let front = |list: &[f32]| list[..n.min(list.len())].to_vec();
        let taken = PartialReply {
            request_id: self.request_id,
            new_tokens: self.new_tokens[..n].to_vec(),
            new_log_probs: self.new_log_probs.as_deref().map(front),
            new_top_n_logprobs: self
                .new_top_n_logprobs
                .as_deref()
                .map(|list| list[..n.min(list.len())].to_vec()),
            prompt_log_probs: self.prompt_log_probs.take(),
            prompt_top_n_logprobs: self.prompt_top_n_logprobs.take(),
            extra: std::mem::take(&mut self.extra),
        };
        self.cut_front(n);
        taken
    }

    /// Cuts the first `n` tokens and all that belongs to them: the client has them already.
    pub fn cut_front(&mut self, n: usize) {
        fn cut<T>(list: &mut Vec<T>, n: usize) {
            list.drain(..n.min(list.len()));
        }
        cut(&mut self.new_tokens, n);
        self.new_log_probs.iter_mut().for_each(|list| cut(list, n));
        self.new_top_n_logprobs.iter_mut().for_each(|list| cut(list, n));
    }
}

impl FromValue for PartialReply {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let mut dict = Dict::read(from)?;
        Ok(PartialReply {
            request_id: dict.required("request_id", "the request's id")?,
            new_tokens: dict.required("new_tokens", "an array of token ids")?,
            new_log_probs: dict.or("new_log_probs", None)?,
            new_top_n_logprobs: dict.or("new_top_n_logprobs", None)?,
            prompt_log_probs: dict.or("prompt_log_probs", None)?,
            prompt_top_n_logprobs: dict.or("prompt_top_n_logprobs", None)?,
            extra: dict.rest()?,
        })
    }
}

impl PartialReply {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let logprobs = [&self.new_log_probs, &self.prompt_log_probs];
        let alternatives = [&self.new_top_n_logprobs, &self.prompt_top_n_logprobs];
        let num_lists = logprobs.into_iter().flatten().count() + alternatives.into_iter().flatten().count();
        to.map(2 + num_lists + self.extra.len());
        to.key("request_id").natural(self.request_id);
        to.key("new_tokens").tokens(&self.new_tokens);
        let new = ("new_log_probs", &self.new_log_probs, "new_top_n_logprobs", &self.new_top_n_logprobs);
        let of_prompt = (
            "prompt_log_probs",
            &self.prompt_log_probs,
            "prompt_top_n_logprobs",
            &self.prompt_top_n_logprobs,
        );
        for (logprobs_key, logprobs, alternatives_key, alternatives) in [new, of_prompt] {
            logprobs.iter().for_each(|list| to.key(logprobs_key).reals(list));
            alternatives.iter().for_each(|list| to.key(alternatives_key).values(list));
        }
        to.entries(&self.extra);
    }
}

//! The dictionary of a partial reply: tokens that are streamed before the request ends.

use rmpv::Value;

use super::value::{Dict, FromValue, Mismatch, append, floats, map, tokens};

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
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let mut dict = Dict::from_value(value)?;
        Ok(PartialReply {
            request_id: dict.required("request_id", "the request's id")?,
            new_tokens: dict.required("new_tokens", "an array of token ids")?,
            new_log_probs: dict.or("new_log_probs", None)?,
            new_top_n_logprobs: dict.or("new_top_n_logprobs", None)?,
            prompt_log_probs: dict.or("prompt_log_probs", None)?,
            prompt_top_n_logprobs: dict.or("prompt_top_n_logprobs", None)?,
            extra: dict.rest(),
        })
    }
}

impl PartialReply {
    pub(super) fn to_value(&self) -> Value {
        let lists = [
            ("new_log_probs", self.new_log_probs.as_deref().map(floats)),
            ("new_top_n_logprobs", self.new_top_n_logprobs.clone().map(Value::Array)),
            ("prompt_log_probs", self.prompt_log_probs.as_deref().map(floats)),
            ("prompt_top_n_logprobs", self.prompt_top_n_logprobs.clone().map(Value::Array)),
        ];
        let mut entries =
            map([("request_id", self.request_id.into()), ("new_tokens", tokens(&self.new_tokens))]);
        entries.extend(map(lists.into_iter().filter_map(|(key, list)| Some((key, list?)))));
        append(&mut entries, &self.extra);
        Value::Map(entries)
    }
}

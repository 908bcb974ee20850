//! The sampling dictionary of a request (`SamplingParams.serialize`).

use rmpv::Value;

use super::reader::Reader;
use super::value::{Dict, FromValue, Mismatch};
use super::writer::Writer;

/// Sampling of one request. Read from any subset of keys (an absent key has its default),
/// written with all of them; keys we do not know are passed through.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits.
    pub temperature: f64,
    /// 1 = greedy, 0 = off.
    pub top_k: u32,
    /// 0 = off.
    pub top_p: f64,
    /// Logprobs are returned.
    pub return_log_probs: bool,
    /// Logprobs of the generated tokens only.
    pub skip_prompt_log_probs: bool,
    /// The original's text segments; not produced here.
    pub return_segments: bool,
    /// Tokens to generate at most.
    pub num_tokens_to_generate: Option<u64>,
    /// Prompt + generated tokens at most.
    pub num_tokens_total: Option<u64>,
    /// Token that ends the sequence; negative = never; `None` = the engine's default.
    pub termination_id: Option<i64>,
    /// Alternatives returned per position.
    pub top_n_logprobs: u32,
    /// Alternatives of prompt positions too.
    pub return_prompt_top_n_logprobs: bool,
    /// The engine puts a BOS before a text prompt.
    pub add_bos: bool,
    /// Texts that end the sequence.
    pub stop_words: Option<Vec<String>>,
    /// The end-of-sequence token stays in the text.
    pub detokenize_stop_sequence: bool,
    /// The final reply repeats the prompt's tokens.
    pub return_prompt_tokens: bool,
    /// Partial replies are wanted.
    pub streaming: bool,
    /// Tokens per partial reply at least, 1 or more.
    pub streaming_interval: u32,
    /// The original's KV hand-off.
    pub do_kv_handoff: bool,
    /// Keys we do not know, by name.
    pub extra: Vec<(String, Value)>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        SamplingParams {
            temperature: 1.0,
            top_k: 0,
            top_p: 0.0,
            return_log_probs: false,
            skip_prompt_log_probs: false,
            return_segments: false,
            num_tokens_to_generate: None,
            num_tokens_total: None,
            termination_id: None,
            top_n_logprobs: 0,
            return_prompt_top_n_logprobs: false,
            add_bos: false,
            stop_words: None,
            detokenize_stop_sequence: false,
            return_prompt_tokens: false,
            streaming: false,
            streaming_interval: 1,
            do_kv_handoff: false,
            extra: Vec::new(),
        }
    }
}

impl FromValue for SamplingParams {
    fn read(from: &mut Reader<'_>) -> Result<Self, Mismatch> {
        let mut dict = Dict::read(from)?;
        let default = SamplingParams::default();
        let params = SamplingParams {
            temperature: dict.or("temperature", default.temperature)?,
            top_k: dict.or("top_k", default.top_k)?,
            top_p: dict.or("top_p", default.top_p)?,
            return_log_probs: dict.or("return_log_probs", default.return_log_probs)?,
            skip_prompt_log_probs: dict.or("skip_prompt_log_probs", default.skip_prompt_log_probs)?,
            return_segments: dict.or("return_segments", default.return_segments)?,
            num_tokens_to_generate: dict.or("num_tokens_to_generate", None)?,
            num_tokens_total: dict.or("num_tokens_total", None)?,
            termination_id: dict.or("termination_id", None)?,
            top_n_logprobs: dict.or("top_n_logprobs", default.top_n_logprobs)?,
            return_prompt_top_n_logprobs: dict.or("return_prompt_top_n_logprobs", false)?,
            add_bos: dict.or("add_BOS", default.add_bos)?,
            stop_words: dict.or("stop_words", None)?,
            detokenize_stop_sequence: dict
                .or("detokenize_stop_sequence", default.detokenize_stop_sequence)?,
            return_prompt_tokens: dict.or("return_prompt_tokens", default.return_prompt_tokens)?,
            streaming: dict.or("streaming", default.streaming)?,
            streaming_interval: dict.or("streaming_interval", default.streaming_interval)?,
            do_kv_handoff: dict.or("do_kv_handoff", default.do_kv_handoff)?,
            extra: dict.rest()?,
        };
        if params.streaming_interval == 0 {
            let (expected, got) = ("an integer of at least 1", "0".into());
            return Err(Mismatch { path: ".streaming_interval".into(), expected, got });
        }
        Ok(params)
    }
}

impl SamplingParams {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.map(18 + self.extra.len());
        to.key("temperature").real(self.temperature);
        to.key("top_k").natural(self.top_k.into());
        to.key("top_p").real(self.top_p);
        to.key("return_log_probs").boolean(self.return_log_probs);
        to.key("skip_prompt_log_probs").boolean(self.skip_prompt_log_probs);
        to.key("return_segments").boolean(self.return_segments);
        to.key("num_tokens_to_generate").nullable(self.num_tokens_to_generate, Writer::natural);
        to.key("num_tokens_total").nullable(self.num_tokens_total, Writer::natural);
        to.key("termination_id").nullable(self.termination_id, Writer::integer);
        to.key("top_n_logprobs").natural(self.top_n_logprobs.into());
        to.key("return_prompt_top_n_logprobs").boolean(self.return_prompt_top_n_logprobs);
        to.key("add_BOS").boolean(self.add_bos);
        to.key("stop_words").nullable(self.stop_words.as_ref(), |to, words| {
            to.list(words.len());
            words.iter().for_each(|word| to.text(word));
        });
        to.key("detokenize_stop_sequence").boolean(self.detokenize_stop_sequence);
        to.key("return_prompt_tokens").boolean(self.return_prompt_tokens);
        to.key("streaming").boolean(self.streaming);
        to.key("streaming_interval").natural(self.streaming_interval.into());
        to.key("do_kv_handoff").boolean(self.do_kv_handoff);
        to.entries(&self.extra);
    }
}

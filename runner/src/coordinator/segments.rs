//! Texts of single tokens (`return_segments`), for clients that want to know where each one stands.

use rmpv::Value;

use super::state::Detokenize;
use super::wire::{FinalReply, Prompt, Submit};

/// Adds `segments` (prompt and output) and `generated_segments`, one text per token, where the request asked for them. A prompt
/// that went to the rank as text has no tokens here, and no segments.
pub(super) fn add_segments(reply: &mut FinalReply, submit: &Submit, detokenize: &Detokenize) {
    if !submit.sampling.return_segments {
        return;
    }
    let texts = |tokens: &[u32]| tokens.iter().map(|&token| Value::from(detokenize(&[token]))).collect();
    let generated: Vec<Value> = texts(&reply.generated_tokens);
    let mut all: Vec<Value> = match &submit.prompt {
        Prompt::Tokens(tokens) => texts(tokens),
        Prompt::Text(_) => Vec::new(),
    };
    all.extend(generated.iter().cloned());
    for (key, segments) in [("segments", all), ("generated_segments", generated)] {
        reply.extra.retain(|(known, _)| known != key);
        reply.extra.push((key.to_owned(), Value::Array(segments)));
    }
}

//! A request as the engine takes it, and the reasons for which it is refused at once.

use super::limits::EngineLimits;
use super::sampling::{Sampling, SamplingError};

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineRequest {
    /// Server id: unique among unfinished requests, the key of its random numbers, the same on every replica.
    pub id: u64,
    /// Prompt; not empty.
    pub prompt: Vec<u32>,
    /// How much to generate.
    pub output_length: OutputLength,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// Tokens that end the sequence and are kept, besides [`Sampling::termination_id`]: some models have several.
    pub ends: Vec<u32>,
}

/// How many tokens to generate at most. Signed as on the wire, so that nonsense can be refused by its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputLength {
    /// This many (`num_tokens_to_generate`).
    Generate(i64),
    /// Until prompt and output have this many together (`num_tokens_total`).
    Total(i64),
    /// As many as `max_sequence_length` leaves room for.
    Fill,
}

/// Why a request cannot be served, now or later. The texts leave the id to whoever reports them: one reason may hold
/// for many requests.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Another unfinished request has this id.
    #[error("the id {id} is in use by an unfinished request")]
    DuplicateId {
        /// The id.
        id: u64,
    },
    /// Nothing to continue.
    #[error("the prompt is empty, expected at least one token")]
    EmptyPrompt {
        /// The request.
        id: u64,
    },
    /// The prompt came from another vocabulary.
    #[error("prompt token {position} is {token}, expected below the vocabulary's {vocab_size}")]
    TokenOutOfVocabulary {
        /// The request.
        id: u64,
        /// Index in the prompt.
        position: usize,
        /// The id found there.
        token: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// Less than no output.
    #[error("{asked} tokens to generate after a prompt of {prompt}, expected at least 0")]
    NegativeOutput {
        /// The request.
        id: u64,
        /// Tokens to generate.
        asked: i64,
        /// Prompt length.
        prompt: usize,
    },
    /// Longer than any sequence may be.
    #[error(
        "the prompt has {prompt} tokens, expected at most max_sequence_length = {limit} \
         (--inference-max-seq-length)"
    )]
    PromptTooLong {
        /// The request.
        id: u64,
        /// Prompt length.
        prompt: usize,
        /// `max_sequence_length`.
        limit: usize,
    },
    /// Does not fit a step, and prompts are not cut into chunks (`--enable-chunked-prefill`).
    #[error(
        "the prompt has {prompt} tokens, expected at most max_tokens = {limit} in one step \
         (--inference-dynamic-batching-max-tokens) without --enable-chunked-prefill"
    )]
    PromptExceedsStep {
        /// The request.
        id: u64,
        /// Prompt length.
        prompt: usize,
        /// `max_tokens`.
        limit: usize,
    },
    /// Could not finish even alone.
    #[error(
        "prompt {prompt} + output {output} tokens need {needed} KV blocks of {block_size} tokens, \
         expected at most the pool's {usable} usable ones (--inference-dynamic-batching-buffer-size-gb)"
    )]
    PoolTooSmall {
        /// The request.
        id: u64,
        /// Prompt length.
        prompt: usize,
        /// Output length.
        output: usize,
        /// Blocks needed at its end.
        needed: usize,
        /// Tokens per block.
        block_size: usize,
        /// Usable blocks.
        usable: usize,
    },
    /// Sampling without meaning.
    #[error("{error}")]
    Sampling {
        /// The request.
        id: u64,
        /// What is wrong.
        error: SamplingError,
    },
}

/// Tokens that an accepted request will generate at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResolvedOutput {
    pub(super) num_tokens: usize,
    /// What was asked for, where `max_sequence_length` allowed less.
    pub(super) clamped_from: Option<usize>,
}

impl EngineRequest {
    /// Checks everything that does not depend on other requests, and resolves the output length.
    pub(super) fn resolve(
        &self,
        limits: &EngineLimits,
        vocab_size: usize,
    ) -> Result<ResolvedOutput, Rejection> {
        let (id, prompt) = (self.id, self.prompt.len());
        self.check_prompt(limits, vocab_size)?;
        self.sampling.validate().map_err(|error| Rejection::Sampling { id, error })?;
        if limits.features.processed_logprobs {
            self.sampling.validate_processed().map_err(|error| Rejection::Sampling { id, error })?;
        }
        let output = self.resolve_output(limits)?;
        // The last generated token is never fed back, so it needs no slot.
        let num_cached_tokens = prompt + output.num_tokens.saturating_sub(1);
        let needed = limits.blocks_for(num_cached_tokens);
        if needed > limits.num_usable_blocks {
            return Err(Rejection::PoolTooSmall {
                id,
                prompt,
                output: output.num_tokens,
                needed,
                block_size: limits.block_size,
                usable: limits.num_usable_blocks,
            });
        }
        Ok(output)
    }

    fn check_prompt(&self, limits: &EngineLimits, vocab_size: usize) -> Result<(), Rejection> {
        let (id, prompt) = (self.id, self.prompt.len());
        if prompt == 0 {
            return Err(Rejection::EmptyPrompt { id });
        }
        if prompt > limits.max_sequence_length {
            return Err(Rejection::PromptTooLong { id, prompt, limit: limits.max_sequence_length });
        }
        if prompt > limits.max_tokens && !limits.features.chunked_prefill {
            return Err(Rejection::PromptExceedsStep { id, prompt, limit: limits.max_tokens });
        }
        match self.prompt.iter().position(|&token| token as usize >= vocab_size) {
            Some(position) => {
                let token = self.prompt[position];
                Err(Rejection::TokenOutOfVocabulary { id, position, token, vocab_size })
            }
            None => Ok(()),
        }
    }

    fn resolve_output(&self, limits: &EngineLimits) -> Result<ResolvedOutput, Rejection> {
        let prompt = self.prompt.len();
        let room = limits.max_sequence_length - prompt;
        let asked = match self.output_length {
            OutputLength::Generate(count) => count,
            OutputLength::Total(total) => total.saturating_sub_unsigned(prompt as u64),
            OutputLength::Fill => return Ok(ResolvedOutput { num_tokens: room, clamped_from: None }),
        };
        let Ok(asked) = usize::try_from(asked) else {
            return Err(Rejection::NegativeOutput { id: self.id, asked, prompt });
        };
        Ok(ResolvedOutput { num_tokens: asked.min(room), clamped_from: (asked > room).then_some(asked) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::EngineFeatures;

    const LIMITS: EngineLimits = EngineLimits {
        block_size: 4,
        num_usable_blocks: 5,
        max_requests: 4,
        max_tokens: 24,
        max_sequence_length: 30,
        num_paused_blocks: 0,
        features: EngineFeatures::OFF,
    };

    fn request(prompt: usize, output_length: OutputLength) -> EngineRequest {
        EngineRequest {
            id: 7,
            prompt: vec![1; prompt],
            output_length,
            sampling: Sampling::GREEDY,
            ends: Vec::new(),
        }
    }

    fn resolve(prompt: usize, output_length: OutputLength) -> Result<ResolvedOutput, String> {
        request(prompt, output_length).resolve(&LIMITS, 100).map_err(|rejection| rejection.to_string())
    }

    #[test]
    fn output_is_what_was_asked_for_as_far_as_the_sequence_may_grow() {
        let plain = |num_tokens| Ok(ResolvedOutput { num_tokens, clamped_from: None });
        assert_eq!(resolve(10, OutputLength::Generate(11)), plain(11));
        assert_eq!(resolve(10, OutputLength::Total(21)), plain(11));
        assert_eq!(resolve(10, OutputLength::Generate(0)), plain(0));
        let roomy = EngineLimits { num_usable_blocks: 100, ..LIMITS };
        let wide = |output| request(10, output).resolve(&roomy, 100).unwrap();
        assert_eq!(wide(OutputLength::Fill), ResolvedOutput { num_tokens: 20, clamped_from: None });
        assert_eq!(
            wide(OutputLength::Generate(21)),
            ResolvedOutput { num_tokens: 20, clamped_from: Some(21) }
        );
        assert_eq!(wide(OutputLength::Generate(i64::MAX)).num_tokens, 20);
    }

    #[test]
    fn the_last_token_needs_no_slot() {
        assert!(resolve(10, OutputLength::Generate(11)).is_ok(), "20 slots = 5 blocks");
        let text = resolve(10, OutputLength::Generate(12)).unwrap_err();
        assert!(
            text.contains("need 6 KV blocks of 4 tokens, expected at most the pool's 5 usable"),
            "{text}"
        );
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_numbers() {
        for (prompt, output, expected) in [
            (0, OutputLength::Fill, "the prompt is empty"),
            (31, OutputLength::Fill, "has 31 tokens, expected at most max_sequence_length = 30"),
            (25, OutputLength::Generate(1), "has 25 tokens, expected at most max_tokens = 24"),
            (3, OutputLength::Generate(-1), "-1 tokens to generate after a prompt of 3"),
            (3, OutputLength::Total(2), "-1 tokens to generate after a prompt of 3"),
            (3, OutputLength::Total(i64::MIN), "tokens to generate"),
            (21, OutputLength::Generate(0), "need 6 KV blocks"),
        ] {
            let text = resolve(prompt, output).unwrap_err();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn chunked_prompts_may_be_longer_than_a_step() {
        let features = EngineFeatures { chunked_prefill: true, ..EngineFeatures::OFF };
        let limits = EngineLimits { num_usable_blocks: 100, features, ..LIMITS };
        assert!(request(25, OutputLength::Generate(1)).resolve(&limits, 100).is_ok());
    }

    #[test]
    fn foreign_tokens_and_senseless_sampling_are_refused() {
        let mut foreign = request(3, OutputLength::Generate(1));
        foreign.prompt[2] = 100;
        let text = foreign.resolve(&LIMITS, 100).unwrap_err().to_string();
        assert!(text.contains("prompt token 2 is 100, expected below the vocabulary's 100"), "{text}");
        let mut cold = request(3, OutputLength::Generate(1));
        cold.sampling = Sampling { temperature: 0.0, top_k: 0, ..Sampling::GREEDY };
        assert!(cold.resolve(&LIMITS, 100).unwrap_err().to_string().contains("temperature is 0"));
    }
}

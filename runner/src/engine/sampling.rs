//! How a request wants its tokens chosen, and which wishes are refused.

/// Sampling of one request. Greedy iff `top_k == 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; above 0 unless greedy.
    pub temperature: f32,
    /// Keep the k best logits; 0 = all, 1 = greedy.
    pub top_k: u32,
    /// Nucleus mass in (0, 1]; 0 = off.
    pub top_p: f32,
    /// Return logprobs of generated tokens and, unless skipped, of the prompt.
    pub return_log_probs: bool,
    /// With `return_log_probs`: only those of generated tokens.
    pub skip_prompt_log_probs: bool,
    /// With `return_log_probs`: so many of the likeliest tokens in the place of each generated one, with logprobs.
    pub top_n_logprobs: u32,
    /// Token that ends the sequence and is kept; `None` = never.
    pub termination_id: Option<u32>,
}

/// Sampling that has no meaning. Nothing is clamped in silence.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// Not a number, or infinite.
    #[error("sampling: {name} is {value}, expected a finite number")]
    NotFinite {
        /// Parameter.
        name: &'static str,
        /// Its value.
        value: f32,
    },
    /// Division by zero, or a reversed distribution.
    #[error("sampling: temperature is {0}, expected above 0 (for greedy decoding set top_k to 1)")]
    Temperature(f32),
    /// No probability mass.
    #[error("sampling: top_p is {0}, expected between 0 (off) and 1")]
    TopP(f32),
    /// The original refuses the combination too: their order would matter.
    #[error(
        "sampling: top_k is {top_k} and top_p is {top_p}, expected at most one above 0 (to sample by top_p, set top_k to 0)"
    )]
    TopKAndTopP {
        /// Asked-for k.
        top_k: u32,
        /// Asked-for mass.
        top_p: f32,
    },
    /// Processed logprobs of tokens that the filter may have dropped.
    #[error(
        "sampling: prompt logprobs after top_k {top_k} and top_p {top_p} would be minus infinity where the filter dropped a \
         prompt token; set skip_prompt_log_probs, or top_k and top_p to 0"
    )]
    FilteredPrompt {
        /// Asked-for k.
        top_k: u32,
        /// Asked-for mass.
        top_p: f32,
    },
    /// Alternatives are part of the logprobs.
    #[error("sampling: top_n_logprobs is {0}, expected 0 without return_log_probs")]
    TopNWithoutLogprobs(u32),
    /// More than anybody reads, and a message that nobody accepts.
    #[error("sampling: top_n_logprobs is {0}, expected at most {MOST_ALTERNATIVES}")]
    TopN(u32),
}

/// Alternatives to a token at most.
pub const MOST_ALTERNATIVES: u32 = 1000;

impl Sampling {
    /// Argmax, no logprobs, no end token.
    pub const GREEDY: Self = Self {
        temperature: 1.0,
        top_k: 1,
        top_p: 0.0,
        return_log_probs: false,
        skip_prompt_log_probs: false,
        top_n_logprobs: 0,
        termination_id: None,
    };

    /// Takes the most likely token, without randomness.
    pub fn is_greedy(&self) -> bool {
        self.top_k == 1
    }

    /// Prompt logprobs are wanted.
    pub fn wants_prompt_logprobs(&self) -> bool {
        self.return_log_probs && !self.skip_prompt_log_probs
    }

    /// The likeliest tokens in the place of each prompt token are wanted, as the original has it: with prompt logprobs.
    pub fn wants_prompt_alternatives(&self) -> bool {
        self.wants_prompt_logprobs() && self.top_n_logprobs > 0
    }

    /// Refuses what has no meaning where logprobs are processed: a prompt's tokens are not drawn, so that the filter may have
    /// dropped them, and minus infinity is nothing to compare.
    pub fn validate_processed(&self) -> Result<(), SamplingError> {
        if self.wants_prompt_logprobs() && (self.top_k > 0 || self.top_p > 0.0) {
            return Err(SamplingError::FilteredPrompt { top_k: self.top_k, top_p: self.top_p });
        }
        Ok(())
    }

    /// Refuses what has no meaning.
    pub fn validate(&self) -> Result<(), SamplingError> {
        for (name, value) in [("temperature", self.temperature), ("top_p", self.top_p)] {
            if !value.is_finite() {
                return Err(SamplingError::NotFinite { name, value });
            }
        }
        if !(0.0..=1.0).contains(&self.top_p) {
            return Err(SamplingError::TopP(self.top_p));
        }
        if self.top_k > 0 && self.top_p > 0.0 {
            return Err(SamplingError::TopKAndTopP { top_k: self.top_k, top_p: self.top_p });
        }
        if !self.is_greedy() && self.temperature <= 0.0 {
            return Err(SamplingError::Temperature(self.temperature));
        }
        if self.top_n_logprobs > 0 && !self.return_log_probs {
            return Err(SamplingError::TopNWithoutLogprobs(self.top_n_logprobs));
        }
        if self.top_n_logprobs > MOST_ALTERNATIVES {
            return Err(SamplingError::TopN(self.top_n_logprobs));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: Sampling = Sampling { top_k: 0, ..Sampling::GREEDY };

    #[test]
    fn sound_wishes_pass() {
        for sampling in [
            Sampling::GREEDY,
            Sampling { temperature: 0.0, ..Sampling::GREEDY },
            SAMPLED,
            Sampling { top_p: 1.0, ..SAMPLED },
            Sampling { top_k: 50, temperature: 0.01, ..SAMPLED },
        ] {
            assert_eq!(sampling.validate(), Ok(()), "{sampling:?}");
        }
    }

    #[test]
    fn senseless_wishes_are_refused_with_the_number() {
        for (sampling, expected) in [
            (Sampling { temperature: 0.0, ..SAMPLED }, "temperature is 0, expected above 0"),
            (Sampling { temperature: -1.5, ..SAMPLED }, "temperature is -1.5"),
            (Sampling { temperature: f32::NAN, ..Sampling::GREEDY }, "temperature is NaN, expected a finite"),
            (Sampling { top_p: f32::INFINITY, ..SAMPLED }, "top_p is inf"),
            (Sampling { top_p: 1.5, ..SAMPLED }, "top_p is 1.5, expected between"),
            (Sampling { top_p: -0.5, ..SAMPLED }, "top_p is -0.5"),
            (Sampling { top_k: 40, top_p: 0.5, ..SAMPLED }, "top_k is 40 and top_p is 0.5"),
            (Sampling { top_p: 0.5, ..Sampling::GREEDY }, "top_k is 1 and top_p is 0.5"),
            (Sampling { top_n_logprobs: 2, ..Sampling::GREEDY }, "top_n_logprobs is 2, expected 0 without"),
            (
                Sampling { top_n_logprobs: 1001, return_log_probs: true, ..Sampling::GREEDY },
                "top_n_logprobs is 1001, expected at most 1000",
            ),
        ] {
            let text = sampling.validate().unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}

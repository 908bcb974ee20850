//! Sampling one token from kept logits: temperature, top-k or top-p, and a counter-based generator.

use super::error::{OpError, require, require_len};
use super::{Backend, Buffer};
use crate::model::philox::philox4x32_10;
use crate::model::step::SampleArgs;

/// One token to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRow {
    /// Slot of the logits buffer.
    pub slot: usize,
    /// How to draw.
    pub args: SampleArgs,
}

/// A drawn token and its raw logit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Vocabulary id.
    pub token: u32,
    /// Its logit before temperature.
    pub logit: f32,
}

/// Draws `drawn[i]` from `softmax(filter(logits[slot] / temperature))`.
///
/// A token's mass is an integer, so that sums do not depend on their order: [`token_mass`] of `exp(x - max x)`, where `x` is
/// `logit / temperature`. top-k keeps every `x` that is not below the k-th largest. top-p orders by `x` (equal ones by id), and
/// drops all tokens after the first whose cumulative mass exceeds `top_p * total`. The draw is the first kept token, in id
/// order, whose cumulative mass exceeds `u * (mass of all kept)` with `u` from [`uniform`]; both products are made in f64 and
/// rounded down.
pub struct Sampling<'a, B: Backend> {
    /// Logits per slot.
    pub vocab_size: usize,
    /// `[slots, vocab_size]`
    pub logits: &'a B::Floats,
    /// What to draw.
    pub rows: &'a [SampleRow],
    /// `[rows]`, overwritten; on the host when the call returns.
    pub drawn: &'a mut Vec<Drawn>,
}

impl<B: Backend> Sampling<'_, B> {
    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        for row in self.rows {
            require_len("sampling", "logits", self.logits.len(), (row.slot + 1) * self.vocab_size)?;
            check_args(&row.args)?;
        }
        Ok(())
    }
}

/// Refuses arguments without meaning.
pub fn check_args(args: &SampleArgs) -> Result<(), OpError> {
    const OP: &str = "sampling";
    require(OP, args.temperature > 0.0 && args.temperature.is_finite(), || {
        format!("temperature {} is not a positive number (greedy is top_k = 1)", args.temperature)
    })?;
    require(OP, (0.0..=1.0).contains(&args.top_p), || format!("top_p {} is outside 0..=1", args.top_p))?;
    require(OP, args.top_k == 0 || args.top_p == 0.0, || {
        format!("top_k {} and top_p {} exclude each other", args.top_k, args.top_p)
    })
}

/// `weight` (at most 1) in units of 2^-38, rounded down. The masses of 2^25 tokens add up without overflow.
#[inline(always)]
pub fn token_mass(weight: f32) -> u64 {
    (weight * (1u64 << 38) as f32) as u64
}

/// The uniform number in [0, 1) that belongs to (seed, request, position): 53 bits of Philox4x32-10.
pub fn uniform(args: &SampleArgs) -> f64 {
    let low = |word: u64| word as u32;
    let high = |word: u64| (word >> 32) as u32;
    let counter = [low(args.request_key), high(args.request_key), low(args.position), high(args.position)];
    let words = philox4x32_10(counter, [low(args.seed), high(args.seed)]);
    let bits = (u64::from(words[0]) << 32 | u64::from(words[1])) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

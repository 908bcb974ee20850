//! Sampling on the CPU: one task per token.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::elementary::exp;
use super::isa::Path;
use super::simd::{Kernel, LANES, Simd, load_part, store_part};
use crate::model::step::SampleArgs;
use crate::ops::sampling::{Drawn, Sampling, token_mass, uniform};

/// Scratch of one worker.
#[derive(Default)]
pub(crate) struct SamplingScratch {
    /// `[vocab]` logits divided by the temperature.
    pub(super) scaled: Vec<f32>,
    /// `[vocab]` `exp(scaled - max)`
    pub(super) weights: Vec<f32>,
    /// `[vocab]` scaled logits and their tokens, partly in order.
    order: Vec<(f32, u32)>,
}

/// Runs a checked sampling.
pub(crate) fn sample(backend: &CpuBackend, args: Sampling<'_, CpuBackend>) {
    args.drawn.clear();
    args.drawn.resize(args.rows.len(), Drawn::default());
    let drawn = Disjoint::new(args.drawn);
    backend.pool.run(args.rows.len(), |worker, index| {
        let row = args.rows[index];
        let logits = &args.logits[row.slot * args.vocab_size..][..args.vocab_size];
        let mut scratch = backend.scratch.of(worker);
        let token = draw(backend.path, logits, &row.args, &mut scratch.sampling);
        // SAFETY: each task has its own entry.
        unsafe { drawn.set(index, Drawn { token, logit: logits[token as usize] }) };
    });
}

/// Draws one token.
pub(crate) fn draw(path: Path, logits: &[f32], args: &SampleArgs, scratch: &mut SamplingScratch) -> u32 {
    let kept = filter(path, logits, args, scratch);
    let SamplingScratch { scaled, weights, .. } = scratch;
    let mass = |token: u32| token_mass(weights[token as usize]);
    let all = 0..logits.len() as u32;
    match kept {
        Kept::All => pick(all, mass, uniform(args)),
        Kept::AtLeast(_) | Kept::UpTo(_) => {
            pick(all.filter(|&token| kept.holds(scaled[token as usize], token)), mass, uniform(args))
        }
    }
}

/// What a filter leaves of the vocabulary.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// Everything.
    All,
    /// Scaled logits from here on.
    AtLeast(f32),
    /// This scaled logit and token, and all that are better.
    UpTo((f32, u32)),
}

impl Kept {
    #[inline]
    pub(super) fn holds(self, scaled: f32, token: u32) -> bool {
        match self {
            Self::All => true,
            Self::AtLeast(threshold) => scaled >= threshold,
            Self::UpTo(last) => best_first(&(scaled, token), &last).is_le(),
        }
    }
}

/// Fills `scaled` and `weights`, and applies the filter.
pub(super) fn filter(path: Path, logits: &[f32], args: &SampleArgs, scratch: &mut SamplingScratch) -> Kept {
    let SamplingScratch { scaled, weights, order } = scratch;
    scaled.resize(logits.len(), 0.0);
    weights.resize(logits.len(), 0.0);
    path.run(Weigh { logits, temperature: args.temperature, scaled, weights });
    let mass = |token: u32| token_mass(weights[token as usize]);
    if args.top_k > 0 && (args.top_k as usize) < logits.len() {
        Kept::AtLeast(kth_largest(scaled, args.top_k as usize, order))
    } else if args.top_p > 0.0 && args.top_p < 1.0 {
        let limit = f64::from(args.top_p) * (0..logits.len() as u32).map(mass).sum::<u64>() as f64;
        Kept::UpTo(last_of_nucleus(scaled, mass, limit as u64, order))
    } else {
        Kept::All
    }
}

/// Divides by the temperature; exponentials relative to the largest.
struct Weigh<'a> {
    logits: &'a [f32],
    temperature: f32,
    scaled: &'a mut [f32],
    weights: &'a mut [f32],
}

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let temperature = s.splat(self.temperature);
        let mut largest = s.splat(f32::NEG_INFINITY);
        for (logits, scaled) in self.logits.chunks(LANES).zip(self.scaled.chunks_mut(LANES)) {
            let quotient = s.div(load_part(s, logits, f32::NEG_INFINITY), temperature);
            largest = s.max(largest, quotient);
            store_part(s, quotient, scaled);
        }
        let max = s.splat(s.max_lanes(largest));
        for (scaled, weights) in self.scaled.chunks(LANES).zip(self.weights.chunks_mut(LANES)) {
            store_part(s, exp(s, s.sub(load_part(s, scaled, f32::NEG_INFINITY), max)), weights);
        }
    }
}

fn fill(order: &mut Vec<(f32, u32)>, scaled: &[f32]) {
    order.clear();
    order.extend(scaled.iter().copied().zip(0..));
}

/// Larger logits first, equal ones by token.
pub(super) fn best_first(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// The k-th largest value, 1 <= k <= len.
fn kth_largest(scaled: &[f32], k: usize, order: &mut Vec<(f32, u32)>) -> f32 {
    fill(order, scaled);
    order.select_nth_unstable_by(k - 1, best_first).1.0
}

/// The first token, best first, whose cumulative mass exceeds `limit`: by bisection, each half of which is selected, not sorted.
fn last_of_nucleus(
    scaled: &[f32],
    mass: impl Fn(u32) -> u64,
    limit: u64,
    order: &mut Vec<(f32, u32)>,
) -> (f32, u32) {
    fill(order, scaled);
    let mut rest = &mut order[..];
    let mut before = 0;
    while rest.len() > 1 {
        let middle = (rest.len() - 1) / 2;
        rest.select_nth_unstable_by(middle, best_first);
        let (better, worse) = rest.split_at_mut(middle + 1);
        let better_mass: u64 = better.iter().map(|&(_, token)| mass(token)).sum();
        if before + better_mass > limit {
            rest = better;
        } else {
            before += better_mass;
            rest = worse;
        }
    }
    rest[0]
}

/// The token at quantile `u` of the tokens' masses, in their order.
fn pick(tokens: impl Iterator<Item = u32> + Clone, mass: impl Fn(u32) -> u64, u: f64) -> u32 {
    let threshold = (u * tokens.clone().map(&mass).sum::<u64>() as f64) as u64;
    let mut cumulative = 0;
    let mut last = 0;
    for token in tokens {
        let mass = mass(token);
        if mass > 0 {
            cumulative += mass;
            last = token;
            if cumulative > threshold {
                break;
            }
        }
    }
    last
}

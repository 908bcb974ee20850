//! Sampling on the CPU: one task per token.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::elementary::exp;
use super::isa::Path;
use super::simd::{Kernel, LANES, Simd, load_part, max_lanes, store_part};
use crate::model::step::SampleArgs;
use crate::ops::sampling::{Drawn, Sampling, uniform};

/// Tokens that are sorted at first to find the nucleus of top-p.
const FIRST_SORTED: usize = 512;

/// Scratch of one worker.
#[derive(Default)]
pub(crate) struct SamplingScratch {
    /// `[vocab]` logits divided by the temperature.
    scaled: Vec<f32>,
    /// `[vocab]` `exp(scaled - max)`
    weights: Vec<f32>,
    /// `[vocab]` scaled logits and their tokens, partly sorted.
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
    let SamplingScratch { scaled, weights, order } = scratch;
    scaled.resize(logits.len(), 0.0);
    weights.resize(logits.len(), 0.0);
    path.run(Weigh { logits, temperature: args.temperature, scaled, weights });
    let weight = |token: u32| f64::from(weights[token as usize]);
    let all = 0..logits.len() as u32;
    if args.top_k > 0 && (args.top_k as usize) < logits.len() {
        let threshold = kth_largest(scaled, args.top_k as usize, order);
        pick(all.filter(|&token| scaled[token as usize] >= threshold), weight, uniform(args))
    } else if args.top_p > 0.0 && args.top_p < 1.0 {
        let mass = f64::from(args.top_p) * all.map(weight).sum::<f64>();
        let kept = nucleus(scaled, weight, mass, order);
        pick(order[..kept].iter().map(|&(_, token)| token), weight, uniform(args))
    } else {
        pick(all, weight, uniform(args))
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
        let max = s.splat(max_lanes(s.to_array(largest)));
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
fn best_first(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// The k-th largest value, 1 <= k <= len.
fn kth_largest(scaled: &[f32], k: usize, order: &mut Vec<(f32, u32)>) -> f32 {
    fill(order, scaled);
    order.select_nth_unstable_by(k - 1, best_first).1.0
}

/// Sorts the most probable tokens to the front of `order`, and returns how many there are up to and with the first whose
/// cumulative weight exceeds `mass`.
fn nucleus(scaled: &[f32], weight: impl Fn(u32) -> f64, mass: f64, order: &mut Vec<(f32, u32)>) -> usize {
    fill(order, scaled);
    let mut sorted = FIRST_SORTED.min(order.len());
    loop {
        if sorted < order.len() {
            order.select_nth_unstable_by(sorted - 1, best_first);
        }
        order[..sorted].sort_unstable_by(best_first);
        let mut cumulative = 0.0;
        let last = order[..sorted].iter().position(|&(_, token)| {
            cumulative += weight(token);
            cumulative > mass
        });
        match last {
            Some(last) => return last + 1,
            None if sorted == order.len() => return sorted,
            None => sorted = (8 * sorted).min(order.len()),
        }
    }
}

/// The token at quantile `u` of the tokens' weights, in their order.
fn pick(tokens: impl Iterator<Item = u32> + Clone, weight: impl Fn(u32) -> f64, u: f64) -> u32 {
    let threshold = u * tokens.clone().map(&weight).sum::<f64>();
    let mut cumulative = 0.0;
    let mut last = 0;
    for token in tokens {
        let weight = weight(token);
        if weight > 0.0 {
            cumulative += weight;
            last = token;
            if cumulative > threshold {
                break;
            }
        }
    }
    last
}

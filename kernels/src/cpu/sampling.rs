//! Sampling on the CPU: one task per token.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::elementary::exp_one;
use crate::model::step::SampleArgs;
use crate::ops::sampling::{Drawn, Sampling, uniform};

/// A token that may be drawn, with its logit divided by the temperature.
pub(crate) type Candidate = (f32, u32);

/// Runs a checked sampling.
pub(crate) fn sample(backend: &CpuBackend, args: Sampling<'_, CpuBackend>) {
    args.drawn.clear();
    args.drawn.resize(args.rows.len(), Drawn::default());
    let drawn = Disjoint::new(args.drawn);
    backend.pool.run(args.rows.len(), |worker, index| {
        let row = args.rows[index];
        let logits = &args.logits[row.slot * args.vocab_size..][..args.vocab_size];
        let mut scratch = backend.scratch.of(worker);
        let token = draw(logits, &row.args, &mut scratch.candidates);
        // SAFETY: each task has its own entry.
        unsafe { drawn.set(index, Drawn { token, logit: logits[token as usize] }) };
    });
}

/// Draws one token.
pub(crate) fn draw(logits: &[f32], args: &SampleArgs, candidates: &mut Vec<Candidate>) -> u32 {
    candidates.clear();
    candidates.extend((0..).zip(logits).map(|(token, logit)| (logit / args.temperature, token)));
    if args.top_k > 0 {
        keep_top_k(candidates, args.top_k as usize);
    } else if args.top_p > 0.0 && args.top_p < 1.0 {
        keep_top_p(candidates, args.top_p);
    }
    pick(candidates, uniform(args))
}

/// Keeps what is not below the k-th largest, in id order.
fn keep_top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if k >= candidates.len() {
        return;
    }
    let (_, kth, _) = candidates.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
    let threshold = kth.0;
    candidates.retain(|candidate| candidate.0 >= threshold);
    candidates.sort_unstable_by_key(|candidate| candidate.1);
}

/// Keeps the most probable tokens up to and with the first whose cumulative probability exceeds `p`, best first.
fn keep_top_p(candidates: &mut Vec<Candidate>, p: f32) {
    let total = total_weight(candidates);
    candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let max = candidates[0].0;
    let mut cumulative = 0.0;
    let kept = candidates.iter().position(|candidate| {
        cumulative += f64::from(exp_one(candidate.0 - max));
        cumulative > f64::from(p) * total
    });
    candidates.truncate(kept.map_or(candidates.len(), |last| last + 1));
}

fn max_logit(candidates: &[Candidate]) -> f32 {
    candidates
        .iter()
        .fold(f32::NEG_INFINITY, |max, candidate| if candidate.0 > max { candidate.0 } else { max })
}

/// Sum of `exp(logit - max)` in list order.
fn total_weight(candidates: &[Candidate]) -> f64 {
    let max = max_logit(candidates);
    candidates.iter().fold(0.0, |sum, candidate| sum + f64::from(exp_one(candidate.0 - max)))
}

/// The token at quantile `u` of the candidates' softmax, in list order.
fn pick(candidates: &[Candidate], u: f64) -> u32 {
    let max = max_logit(candidates);
    let threshold = u * total_weight(candidates);
    let mut cumulative = 0.0;
    let mut last = candidates[0].1;
    for &(logit, token) in candidates {
        let weight = f64::from(exp_one(logit - max));
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

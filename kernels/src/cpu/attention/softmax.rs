//! Online softmax of a block of query vectors: tiles into a split, splits into the whole.

use super::QUERY_BLOCK;
use super::key_tile::TILE_PAIRS;
use crate::cpu::elementary::exp;
use crate::cpu::simd::{LANES, Simd};
use crate::ops::attention::KEY_TILE;

/// Online softmax of a block of query vectors over some keys.
#[derive(Default)]
pub(super) struct SoftmaxState {
    /// `[vectors]` largest score.
    pub(super) max: Vec<f32>,
    /// `[vectors]` sum of probabilities relative to `max`; 0 = no key seen.
    pub(super) sum: Vec<f32>,
    /// `[vectors, d]` sum of probability times value.
    pub(super) output: Vec<f32>,
}

impl SoftmaxState {
    /// Of no key.
    pub(super) fn reset(&mut self, vectors: usize, dim: usize) {
        self.max.clear();
        self.max.resize(vectors, f32::NEG_INFINITY);
        self.sum.clear();
        self.sum.resize(vectors, 0.0);
        self.output.clear();
        self.output.resize(vectors * dim, 0.0);
    }
}

/// Turns the vectors' scores of a tile into probabilities, updates maxima and sums, and returns the factors by which older
/// output shrinks. Only the first `valid(vector)` keys count.
#[inline(always)]
pub(super) fn softmax_tile<S: Simd>(
    s: S,
    scores: &mut [f32],
    probabilities: &mut [u32],
    valid: impl Fn(usize) -> usize,
    scale: f32,
    state: &mut SoftmaxState,
) -> [f32; QUERY_BLOCK] {
    let count = state.max.len();
    let scores = &mut scores.as_chunks_mut::<KEY_TILE>().0[..count];
    let mut rescale = [0.0; QUERY_BLOCK.next_multiple_of(LANES)];
    for (vector, scores) in scores.iter_mut().enumerate() {
        let valid = valid(vector);
        if valid > 0 {
            let old = state.max[vector];
            state.max[vector] = scale_tile(s, scores, valid, scale, old);
            rescale[vector] = old - state.max[vector];
        }
    }
    for rescale in rescale[..count.next_multiple_of(LANES)].as_chunks_mut::<LANES>().0 {
        s.store(exp(s, s.load(rescale)), rescale);
    }
    let probabilities = probabilities.chunks_exact_mut(TILE_PAIRS * S::ROW_WORDS);
    for (vector, (scores, probabilities)) in scores.iter().zip(probabilities).enumerate() {
        if valid(vector) == 0 {
            probabilities.fill(0);
        } else {
            let sum = exponentiate(s, scores, state.max[vector], probabilities);
            state.sum[vector] = state.sum[vector].mul_add(rescale[vector], sum);
        }
    }
    *rescale.first_chunk().expect("rounded up")
}

/// Scales one vector's scores of a tile and returns the largest of them and `old`. From `valid` on they become minus infinity.
#[inline(always)]
fn scale_tile<S: Simd>(s: S, scores: &mut [f32; KEY_TILE], valid: usize, scale: f32, old: f32) -> f32 {
    scores[valid..].fill(f32::NEG_INFINITY);
    let scale = s.splat(scale);
    let mut largest = s.splat(old);
    for scores in scores.as_chunks_mut::<LANES>().0 {
        let scaled = s.mul(s.load(scores), scale);
        s.store(scaled, scores);
        largest = s.max(largest, scaled);
    }
    s.max_lanes(largest)
}

/// `exp(score - max)` as row operands, and their sum.
#[inline(always)]
fn exponentiate<S: Simd>(s: S, scores: &[f32; KEY_TILE], max: f32, probabilities: &mut [u32]) -> f32 {
    let max = s.splat(max);
    let mut sums = [s.splat(0.0); KEY_TILE / LANES];
    let probabilities = probabilities.chunks_exact_mut(LANES / 2 * S::ROW_WORDS);
    for ((scores, part), sum) in scores.as_chunks::<LANES>().0.iter().zip(probabilities).zip(&mut sums) {
        *sum = s.round_to_row(exp(s, s.sub(s.load(scores), max)), part);
    }
    s.sum_lanes(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

/// `output = output * rescale + product`
#[inline(always)]
pub(super) fn accumulate<S: Simd>(s: S, output: &mut [f32], rescale: &[f32], product: &[f32], dim: usize) {
    for (vector, rescale) in rescale.iter().enumerate() {
        let rescale = s.splat(*rescale);
        let output = output[vector * dim..][..dim].as_chunks_mut::<LANES>().0;
        for (output, product) in output.iter_mut().zip(product[vector * dim..].as_chunks::<LANES>().0) {
            let sum = s.mul_add(s.load(output), rescale, s.load(product));
            s.store(sum, output);
        }
    }
}

/// Adds a split to the splits before it. A vector that saw no key of the split keeps its state.
#[inline(always)]
pub(super) fn combine<S: Simd>(s: S, total: &mut SoftmaxState, split: &SoftmaxState, dim: usize) {
    for vector in 0..split.max.len() {
        if split.sum[vector] == 0.0 {
            continue;
        }
        let (old, new) = (total.max[vector], split.max[vector]);
        let max = if new > old { new } else { old };
        let keep = s.to_array(exp(s, s.splat(old - max)))[0];
        let add = s.to_array(exp(s, s.splat(new - max)))[0];
        total.max[vector] = max;
        total.sum[vector] = total.sum[vector].mul_add(keep, split.sum[vector] * add);
        let output = total.output[vector * dim..][..dim].as_chunks_mut::<LANES>().0;
        for (output, split) in output.iter_mut().zip(split.output[vector * dim..].as_chunks::<LANES>().0) {
            let sum = s.mul_add(s.load(output), s.splat(keep), s.mul(s.load(split), s.splat(add)));
            s.store(sum, output);
        }
    }
}

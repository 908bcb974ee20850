//! Rotary angles; per-head norm, rotation and the append to the cache, a row at a time.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::elementary64::{cos_sin, pow};
use super::norm::inverse_deviation;
use super::scratch::WorkerScratch;
use super::simd::{Kernel, LANES, Simd, load_part, store_operands_part, store_part};
use crate::model::config::RopeScaling;
use crate::ops::KvCacheInfo;
use crate::ops::batch::KvPlace;
use crate::ops::rotary::{RotaryAngles, RotaryFrequencies, RotateAndAppend, query_stride};

/// Runs a checked computation of angles.
pub(crate) fn rotary_angles(backend: &mut CpuBackend, args: RotaryAngles<'_, CpuBackend>) {
    let half = args.frequencies.dim / 2;
    if backend.frequencies.as_ref().is_none_or(|(key, _)| *key != args.frequencies) {
        let frequencies = (0..half).map(|pair| frequency(&args.frequencies, pair)).collect();
        backend.frequencies = Some((args.frequencies, frequencies));
    }
    let frequencies = backend.frequencies.as_ref().map_or(&[][..], |(_, values)| values);
    let angles = Disjoint::new(args.angles);
    backend.pool.run(args.batch.0.rows(), |_, row| {
        let position = f64::from(args.batch.0.positions[row]);
        // SAFETY: each task has its own row.
        let (cosines, sines) = unsafe { angles.part(row * 2 * half, 2 * half) }.split_at_mut(half);
        for (pair, frequency) in frequencies.iter().enumerate() {
            let (cosine, sine) = cos_sin(position * frequency);
            (cosines[pair], sines[pair]) = (cosine as f32, sine as f32);
        }
    });
}

/// Radians per position of pair `pair`.
pub(crate) fn frequency(frequencies: &RotaryFrequencies, pair: usize) -> f64 {
    let plain = pow(frequencies.base, -2.0 * pair as f64 / frequencies.dim as f64);
    frequencies.scaling.map_or(plain, |scaling| scaled(plain, &scaling))
}

/// Llama-3 scaling: long wavelengths divided by the factor, short ones kept, a linear blend between.
fn scaled(frequency: f64, scaling: &RopeScaling) -> f64 {
    let turns = scaling.original_max_position_embeddings as f64 * frequency / (2.0 * std::f64::consts::PI);
    let (low, high) = (scaling.low_freq_factor, scaling.high_freq_factor);
    if turns < low {
        frequency / scaling.factor
    } else if turns > high {
        frequency
    } else {
        let smooth = (turns - low) / (high - low);
        (1.0 - smooth) * frequency / scaling.factor + smooth * frequency
    }
}

/// Runs a checked append.
pub(crate) fn rotate_and_append(backend: &mut CpuBackend, args: RotateAndAppend<'_, CpuBackend>) {
    let batch = &args.batch.0;
    let geometry = args.cache.geometry();
    let (dim, heads, kv_heads) = (geometry.head_dim, args.heads, geometry.kv_heads);
    let width = (heads + 2 * kv_heads) * dim;
    let stride = query_stride(dim);
    let queries = Disjoint::new(args.queries);
    if args.layer == 0 {
        for place in filled_from_the_start(&batch.places, geometry.block_size) {
            args.cache.expect_full(place.block);
        }
    }
    let cache = args.cache.writer();
    let scratch = &backend.scratch;
    let rotary_dim = args.angles.map_or(0, |(_, dim)| dim);
    backend.pool.run(batch.rows(), |worker, row| {
        let mut guard = scratch.of(worker);
        let WorkerScratch { floats: [rotated_head], halves: [key, value], .. } = &mut *guard;
        let place = batch.places[row];
        let qkv = &args.qkv[row * width..][..width];
        let angles = args.angles.map_or(&[][..], |(angles, _)| &angles[row * rotary_dim..][..rotary_dim]);
        let head_of = |index: usize| &qkv[index * dim..][..dim];
        let rotated =
            |index: usize, norm: Option<(&'_ [f32], f32)>, rotated: &mut [f32], output: &mut [u16]| {
                backend.path.run(RotateHead { input: head_of(index), norm, angles, rotated, output });
            };
        let norm_of = |query: bool| {
            let norm = args.head_norm.as_ref()?;
            let weight = if query { norm.query_weight } else { norm.key_weight };
            Some((&weight[..dim], norm.epsilon))
        };
        rotated_head.resize(dim, 0.0);
        for head in 0..heads {
            // SAFETY: each task has its own row.
            let query = unsafe { queries.part((row * heads + head) * stride, stride) };
            rotated(head, norm_of(true), rotated_head, &mut query[..dim]);
            query[dim..].fill(0);
        }
        key.resize(dim, 0);
        value.resize(dim, 0);
        for head in 0..kv_heads {
            rotated(heads + head, norm_of(false), rotated_head, key);
            backend.path.run(RoundHead { input: head_of(heads + kv_heads + head), output: value });
            // SAFETY: rows have different positions or sequences, hence different places; nobody reads now.
            unsafe { cache.append(args.layer, place, head, key, value) };
        }
    });
    if args.layer + 1 == geometry.layers {
        for place in batch.places.iter().filter(|place| place.slot as usize + 1 == geometry.block_size) {
            args.cache.consolidate(place.block);
        }
    }
}

/// First places of the blocks of which a step writes all places.
fn filled_from_the_start(places: &[KvPlace], block_size: usize) -> impl Iterator<Item = &KvPlace> {
    places.windows(block_size).filter_map(move |block| {
        let (first, last) = (&block[0], &block[block_size - 1]);
        (first.slot == 0 && (last.block, last.slot as usize + 1) == (first.block, block_size))
            .then_some(first)
    })
}

/// Rounds a head.
struct RoundHead<'a> {
    input: &'a [f32],
    output: &'a mut [u16],
}

impl Kernel for RoundHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (input, output) in self.input.chunks(LANES).zip(self.output.chunks_mut(LANES)) {
            store_operands_part(s, load_part(s, input, 0.0), output);
        }
    }
}

/// Normalises (optionally), rotates and rounds a head.
struct RotateHead<'a> {
    input: &'a [f32],
    norm: Option<(&'a [f32], f32)>,
    /// Cosines, then sines; empty without rotation.
    angles: &'a [f32],
    /// Scratch of the head's width.
    rotated: &'a mut [f32],
    output: &'a mut [u16],
}

impl Kernel for RotateHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let head = self.rotated;
        match self.norm {
            None => head.copy_from_slice(self.input),
            Some((weight, epsilon)) => {
                let scale = s.splat(inverse_deviation(s, self.input, 0.0, epsilon));
                let parts = head.chunks_mut(LANES).zip(self.input.chunks(LANES)).zip(weight.chunks(LANES));
                for ((head, input), weight) in parts {
                    let normalised = s.mul(load_part(s, input, 0.0), scale);
                    store_part(s, s.mul(normalised, load_part(s, weight, 0.0)), head);
                }
            }
        }
        let half = self.angles.len() / 2;
        let (cosines, sines) = self.angles.split_at(half);
        let (first, second) = head[..2 * half].split_at_mut(half);
        for start in (0..half).step_by(LANES) {
            let end = half.min(start + LANES);
            let (cosine, sine) =
                (load_part(s, &cosines[start..end], 0.0), load_part(s, &sines[start..end], 0.0));
            let (a, b) = (load_part(s, &first[start..end], 0.0), load_part(s, &second[start..end], 0.0));
            store_part(s, s.sub(s.mul(a, cosine), s.mul(b, sine)), &mut first[start..end]);
            store_part(s, s.add(s.mul(b, cosine), s.mul(a, sine)), &mut second[start..end]);
        }
        for (head, output) in head.chunks(LANES).zip(self.output.chunks_mut(LANES)) {
            store_operands_part(s, load_part(s, head, 0.0), output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of four: the end of one, two whole ones, the start of another; then one that starts in its middle and goes on elsewhere.
    #[test]
    fn blocks_that_a_step_fills_are_found() {
        let place = |block: u32, slot: u32| KvPlace { block, slot };
        let slots = |block: u32, slots: std::ops::Range<u32>| slots.map(move |slot| place(block, slot));
        let places: Vec<_> = slots(7, 2..4)
            .chain(slots(3, 0..4))
            .chain(slots(9, 0..4))
            .chain(slots(1, 0..2))
            .chain(slots(2, 1..4))
            .chain(slots(5, 0..1))
            .collect();
        let found: Vec<u32> = filled_from_the_start(&places, 4).map(|place| place.block).collect();
        assert_eq!(found, [3, 9]);
        assert_eq!(filled_from_the_start(&places[..3], 4).count(), 0);
    }
}

//! Attention on the CPU: a task is a block of query vectors of one sequence and one key/value head. All query heads of the
//! group and several rows share the loads of keys and values.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::dot::{Dot, MAX_TILES, STREAM_AHEAD, Segment, dot};
use super::elementary::exp;
use super::kv_cache::CpuKvCache;
use super::simd::{Kernel, LANES, Simd, max_lanes, store_operands_part, sum_lanes};
use crate::ops::attention::{Attention, KEY_SPLIT, KEY_TILE};
use crate::ops::batch::SequenceSpan;
use crate::ops::kv_cache::KEY_GROUP;
use crate::ops::rotary::query_stride;
use crate::ops::{KvCacheInfo, row_stride};

/// Query vectors (row, head of the group) of a task; a multiple of every path's register block.
const QUERY_BLOCK: usize = 24;

/// A task's place in the batch.
#[derive(Clone, Copy, Default)]
pub(crate) struct AttentionTask {
    sequence: usize,
    kv_head: usize,
    /// First query vector: `row * group + head in group`.
    first: usize,
    count: usize,
}

/// Runs a checked attention.
pub(crate) fn attention(backend: &mut CpuBackend, args: Attention<'_, CpuBackend>) {
    let geometry = args.cache.geometry();
    let group = args.heads / geometry.kv_heads;
    let mut tasks = std::mem::take(&mut backend.attention_tasks);
    tasks.clear();
    for (sequence, span) in args.batch.0.sequences.iter().enumerate() {
        let vectors = span.rows * group;
        for kv_head in 0..geometry.kv_heads {
            for first in (0..vectors).step_by(QUERY_BLOCK) {
                tasks.push(AttentionTask {
                    sequence,
                    kv_head,
                    first,
                    count: QUERY_BLOCK.min(vectors - first),
                });
            }
        }
    }
    let output = Disjoint::new(args.output);
    // Later rows of a sequence attend to more keys: the long tasks go first.
    backend.pool.run(tasks.len(), |worker, index| {
        let task = tasks[tasks.len() - 1 - index];
        let span = args.batch.0.sequences[task.sequence];
        let mut scratch = backend.scratch.of(worker);
        backend.path.run(QueryBlock {
            task,
            span,
            blocks: &args.batch.0.blocks[span.first_block..][..span.num_blocks],
            group,
            heads: args.heads,
            layer: args.layer,
            scale: args.scale,
            queries: args.queries,
            cache: args.cache,
            output,
            state: &mut scratch.attention,
        });
    });
    backend.attention_tasks = tasks;
}

struct QueryBlock<'a> {
    task: AttentionTask,
    span: SequenceSpan,
    blocks: &'a [u32],
    group: usize,
    heads: usize,
    layer: usize,
    scale: f32,
    queries: &'a [u16],
    cache: &'a CpuKvCache,
    output: Disjoint<'a, u16>,
    state: &'a mut AttentionScratch,
}

/// Online softmax of a block of query vectors over some keys.
#[derive(Default)]
struct SoftmaxState {
    /// `[vectors]` largest score.
    max: Vec<f32>,
    /// `[vectors]` sum of probabilities relative to `max`; 0 = no key seen.
    sum: Vec<f32>,
    /// `[vectors, d]` sum of probability times value.
    output: Vec<f32>,
}

impl SoftmaxState {
    fn reset(&mut self, vectors: usize, dim: usize) {
        self.max.clear();
        self.max.resize(vectors, f32::NEG_INFINITY);
        self.sum.clear();
        self.sum.resize(vectors, 0.0);
        self.output.clear();
        self.output.resize(vectors * dim, 0.0);
    }
}

/// Scratch of one worker.
#[derive(Default)]
pub(crate) struct AttentionScratch {
    /// `[vectors, d]` operands, gathered.
    queries: Vec<u32>,
    /// `[vectors, KEY_TILE]`
    scores: Vec<f32>,
    /// `[vectors, KEY_TILE]` operands, two in a word.
    probabilities: Vec<u32>,
    /// `[vectors, d]` a tile's probabilities times values.
    product: Vec<f32>,
    split: SoftmaxState,
    total: SoftmaxState,
}

impl Kernel for QueryBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let dim = self.cache.padded_dim();
        let count = self.task.count;
        self.gather_queries(dim);
        let state = self.state;
        state.scores.resize(QUERY_BLOCK * KEY_TILE, 0.0);
        state.probabilities.resize(QUERY_BLOCK * KEY_TILE / 2, 0);
        state.product.resize(QUERY_BLOCK * dim, 0.0);
        state.total.reset(count, dim);
        let position = |vector: usize| self.span.start + (self.task.first + vector) / self.group;
        let keys = position(count - 1) + 1;
        for split in (0..keys).step_by(KEY_SPLIT) {
            state.split.reset(count, dim);
            for first_key in (split..keys.min(split + KEY_SPLIT)).step_by(KEY_TILE) {
                let tile = KeyTile {
                    cache: self.cache,
                    layer: self.layer,
                    kv_head: self.task.kv_head,
                    blocks: self.blocks,
                    first_key,
                    groups: (keys - first_key).min(KEY_TILE).div_ceil(KEY_GROUP),
                };
                tile.score(s, &state.queries, count, &mut state.scores);
                let valid = |vector: usize| (position(vector) + 1).saturating_sub(first_key).min(KEY_TILE);
                let (scores, probabilities) = (&mut state.scores, &mut state.probabilities);
                let mut rescale = [1.0; QUERY_BLOCK];
                for vector in 0..count {
                    let scores = &mut scores[vector * KEY_TILE..][..KEY_TILE];
                    let probabilities = &mut probabilities[vector * KEY_TILE / 2..][..KEY_TILE / 2];
                    rescale[vector] = softmax_tile(
                        s,
                        scores,
                        valid(vector),
                        self.scale,
                        probabilities,
                        &mut state.split,
                        vector,
                    );
                }
                tile.weigh(s, &state.probabilities, count, &mut state.product);
                accumulate(s, &mut state.split.output, &rescale[..count], &state.product, dim);
            }
            combine(s, &mut state.total, &state.split, dim);
        }
        let head_dim = self.cache.geometry().head_dim;
        let width = row_stride(self.heads * head_dim);
        for vector in 0..count {
            let (row, head) =
                ((self.task.first + vector) / self.group, (self.task.first + vector) % self.group);
            let start =
                (self.span.first_row + row) * width + (self.task.kv_head * self.group + head) * head_dim;
            // SAFETY: this task alone owns this row and head.
            let output = unsafe { self.output.part(start, head_dim) };
            let inverse = s.splat(1.0 / state.total.sum[vector]);
            let values = &state.total.output[vector * dim..][..dim];
            for (value, output) in values.as_chunks::<LANES>().0.iter().zip(output.chunks_mut(LANES)) {
                store_operands_part(s, s.mul(s.load(value), inverse), output);
            }
        }
    }
}

impl QueryBlock<'_> {
    /// Copies the task's query vectors side by side.
    #[inline(always)]
    fn gather_queries(&mut self, dim: usize) {
        let stride = query_stride(self.cache.geometry().head_dim);
        self.state.queries.clear();
        for vector in self.task.first..self.task.first + self.task.count {
            let (row, head) = (self.span.first_row + vector / self.group, vector % self.group);
            let start = (row * self.heads + self.task.kv_head * self.group + head) * stride;
            let query: &[u32] = bytemuck::cast_slice(&self.queries[start..start + dim]);
            self.state.queries.extend_from_slice(query);
        }
    }
}

/// Up to 64 keys of one head, in groups of 16 that may lie in different blocks.
struct KeyTile<'a> {
    cache: &'a CpuKvCache,
    layer: usize,
    kv_head: usize,
    blocks: &'a [u32],
    first_key: usize,
    groups: usize,
}

impl KeyTile<'_> {
    /// Words of one group in one half (keys or values) of a block.
    fn group_words(&self) -> usize {
        KEY_GROUP * self.cache.padded_dim() / 2
    }

    /// Block of a group, and the group's first word in it.
    fn place(&self, group: usize) -> (u32, usize) {
        let key = self.first_key + group * KEY_GROUP;
        let block_size = self.cache.geometry().block_size;
        (self.blocks[key / block_size], key % block_size / KEY_GROUP * self.group_words())
    }

    /// `scores[v, key] = q[v] . k[key]`
    #[inline(always)]
    fn score<S: Simd>(&self, s: S, queries: &[u32], count: usize, scores: &mut [f32]) {
        let pairs = self.cache.padded_dim() / 2;
        let mut tiles = [std::ptr::null(); MAX_TILES];
        for (group, tile) in tiles[..self.groups].iter_mut().enumerate() {
            let (block, start) = self.place(group);
            *tile = self.cache.keys(self.layer, block, self.kv_head)[start..][..self.group_words()].as_ptr();
        }
        assert!(queries.len() >= count * pairs && scores.len() >= count * KEY_TILE);
        let d = Dot {
            rows: queries.as_ptr(),
            row_stride: pairs,
            num_rows: count,
            segments: &[Segment { tiles, pairs }],
            num_tiles: self.groups,
            pair_stride: KEY_GROUP,
            out: scores.as_mut_ptr(),
            out_stride: KEY_TILE,
            continues: false,
            ahead: ahead(count),
        };
        // SAFETY: lengths of queries and scores are asserted; each tile is a slice of `pairs * 16` words.
        unsafe { dot(s, d) }
    }

    /// `product[v] = sum over keys of p[v, key] * value[key]`
    #[inline(always)]
    fn weigh<S: Simd>(&self, s: S, probabilities: &[u32], count: usize, product: &mut [f32]) {
        let dim = self.cache.padded_dim();
        assert!(probabilities.len() >= count * KEY_TILE / 2 && product.len() >= count * dim);
        for first in (0..dim / LANES).step_by(MAX_TILES) {
            let num_tiles = MAX_TILES.min(dim / LANES - first);
            let mut segments =
                [Segment { tiles: [std::ptr::null(); MAX_TILES], pairs: KEY_GROUP / 2 }; MAX_TILES];
            for (group, segment) in segments[..self.groups].iter_mut().enumerate() {
                let (block, start) = self.place(group);
                let values =
                    &self.cache.values(self.layer, block, self.kv_head)[start..][..self.group_words()];
                for (tile, pointer) in segment.tiles[..num_tiles].iter_mut().enumerate() {
                    *pointer = values[(first + tile) * LANES..].as_ptr();
                }
            }
            let d = Dot {
                rows: probabilities.as_ptr(),
                row_stride: KEY_TILE / 2,
                num_rows: count,
                segments: &segments[..self.groups],
                num_tiles,
                pair_stride: dim,
                out: product[first * LANES..].as_mut_ptr(),
                out_stride: dim,
                continues: false,
                ahead: ahead(count),
            };
            // SAFETY: lengths of probabilities and product are asserted; a group's values are 8 pairs of `dim` words.
            unsafe { dot(s, d) }
        }
    }
}

/// Few query vectors mean that memory is the limit.
fn ahead(vectors: usize) -> usize {
    if vectors <= 2 { STREAM_AHEAD } else { 0 }
}

/// Turns one vector's scores of a tile into probabilities, updates its maximum and sum, and returns the factor by which its
/// older output shrinks. Only the first `valid` keys count.
#[inline(always)]
fn softmax_tile<S: Simd>(
    s: S,
    scores: &mut [f32],
    valid: usize,
    scale: f32,
    probabilities: &mut [u32],
    state: &mut SoftmaxState,
    vector: usize,
) -> f32 {
    if valid == 0 {
        probabilities.fill(0);
        return 1.0;
    }
    scores[valid..].fill(f32::NEG_INFINITY);
    let scale = s.splat(scale);
    let scores = scores.as_chunks::<LANES>().0;
    let mut scaled = [s.splat(0.0); KEY_TILE / LANES];
    let mut largest = s.splat(f32::NEG_INFINITY);
    for (scaled, scores) in scaled.iter_mut().zip(scores) {
        *scaled = s.mul(s.load(scores), scale);
        largest = s.max(largest, *scaled);
    }
    let old_max = state.max[vector];
    let tile_max = max_lanes(s.to_array(largest));
    let max = if tile_max > old_max { tile_max } else { old_max };
    let mut sums = [s.splat(0.0); KEY_TILE / LANES];
    let halves: &mut [u16] = bytemuck::cast_slice_mut(probabilities);
    for ((scaled, halves), sum) in scaled.iter().zip(halves.as_chunks_mut::<LANES>().0).zip(&mut sums) {
        s.store_operands(exp(s, s.sub(*scaled, s.splat(max))), halves);
        *sum = s.load_operands(halves);
    }
    let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
    let tile_sum = sum_lanes(s.to_array(sum));
    let rescale = s.to_array(exp(s, s.splat(old_max - max)))[0];
    state.max[vector] = max;
    state.sum[vector] = state.sum[vector].mul_add(rescale, tile_sum);
    rescale
}

/// `output = output * rescale + product`
#[inline(always)]
fn accumulate<S: Simd>(s: S, output: &mut [f32], rescale: &[f32], product: &[f32], dim: usize) {
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
fn combine<S: Simd>(s: S, total: &mut SoftmaxState, split: &SoftmaxState, dim: usize) {
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

//! Attention on the CPU: a task is a block of query vectors of one sequence and one key/value head. All query heads of the
//! group and several rows share the loads of keys and values.

mod key_tile;
mod softmax;

use self::key_tile::{KeyTile, TILE_PAIRS};
use self::softmax::{SoftmaxState, accumulate, combine, softmax_tile};
use super::CpuBackend;
use super::buffer::Disjoint;
use super::kv_cache::CpuKvCache;
use super::row_operands::{pack_row, panels};
use super::simd::{Kernel, LANES, Simd, store_operands_part};
use crate::ops::attention::{Attention, KEY_SPLIT, KEY_TILE};
use crate::ops::batch::SequenceSpan;
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

/// Scratch of one worker.
#[derive(Default)]
pub(crate) struct AttentionScratch {
    /// `[vectors, d]` row operands, gathered, in panels.
    queries: Vec<u32>,
    /// `[vectors, KEY_TILE]`
    scores: Vec<f32>,
    /// `[vectors, KEY_TILE]` row operands.
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
        self.gather_queries(s, dim);
        let state = self.state;
        state.scores.resize(QUERY_BLOCK * KEY_TILE, 0.0);
        state.probabilities.resize(QUERY_BLOCK * TILE_PAIRS * S::ROW_WORDS, 0);
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
                    keys,
                };
                tile.score(s, &state.queries, count, &mut state.scores);
                tile.ask_for_keys(s, count);
                let valid = |vector: usize| (position(vector) + 1).saturating_sub(first_key).min(KEY_TILE);
                let rescale = softmax_tile(
                    s,
                    &mut state.scores,
                    &mut state.probabilities,
                    valid,
                    self.scale,
                    &mut state.split,
                );
                tile.weigh(s, &state.probabilities, count, &mut state.product);
                tile.ask_for_values(s, count);
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
    /// Copies the task's query vectors into panels.
    #[inline(always)]
    fn gather_queries<S: Simd>(&mut self, s: S, dim: usize) {
        let stride = query_stride(self.cache.geometry().head_dim);
        let words = dim / 2 * S::ROW_WORDS;
        self.state.queries.resize(QUERY_BLOCK * words, 0);
        for (first, rows) in panels::<S>(self.task.count) {
            let panel = &mut self.state.queries[first * words..][..rows * words];
            for index in 0..rows {
                let vector = self.task.first + first + index;
                let (row, head) = (self.span.first_row + vector / self.group, vector % self.group);
                let start = (row * self.heads + self.task.kv_head * self.group + head) * stride;
                pack_row(s, &self.queries[start..start + dim], index, rows, panel);
            }
        }
    }
}

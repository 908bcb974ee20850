//! LM head on the CPU: a task is a chunk of the vocabulary, whose weights stay in the cache while all head rows pass.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::dot::MAX_TILES;
use super::elementary::{exp, exp_one};
use super::elementary64::ln;
use super::matmul::{FEW_ROWS, TileProduct};
use super::matrix::CpuMatrix;
use super::row_operands::ROW_BLOCK;
use super::simd::{Kernel, LANES, Simd, load_part};
use crate::ops::batch::HeadRow;
use crate::ops::lm_head::{HeadStatistics, LmHead, VOCAB_CHUNK};
use crate::ops::matrix::TILE;
use crate::ops::{MatrixInfo, row_stride};

/// Tiles of a chunk.
const CHUNK_TILES: usize = VOCAB_CHUNK / TILE;

/// One row's share of one chunk.
#[derive(Clone, Copy, Default)]
pub(crate) struct ChunkStatistics {
    max: f32,
    argmax: u32,
    /// Sum of `exp(logit - max)`.
    sum: f32,
}

/// Runs a checked LM head.
pub(crate) fn lm_head(backend: &mut CpuBackend, args: LmHead<'_, CpuBackend>) {
    let head = &args.batch.0.head;
    let vocab_size = args.weight.layout().outputs;
    let chunks = vocab_size.div_ceil(VOCAB_CHUNK);
    args.statistics.clear();
    args.statistics.resize(head.len(), HeadStatistics::default());
    backend.chunk_statistics.clear();
    backend.chunk_statistics.resize(head.len() * chunks, ChunkStatistics::default());
    backend.target_logits.clear();
    backend.target_logits.resize(head.len(), 0.0);
    let partial = Disjoint::new(&mut backend.chunk_statistics);
    let targets = Disjoint::new(&mut backend.target_logits);
    let logits = Disjoint::new(args.logits);
    let (path, scratch) = (backend.path, &backend.scratch);
    let row_stride = row_stride(args.weight.layout().inputs);
    let input = &args.input[..head.len() * row_stride];
    let input = backend.row_operands.of(path, &backend.pool, input, row_stride);
    backend.pool.run(chunks, |worker, chunk| {
        let mut scratch = scratch.of(worker);
        let [rows] = &mut scratch.floats;
        path.run(VocabChunk {
            head,
            input,
            weight: args.weight,
            chunk,
            chunks,
            partial,
            targets,
            logits,
            rows,
        });
    });
    let partial = &backend.chunk_statistics;
    for (index, statistics) in args.statistics.iter_mut().enumerate() {
        *statistics = combine(&partial[index * chunks..][..chunks]);
        statistics.target_logit = backend.target_logits[index];
    }
}

/// Chunks in index order.
fn combine(chunks: &[ChunkStatistics]) -> HeadStatistics {
    let mut best = chunks[0];
    for chunk in &chunks[1..] {
        if chunk.max > best.max {
            best = *chunk;
        }
    }
    let mut total = 0.0f32;
    for chunk in chunks {
        total += chunk.sum * exp_one(chunk.max - best.max);
    }
    let log_sum_exp = (f64::from(best.max) + ln(f64::from(total))) as f32;
    HeadStatistics { log_sum_exp, max_logit: best.max, argmax: best.argmax, target_logit: 0.0 }
}

struct VocabChunk<'a> {
    head: &'a [HeadRow],
    input: &'a [u32],
    weight: &'a CpuMatrix,
    chunk: usize,
    chunks: usize,
    partial: Disjoint<'a, ChunkStatistics>,
    targets: Disjoint<'a, f32>,
    logits: Disjoint<'a, f32>,
    /// Scratch: `[ROW_BLOCK, VOCAB_CHUNK]`
    rows: &'a mut Vec<f32>,
}

impl Kernel for VocabChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let layout = self.weight.layout();
        let first_tile = self.chunk * CHUNK_TILES;
        let tiles = CHUNK_TILES.min(layout.tiles() - first_tile);
        let first_token = self.chunk * VOCAB_CHUNK;
        let tokens = VOCAB_CHUNK.min(layout.outputs - first_token);
        self.rows.resize(ROW_BLOCK * VOCAB_CHUNK, 0.0);
        for first_row in (0..self.head.len()).step_by(ROW_BLOCK) {
            let num_rows = ROW_BLOCK.min(self.head.len() - first_row);
            for tile in (0..tiles).step_by(MAX_TILES) {
                let count = MAX_TILES.min(tiles - tile);
                let product = TileProduct {
                    weight: self.weight,
                    first_tile: first_tile + tile,
                    num_tiles: count,
                    input: self.input,
                    few_rows: self.head.len() <= FEW_ROWS,
                };
                product.multiply(s, first_row, num_rows, &mut self.rows[tile * TILE..], VOCAB_CHUNK);
            }
            for row in 0..num_rows {
                let index = first_row + row;
                let logits = &self.rows[row * VOCAB_CHUNK..][..tokens];
                // SAFETY: this task alone owns this chunk of this row.
                unsafe {
                    self.partial
                        .set(index * self.chunks + self.chunk, chunk_statistics(s, logits, first_token));
                }
                let HeadRow { target, logits_slot, .. } = self.head[index];
                let target = target.and_then(|target| (target as usize).checked_sub(first_token));
                if let Some(&logit) = target.and_then(|target| logits.get(target)) {
                    // SAFETY: the target lies in this task's chunk only.
                    unsafe { self.targets.set(index, logit) };
                }
                if let Some(slot) = logits_slot {
                    // SAFETY: this task alone owns this chunk of this row.
                    let kept = unsafe { self.logits.part(slot * layout.outputs + first_token, tokens) };
                    kept.copy_from_slice(logits);
                }
            }
        }
    }
}

/// Maximum, its first token, and the sum of exponentials.
#[inline(always)]
fn chunk_statistics<S: Simd>(s: S, logits: &[f32], first_token: usize) -> ChunkStatistics {
    let mut largest = s.splat(f32::NEG_INFINITY);
    for part in logits.chunks(LANES) {
        largest = s.max(largest, load_part(s, part, f32::NEG_INFINITY));
    }
    let max = s.max_lanes(largest);
    let at = logits.iter().position(|&logit| logit == max).unwrap_or(0);
    let mut sums = s.splat(0.0);
    for part in logits.chunks(LANES) {
        sums = s.add(sums, exp(s, s.sub(load_part(s, part, f32::NEG_INFINITY), s.splat(max))));
    }
    ChunkStatistics { max, argmax: (first_token + at) as u32, sum: s.sum_lanes(sums) }
}

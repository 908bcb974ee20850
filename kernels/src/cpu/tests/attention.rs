//! Attention over the paged cache.

use super::{Random, loaded, on_all_paths, widen, worst};
use crate::cpu::{Aligned, CpuBackend, CpuKvCache};
use crate::ops::attention::Attention;
use crate::ops::batch::RaggedBatch;
use crate::ops::kv_cache::KvGeometry;
use crate::ops::rotary::query_stride;
use crate::ops::{Backend, row_stride};

/// Sequences of known keys and values.
struct Case {
    heads: usize,
    kv_heads: usize,
    dim: usize,
    block_size: usize,
    /// `(start, rows)` of each sequence.
    spans: Vec<(usize, usize)>,
    /// `[rows, heads, query_stride]`
    queries: Vec<u16>,
    /// `[sequence][position, kv_heads, dim]`
    keys: Vec<Vec<u16>>,
    values: Vec<Vec<u16>>,
}

impl Case {
    fn random(
        random: &mut Random,
        (heads, kv_heads, dim): (usize, usize, usize),
        spans: &[(usize, usize)],
        sharpness: f32,
    ) -> Self {
        let rows: usize = spans.iter().map(|span| span.1).sum();
        let stride = query_stride(dim);
        let sharp: Vec<f32> = random.normals(rows * heads * stride).iter().map(|x| x * sharpness).collect();
        let mut queries = super::rounded(&sharp);
        queries.chunks_mut(stride).for_each(|query| query[dim..].fill(0));
        let mut cached = || {
            spans
                .iter()
                .map(|(start, rows)| super::rounded(&random.normals((start + rows) * kv_heads * dim)))
                .collect()
        };
        let (keys, values) = (cached(), cached());
        Self { heads, kv_heads, dim, block_size: 16, spans: spans.to_vec(), queries, keys, values }
    }

    /// A batch whose sequences own interleaved blocks.
    fn batch(&self) -> RaggedBatch {
        let mut batch = RaggedBatch::default();
        for (index, &(start, rows)) in self.spans.iter().enumerate() {
            let blocks = (start + rows).div_ceil(self.block_size) as u32;
            let table: Vec<u32> =
                (0..blocks).map(|block| block * self.spans.len() as u32 + index as u32).collect();
            batch.push(&vec![0; rows], start, &table, self.block_size).unwrap();
        }
        batch
    }

    fn cache(&self, backend: &mut CpuBackend, batch: &RaggedBatch) -> CpuKvCache {
        let num_blocks = 1 + *batch.blocks.iter().max().unwrap() as usize;
        let (kv_heads, head_dim, block_size) = (self.kv_heads, self.dim, self.block_size);
        let mut cache =
            backend.kv_cache(KvGeometry { layers: 2, kv_heads, head_dim, block_size, num_blocks }).unwrap();
        for (sequence, span) in batch.sequences.iter().enumerate() {
            for position in 0..span.start + span.rows {
                let block = batch.blocks[span.first_block + position / block_size];
                let place = crate::ops::batch::KvPlace { block, slot: (position % block_size) as u32 };
                for head in 0..kv_heads {
                    let at =
                        (position * kv_heads + head) * head_dim..(position * kv_heads + head + 1) * head_dim;
                    let (key, value) = (&self.keys[sequence][at.clone()], &self.values[sequence][at]);
                    // SAFETY: one thread.
                    unsafe { cache.writer().append(1, place, head, key, value) };
                }
            }
        }
        cache
    }

    fn run(&self, backend: &mut CpuBackend) -> Vec<u16> {
        let batch = self.batch();
        let cache = self.cache(backend, &batch);
        let device = loaded(backend, &batch);
        let mut output = Aligned::zeroed(batch.rows() * row_stride(self.heads * self.dim));
        let args = Attention {
            batch: &device,
            layer: 1,
            heads: self.heads,
            scale: 1.0 / (self.dim as f32).sqrt(),
            queries: &Aligned::from_slice(&self.queries),
            cache: &cache,
            output: &mut output,
        };
        backend.attention(args).unwrap();
        output.to_vec()
    }

    fn expected(&self) -> Vec<f64> {
        let (mut out, mut row) = (Vec::new(), 0);
        for (sequence, &(start, rows)) in self.spans.iter().enumerate() {
            for position in start..start + rows {
                for head in 0..self.heads {
                    let query =
                        &self.queries[(row * self.heads + head) * query_stride(self.dim)..][..self.dim];
                    out.extend(self.one(sequence, position, head / (self.heads / self.kv_heads), query));
                }
                row += 1;
                out.resize(row * row_stride(self.heads * self.dim), 0.0);
            }
        }
        out
    }

    fn one(&self, sequence: usize, position: usize, kv_head: usize, query: &[u16]) -> Vec<f64> {
        let at = |table: &[Vec<u16>], key: usize| -> Vec<f64> {
            let start = (key * self.kv_heads + kv_head) * self.dim;
            table[sequence][start..start + self.dim].iter().map(|&bits| widen(bits)).collect()
        };
        let score = |key: usize| -> f64 {
            let dot: f64 = query.iter().zip(at(&self.keys, key)).map(|(q, k)| widen(*q) * k).sum();
            dot / (self.dim as f64).sqrt()
        };
        let scores: Vec<f64> = (0..=position).map(score).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        let mut out = vec![0.0; self.dim];
        for (key, score) in scores.iter().enumerate() {
            let p = (score - max).exp() / total;
            out.iter_mut().zip(at(&self.values, key)).for_each(|(o, v)| *o += p * v);
        }
        out
    }
}

#[test]
fn attention_is_close_to_f64() {
    let mut random = Random::new(30);
    for shape in [(2, 1, 16), (3, 3, 7), (6, 2, 80), (4, 1, 128), (8, 8, 64)] {
        let spans = [(0, 1), (0, 30), (17, 1), (63, 3), (100, 29), (0, 65)];
        for sharpness in [0.0, 1.0, 30.0] {
            let case = Case::random(&mut random, shape, &spans, sharpness);
            let got = on_all_paths(|backend| case.run(backend));
            let error = worst(got.into_iter().map(widen), case.expected());
            assert!(error < 0.02, "{shape:?} sharpness {sharpness}: {error}");
        }
    }
}

/// Several splits of keys.
#[test]
fn long_contexts_are_close_to_f64() {
    let mut random = Random::new(31);
    let case = Case::random(&mut random, (4, 2, 32), &[(1500, 2), (511, 3), (0, 700)], 3.0);
    let got = on_all_paths(|backend| case.run(backend));
    let error = worst(got.into_iter().map(widen), case.expected());
    assert!(error < 0.02, "{error}");
}

/// The same keys in blocks of 16 and of 256, one row at a time and all at once.
#[test]
fn blocks_and_chunks_do_not_change_a_bit() {
    let mut random = Random::new(32);
    let whole = Case::random(&mut random, (4, 2, 32), &[(0, 600)], 2.0);
    let expected = on_all_paths(|backend| whole.run(backend));
    let large = Case {
        block_size: 256,
        spans: whole.spans.clone(),
        queries: whole.queries.clone(),
        keys: whole.keys.clone(),
        values: whole.values.clone(),
        ..whole
    };
    assert!(on_all_paths(|backend| large.run(backend)) == expected);
    let stride = 4 * query_stride(32);
    let cut = |table: &[Vec<u16>], end: usize| vec![table[0][..end * 2 * 32].to_vec()];
    for (start, rows) in [(0, 1), (15, 1), (16, 1), (511, 1), (512, 1), (513, 7), (599, 1), (64, 400)] {
        let queries = whole.queries[start * stride..(start + rows) * stride].to_vec();
        let (keys, values) = (cut(&whole.keys, start + rows), cut(&whole.values, start + rows));
        let chunk = Case { block_size: 32, spans: vec![(start, rows)], queries, keys, values, ..whole };
        let got = on_all_paths(|backend| chunk.run(backend));
        assert!(got == expected[start * 128..(start + rows) * 128], "{rows} rows from {start}");
    }
}

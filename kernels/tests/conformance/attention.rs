//! Attention over a paged cache that `rotate_and_append` filled.

use goldlap_kernels::ops::attention::Attention;
use goldlap_kernels::ops::batch::RaggedBatch;
use goldlap_kernels::ops::kv_cache::KvGeometry;
use goldlap_kernels::ops::rotary::{RotateAndAppend, query_stride};
use goldlap_kernels::ops::row_stride;

use crate::subject::{Conformant, Random, loaded, rounded, widen, worst};

#[derive(Clone, Copy)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    dim: usize,
    block_size: usize,
}

/// Sequences of known queries, keys and values; the last `spans[i].1` rows of sequence `i` are asked for.
struct Case {
    shape: Shape,
    spans: Vec<(usize, usize)>,
    /// `[sequence][position, (heads + 2 kv_heads) * dim]`
    qkv: Vec<Vec<f32>>,
}

impl Case {
    fn random(random: &mut Random, shape: Shape, spans: &[(usize, usize)], sharpness: f32) -> Self {
        let width = (shape.heads + 2 * shape.kv_heads) * shape.dim;
        let query = shape.heads * shape.dim;
        let qkv = spans.iter().map(|(start, rows)| {
            let mut values = random.normals((start + rows) * width);
            let sharpen = |row: &mut [f32]| row[..query].iter_mut().for_each(|x| *x *= sharpness);
            values.chunks_mut(width).for_each(sharpen);
            values
        });
        Self { shape, spans: spans.to_vec(), qkv: qkv.collect() }
    }

    /// Sequences own interleaved blocks.
    fn table(&self, index: usize) -> Vec<u32> {
        let (start, rows) = self.spans[index];
        let blocks = (start + rows).div_ceil(self.shape.block_size) as u32;
        (0..blocks).map(|block| block * self.spans.len() as u32 + index as u32).collect()
    }

    /// The rows from `start` on of each sequence, or those before.
    fn batch(&self, before: bool) -> (RaggedBatch, Vec<f32>) {
        let width = (self.shape.heads + 2 * self.shape.kv_heads) * self.shape.dim;
        let (mut batch, mut qkv) = (RaggedBatch::default(), Vec::new());
        for (index, &(start, rows)) in self.spans.iter().enumerate() {
            let (first, count) = if before { (0, start) } else { (start, rows) };
            if count > 0 {
                batch.push(&vec![0; count], first, &self.table(index), self.shape.block_size).unwrap();
                qkv.extend_from_slice(&self.qkv[index][first * width..][..count * width]);
            }
        }
        (batch, qkv)
    }

    fn run<B: Conformant>(&self, backend: &mut B) -> Vec<u16> {
        let Shape { heads, kv_heads, dim, block_size } = self.shape;
        let last = (0..self.spans.len()).flat_map(|index| self.table(index)).max().unwrap();
        let num_blocks = 1 + last as usize;
        let geometry = KvGeometry { layers: 2, kv_heads, head_dim: dim, block_size, num_blocks };
        let mut cache = backend.kv_cache(geometry).unwrap();
        let mut queries = backend.halves(0).unwrap();
        let mut device = backend.batch().unwrap();
        for before in [true, false] {
            let (batch, qkv) = self.batch(before);
            if batch.rows() == 0 {
                continue;
            }
            device = loaded(backend, &batch);
            queries = backend.halves(batch.rows() * heads * query_stride(dim)).unwrap();
            let qkv = backend.floats_from(&qkv).unwrap();
            let args = RotateAndAppend {
                batch: &device,
                layer: 1,
                heads,
                head_norm: None,
                angles: None,
                qkv: &qkv,
                queries: &mut queries,
                cache: &mut cache,
            };
            backend.rotate_and_append(args).unwrap();
        }
        let rows: usize = self.spans.iter().map(|span| span.1).sum();
        let mut output = backend.halves(rows * row_stride(heads * dim)).unwrap();
        let args = Attention {
            batch: &device,
            layer: 1,
            heads,
            scale: 1.0 / (dim as f32).sqrt(),
            queries: &queries,
            cache: &cache,
            output: &mut output,
        };
        backend.attention(args).unwrap();
        backend.read_operands(&output)
    }

    fn expected(&self) -> Vec<f64> {
        let Shape { heads, dim, .. } = self.shape;
        let (mut out, mut row) = (Vec::new(), 0);
        for (sequence, &(start, rows)) in self.spans.iter().enumerate() {
            for position in start..start + rows {
                for head in 0..heads {
                    out.extend(self.one(sequence, position, head));
                }
                row += 1;
                out.resize(row * row_stride(heads * dim), 0.0);
            }
        }
        out
    }

    fn one(&self, sequence: usize, position: usize, head: usize) -> Vec<f64> {
        let Shape { heads, kv_heads, dim, .. } = self.shape;
        let width = (heads + 2 * kv_heads) * dim;
        let at = |row: usize, which: usize| -> Vec<f64> {
            let values = &self.qkv[sequence][row * width + which * dim..][..dim];
            rounded(values).into_iter().map(widen).collect()
        };
        let (query, kv_head) = (at(position, head), head / (heads / kv_heads));
        let score = |key: usize| -> f64 {
            let keys = at(key, heads + kv_head);
            query.iter().zip(keys).map(|(q, k)| q * k).sum::<f64>() / (dim as f64).sqrt()
        };
        let scores: Vec<f64> = (0..=position).map(score).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        let mut out = vec![0.0; dim];
        for (key, score) in scores.iter().enumerate() {
            let p = (score - max).exp() / total;
            let values = at(key, heads + kv_heads + kv_head);
            out.iter_mut().zip(values).for_each(|(o, v)| *o += p * v);
        }
        out
    }
}

/// Every compiled width, odd heads, groups, decode and chunks in one batch.
pub(crate) fn attends<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(30);
    let shapes =
        [(2, 1, 16), (3, 3, 7), (6, 2, 80), (4, 1, 128), (4, 4, 64), (2, 2, 72), (3, 1, 96), (1, 1, 33)];
    for (index, (heads, kv_heads, dim)) in shapes.into_iter().enumerate() {
        let shape = Shape { heads, kv_heads, dim, block_size: [16, 48, 64][index % 3] };
        let spans = [(0, 1), (0, 30), (17, 1), (63, 3), (100, 29), (0, 65)];
        for sharpness in [0.0, 1.0, 30.0] {
            let case = Case::random(&mut random, shape, &spans, sharpness);
            let error = worst(case.run(backend).into_iter().map(widen), case.expected());
            assert!(error < 0.02, "{heads} {kv_heads} {dim} sharpness {sharpness}: {error}");
        }
    }
}

/// Heads, groups, widths, blocks and spans that nobody chose.
pub(crate) fn attends_in_any_shape<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(33);
    for _ in 0..12 {
        let (kv_heads, group, dim) = (1 + random.below(3), 1 + random.below(6), 1 + random.below(128));
        let block_size = 16 * (1 + random.below(5));
        let shape = Shape { heads: kv_heads * group, kv_heads, dim, block_size };
        let spans: Vec<(usize, usize)> =
            (0..1 + random.below(4)).map(|_| (random.below(200), 1 + random.below(24))).collect();
        let case = Case::random(&mut random, shape, &spans, 2.0);
        let error = worst(case.run(backend).into_iter().map(widen), case.expected());
        assert!(error < 0.02, "{kv_heads} x {group} heads of {dim}, {spans:?}: {error}");
    }
}

/// Several splits of keys, by one block and by many.
pub(crate) fn attends_over_splits<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(31);
    let shape = Shape { heads: 4, kv_heads: 2, dim: 32, block_size: 16 };
    let case = Case::random(&mut random, shape, &[(1100, 2), (511, 3), (540, 40), (512, 1)], 3.0);
    let error = worst(case.run(backend).into_iter().map(widen), case.expected());
    assert!(error < 0.02, "{error}");
}

/// The same keys in other blocks, one row at a time and all at once.
pub(crate) fn chunks_do_not_change_a_bit<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(32);
    let shape = Shape { heads: 4, kv_heads: 2, dim: 40, block_size: 16 };
    let whole = Case::random(&mut random, shape, &[(0, 600)], 2.0);
    let expected = whole.run(backend);
    let width = row_stride(4 * 40);
    for (start, rows) in [(0, 1), (15, 1), (16, 1), (511, 1), (512, 1), (513, 7), (599, 1), (64, 400)] {
        let end = (start + rows) * 8 * 40;
        let chunk = Case {
            shape: Shape { block_size: 32, ..shape },
            spans: vec![(start, rows), (start, rows)],
            qkv: vec![whole.qkv[0][..end].to_vec(); 2],
        };
        let got = chunk.run(backend);
        let expected = &expected[start * width..(start + rows) * width];
        assert!(got[..rows * width] == *expected, "{rows} rows from {start}");
        assert!(got[rows * width..] == *expected, "{rows} rows from {start}, second sequence");
    }
}

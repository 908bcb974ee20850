//! Attention over a filled cache: decodes and prefills at several lengths.

use goldlap_kernels::cpu::CpuKvCache;
use goldlap_kernels::ops::Backend;
use goldlap_kernels::ops::attention::Attention;
use goldlap_kernels::ops::rotary::{RotateAndAppend, query_stride};
use goldlap_kernels::ops::row_stride;

use crate::measure::{Measure, Work};
use crate::operands::{BLOCK_SIZE, CONFIG, Sequences, floats, halves, helper, loaded};

/// Layers that calls take turns on have so many bytes together, or are all of the model's.
const CACHE_BYTES: usize = 160 << 20;

pub(crate) fn measure(measure: &mut Measure<'_>) {
    for (count, start) in [(1, 512), (1, 4096), (8, 512), (8, 4096), (32, 512)] {
        let name = format!("decode, {count} x {start} cached");
        attention(measure, &name, Sequences { count, rows: 1, start });
    }
    for (rows, start) in [(512, 0), (512, 3584)] {
        let name = format!("prefill, {rows} rows after {start}");
        attention(measure, &name, Sequences { count: 1, rows, start });
    }
}

fn attention(measure: &mut Measure<'_>, name: &str, sequences: Sequences) {
    let (heads, dim) = (CONFIG.num_attention_heads, CONFIG.kv_channels);
    let Sequences { count, rows, start } = sequences;
    let keys = start + rows;
    let row_keys = count * (rows * start + rows * (rows + 1) / 2);
    let cached = count * keys * CONFIG.kv_size() * 2 * 2;
    let work = Work {
        bytes: cached + 2 * sequences.rows() * CONFIG.query_size() * 2,
        flops: 4 * row_keys as u64 * CONFIG.query_size() as u64,
    };
    let layers = (CACHE_BYTES / cached).clamp(1, CONFIG.num_layers);
    let prepare = || {
        let queries = halves(sequences.rows() * heads * query_stride(dim));
        let output = halves(sequences.rows() * row_stride(heads * dim));
        (sequences.batch(), queries, filled(sequences, layers), output)
    };
    measure.operator("attention", name, work, prepare, |backend, state, call| {
        let (batch, queries, cache, output) = state;
        let scale = 1.0 / (dim as f32).sqrt();
        backend.attention(Attention { batch, layer: call % layers, heads, scale, queries, cache, output })
    });
}

/// A cache with keys and values in all places of the sequences: untouched memory would be one page of zeros.
fn filled(sequences: Sequences, layers: usize) -> CpuKvCache {
    let (heads, dim) = (CONFIG.num_attention_heads, CONFIG.kv_channels);
    let geometry = sequences.geometry(layers);
    let mut backend = helper();
    let mut cache = backend.kv_cache(geometry).expect("a cache");
    let qkv = floats(BLOCK_SIZE * (CONFIG.query_size() + 2 * CONFIG.kv_size()));
    let mut queries = halves(BLOCK_SIZE * heads * query_stride(dim));
    for block in 0..geometry.num_blocks as u32 {
        let mut batch = Sequences { count: 0, rows: 0, start: 0 }.host_batch();
        batch.push(&[1; BLOCK_SIZE], 0, &[block], BLOCK_SIZE).expect("a block holds its tokens");
        let batch = loaded(&batch);
        for layer in 0..layers {
            let (qkv, queries, cache) = (&qkv, &mut queries, &mut cache);
            let append = RotateAndAppend {
                batch: &batch,
                layer,
                heads,
                head_norm: None,
                angles: None,
                qkv,
                queries,
                cache,
            };
            backend.rotate_and_append(append).expect("valid arguments");
        }
    }
    cache
}

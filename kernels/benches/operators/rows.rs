//! Operators that work row by row: embedding, norms, rotary angles, rotation and append to the cache.

use goldlap_kernels::ops::Backend;
use goldlap_kernels::ops::embedding::Embedding;
use goldlap_kernels::ops::matrix::MatrixLayout;
use goldlap_kernels::ops::norm::{Norm, NormKind, RowSelection};
use goldlap_kernels::ops::rotary::{
    HeadNorm, RotaryAngles, RotaryFrequencies, RotateAndAppend, query_stride,
};
use goldlap_kernels::ops::row_stride;

use crate::measure::{Measure, Work};
use crate::operands::{CONFIG, Sequences, counted, floats, halves, helper, matrices};

const ROWS: [usize; 3] = [1, 32, 512];
const FREQUENCIES: RotaryFrequencies =
    RotaryFrequencies { dim: CONFIG.kv_channels, base: 1e6, scaling: None };

/// A prompt's rows.
fn prompt(rows: usize) -> Sequences {
    Sequences { count: 1, rows, start: 0 }
}

pub(crate) fn measure(measure: &mut Measure<'_>) {
    for rows in ROWS {
        embedding(measure, rows);
    }
    for rows in ROWS {
        norm(measure, "RMS", NormKind::Rms, rows);
    }
    norm(measure, "layer", NormKind::Layer, 512);
    for rows in ROWS {
        angles(measure, rows);
    }
    for rows in ROWS {
        rotate(measure, rows, false);
    }
    rotate(measure, 512, true);
}

fn embedding(measure: &mut Measure<'_>, rows: usize) {
    let hidden = CONFIG.hidden_size;
    let layout = MatrixLayout { outputs: CONFIG.vocab_size, inputs: hidden, gated: false };
    let work = Work { bytes: rows * hidden * (2 + 4), flops: 0 };
    let prepare = || (matrices(layout), prompt(rows).batch(), floats(rows * hidden));
    measure.operator("embedding", &counted(rows), work, prepare, |backend, state, _| {
        let (table, batch, hidden) = state;
        backend.embed(Embedding { batch, token_table: &table[0], position_table: None, hidden })
    });
}

fn norm(measure: &mut Measure<'_>, name: &str, kind: NormKind, rows: usize) {
    let width = CONFIG.hidden_size;
    let work = Work { bytes: rows * width * (4 + 2), flops: 0 };
    let prepare = || {
        let output = halves(rows * row_stride(width));
        (prompt(rows).batch(), floats(width), floats(rows * width), output)
    };
    measure.operator("norm", &format!("{name}, {}", counted(rows)), work, prepare, |backend, state, _| {
        let (batch, weight, input, output) = state;
        backend.norm(Norm {
            batch,
            selection: RowSelection::All,
            width,
            kind,
            epsilon: CONFIG.norm_epsilon,
            weight,
            bias: matches!(kind, NormKind::Layer).then_some(&*weight),
            input,
            output,
        })
    });
}

fn angles(measure: &mut Measure<'_>, rows: usize) {
    let work = Work { bytes: rows * FREQUENCIES.dim * 4, flops: 0 };
    let prepare = || (prompt(rows).batch(), floats(rows * FREQUENCIES.dim));
    measure.operator("rotary_angles", &counted(rows), work, prepare, |backend, state, _| {
        let (batch, angles) = state;
        backend.rotary_angles(RotaryAngles { batch, frequencies: FREQUENCIES, angles })
    });
}

fn rotate(measure: &mut Measure<'_>, rows: usize, has_norm: bool) {
    let (heads, dim) = (CONFIG.num_attention_heads, CONFIG.kv_channels);
    let width = CONFIG.query_size() + 2 * CONFIG.kv_size();
    let work = Work { bytes: rows * width * (4 + 2), flops: 0 };
    let prepare = || {
        let cache = helper().kv_cache(prompt(rows).geometry(1)).expect("a cache");
        let queries = halves(rows * heads * query_stride(dim));
        let qkv = floats(rows * width);
        (prompt(rows).batch(), floats(rows * dim), qkv, queries, cache, floats(dim))
    };
    let name = format!("{}{}", counted(rows), if has_norm { ", normalised heads" } else { "" });
    measure.operator("rotate_and_append", &name, work, prepare, |backend, state, _| {
        let (batch, angles, qkv, queries, cache, weight) = state;
        let norm = HeadNorm { query_weight: &*weight, key_weight: &*weight, epsilon: CONFIG.norm_epsilon };
        backend.rotate_and_append(RotateAndAppend {
            batch,
            layer: 0,
            heads,
            head_norm: has_norm.then_some(norm),
            angles: Some((&*angles, dim)),
            qkv,
            queries,
            cache,
        })
    });
}

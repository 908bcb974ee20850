//! From hidden states to tokens: the vocabulary product with log-softmax and argmax, sampling, the likeliest tokens.

use goldlap_kernels::model::step::SampleArgs;
use goldlap_kernels::ops::Backend;
use goldlap_kernels::ops::batch::HeadRow;
use goldlap_kernels::ops::lm_head::LmHead;
use goldlap_kernels::ops::matrix::MatrixLayout;
use goldlap_kernels::ops::row_stride;
use goldlap_kernels::ops::sampling::{SampleRow, Sampling};
use goldlap_kernels::ops::top_n::{TopN, TopRow};

use crate::measure::{Measure, Work};
use crate::operands::{CONFIG, Sequences, counted, floats, halves, loaded, matrices};

const PLAIN: SampleArgs =
    SampleArgs { temperature: 0.8, top_k: 0, top_p: 0.0, seed: 1, request_key: 2, position: 3 };

pub(crate) fn measure(measure: &mut Measure<'_>) {
    for rows in [1, 8, 32] {
        lm_head(measure, rows, false);
    }
    lm_head(measure, 8, true);
    for (name, args) in [
        ("all tokens", PLAIN),
        ("top-k 50", SampleArgs { top_k: 50, ..PLAIN }),
        ("top-p 0.9", SampleArgs { top_p: 0.9, ..PLAIN }),
    ] {
        sample(measure, name, args);
    }
    for count in [1, 5, 20] {
        top_n(measure, count);
    }
}

/// Log-softmax and argmax are part of the operator. `keeps`: logits are written too, as rows that are sampled from need.
fn lm_head(measure: &mut Measure<'_>, rows: usize, keeps: bool) {
    let (vocab, hidden) = (CONFIG.vocab_size, CONFIG.hidden_size);
    let layout = MatrixLayout { outputs: vocab, inputs: hidden, gated: false };
    let slots = if keeps { rows } else { 0 };
    let work = Work {
        bytes: layout.bytes() + rows * hidden * 2 + slots * vocab * 4,
        flops: 2 * rows as u64 * layout.multiply_adds(),
    };
    let prepare = || {
        let mut batch = Sequences { count: rows, rows: 1, start: 0 }.host_batch();
        batch.head = (0..rows)
            .map(|row| HeadRow { row, target: Some(7), logits_slot: keeps.then_some(row) })
            .collect();
        let input = halves(rows * row_stride(hidden));
        (matrices(layout), loaded(&batch), input, floats(slots * vocab), Vec::new())
    };
    let name = format!("{}{}", counted(rows), if keeps { ", logits kept" } else { "" });
    measure.operator("lm_head", &name, work, prepare, |backend, state, _| {
        let (weight, batch, input, logits, statistics) = state;
        backend.lm_head(LmHead { batch, input, weight: &weight[0], logits, statistics })
    });
}

fn sample(measure: &mut Measure<'_>, name: &str, args: SampleArgs) {
    let vocab_size = CONFIG.vocab_size;
    let work = Work { bytes: vocab_size * 4, flops: 0 };
    let prepare = || (floats(vocab_size), Vec::new());
    measure.operator("sampling", name, work, prepare, |backend, state, call| {
        let (logits, drawn) = state;
        let rows = [SampleRow { slot: 0, args: SampleArgs { position: call as u64, ..args } }];
        backend.sample(Sampling { vocab_size, logits, rows: &rows, drawn })
    });
}

fn top_n(measure: &mut Measure<'_>, count: usize) {
    let vocab_size = CONFIG.vocab_size;
    let work = Work { bytes: vocab_size * 4, flops: 0 };
    let prepare = || (floats(vocab_size), Vec::new());
    measure.operator("top_n", &format!("{count} likeliest"), work, prepare, |backend, state, _| {
        let (logits, found) = state;
        backend.top_n(TopN { vocab_size, logits, rows: &[TopRow { slot: 0, count }], found })
    });
}

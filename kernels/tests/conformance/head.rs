//! LM head statistics and sampling.

use goldlap_kernels::model::step::SampleArgs;
use goldlap_kernels::ops::batch::HeadRow;
use goldlap_kernels::ops::lm_head::LmHead;
use goldlap_kernels::ops::matrix::MatrixLayout;
use goldlap_kernels::ops::row_stride;
use goldlap_kernels::ops::sampling::{Drawn, SampleRow, Sampling, uniform};
use goldlap_kernels::ops::top_n::{TopN, TopRow};

use crate::subject::{Conformant, Random, loaded, matrix, one_sequence, widen};

pub(crate) fn statistics_and_logits<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(40);
    for (vocab_size, rows) in [(1, 3), (16, 1), (255, 15), (256, 16), (257, 17), (1000, 70)] {
        let inputs = 41;
        let layout = MatrixLayout { outputs: vocab_size, inputs, gated: false };
        let mut weight = random.operands(vocab_size * inputs);
        // Every second token repeats an earlier one: ties everywhere.
        for token in (1..vocab_size).step_by(2) {
            let earlier = (token / 3) * inputs;
            weight.copy_within(earlier..earlier + inputs, token * inputs);
        }
        let input = random.operand_rows(rows, inputs, row_stride(inputs));
        let mut batch = one_sequence(&vec![0; rows]);
        let targets: Vec<u32> = (0..rows).map(|_| random.below(vocab_size) as u32).collect();
        batch.head.extend((0..rows).map(|row| HeadRow {
            row,
            target: (row % 3 > 0).then_some(targets[row]),
            logits_slot: (row % 2 == 1).then_some(row / 2),
        }));
        let device = loaded(backend, &batch);
        let device_weight = matrix(backend, layout, &weight);
        let mut logits = backend.floats(rows / 2 * vocab_size).unwrap();
        let mut statistics = Vec::new();
        let device_input = backend.operands(&input);
        let args = LmHead {
            batch: &device,
            input: &device_input,
            weight: &device_weight,
            logits: &mut logits,
            statistics: &mut statistics,
        };
        backend.lm_head(args).unwrap();
        let kept = backend.read_floats(&logits);
        assert_eq!(statistics.len(), rows);
        for (row, got) in statistics.iter().enumerate() {
            let input = &input[row * row_stride(inputs)..][..inputs];
            let logits: Vec<f64> = weight
                .chunks(inputs)
                .map(|weight| weight.iter().zip(input).map(|(w, x)| widen(*w) * widen(*x)).sum())
                .collect();
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = max + logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
            assert!((f64::from(got.log_sum_exp) - log_sum).abs() < 1e-5 * log_sum.abs().max(1.0));
            let target = if row % 3 > 0 { logits[targets[row] as usize] } else { 0.0 };
            assert!((f64::from(got.target_logit) - target).abs() < 1e-4);
            let of_best = &weight[got.argmax as usize * inputs..][..inputs];
            let first = weight.chunks(inputs).position(|w| w == of_best);
            assert_eq!(first, Some(got.argmax as usize), "lowest of equal tokens");
            assert!((f64::from(got.max_logit) - max).abs() < 1e-4);
            if row % 2 == 1 {
                let kept = &kept[row / 2 * vocab_size..][..vocab_size];
                assert_eq!(kept[got.argmax as usize], got.max_logit);
                assert!(row % 3 == 0 || kept[targets[row] as usize] == got.target_logit);
            }
        }
    }
}

fn draw<B: Conformant>(
    backend: &mut B,
    vocab_size: usize,
    logits: &[f32],
    args: &[SampleArgs],
) -> Vec<Drawn> {
    let logits = backend.floats_from(logits).unwrap();
    let rows: Vec<SampleRow> = args.iter().map(|&args| SampleRow { slot: 0, args }).collect();
    let mut drawn = Vec::new();
    backend.sample(Sampling { vocab_size, logits: &logits, rows: &rows, drawn: &mut drawn }).unwrap();
    drawn
}

/// Tokens that the contract allows for a quantile, in f64 with some room for the weights' rounding.
fn allowed(logits: &[f32], args: &SampleArgs) -> Vec<u32> {
    let scaled: Vec<f64> = logits.iter().map(|x| f64::from(x / args.temperature)).collect();
    let max = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weight = |token: u32| (scaled[token as usize] - max).exp();
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let descending = |a: &u32, b: &u32| scaled[*b as usize].total_cmp(&scaled[*a as usize]).then(a.cmp(b));
    if args.top_k > 0 {
        order.sort_by(descending);
        let kth = scaled[order[(args.top_k as usize).min(order.len()) - 1] as usize];
        order.retain(|token| scaled[*token as usize] >= kth);
        order.sort_unstable();
    } else if args.top_p > 0.0 && args.top_p < 1.0 {
        order.sort_by(descending);
        let total: f64 = order.iter().map(|token| weight(*token)).sum();
        let mut cumulative = 0.0;
        let end = order.iter().position(|token| {
            cumulative += weight(*token);
            cumulative > f64::from(args.top_p) * total
        });
        order.truncate(end.map_or(order.len(), |end| end + 1));
        order.sort_unstable();
    }
    let total: f64 = order.iter().map(|token| weight(*token)).sum();
    let at = |u: f64| {
        let mut cumulative = 0.0;
        let found = order.iter().find(|token| {
            cumulative += weight(**token);
            cumulative > u * total
        });
        *found.or(order.last()).unwrap()
    };
    let u = uniform(args);
    vec![at(u - 1e-5), at(u), at(u + 1e-5)]
}

pub(crate) fn draws<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(41);
    for vocab_size in [1, 6, 100, 1000, 5003] {
        let mut logits: Vec<f32> = random.normals(vocab_size).iter().map(|x| x * 3.0).collect();
        for token in (1..vocab_size).step_by(3) {
            logits[token] = logits[token / 2];
        }
        let plain =
            SampleArgs { temperature: 1.0, top_k: 0, top_p: 0.0, seed: 1 << 40, request_key: 0, position: 0 };
        let filters =
            [(1.0, 0, 0.0), (0.5, 0, 0.0), (1.0, 2, 0.0), (2.0, 50, 0.0), (1.0, 0, 0.5), (0.7, 0, 0.95)];
        let mut all = Vec::new();
        for (temperature, top_k, top_p) in filters {
            all.extend((0..8).map(|i| SampleArgs {
                temperature,
                top_k,
                top_p,
                request_key: i << 33 | i,
                position: i * 7,
                ..plain
            }));
        }
        let drawn = draw(backend, vocab_size, &logits, &all);
        assert_eq!(drawn.len(), all.len());
        for (args, drawn) in all.iter().zip(drawn) {
            let allowed = allowed(&logits, args);
            assert!(allowed.contains(&drawn.token), "{vocab_size} {args:?}: {drawn:?}, not {allowed:?}");
            assert_eq!(drawn.logit, logits[drawn.token as usize]);
        }
    }
}

pub(crate) fn finds_the_likeliest<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(42);
    for vocab_size in [1, 5, 511, 513, 4099] {
        let slots = 3;
        let mut logits: Vec<f32> = random.normals(slots * vocab_size);
        // Few values, many ties, both signs.
        logits[..vocab_size].iter_mut().for_each(|logit| *logit = (*logit * 2.0).round() + 0.0);
        let device = backend.floats_from(&logits).unwrap();
        let counts = [1, 2, 7, vocab_size / 2, vocab_size - 1, vocab_size];
        let counts = counts.into_iter().filter(|count| (1..=vocab_size).contains(count));
        let rows: Vec<TopRow> =
            counts.enumerate().map(|(index, count)| TopRow { slot: index % slots, count }).collect();
        let mut found = vec![vec![(9, 9.0)]];
        backend.top_n(TopN { vocab_size, logits: &device, rows: &rows, found: &mut found }).unwrap();
        assert_eq!(found.len(), rows.len());
        for (row, found) in rows.iter().zip(found) {
            let logits = &logits[row.slot * vocab_size..][..vocab_size];
            let mut expected: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
            expected.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
            expected.truncate(row.count);
            assert_eq!(found, expected, "{vocab_size} {row:?}");
        }
    }
}

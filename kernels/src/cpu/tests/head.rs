//! LM head statistics and sampling.

use super::{Random, loaded, matrix, on_all_paths, one_sequence, rounded, widen};
use crate::cpu::sampling::draw;
use crate::cpu::{Aligned, CpuBackend, Isa};
use crate::model::step::SampleArgs;
use crate::ops::batch::HeadRow;
use crate::ops::lm_head::LmHead;
use crate::ops::matrix::MatrixLayout;
use crate::ops::sampling::{SampleRow, Sampling, uniform};
use crate::ops::{Backend, row_stride};

#[test]
fn statistics_are_close_to_f64_and_ties_go_to_the_lowest_token() {
    let mut random = Random::new(40);
    for vocab_size in [1, 16, 255, 256, 257, 1000] {
        let (inputs, rows) = (41, 15);
        let layout = MatrixLayout { outputs: vocab_size, inputs, gated: false };
        let mut weight = rounded(&random.normals(vocab_size * inputs));
        // Every second token repeats an earlier one: ties everywhere.
        for token in (1..vocab_size).step_by(2) {
            let earlier = (token / 3) * inputs;
            weight.copy_within(earlier..earlier + inputs, token * inputs);
        }
        let mut input = rounded(&random.normals(rows * row_stride(inputs)));
        input.chunks_mut(row_stride(inputs)).for_each(|row| row[inputs..].fill(0));
        let mut batch = one_sequence(&vec![0; rows], 1);
        let targets: Vec<u32> = (0..rows).map(|_| random.below(vocab_size) as u32).collect();
        batch.head.extend((0..rows).map(|row| HeadRow {
            row,
            target: Some(targets[row]),
            logits_slot: (row % 2 == 1).then_some(row / 2),
        }));
        let (statistics, kept) = on_all_paths(|backend| {
            let device = loaded(backend, &batch);
            let weight = matrix(backend, layout, &weight);
            let mut logits = Aligned::zeroed(rows / 2 * vocab_size);
            let mut statistics = Vec::new();
            let input = Aligned::from_slice(&input);
            let args = LmHead {
                batch: &device,
                input: &input,
                weight: &weight,
                logits: &mut logits,
                statistics: &mut statistics,
            };
            backend.lm_head(args).unwrap();
            (statistics, logits.to_vec())
        });
        for (row, got) in statistics.iter().enumerate() {
            let input = &input[row * row_stride(inputs)..][..inputs];
            let logits: Vec<f64> = weight
                .chunks(inputs)
                .map(|weight| weight.iter().zip(input).map(|(w, x)| widen(*w) * widen(*x)).sum())
                .collect();
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = max + logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
            assert!((f64::from(got.log_sum_exp) - log_sum).abs() < 1e-5 * log_sum.abs().max(1.0));
            assert!((f64::from(got.target_logit) - logits[targets[row] as usize]).abs() < 1e-4);
            let first =
                weight.chunks(inputs).position(|w| w == &weight[got.argmax as usize * inputs..][..inputs]);
            assert_eq!(first, Some(got.argmax as usize), "lowest of equal tokens");
            assert!((f64::from(got.max_logit) - max).abs() < 1e-4);
            if row % 2 == 1 {
                let kept = &kept[row / 2 * vocab_size..][..vocab_size];
                assert_eq!(kept[got.argmax as usize], got.max_logit);
                assert_eq!(kept[targets[row] as usize], got.target_logit);
            }
        }
    }
}

const PLAIN: SampleArgs =
    SampleArgs { temperature: 1.0, top_k: 0, top_p: 0.0, seed: 11, request_key: 0, position: 0 };

/// Frequencies of the tokens in `draws` draws.
fn frequencies(logits: &[f32], args: SampleArgs, draws: u64) -> Vec<f64> {
    let mut counts = vec![0.0; logits.len()];
    for i in 0..draws {
        let args = SampleArgs { request_key: i % 7, position: i / 7, ..args };
        counts[draw(logits, &args, &mut Vec::new()) as usize] += 1.0 / draws as f64;
    }
    counts
}

fn softmax(logits: &[f32], temperature: f64, keep: impl Fn(usize) -> bool) -> Vec<f64> {
    let weights: Vec<f64> = logits
        .iter()
        .enumerate()
        .map(|(i, x)| if keep(i) { (f64::from(*x) / temperature).exp() } else { 0.0 })
        .collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

#[test]
fn draws_follow_the_filtered_distribution() {
    // Tokens 1 and 3 tie; probabilities at temperature 1: .06 .17 .47 .17 .02 .10
    let logits = [0.0, 1.0, 2.0, 1.0, -1.0, 0.5];
    let top = |tokens: &'static [usize]| move |i: usize| tokens.contains(&i);
    let cases: [(SampleArgs, Vec<f64>); 7] = [
        (PLAIN, softmax(&logits, 1.0, |_| true)),
        (SampleArgs { temperature: 0.5, ..PLAIN }, softmax(&logits, 0.5, |_| true)),
        // The tie with the second is kept.
        (SampleArgs { top_k: 2, ..PLAIN }, softmax(&logits, 1.0, top(&[1, 2, 3]))),
        (SampleArgs { top_k: 100, ..PLAIN }, softmax(&logits, 1.0, |_| true)),
        // .47 alone does not exceed .5; of the equal ones the lower id comes first.
        (SampleArgs { top_p: 0.5, ..PLAIN }, softmax(&logits, 1.0, top(&[1, 2]))),
        (SampleArgs { top_p: 0.01, ..PLAIN }, softmax(&logits, 1.0, top(&[2]))),
        (SampleArgs { top_p: 1.0, ..PLAIN }, softmax(&logits, 1.0, |_| true)),
    ];
    for (args, expected) in cases {
        let got = frequencies(&logits, args, 20_000);
        for (got, expected) in got.iter().zip(&expected) {
            // Five standard deviations.
            let tolerance = 5.0 * (expected * (1.0 - expected) / 20_000.0).sqrt() + 1e-9;
            assert!((got - expected).abs() <= tolerance, "{args:?}: {got} for {expected}");
        }
    }
}

#[test]
fn uniform_numbers_are_keyed_by_seed_request_and_position() {
    let base = uniform(&PLAIN);
    assert_eq!(base, uniform(&PLAIN));
    for args in [
        SampleArgs { seed: 12, ..PLAIN },
        SampleArgs { seed: 11 + (1 << 32), ..PLAIN },
        SampleArgs { request_key: 1 << 40, ..PLAIN },
        SampleArgs { position: 1, ..PLAIN },
    ] {
        assert_ne!(uniform(&args), base);
    }
    let zero = SampleArgs { seed: 0, ..PLAIN };
    let expected = (0x6627_e8d5_e169_c58d_u64 >> 11) as f64 / (1u64 << 53) as f64;
    assert_eq!(uniform(&zero), expected, "the reference generator's first number");
}

#[test]
fn impossible_arguments_are_refused() {
    let mut backend = CpuBackend::new(Isa::Scalar, 1).unwrap();
    let logits = Aligned::zeroed(10);
    for (args, named) in [
        (SampleArgs { temperature: 0.0, ..PLAIN }, "temperature 0"),
        (SampleArgs { temperature: f32::NAN, ..PLAIN }, "temperature NaN"),
        (SampleArgs { top_p: 1.5, ..PLAIN }, "top_p 1.5"),
        (SampleArgs { top_p: 0.5, top_k: 3, ..PLAIN }, "exclude"),
    ] {
        let rows = [SampleRow { slot: 0, args }];
        let args = Sampling { vocab_size: 10, logits: &logits, rows: &rows, drawn: &mut Vec::new() };
        let error = backend.sample(args).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

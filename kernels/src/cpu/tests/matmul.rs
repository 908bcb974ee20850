//! Matrix products with all epilogues.

use super::{Random, loaded, matrix, on_all_paths, one_sequence, rounded, widen, worst};
use crate::cpu::{Aligned, CpuBackend};
use crate::model::config::Activation;
use crate::ops::embedding::Embedding;
use crate::ops::matmul::{Epilogue, Matmul};
use crate::ops::matrix::{MatrixLayout, TILE};
use crate::ops::{Backend, row_stride};

struct Case {
    rows: usize,
    layout: MatrixLayout,
    /// `[rows, row_stride(inputs)]`
    input: Vec<u16>,
    /// `[outputs (twice if gated), inputs]`
    weight: Vec<u16>,
    /// `[tiles * 16]`
    bias: Option<Vec<f32>>,
}

impl Case {
    fn random(random: &mut Random, gated: bool) -> Self {
        let (rows, outputs, inputs) = (1 + random.below(30), 1 + random.below(150), 1 + random.below(130));
        let layout = MatrixLayout { outputs, inputs, gated };
        let stride = row_stride(inputs);
        let mut input = rounded(&random.normals(rows * stride));
        input.chunks_mut(stride).for_each(|row| row[inputs..].fill(0));
        let scale = 1.0 / (inputs as f32).sqrt();
        let weight: Vec<f32> =
            random.normals(outputs * inputs * if gated { 2 } else { 1 }).iter().map(|w| w * scale).collect();
        let bias = (random.below(2) == 0).then(|| random.normals(layout.tiles() * TILE));
        Self { rows, layout, input, weight: rounded(&weight), bias }
    }

    /// `sum + bias` of one output, in f64; `up` for the second projection.
    fn value(&self, row: usize, output: usize, up: bool) -> f64 {
        let MatrixLayout { outputs, inputs, gated } = self.layout;
        let input = &self.input[row * row_stride(inputs)..];
        let weight = &self.weight[(output + if up { outputs } else { 0 }) * inputs..][..inputs];
        let sum: f64 = weight.iter().zip(input).map(|(w, x)| widen(*w) * widen(*x)).sum();
        let tile = output / TILE * if gated { 2 } else { 1 } + usize::from(up);
        sum + self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[tile * TILE + output % TILE]))
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.rows)
            .flat_map(move |row| (0..self.layout.outputs).map(move |output| self.value(row, output, false)))
    }

    fn run(&self, backend: &mut CpuBackend, epilogue: Epilogue<'_, CpuBackend>) {
        let weight = matrix(backend, self.layout, &self.weight);
        let bias = self.bias.as_deref().map(Aligned::from_slice);
        let input = Aligned::from_slice(&self.input);
        let args = Matmul { rows: self.rows, input: &input, weight: &weight, bias: bias.as_ref(), epilogue };
        backend.matmul(args).unwrap();
    }
}

#[test]
fn stores_and_adds_what_f64_says() {
    let mut random = Random::new(10);
    for _ in 0..25 {
        let case = Case::random(&mut random, false);
        let size = case.rows * case.layout.outputs;
        let residual = random.normals(size);
        let stored = on_all_paths(|backend| {
            let mut output = Aligned::zeroed(size);
            case.run(backend, Epilogue::Store(&mut output));
            output.to_vec()
        });
        assert!(worst(stored.into_iter().map(f64::from), case.values()) < 1e-5);
        let added = on_all_paths(|backend| {
            let mut output = Aligned::from_slice(&residual);
            case.run(backend, Epilogue::AddTo(&mut output));
            output.to_vec()
        });
        let expected = case.values().zip(&residual).map(|(value, residual)| value + f64::from(*residual));
        assert!(worst(added.into_iter().map(f64::from), expected) < 1e-5);
    }
}

/// Chains of several stretches, row counts on both sides of every block, task and threshold.
#[test]
fn the_bits_of_a_row_do_not_depend_on_how_many_rows_there_are() {
    let mut random = Random::new(12);
    let (rows, layout) = (200, MatrixLayout { outputs: 70, inputs: 301, gated: false });
    let stride = row_stride(layout.inputs);
    let mut input = rounded(&random.normals(rows * stride));
    input.chunks_mut(stride).for_each(|row| row[layout.inputs..].fill(0));
    let weight = rounded(&random.normals(layout.outputs * layout.inputs));
    let product = |rows: usize| {
        let case =
            Case { rows, layout, input: input[..rows * stride].to_vec(), weight: weight.clone(), bias: None };
        on_all_paths(|backend| {
            let mut output = Aligned::zeroed(rows * layout.outputs);
            case.run(backend, Epilogue::Store(&mut output));
            output.to_vec()
        })
    };
    let all = product(rows);
    for fewer in [1, 2, 5, 7, 8, 16, 33, 48, 49, 64, 65, 193] {
        let same = product(fewer).iter().zip(&all).all(|(few, all)| few.to_bits() == all.to_bits());
        assert!(same, "{fewer} rows");
    }
}

#[test]
fn activations_round_once() {
    let mut random = Random::new(11);
    for activation in [Activation::SwiGlu, Activation::GeluTanh, Activation::Gelu, Activation::SquaredRelu] {
        for _ in 0..8 {
            let case = Case::random(&mut random, activation.is_gated());
            let outputs = case.layout.outputs;
            let got = on_all_paths(|backend| {
                let mut output = Aligned::zeroed(case.rows * row_stride(outputs));
                case.run(backend, Epilogue::Activate(activation, &mut output));
                output.to_vec()
            });
            for row in 0..case.rows {
                let got = &got[row * row_stride(outputs)..][..row_stride(outputs)];
                assert!(got[outputs..].iter().all(|&pad| pad == 0), "padding stays zero");
                for (output, got) in got[..outputs].iter().enumerate() {
                    let x = case.value(row, output, false);
                    let tanh = ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh();
                    let (expected, tolerance) = match activation {
                        Activation::SwiGlu => (x / (1.0 + (-x).exp()) * case.value(row, output, true), 0.005),
                        Activation::GeluTanh => (0.5 * x * (1.0 + tanh), 0.005),
                        // The two GELUs differ by at most 0.0005.
                        Activation::Gelu => (0.5 * x * (1.0 + tanh), 0.0055),
                        Activation::SquaredRelu => (x.max(0.0).powi(2), 0.005),
                    };
                    let error = (widen(*got) - expected).abs() / expected.abs().max(1.0);
                    assert!(error < tolerance, "{activation:?}: {} for {expected}", widen(*got));
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let mut random = Random::new(12);
    let case = Case::random(&mut random, false);
    let all = on_all_paths(|backend| {
        let mut output = Aligned::zeroed(case.rows * case.layout.outputs);
        case.run(backend, Epilogue::Store(&mut output));
        output.to_vec()
    });
    let stride = row_stride(case.layout.inputs);
    for row in 0..case.rows {
        let input = case.input[row * stride..][..stride].to_vec();
        let single = Case { rows: 1, input, weight: case.weight.clone(), bias: case.bias.clone(), ..case };
        let alone = on_all_paths(|backend| {
            let mut output = Aligned::zeroed(case.layout.outputs);
            single.run(backend, Epilogue::Store(&mut output));
            output.to_vec()
        });
        assert_eq!(alone, all[row * case.layout.outputs..][..case.layout.outputs]);
    }
}

#[test]
fn embeddings_are_the_rows_of_the_packed_table() {
    let mut random = Random::new(13);
    for width in [1, 15, 16, 33] {
        let layout = MatrixLayout { outputs: 37, inputs: width, gated: false };
        let tokens: Vec<u32> = (0..20).map(|_| random.below(37) as u32).collect();
        let (token_rows, position_rows) = (random.operands(37 * width), random.operands(37 * width));
        let got = on_all_paths(|backend| {
            let batch = loaded(backend, &one_sequence(&tokens, 2));
            let (token_table, positions) =
                (matrix(backend, layout, &token_rows), matrix(backend, layout, &position_rows));
            let mut hidden = Aligned::zeroed(20 * width);
            let position_table = Some(&positions);
            let args =
                Embedding { batch: &batch, token_table: &token_table, position_table, hidden: &mut hidden };
            backend.embed(args).unwrap();
            hidden.to_vec()
        });
        for (row, &token) in tokens.iter().enumerate() {
            for i in 0..width {
                let (a, b) = (token_rows[token as usize * width + i], position_rows[row * width + i]);
                assert_eq!(got[row * width + i], widen(a) as f32 + widen(b) as f32);
            }
        }
    }
}

#[test]
fn buffers_that_are_too_small_are_refused() {
    let mut backend = CpuBackend::new(crate::cpu::Isa::Scalar, 1).unwrap();
    let layout = MatrixLayout { outputs: 20, inputs: 8, gated: false };
    let weight = matrix(&mut backend, layout, &[0; 160]);
    let input = Aligned::zeroed(16);
    let mut output = Aligned::zeroed(39);
    let args = Matmul {
        rows: 2,
        input: &input,
        weight: &weight,
        bias: None,
        epilogue: Epilogue::Store(&mut output),
    };
    let error = backend.matmul(args).unwrap_err().to_string();
    assert_eq!(error, "operator matmul: `output` needs 40 elements, has 39");
    let mut halves = Aligned::zeroed(40);
    let epilogue = Epilogue::Activate(Activation::SwiGlu, &mut halves);
    let args = Matmul { rows: 2, input: &input, weight: &weight, bias: None, epilogue };
    let error = backend.matmul(args).unwrap_err().to_string();
    assert!(error.contains("gated"), "{error}");
}

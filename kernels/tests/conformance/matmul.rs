//! Matrix products with all epilogues, and embeddings.

use goldlap_kernels::model::config::Activation;
use goldlap_kernels::ops::embedding::Embedding;
use goldlap_kernels::ops::matmul::{Epilogue, Matmul};
use goldlap_kernels::ops::matrix::{MatrixLayout, TILE};
use goldlap_kernels::ops::row_stride;

use crate::subject::{Conformant, Random, loaded, matrix, one_sequence, rounded, widen, worst};

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

/// Rows, outputs, inputs: one and many rows, one output, odd widths, one slice and several, just over a tile.
const SHAPES: [(usize, usize, usize); 10] = [
    (1, 1, 1),
    (1, 17, 41),
    (3, 64, 256),
    (16, 33, 32),
    (17, 48, 65),
    (31, 80, 520),
    (65, 70, 96),
    (100, 129, 31),
    (130, 64, 288),
    (513, 144, 40),
];

/// The shapes above, and as many that nobody chose.
fn shapes(random: &mut Random) -> Vec<(usize, usize, usize)> {
    let mut any = || (1 + random.below(90), 1 + random.below(150), 1 + random.below(400));
    let drawn: Vec<_> = SHAPES.iter().map(|_| any()).collect();
    [&SHAPES[..], &drawn].concat()
}

impl Case {
    fn random(random: &mut Random, (rows, outputs, inputs): (usize, usize, usize), gated: bool) -> Self {
        let layout = MatrixLayout { outputs, inputs, gated };
        let input = random.operand_rows(rows, inputs, row_stride(inputs));
        let scale = 1.0 / (inputs as f32).sqrt();
        let count = outputs * inputs * if gated { 2 } else { 1 };
        let weight: Vec<f32> = random.normals(count).iter().map(|w| w * scale).collect();
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

    fn run<B: Conformant>(&self, backend: &mut B, epilogue: Epilogue<'_, B>) {
        let weight = matrix(backend, self.layout, &self.weight);
        let bias = self.bias.as_ref().map(|bias| backend.floats_from(bias).unwrap());
        let input = backend.operands(&self.input);
        let args = Matmul { rows: self.rows, input: &input, weight: &weight, bias: bias.as_ref(), epilogue };
        backend.matmul(args).unwrap();
    }

    fn stored<B: Conformant>(&self, backend: &mut B) -> Vec<f32> {
        let mut output = backend.floats(self.rows * self.layout.outputs).unwrap();
        self.run(backend, Epilogue::Store(&mut output));
        backend.read_floats(&output)
    }
}

pub(crate) fn stores_and_adds<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(10);
    for shape in shapes(&mut random) {
        let case = Case::random(&mut random, shape, false);
        let outputs = case.layout.outputs;
        let expected: Vec<f64> =
            (0..case.rows * outputs).map(|i| case.value(i / outputs, i % outputs, false)).collect();
        let stored = case.stored(backend);
        let error = worst(stored.into_iter().map(f64::from), expected.iter().copied());
        assert!(error < 2e-5, "{shape:?}: {error}");
        let residual = random.normals(case.rows * outputs);
        let mut output = backend.floats_from(&residual).unwrap();
        case.run(backend, Epilogue::AddTo(&mut output));
        let sums = expected.iter().zip(&residual).map(|(value, residual)| value + f64::from(*residual));
        let error = worst(backend.read_floats(&output).into_iter().map(f64::from), sums);
        assert!(error < 2e-5, "{shape:?}: {error}");
    }
}

fn reference(activation: Activation, x: f64, up: f64) -> (f64, f64) {
    let tanh = ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh();
    match activation {
        Activation::SwiGlu => (x / (1.0 + (-x).exp()) * up, 0.005),
        Activation::GeluTanh => (0.5 * x * (1.0 + tanh), 0.005),
        // The two GELUs differ by at most 0.0005.
        Activation::Gelu => (0.5 * x * (1.0 + tanh), 0.0055),
        Activation::SquaredRelu => (x.max(0.0).powi(2), 0.005),
    }
}

pub(crate) fn activates<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(11);
    for activation in [Activation::SwiGlu, Activation::GeluTanh, Activation::Gelu, Activation::SquaredRelu] {
        for shape in shapes(&mut random) {
            let case = Case::random(&mut random, shape, activation.is_gated());
            let (outputs, stride) = (case.layout.outputs, row_stride(case.layout.outputs));
            let mut output = backend.operands(&vec![0x7f7f; case.rows * stride]);
            case.run(backend, Epilogue::Activate(activation, &mut output));
            let got = backend.read_operands(&output);
            for (row, got) in got.chunks(stride).enumerate() {
                for (output, got) in got[..outputs].iter().enumerate() {
                    let up = if activation.is_gated() { case.value(row, output, true) } else { 0.0 };
                    let (expected, tolerance) = reference(activation, case.value(row, output, false), up);
                    let error = (widen(*got) - expected).abs() / expected.abs().max(1.0);
                    assert!(error < tolerance, "{activation:?} {shape:?}: {} for {expected}", widen(*got));
                }
            }
        }
    }
}

/// A row's bits are the same alone and among any number of others, whichever kernel takes them.
pub(crate) fn rows_are_independent<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(12);
    for gated in [false, true] {
        let case = Case::random(&mut random, (520, 40, 530), gated);
        let all = run_any(&case, backend);
        let (stride, width) = (row_stride(case.layout.inputs), all.len() / case.rows);
        for (first, rows) in [(0, 1), (519, 1), (3, 16), (100, 64), (7, 65), (8, 500)] {
            let input = case.input[first * stride..][..rows * stride].to_vec();
            let part = Case { rows, input, weight: case.weight.clone(), bias: case.bias.clone(), ..case };
            let got = run_any(&part, backend);
            assert!(got == all[first * width..][..rows * width], "{rows} rows from {first}, gated {gated}");
        }
    }
}

/// Bits of the results: stored sums, or SwiGLU if gated.
fn run_any<B: Conformant>(case: &Case, backend: &mut B) -> Vec<u32> {
    if !case.layout.gated {
        return case.stored(backend).into_iter().map(f32::to_bits).collect();
    }
    let mut output = backend.halves(case.rows * row_stride(case.layout.outputs)).unwrap();
    case.run(backend, Epilogue::Activate(Activation::SwiGlu, &mut output));
    backend.read_operands(&output).into_iter().map(u32::from).collect()
}

pub(crate) fn embeds<B: Conformant>(backend: &mut B) {
    let mut random = Random::new(13);
    for width in [1, 15, 16, 33, 300] {
        let layout = MatrixLayout { outputs: 37, inputs: width, gated: false };
        let tokens: Vec<u32> = (0..20).map(|_| random.below(37) as u32).collect();
        let (token_rows, position_rows) = (random.operands(37 * width), random.operands(37 * width));
        for learned in [false, true] {
            let batch = loaded(backend, &one_sequence(&tokens));
            let token_table = matrix(backend, layout, &token_rows);
            let positions = learned.then(|| matrix(backend, layout, &position_rows));
            let mut hidden = backend.floats(20 * width).unwrap();
            let position_table = positions.as_ref();
            let args =
                Embedding { batch: &batch, token_table: &token_table, position_table, hidden: &mut hidden };
            backend.embed(args).unwrap();
            let got = backend.read_floats(&hidden);
            for (row, &token) in tokens.iter().enumerate() {
                for i in 0..width {
                    let position = if learned { widen(position_rows[row * width + i]) as f32 } else { 0.0 };
                    let expected = widen(token_rows[token as usize * width + i]) as f32 + position;
                    assert_eq!(got[row * width + i], expected);
                }
            }
        }
    }
}

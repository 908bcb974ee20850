//! Matrix products of the model's four projections, and what their epilogues cost.

use goldlap_kernels::model::config::Activation;
use goldlap_kernels::ops::Backend;
use goldlap_kernels::ops::matmul::{Epilogue, Matmul};
use goldlap_kernels::ops::matrix::MatrixLayout;
use goldlap_kernels::ops::row_stride;

use crate::measure::{Measure, Work};
use crate::operands::{CONFIG, counted, floats, halves, matrices};

const ROWS: [usize; 4] = [1, 8, 32, 512];

/// Where results go.
#[derive(Clone, Copy)]
enum To {
    Floats,
    Residual,
    Activated(Activation),
}

pub(crate) fn measure(measure: &mut Measure<'_>) {
    let (hidden, ffn) = (CONFIG.hidden_size, CONFIG.ffn_hidden_size);
    let (queries, qkv) = (CONFIG.query_size(), CONFIG.query_size() + 2 * CONFIG.kv_size());
    for (name, outputs, inputs, to) in [
        ("qkv", qkv, hidden, To::Floats),
        ("output", hidden, queries, To::Residual),
        ("mlp in", ffn, hidden, To::Activated(CONFIG.activation)),
        ("mlp out", hidden, ffn, To::Residual),
    ] {
        for rows in ROWS {
            product(measure, "matmul", &format!("{name}, {}", counted(rows)), (outputs, inputs), rows, to);
        }
    }
    // One pair of inputs: little but the epilogue remains.
    let activated = [Activation::SwiGlu, Activation::GeluTanh, Activation::Gelu, Activation::SquaredRelu];
    for activation in activated {
        let name = format!("{activation:?}, {}", counted(32));
        product(measure, "activation", &name, (ffn, 2), 32, To::Activated(activation));
    }
}

fn product(
    measure: &mut Measure<'_>,
    operator: &str,
    name: &str,
    shape: (usize, usize),
    rows: usize,
    to: To,
) {
    let (outputs, inputs) = shape;
    let gated = matches!(to, To::Activated(activation) if activation.is_gated());
    let layout = MatrixLayout { outputs, inputs, gated };
    let result_bytes = match to {
        To::Floats => 4,
        To::Residual => 8,
        To::Activated(_) => 2,
    };
    let work = Work {
        bytes: layout.bytes() + rows * (inputs * 2 + outputs * result_bytes),
        flops: if operator == "matmul" { 2 * rows as u64 * layout.multiply_adds() } else { 0 },
    };
    let prepare = || {
        let input = halves(rows * row_stride(inputs));
        let activated = halves(rows * row_stride(outputs));
        (matrices(layout), input, floats(rows * outputs), activated)
    };
    measure.operator(operator, name, work, prepare, |backend, state, call| {
        let (matrices, input, floats, halves) = state;
        backend.matmul(Matmul {
            rows,
            input,
            weight: &matrices[call % matrices.len()],
            bias: None,
            epilogue: match to {
                To::Floats => Epilogue::Store(floats),
                To::Residual => Epilogue::AddTo(floats),
                To::Activated(activation) => Epilogue::Activate(activation, halves),
            },
        })
    });
}

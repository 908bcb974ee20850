//! RMS norm and LayerNorm on the CPU, and the per-head RMS norm.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::simd::{Kernel, LANES, Simd, load_part, store_operands_part};
use crate::ops::norm::{Norm, NormKind, RowSelection};
use crate::ops::row_stride;

/// Rows of one task.
const ROWS_PER_TASK: usize = 8;

/// Runs a checked norm.
pub(crate) fn norm(backend: &CpuBackend, args: Norm<'_, CpuBackend>) {
    let (rows, width, stride) = (args.output_rows(), args.width, row_stride(args.width));
    let output = Disjoint::new(args.output);
    let row_of = |index: usize| match args.selection {
        RowSelection::All => index,
        RowSelection::Head => args.batch.0.head[index].row,
    };
    backend.pool.run(rows.div_ceil(ROWS_PER_TASK), |_, task| {
        for index in task * ROWS_PER_TASK..rows.min((task + 1) * ROWS_PER_TASK) {
            // SAFETY: each task has its own rows.
            let output = unsafe { output.part(index * stride, stride) };
            backend.path.run(NormRow {
                kind: args.kind,
                epsilon: args.epsilon,
                weight: &args.weight[..width],
                bias: args.bias.map(|bias| &bias[..width]),
                input: &args.input[row_of(index) * width..][..width],
                output,
            });
        }
    });
}

struct NormRow<'a> {
    kind: NormKind,
    epsilon: f32,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    input: &'a [f32],
    output: &'a mut [u16],
}

impl Kernel for NormRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.input.len();
        let mean = match self.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => sum_row(s, self.input) / width as f32,
        };
        let scale = inverse_deviation(s, self.input, mean, self.epsilon);
        let (mean, scale) = (s.splat(mean), s.splat(scale));
        for start in (0..width).step_by(LANES) {
            let end = width.min(start + LANES);
            let centred = s.sub(load_part(s, &self.input[start..end], 0.0), mean);
            let weight = load_part(s, &self.weight[start..end], 0.0);
            let value = match self.bias {
                None => s.mul(s.mul(centred, scale), weight),
                Some(bias) => s.mul_add(s.mul(centred, scale), weight, load_part(s, &bias[start..end], 0.0)),
            };
            store_operands_part(s, value, &mut self.output[start..end]);
        }
        self.output[width..].fill(0);
    }
}

/// Sum in the contract's order.
#[inline(always)]
fn sum_row<S: Simd>(s: S, row: &[f32]) -> f32 {
    let mut sums = s.splat(0.0);
    for chunk in row.chunks(LANES) {
        sums = s.add(sums, load_part(s, chunk, 0.0));
    }
    s.sum_lanes(sums)
}

/// `1 / sqrt(mean((x - mean)^2) + epsilon)`, sums in the contract's order.
#[inline(always)]
pub(crate) fn inverse_deviation<S: Simd>(s: S, row: &[f32], mean: f32, epsilon: f32) -> f32 {
    let mut sums = s.splat(0.0);
    for chunk in row.chunks(LANES) {
        let centred = s.sub(load_part(s, chunk, mean), s.splat(mean));
        sums = s.mul_add(centred, centred, sums);
    }
    1.0 / (s.sum_lanes(sums) / row.len() as f32 + epsilon).sqrt()
}

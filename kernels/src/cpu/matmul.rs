//! Matrix product on the CPU: tasks of four tiles, all rows each, so that weights are read from memory once.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::dot::{Dot, MAX_TILES, Segment, dot};
use super::elementary::{gelu, gelu_tanh, silu, squared_relu};
use super::matrix::CpuMatrix;
use super::simd::{Kernel, LANES, Simd, load_part, store_operands_part, store_part};
use crate::model::config::Activation;
use crate::ops::matmul::{Epilogue, Matmul};
use crate::ops::matrix::TILE;
use crate::ops::{MatrixInfo, row_stride};

/// Rows between dot products and epilogue: a multiple of every path's register block, small enough for L1.
const ROW_BLOCK: usize = 12;

/// Where results go, for tasks that share it.
#[derive(Clone, Copy)]
enum Target<'a> {
    Store(Disjoint<'a, f32>),
    AddTo(Disjoint<'a, f32>),
    Activate(Activation, Disjoint<'a, u16>),
}

/// Runs a checked matmul.
pub(crate) fn matmul(backend: &CpuBackend, args: Matmul<'_, CpuBackend>) {
    let target = match args.epilogue {
        Epilogue::Store(output) => Target::Store(Disjoint::new(output)),
        Epilogue::AddTo(output) => Target::AddTo(Disjoint::new(output)),
        Epilogue::Activate(activation, output) => Target::Activate(activation, Disjoint::new(output)),
    };
    let product = Product {
        rows: args.rows,
        input: args.input,
        weight: args.weight,
        bias: args.bias.map(|bias| &**bias),
        target,
    };
    let tasks = args.weight.layout().tiles().div_ceil(MAX_TILES);
    backend.pool.run(tasks, |_, task| backend.path.run(TileGroup { product, task }));
}

#[derive(Clone, Copy)]
struct Product<'a> {
    rows: usize,
    input: &'a [u16],
    weight: &'a CpuMatrix,
    bias: Option<&'a [f32]>,
    target: Target<'a>,
}

/// Task `task`: tiles `4 task .. 4 task + 4` of all rows.
struct TileGroup<'a> {
    product: Product<'a>,
    task: usize,
}

/// Results of a row block before the epilogue.
#[repr(align(64))]
struct Block([f32; ROW_BLOCK * MAX_TILES * TILE]);

const BLOCK_STRIDE: usize = MAX_TILES * TILE;

impl Kernel for TileGroup<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { product, task } = self;
        let first_tile = task * MAX_TILES;
        let num_tiles = MAX_TILES.min(product.weight.layout().tiles() - first_tile);
        let (weight, input) = (product.weight, product.input);
        let tiles = TileProduct { weight, first_tile, num_tiles, input };
        let mut block = Block([0.0; ROW_BLOCK * BLOCK_STRIDE]);
        for first_row in (0..product.rows).step_by(ROW_BLOCK) {
            let num_rows = ROW_BLOCK.min(product.rows - first_row);
            tiles.multiply(s, first_row, num_rows, &mut block.0);
            for row in 0..num_rows {
                let sums = &mut block.0[row * BLOCK_STRIDE..][..num_tiles * TILE];
                if let Some(bias) = product.bias {
                    add_bias(s, sums, &bias[first_tile * TILE..]);
                }
                finish_row(s, &product, first_row + row, first_tile, sums);
            }
        }
    }
}

/// Up to four tiles of a matrix, and the rows that they are multiplied with.
#[derive(Clone, Copy)]
pub(crate) struct TileProduct<'a> {
    pub(crate) weight: &'a CpuMatrix,
    pub(crate) first_tile: usize,
    pub(crate) num_tiles: usize,
    /// `[rows, row_stride(inputs)]`
    pub(crate) input: &'a [u16],
}

impl TileProduct<'_> {
    /// `block[row, tile, lane]` (row stride 64) = dot products of `num_rows` rows of input with the tiles.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(&self, s: S, first_row: usize, num_rows: usize, block: &mut [f32]) {
        let layout = self.weight.layout();
        let mut tiles = [std::ptr::null(); MAX_TILES];
        for (index, tile) in tiles[..self.num_tiles].iter_mut().enumerate() {
            *tile = self.weight.tile(self.first_tile + index).as_ptr();
        }
        let stride = row_stride(layout.inputs);
        let rows = &self.input[first_row * stride..][..num_rows * stride];
        assert!(block.len() >= num_rows * BLOCK_STRIDE);
        let d = Dot {
            rows: rows.as_ptr().cast(),
            row_stride: layout.pairs(),
            num_rows,
            segments: &[Segment { tiles, pairs: layout.pairs() }],
            num_tiles: self.num_tiles,
            pair_stride: TILE,
            out: block.as_mut_ptr(),
            out_stride: BLOCK_STRIDE,
        };
        // SAFETY: `rows` holds `num_rows * pairs` words and starts at an even half of a 64-byte aligned buffer; each
        // tile holds `pairs * 16` words; `block` is large enough (asserted).
        unsafe { dot(s, d) }
    }
}

#[inline(always)]
fn add_bias<S: Simd>(s: S, sums: &mut [f32], bias: &[f32]) {
    for (sums, bias) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(bias.as_chunks::<LANES>().0) {
        let sum = s.add(s.load(sums), s.load(bias));
        s.store(sum, sums);
    }
}

/// Epilogue of one row's tiles.
#[inline(always)]
fn finish_row<S: Simd>(s: S, product: &Product<'_>, row: usize, first_tile: usize, sums: &[f32]) {
    let layout = product.weight.layout();
    let tiles = sums.as_chunks::<LANES>().0;
    match product.target {
        Target::Store(output) => {
            for (index, tile) in tiles.iter().enumerate() {
                let (start, len) = span(first_tile + index, layout.outputs);
                // SAFETY: this task alone owns these outputs.
                let to = unsafe { output.part(row * layout.outputs + start, len) };
                store_part(s, s.load(tile), to);
            }
        }
        Target::AddTo(residual) => {
            for (index, tile) in tiles.iter().enumerate() {
                let (start, len) = span(first_tile + index, layout.outputs);
                // SAFETY: this task alone owns these outputs.
                let to = unsafe { residual.part(row * layout.outputs + start, len) };
                store_part(s, s.add(load_part(s, to, 0.0), s.load(tile)), to);
            }
        }
        Target::Activate(activation, output) => {
            activate_row(s, activation, output, row, first_tile, layout.outputs, tiles);
        }
    }
}

/// Activates a row's tiles (pairs of tiles, if gated) and stores them as operands.
#[inline(always)]
fn activate_row<S: Simd>(
    s: S,
    activation: Activation,
    output: Disjoint<'_, u16>,
    row: usize,
    first_tile: usize,
    outputs: usize,
    tiles: &[[f32; LANES]],
) {
    let per_output = if activation.is_gated() { 2 } else { 1 };
    for (index, tiles) in tiles.chunks_exact(per_output).enumerate() {
        let x = s.load(&tiles[0]);
        let value = match activation {
            Activation::SwiGlu => s.mul(silu(s, x), s.load(&tiles[per_output - 1])),
            Activation::GeluTanh => gelu_tanh(s, x),
            Activation::Gelu => gelu(s, x),
            Activation::SquaredRelu => squared_relu(s, x),
        };
        let (start, len) = span(first_tile / per_output + index, outputs);
        // SAFETY: this task alone owns these outputs.
        let to = unsafe { output.part(row * row_stride(outputs) + start, len) };
        store_operands_part(s, value, to);
    }
}

/// Outputs of a tile: first, number (the last tile may be short).
#[inline(always)]
fn span(tile: usize, outputs: usize) -> (usize, usize) {
    let start = tile * TILE;
    (start, TILE.min(outputs - start))
}

//! Matrix product on the CPU: a task is four tiles and up to 192 rows. With few rows it walks the pairs in stretches of 64, so that
//! a stretch of weights (16 KiB) is in the first-level cache for all rows while the next one is on its way from memory.
//! Sums rest in the block between stretches: each stays one chain.

use super::CpuBackend;
use super::buffer::Disjoint;
use super::dot::{Dot, MAX_TILES, PANELS, STREAM_AHEAD, Segment, dot};
use super::elementary::{gelu, gelu_tanh, silu, squared_relu};
use super::matrix::CpuMatrix;
use super::row_operands::ROW_BLOCK;
use super::simd::{Kernel, LANES, Simd, load_part, store_operands_part, store_part};
use crate::model::config::Activation;
use crate::ops::matmul::{Epilogue, Matmul};
use crate::ops::matrix::TILE;
use crate::ops::{MatrixInfo, row_stride};

/// Rows of a task: enough to make the reading of weights cheap, few enough that tasks divide well among threads.
const TASK_ROWS: usize = 4 * ROW_BLOCK;
/// Row groups of a pass over the weights. One pass over all rows of a prefill of 4,096 reads them again for every 64 outputs (50 MB, if a row
/// has 3,072 elements), which took a third longer; a pass for each group alone reads the weights more often: 3 to 5 % longer.
const PASS_GROUPS: usize = 4;
/// Up to so many rows of a product, stretches pay: a decode step of 16 sequences took 18.5 ms instead of 22.7, one of
/// 64 about the same (two layers of the 583M model, one thread, on-CPU time).
pub(crate) const FEW_ROWS: usize = 64;
/// Pairs of a stretch.
const STRETCH: usize = 64;

/// Where results go, for tasks that share it.
#[derive(Clone, Copy)]
enum Target<'a> {
    Store(Disjoint<'a, f32>),
    AddTo(Disjoint<'a, f32>),
    Activate(Activation, Disjoint<'a, u16>),
}

/// Runs a checked matmul.
pub(crate) fn matmul(backend: &mut CpuBackend, args: Matmul<'_, CpuBackend>) {
    let target = match args.epilogue {
        Epilogue::Store(output) => Target::Store(Disjoint::new(output)),
        Epilogue::AddTo(output) => Target::AddTo(Disjoint::new(output)),
        Epilogue::Activate(activation, output) => Target::Activate(activation, Disjoint::new(output)),
    };
    let row_stride = row_stride(args.weight.layout().inputs);
    let input = &args.input[..args.rows * row_stride];
    let product = Product {
        rows: args.rows,
        input: backend.row_operands.of(backend.path, &backend.pool, input, row_stride),
        weight: args.weight,
        bias: args.bias.map(|bias| &**bias),
        target,
    };
    let tile_groups = args.weight.layout().tiles().div_ceil(MAX_TILES);
    let row_groups = args.rows.div_ceil(TASK_ROWS);
    backend.pool.run(tile_groups * row_groups, |_, task| {
        let (group, row_group) = place(task, tile_groups, row_groups);
        backend.path.run(TileGroup { product, group, first_row: row_group * TASK_ROWS });
    });
}

/// Tile group and row group of a task: passes over all tile groups, of [`PASS_GROUPS`] row groups each.
fn place(task: usize, tile_groups: usize, row_groups: usize) -> (usize, usize) {
    let first = task / (PASS_GROUPS * tile_groups) * PASS_GROUPS;
    let (task, groups) = (task - first * tile_groups, PASS_GROUPS.min(row_groups - first));
    (task / groups, first + task % groups)
}

#[derive(Clone, Copy)]
struct Product<'a> {
    rows: usize,
    input: &'a [u32],
    weight: &'a CpuMatrix,
    bias: Option<&'a [f32]>,
    target: Target<'a>,
}

/// Tiles `4 group .. 4 group + 4` of up to [`TASK_ROWS`] rows.
struct TileGroup<'a> {
    product: Product<'a>,
    group: usize,
    first_row: usize,
}

/// Results of a row block before the epilogue: 12 KiB, which fit into the first-level cache together with a stretch of weights.
#[repr(align(64))]
struct Block([f32; ROW_BLOCK * MAX_TILES * TILE]);

const BLOCK_STRIDE: usize = MAX_TILES * TILE;

impl Kernel for TileGroup<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { product, group, first_row: task_row } = self;
        let first_tile = group * MAX_TILES;
        let last_row = product.rows.min(task_row + TASK_ROWS);
        let num_tiles = MAX_TILES.min(product.weight.layout().tiles() - first_tile);
        let (weight, input) = (product.weight, product.input);
        let mut block = Block([0.0; ROW_BLOCK * BLOCK_STRIDE]);
        for first_row in (task_row..last_row).step_by(ROW_BLOCK) {
            let num_rows = ROW_BLOCK.min(last_row - first_row);
            let few_rows = product.rows <= FEW_ROWS;
            let tiles = TileProduct { weight, first_tile, num_tiles, input, few_rows };
            tiles.multiply(s, first_row, num_rows, &mut block.0, BLOCK_STRIDE);
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
    /// Rows of `row_stride(inputs)` operands, as [`super::row_operands`] has them.
    pub(crate) input: &'a [u32],
    /// Reading weights takes longer than multiplying, or about as long: see [`FEW_ROWS`].
    pub(crate) few_rows: bool,
}

impl TileProduct<'_> {
    /// `out[row, tile, lane]` (`out_stride` between rows) = dot products of a block of `num_rows` rows of input with the tiles.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(
        &self,
        s: S,
        first_row: usize,
        num_rows: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let pairs = self.weight.layout().pairs();
        let stride = pairs * S::ROW_WORDS;
        let rows = &self.input[first_row * stride..][..num_rows * stride];
        assert!(out.len() >= (num_rows - 1) * out_stride + self.num_tiles * TILE);
        // One register block of all tiles reads its weights once, so there is nothing to keep for others.
        let once = num_rows <= (S::DOT_SUMS / MAX_TILES).max(2);
        let stretches = !once && self.few_rows;
        let stretch = if stretches { STRETCH } else { pairs };
        for first_pair in (0..pairs).step_by(stretch) {
            let len = stretch.min(pairs - first_pair);
            let mut tiles = [std::ptr::null(); MAX_TILES];
            for (index, tile) in tiles[..self.num_tiles].iter_mut().enumerate() {
                *tile = self.weight.tile(self.first_tile + index)[first_pair * TILE..][..len * TILE].as_ptr();
            }
            let d = Dot::<PANELS> {
                rows: rows.as_ptr(),
                row_words: stride,
                first_pair,
                num_rows,
                segments: &[Segment { tiles, pairs: len }],
                num_tiles: self.num_tiles,
                pair_stride: TILE,
                out: out.as_mut_ptr(),
                out_stride,
                continues: first_pair > 0,
                ahead: match (once, stretches && first_pair + len < pairs) {
                    (true, _) => STREAM_AHEAD,
                    (false, true) => STRETCH * TILE,
                    (false, false) => 0,
                },
            };
            // SAFETY: `rows` holds `num_rows * pairs` pairs, from `first_pair` on `len` in each row; each tile holds
            // `len * 16` words; `out` is large enough (asserted).
            unsafe { dot(s, d) }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_cover_every_group_once() {
        for (tile_groups, row_groups) in [(1, 1), (3, 4), (5, 6), (2, 8), (7, 22)] {
            let mut places: Vec<_> =
                (0..tile_groups * row_groups).map(|task| place(task, tile_groups, row_groups)).collect();
            // A pass has walked all tile groups before the next begins.
            assert!(places.is_sorted_by_key(|(_, row_group)| row_group / PASS_GROUPS));
            places.sort_unstable();
            let all = (0..tile_groups).flat_map(|group| (0..row_groups).map(move |row| (group, row)));
            assert!(places.into_iter().eq(all), "{tile_groups} x {row_groups}");
        }
    }
}

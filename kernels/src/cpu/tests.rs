//! Operators against f64 references, and all instruction sets against each other, bit for bit.

mod attention;
mod dot;
mod elementary;
mod head;
mod matmul;
mod rows;

use super::isa::Path;
use super::{Aligned, CpuBackend, CpuMatrix, Isa};
use crate::model::philox::philox4x32_10;
use crate::ops::Backend;
use crate::ops::batch::RaggedBatch;
use crate::ops::matrix::{MatrixLayout, PackedMatrix, SharedBytes, TILE};
use crate::ops::operand::round_to_operand;

/// The instruction sets of this machine.
fn available() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
}

fn path(isa: Isa) -> Path {
    Path::new(isa).unwrap()
}

/// Runs `compute` on every instruction set with 1 and 3 threads, expects the same bits each time, and returns them.
fn on_all_paths<T: PartialEq + std::fmt::Debug>(compute: impl Fn(&mut CpuBackend) -> T) -> T {
    let expected = compute(&mut CpuBackend::new(Isa::Scalar, 1).unwrap());
    for isa in available() {
        for threads in [1, 3] {
            let got = compute(&mut CpuBackend::new(isa, threads).unwrap());
            assert!(got == expected, "{isa} with {threads} threads differs from the scalar path");
        }
    }
    expected
}

/// Repeatable random numbers.
struct Random {
    seed: u32,
    drawn: u32,
}

impl Random {
    fn new(seed: u32) -> Self {
        Self { seed, drawn: 0 }
    }

    fn bits(&mut self) -> u32 {
        self.drawn += 1;
        philox4x32_10([self.drawn, 0, 0, 0], [self.seed, 1])[0]
    }

    fn below(&mut self, limit: usize) -> usize {
        self.bits() as usize % limit
    }

    /// About normal, standard deviation 1.
    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.bits() as f32 / u32::MAX as f32 - 0.5).sum::<f32>() * 2f32.sqrt()
    }

    fn normals(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.normal()).collect()
    }

    /// Operands: most are ordinary, some zero, some at the edges of the window, some cancel their predecessor.
    fn operands(&mut self, len: usize) -> Vec<u16> {
        let mut values: Vec<u16> = Vec::with_capacity(len);
        for _ in 0..len {
            let value = match self.below(12) {
                0 => 0.0,
                1 => self.normal() * 2f32.powi(-49),
                2 => self.normal() * 2f32.powi(self.below(80) as i32 - 40),
                _ => self.normal(),
            };
            let cancelling = values.last().map(|last| last ^ 0x8000).filter(|bits| bits & 0x7fff != 0);
            let ordinary = round_to_operand(value).to_bits();
            values.push(if self.below(10) == 0 { cancelling.unwrap_or(ordinary) } else { ordinary });
        }
        values
    }
}

/// Operands of an ordinary size.
fn rounded(values: &[f32]) -> Vec<u16> {
    values.iter().map(|&value| round_to_operand(value).to_bits()).collect()
}

fn widen(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

/// Packs row-major rows (gate rows, then up rows, if gated).
fn packed(layout: MatrixLayout, rows: &[u16]) -> PackedMatrix {
    let mut words = vec![0u32; layout.bytes() / 4];
    let rows: &[half::bf16] = bytemuck::cast_slice(rows);
    for (tile, words) in words.chunks_exact_mut(layout.tile_words()).enumerate() {
        let (up, first) = layout.tile_source(tile);
        let lanes: [Option<&[half::bf16]>; TILE] = std::array::from_fn(|lane| {
            let output = first + lane;
            let start = (output + if up { layout.outputs } else { 0 }) * layout.inputs;
            (output < layout.outputs).then(|| &rows[start..start + layout.inputs])
        });
        layout.pack_tile(&lanes, words);
    }
    let bytes = Aligned::from_slice(&words);
    let len = layout.bytes();
    PackedMatrix::new(layout, SharedBytes::new(std::sync::Arc::new(AlignedBytes(bytes)), 0..len).unwrap())
        .unwrap()
}

struct AlignedBytes(Aligned<u32>);

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

fn matrix(backend: &mut CpuBackend, layout: MatrixLayout, rows: &[u16]) -> CpuMatrix {
    backend.matrix(&packed(layout, rows)).unwrap()
}

/// A batch of one sequence from position 0 in blocks of 16, in reverse order of the pool.
fn one_sequence(tokens: &[u32], blocks: u32) -> RaggedBatch {
    let table: Vec<u32> = (0..blocks).rev().collect();
    let mut batch = RaggedBatch::default();
    batch.push(tokens, 0, &table, 16).unwrap();
    batch
}

fn loaded(backend: &mut CpuBackend, batch: &RaggedBatch) -> super::CpuBatch {
    let mut device = backend.batch().unwrap();
    backend.load_batch(batch, &mut device).unwrap();
    device
}

/// Largest difference, relative to the larger of 1 and the expected value.
fn worst(got: impl IntoIterator<Item = f64>, expected: impl IntoIterator<Item = f64>) -> f64 {
    let errors =
        got.into_iter().zip(expected).map(|(got, expected)| (got - expected).abs() / expected.abs().max(1.0));
    errors.fold(0.0, |worst, error| if error > worst || error.is_nan() { error } else { worst })
}

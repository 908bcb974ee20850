//! What the suite needs of a backend beyond the contract: operands in, results out. And repeatable random numbers.

use std::sync::Arc;

use goldlap_kernels::cpu::{Aligned, CpuBackend};
use goldlap_kernels::cuda::CudaBackend;
use goldlap_kernels::cuda::device::Device;
use goldlap_kernels::model::philox::philox4x32_10;
use goldlap_kernels::ops::Backend;
use goldlap_kernels::ops::batch::RaggedBatch;
use goldlap_kernels::ops::matrix::{MatrixLayout, PackedMatrix, SharedBytes, TILE};
use goldlap_kernels::ops::operand::round_to_operand;

/// A backend whose buffers can be filled and read.
pub(crate) trait Conformant: Backend {
    fn operands(&mut self, values: &[u16]) -> Self::Halves;
    fn read_floats(&mut self, buffer: &Self::Floats) -> Vec<f32>;
    fn read_operands(&mut self, buffer: &Self::Halves) -> Vec<u16>;
}

impl Conformant for CpuBackend {
    fn operands(&mut self, values: &[u16]) -> Self::Halves {
        Aligned::from_slice(values)
    }
    fn read_floats(&mut self, buffer: &Self::Floats) -> Vec<f32> {
        buffer.to_vec()
    }
    fn read_operands(&mut self, buffer: &Self::Halves) -> Vec<u16> {
        buffer.to_vec()
    }
}

impl<D: Device> Conformant for CudaBackend<D> {
    fn operands(&mut self, values: &[u16]) -> Self::Halves {
        self.halves_from(values).unwrap()
    }
    fn read_floats(&mut self, buffer: &Self::Floats) -> Vec<f32> {
        self.read(buffer, goldlap_kernels::ops::Buffer::len(buffer)).unwrap()
    }
    fn read_operands(&mut self, buffer: &Self::Halves) -> Vec<u16> {
        self.read(buffer, goldlap_kernels::ops::Buffer::len(buffer)).unwrap()
    }
}

/// Repeatable random numbers.
pub(crate) struct Random {
    seed: u32,
    drawn: u32,
}

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.drawn += 1;
        philox4x32_10([self.drawn, 0, 0, 0], [self.seed, 2])[0] as usize % limit
    }

    /// About normal, standard deviation 1.
    pub(crate) fn normal(&mut self) -> f32 {
        let uniform = |random: &mut Self| random.below(1 << 24) as f32 / (1 << 24) as f32 - 0.5;
        (0..6).map(|_| uniform(self)).sum::<f32>() * 2f32.sqrt()
    }

    pub(crate) fn normals(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.normal()).collect()
    }

    pub(crate) fn operands(&mut self, len: usize) -> Vec<u16> {
        rounded(&self.normals(len))
    }

    /// `rows` rows of `width` operands, zeros up to `stride`.
    pub(crate) fn operand_rows(&mut self, rows: usize, width: usize, stride: usize) -> Vec<u16> {
        let mut values = self.operands(rows * stride);
        values.chunks_mut(stride.max(1)).for_each(|row| row[width..].fill(0));
        values
    }
}

pub(crate) fn rounded(values: &[f32]) -> Vec<u16> {
    values.iter().map(|&value| round_to_operand(value).to_bits()).collect()
}

pub(crate) fn widen(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

/// Packs row-major rows (gate rows, then up rows, if gated) and brings them to the backend.
pub(crate) fn matrix<B: Backend>(backend: &mut B, layout: MatrixLayout, rows: &[u16]) -> B::Matrix {
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
    let bytes = Arc::new(Words(Aligned::from_slice(&words)));
    let shared = SharedBytes::new(bytes, 0..layout.bytes()).unwrap();
    backend.matrix(&PackedMatrix::new(layout, shared).unwrap()).unwrap()
}

struct Words(Aligned<u32>);

impl AsRef<[u8]> for Words {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

pub(crate) fn loaded<B: Backend>(backend: &mut B, batch: &RaggedBatch) -> B::Batch {
    let mut device = backend.batch().unwrap();
    backend.load_batch(batch, &mut device).unwrap();
    device
}

/// A batch of one sequence from position 0 in blocks of 16, in reverse order of the pool.
pub(crate) fn one_sequence(tokens: &[u32]) -> RaggedBatch {
    let table: Vec<u32> = (0..tokens.len().div_ceil(16) as u32).rev().collect();
    let mut batch = RaggedBatch::default();
    batch.push(tokens, 0, &table, 16).unwrap();
    batch
}

/// Largest difference, relative to the larger of 1 and the expected value.
pub(crate) fn worst(got: impl IntoIterator<Item = f64>, expected: impl IntoIterator<Item = f64>) -> f64 {
    let errors =
        got.into_iter().zip(expected).map(|(got, expected)| (got - expected).abs() / expected.abs().max(1.0));
    errors.fold(0.0, |worst, error| if error > worst || error.is_nan() { error } else { worst })
}

//! Weight matrices on the device: the tensor cores' own order (kernels/cu/matrix.cuh), made from the packed tiles when a model is
//! loaded.

use std::sync::Arc;

use super::device::Device;
use crate::ops::MatrixInfo;
use crate::ops::error::OpError;
use crate::ops::matrix::{MatrixLayout, PackedMatrix, TILE};

/// Inputs that are copied and multiplied together; a matrix has a whole number of such chunks.
pub(super) const CHUNK: usize = 32;
/// Pairs of inputs of one tensor-core step.
const STEP_PAIRS: usize = 8;
/// Words of one step of one tile.
const STEP_WORDS: usize = STEP_PAIRS * TILE;
/// Bytes that are laid out on the host at a time.
const UPLOAD_BYTES: usize = 8 << 20;

/// A weight matrix in device memory.
pub struct CudaMatrix<D: Device> {
    layout: MatrixLayout,
    memory: Arc<D::Memory>,
}

impl<D: Device> MatrixInfo for CudaMatrix<D> {
    fn layout(&self) -> MatrixLayout {
        self.layout
    }
}

impl<D: Device> CudaMatrix<D> {
    pub(super) fn memory(&self) -> &Arc<D::Memory> {
        &self.memory
    }

    pub(super) fn upload(device: &mut D, host: &PackedMatrix) -> Result<Self, OpError> {
        let layout = host.layout();
        let tile_words = chunks(&layout) * 2 * STEP_WORDS;
        let tile_bytes = tile_words * 4;
        let memory = device.allocate(layout.tiles() * tile_bytes)?;
        let tiles_at_once = (UPLOAD_BYTES / tile_bytes).max(1);
        let mut words = vec![0u32; tiles_at_once.min(layout.tiles()) * tile_words];
        let packed = host.words().chunks(tiles_at_once * layout.tile_words());
        for (index, packed) in packed.enumerate() {
            let tiles = packed.len() / layout.tile_words();
            let words = &mut words[..tiles * tile_words];
            for (from, to) in packed.chunks_exact(layout.tile_words()).zip(words.chunks_exact_mut(tile_words))
            {
                lay_out_tile(from, to);
            }
            device.upload(bytemuck::cast_slice(words), &memory, index * tiles_at_once * tile_bytes)?;
        }
        Ok(Self { layout, memory: Arc::new(memory) })
    }
}

/// Chunks of inputs.
pub(super) fn chunks(layout: &MatrixLayout) -> usize {
    layout.inputs.div_ceil(CHUNK)
}

/// `[pairs][16 outputs]` to `[steps][32 lanes][4]`; what the matrix lacks of a chunk stays zero.
fn lay_out_tile(packed: &[u32], tile: &mut [u32]) {
    for (pairs, step) in packed.chunks(STEP_PAIRS * TILE).zip(tile.chunks_exact_mut(STEP_WORDS)) {
        for (pair, outputs) in pairs.chunks_exact(TILE).enumerate() {
            for (output, word) in outputs.iter().enumerate() {
                let lane = output % 8 * 4 + pair % 4;
                step[lane * 4 + output / 8 * 2 + pair / 4] = *word;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of a word as matrix.cuh documents it.
    #[test]
    fn a_lane_finds_its_fragments() {
        let pairs = 21;
        let packed: Vec<u32> = (1..=(pairs * TILE) as u32).collect();
        let mut tile = vec![0; 4 * STEP_WORDS];
        lay_out_tile(&packed, &mut tile);
        for step in 0..4 {
            for lane in 0..32 {
                for word in 0..4 {
                    let (pair, output) = (step * 8 + lane % 4 + 4 * (word % 2), 8 * (word / 2) + lane / 4);
                    let expected = packed.get(pair * TILE + output).copied().unwrap_or(0);
                    assert_eq!(tile[(step * 32 + lane) * 4 + word], expected);
                }
            }
        }
    }
}

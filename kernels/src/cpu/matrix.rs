//! A packed matrix as the CPU reads it: in place, in the mapped file.

use crate::ops::MatrixInfo;
use crate::ops::matrix::{MatrixLayout, PackedMatrix, TILE};

/// Refers to packed weights that all models of a process (and all processes of a machine) share.
pub struct CpuMatrix(PackedMatrix);

impl CpuMatrix {
    pub(crate) fn new(packed: PackedMatrix) -> Self {
        Self(packed)
    }

    /// Words of tile `tile`.
    pub(crate) fn tile(&self, tile: usize) -> &[u32] {
        let len = self.layout().tile_words();
        &self.0.words()[tile * len..(tile + 1) * len]
    }

    /// The pairs of output `output` of an ungated matrix, low half first.
    pub(crate) fn row_pairs(&self, output: usize) -> impl Iterator<Item = u32> + '_ {
        self.tile(output / TILE).iter().skip(output % TILE).step_by(TILE).copied()
    }
}

impl MatrixInfo for CpuMatrix {
    fn layout(&self) -> MatrixLayout {
        self.0.layout()
    }
}

//! Packed weight matrices: the one layout that every CPU path reads, and in which checkpoints are kept.
//!
//! A matrix `[outputs, inputs]` is cut into tiles of 16 outputs. A tile is `[pairs][16 outputs][2]` bf16:
//! pair `k` holds inputs `2k` and `2k + 1`, so one 64-byte line feeds 16 output lanes. Missing outputs and an odd
//! last input are zeros. A gated matrix (SwiGLU) alternates tiles: 16 gate outputs, then the 16 up outputs.

use std::ops::Range;
use std::sync::Arc;

use half::bf16;

/// Output lanes of a tile.
pub const TILE: usize = 16;

/// Shape of a packed matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixLayout {
    /// Output features (of each of the two projections, if gated).
    pub outputs: usize,
    /// Input features.
    pub inputs: usize,
    /// Two projections, gate and up, with alternating tiles.
    pub gated: bool,
}

impl MatrixLayout {
    /// Tiles of 16 outputs.
    pub fn tiles(&self) -> usize {
        self.outputs.div_ceil(TILE) * if self.gated { 2 } else { 1 }
    }

    /// Input pairs, the length of every dot product's chain.
    pub fn pairs(&self) -> usize {
        self.inputs.div_ceil(2)
    }

    /// Words of 32 bits (one pair of one output) in a tile.
    pub fn tile_words(&self) -> usize {
        self.pairs() * TILE
    }

    /// Size of the packed matrix in bytes; a multiple of 64.
    pub fn bytes(&self) -> usize {
        self.tiles() * self.tile_words() * 4
    }

    /// Multiply-adds per row of input.
    pub fn multiply_adds(&self) -> u64 {
        self.outputs as u64 * self.inputs as u64 * if self.gated { 2 } else { 1 }
    }

    /// Packs one tile: `rows[lane]` is the weight row of that output, `None` past the last.
    pub fn pack_tile(&self, rows: &[Option<&[bf16]>; TILE], tile: &mut [u32]) {
        for (pair, words) in tile.chunks_exact_mut(TILE).enumerate() {
            for (word, row) in words.iter_mut().zip(rows) {
                let at = |input: usize| {
                    row.and_then(|row| row.get(input)).map_or(0, |value| u32::from(value.to_bits()))
                };
                *word = at(2 * pair) | at(2 * pair + 1) << 16;
            }
        }
    }

    /// Where tile `tile`'s lanes come from: `(up projection, first output)`.
    pub fn tile_source(&self, tile: usize) -> (bool, usize) {
        if self.gated { (tile % 2 == 1, tile / 2 * TILE) } else { (false, tile * TILE) }
    }
}

/// Read-only bytes shared by everybody who holds a clone: a slice of a memory-mapped file, or of a vector.
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl SharedBytes {
    /// `range` of `owner`'s bytes. `None` if it does not lie inside.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Option<Self> {
        (*owner).as_ref().get(range.clone())?;
        Some(Self { owner, range })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

/// A packed matrix on the host, to be handed to a backend.
#[derive(Clone)]
pub struct PackedMatrix {
    layout: MatrixLayout,
    bytes: SharedBytes,
}

impl PackedMatrix {
    /// `None` if the bytes have not the layout's size or are not aligned to 4 bytes.
    pub fn new(layout: MatrixLayout, bytes: SharedBytes) -> Option<Self> {
        let fits = bytes.bytes().len() == layout.bytes()
            && bytemuck::try_cast_slice::<u8, u32>(bytes.bytes()).is_ok();
        fits.then_some(Self { layout, bytes })
    }

    /// Shape.
    pub fn layout(&self) -> MatrixLayout {
        self.layout
    }

    /// `[tiles][pairs][16]` words; the low half of a word is the even input.
    pub fn words(&self) -> &[u32] {
        bytemuck::cast_slice(self.bytes.bytes())
    }
}

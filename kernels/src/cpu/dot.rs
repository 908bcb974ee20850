//! The inner loop of everything: rows of operand pairs times tiles of 16 columns, one chain per element.
//!
//! Matrix products, attention scores (tiles of 16 keys) and probabilities times values (tiles of 16 channels) all are this
//! loop, so the order of a chain is written down once.

use super::simd::{LANES, Simd};

/// Tiles that one call multiplies, at most.
pub(crate) const MAX_TILES: usize = 4;
/// Rows kept in registers, at most.
const MAX_ROWS: usize = 6;

/// A stretch of the chain: where each tile's pairs are.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// First word of each tile; entries from the number of tiles on are not read.
    pub(crate) tiles: [*const u32; MAX_TILES],
    /// Pairs in this stretch.
    pub(crate) pairs: usize,
}

/// Operands of [`dot`].
#[derive(Clone, Copy)]
pub(crate) struct Dot<'a> {
    /// First pair of the first row.
    pub(crate) rows: *const u32,
    /// Words between rows.
    pub(crate) row_stride: usize,
    /// Number of rows.
    pub(crate) num_rows: usize,
    /// Stretches, in the order of the chain; a row's pairs are contiguous over all of them.
    pub(crate) segments: &'a [Segment],
    /// Number of tiles.
    pub(crate) num_tiles: usize,
    /// Words between a tile's pairs.
    pub(crate) pair_stride: usize,
    /// Result of row r, tile t, lane l: `out[r * out_stride + t * 16 + l]`, overwritten.
    pub(crate) out: *mut f32,
    /// Floats between result rows.
    pub(crate) out_stride: usize,
}

impl Dot<'_> {
    fn at(self, row: usize, tile: usize) -> Self {
        // SAFETY: stays inside the operands, whose extent the caller of `dot` vouches for.
        unsafe {
            Self {
                rows: self.rows.add(row * self.row_stride),
                out: self.out.add(row * self.out_stride + tile * LANES),
                ..self
            }
        }
    }
}

/// Multiplies all rows with all tiles.
///
/// # Safety
/// All pointers of `d` are valid for the extents it states: rows for `num_rows` rows of the segments' pairs, tiles
/// for 64 bytes at each pair, `out` for writing, and nothing else writes them meanwhile.
#[inline(always)]
pub(crate) unsafe fn dot<S: Simd>(s: S, d: Dot<'_>) {
    debug_assert!(d.num_tiles <= MAX_TILES);
    let mut row = 0;
    while row < d.num_rows {
        let rows = (d.num_rows - row).min(S::DOT_ROWS);
        let mut tile = 0;
        while tile < d.num_tiles {
            let tiles = match (d.num_tiles - tile).min(S::DOT_TILES) {
                3 => 2,
                tiles => tiles,
            };
            // SAFETY: the block lies inside `d`.
            unsafe { block(s, d.at(row, tile), tile, tiles, rows) };
            tile += tiles;
        }
        row += rows;
    }
}

/// One register block of `rows` x `tiles`, starting at tile `first`.
#[inline(always)]
unsafe fn block<S: Simd>(s: S, d: Dot<'_>, first: usize, tiles: usize, rows: usize) {
    // SAFETY: passed on from `dot`.
    unsafe {
        match (tiles, rows) {
            (4, rows) if S::DOT_TILES >= 4 => block_rows::<S, 4>(s, d, first, rows),
            (2, rows) if S::DOT_TILES >= 2 => block_rows::<S, 2>(s, d, first, rows),
            (_, rows) => block_rows::<S, 1>(s, d, first, rows),
        }
    }
}

#[inline(always)]
unsafe fn block_rows<S: Simd, const T: usize>(s: S, d: Dot<'_>, first: usize, rows: usize) {
    const { assert!(MAX_ROWS == 6) };
    // SAFETY: passed on from `dot`.
    unsafe {
        match rows {
            1 => registers::<S, T, 1>(s, d, first),
            2 => registers::<S, T, 2>(s, d, first),
            3 if S::DOT_ROWS >= 3 => registers::<S, T, 3>(s, d, first),
            4 if S::DOT_ROWS >= 4 => registers::<S, T, 4>(s, d, first),
            5 if S::DOT_ROWS >= 5 => registers::<S, T, 5>(s, d, first),
            6 if S::DOT_ROWS >= 6 => registers::<S, T, 6>(s, d, first),
            _ => unreachable!("blocks have at most DOT_ROWS rows"),
        }
    }
}

#[inline(always)]
unsafe fn registers<S: Simd, const T: usize, const R: usize>(s: S, d: Dot<'_>, first: usize) {
    let mut sums = [[s.splat(0.0); T]; R];
    let mut row = d.rows;
    for segment in d.segments {
        let mut tiles: [*const u32; T] = std::array::from_fn(|t| segment.tiles[first + t]);
        for pair in 0..segment.pairs {
            // SAFETY: the caller vouches for `pairs` pairs in every row and tile.
            let mut weights = [unsafe { s.load_weights(tiles[0]) }; T];
            for t in 1..T {
                // SAFETY: as above.
                weights[t] = unsafe { s.load_weights(tiles[t]) };
            }
            if R <= 2 {
                // Few rows means that memory is the limit: ask for lines ahead of the hardware's own prefetcher,
                // which stops at page boundaries.
                for tile in &tiles {
                    s.prefetch(tile.wrapping_add(PREFETCH_WORDS));
                }
            }
            for tile in &mut tiles {
                *tile = tile.wrapping_add(d.pair_stride);
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let a = s.splat_pair(unsafe { *row.add(r * d.row_stride + pair) });
                for t in 0..T {
                    sums[t] = s.dot_pair(sums[t], a, weights[t]);
                }
            }
        }
        row = row.wrapping_add(segment.pairs);
    }
    for (r, sums) in sums.iter().enumerate() {
        for (t, sum) in sums.iter().enumerate() {
            // SAFETY: the caller vouches for 16 writable floats per row and tile.
            unsafe { s.store(*sum, &mut *d.out.add(r * d.out_stride + t * LANES).cast::<[f32; LANES]>()) };
        }
    }
}

/// How far ahead weights are asked for: 2 KiB.
const PREFETCH_WORDS: usize = 512;

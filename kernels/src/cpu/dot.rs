//! The inner loop of everything: rows of operand pairs times tiles of 16 columns, one chain per element.
//!
//! Matrix products, attention scores (tiles of 16 keys) and probabilities times values (tiles of 16 channels) all are this
//! loop, so the order of a chain is written down once.

use super::row_operands::panels;
use super::simd::{Kernel, LANES, Simd};

/// Tiles that one call multiplies, at most.
pub(crate) const MAX_TILES: usize = 4;
/// Rows kept in registers, at most.
const MAX_ROWS: usize = 12;
/// [`Dot`]'s parameter for rows in panels.
pub(crate) const PANELS: usize = 0;

/// A stretch of the chain: where each tile's pairs are.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// First word of each tile; entries from the number of tiles on are not read.
    pub(crate) tiles: [*const u32; MAX_TILES],
    /// Pairs in this stretch.
    pub(crate) pairs: usize,
}

/// Operands of [`dot`]: rows in [panels], or `ROW_PAIRS` pairs of each row after those of the one before. Where a row's pairs are
/// is known to the compiler in both cases: with distances that were variables, it kept more rows in registers than there are.
#[derive(Clone, Copy)]
pub(crate) struct Dot<'a, const ROW_PAIRS: usize> {
    /// First pair of the first row; each pair takes [`Simd::ROW_WORDS`] words.
    pub(crate) rows: *const u32,
    /// Words of a whole row.
    pub(crate) row_words: usize,
    /// Pairs of each row before the first that counts.
    pub(crate) first_pair: usize,
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
    /// `out` holds what earlier pairs of the same chains came to: go on from there.
    pub(crate) continues: bool,
    /// Words from a tile's pair to the one that is asked for meanwhile; 0 = ask for nothing. The row blocks share
    /// the asking, so that memory is busy all the time.
    pub(crate) ahead: usize,
}

impl<const ROW_PAIRS: usize> Dot<'_, ROW_PAIRS> {
    /// Words between the rows of a block.
    #[inline(always)]
    const fn row_step<S: Simd>() -> usize {
        if ROW_PAIRS == PANELS { S::ROW_WORDS } else { ROW_PAIRS * S::ROW_WORDS }
    }

    /// Words between the pairs of a row, in a block of `rows`.
    #[inline(always)]
    const fn pair_step<S: Simd>(rows: usize) -> usize {
        if ROW_PAIRS == PANELS { rows * S::ROW_WORDS } else { S::ROW_WORDS }
    }

    fn at(self, row: usize, tile: usize) -> Self {
        // SAFETY: stays inside the operands, whose extent the caller of `dot` vouches for.
        unsafe {
            Self {
                rows: self.rows.add(row * self.row_words),
                out: self.out.add(row * self.out_stride + tile * LANES),
                ..self
            }
        }
    }
}

/// Multiplies all rows with all tiles. All products of an instruction set share one copy of the loop and its many blocks: a
/// copy at each call took the compiler twice as long.
///
/// # Safety
/// All pointers of `d` are valid for the extents it states: rows for `num_rows` rows of the segments' pairs, tiles
/// for 64 bytes at each pair, `out` for writing, and nothing else writes them meanwhile.
#[inline(always)]
pub(crate) unsafe fn dot<S: Simd, const ROW_PAIRS: usize>(s: S, d: Dot<'_, ROW_PAIRS>) {
    debug_assert!(d.num_tiles <= MAX_TILES);
    s.vectorize(Blocks(d));
}

/// A product whose caller vouches for its pointers, as [`dot`] demands.
struct Blocks<'a, const ROW_PAIRS: usize>(Dot<'a, ROW_PAIRS>);

impl<const ROW_PAIRS: usize> Kernel for Blocks<'_, ROW_PAIRS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let d = self.0;
        let panels = panels::<S>(d.num_rows);
        let blocks = panels.len();
        for (index, (row, rows)) in panels.enumerate() {
            let mut tile = 0;
            while tile < d.num_tiles {
                let tiles = tiles_of::<S>(rows, d.num_tiles - tile);
                // SAFETY: the block lies inside `d`.
                unsafe { block(s, d.at(row, tile), tile, tiles, rows, Asking { index, blocks }) };
                tile += tiles;
            }
        }
    }
}

/// Tiles of a block: as many as registers hold sums of.
#[inline(always)]
fn tiles_of<S: Simd>(rows: usize, left: usize) -> usize {
    if left >= 4 && fits::<S>(rows, 4) {
        4
    } else if left >= 2 && fits::<S>(rows, 2) {
        2
    } else {
        1
    }
}

/// Registers hold the sums of so many rows and tiles.
#[inline(always)]
pub(crate) const fn fits<S: Simd>(rows: usize, tiles: usize) -> bool {
    rows <= S::DOT_ROWS && rows * tiles <= S::DOT_SUMS
}

/// Pairs between two moments in which lines are asked for.
const ASKING_PAIRS: usize = 4;

/// Which share of the lines ahead a row block asks for.
#[derive(Clone, Copy)]
struct Asking {
    index: usize,
    blocks: usize,
}

impl Asking {
    /// `(first, number)`: from which pair on, and how many at each moment. Four blocks at most take part.
    #[inline(always)]
    fn share(self, pairs: usize) -> (usize, usize) {
        let number = match self.blocks {
            1 => ASKING_PAIRS,
            2 | 3 => 2,
            _ => 1,
        };
        let first = self.index * number * pairs.div_ceil(ASKING_PAIRS);
        if first < pairs { (first, number) } else { (0, 0) }
    }
}

/// One register block of `rows` x `tiles`, starting at tile `first`.
#[inline(always)]
unsafe fn block<S: Simd, const P: usize>(
    s: S,
    d: Dot<'_, P>,
    first: usize,
    tiles: usize,
    rows: usize,
    asking: Asking,
) {
    // Only attention has rows without panels, and reads its tiles again and again.
    debug_assert!(P == PANELS || d.ahead == 0);
    // SAFETY: passed on from `dot`.
    unsafe {
        match (tiles, P == PANELS && d.ahead > 0) {
            (4, true) => block_rows::<S, P, 4, true>(s, d, first, rows, asking),
            (4, false) => block_rows::<S, P, 4, false>(s, d, first, rows, asking),
            (2, true) => block_rows::<S, P, 2, true>(s, d, first, rows, asking),
            (2, false) => block_rows::<S, P, 2, false>(s, d, first, rows, asking),
            (_, true) => block_rows::<S, P, 1, true>(s, d, first, rows, asking),
            (_, false) => block_rows::<S, P, 1, false>(s, d, first, rows, asking),
        }
    }
}

#[inline(always)]
unsafe fn block_rows<S: Simd, const P: usize, const T: usize, const ASK: bool>(
    s: S,
    d: Dot<'_, P>,
    first: usize,
    rows: usize,
    asking: Asking,
) {
    const { assert!(S::DOT_ROWS <= MAX_ROWS && S::DOT_ROWS <= S::DOT_SUMS) };
    // SAFETY: passed on from `dot`.
    unsafe {
        match rows {
            1 if fits::<S>(1, T) => registers::<S, P, T, 1, ASK>(s, d, first, asking),
            2 if fits::<S>(2, T) => registers::<S, P, T, 2, ASK>(s, d, first, asking),
            3 if fits::<S>(3, T) => registers::<S, P, T, 3, ASK>(s, d, first, asking),
            4 if fits::<S>(4, T) => registers::<S, P, T, 4, ASK>(s, d, first, asking),
            5 if fits::<S>(5, T) => registers::<S, P, T, 5, ASK>(s, d, first, asking),
            6 if fits::<S>(6, T) => registers::<S, P, T, 6, ASK>(s, d, first, asking),
            7 if fits::<S>(7, T) => registers::<S, P, T, 7, ASK>(s, d, first, asking),
            8 if fits::<S>(8, T) => registers::<S, P, T, 8, ASK>(s, d, first, asking),
            9 if fits::<S>(9, T) => registers::<S, P, T, 9, ASK>(s, d, first, asking),
            10 if fits::<S>(10, T) => registers::<S, P, T, 10, ASK>(s, d, first, asking),
            11 if fits::<S>(11, T) => registers::<S, P, T, 11, ASK>(s, d, first, asking),
            12 if fits::<S>(12, T) => registers::<S, P, T, 12, ASK>(s, d, first, asking),
            _ => unreachable!("registers hold the sums of a block"),
        }
    }
}

#[inline(always)]
unsafe fn registers<S: Simd, const P: usize, const T: usize, const R: usize, const ASK: bool>(
    s: S,
    d: Dot<'_, P>,
    first: usize,
    asking: Asking,
) {
    // SAFETY: passed on.
    let mut sums = unsafe { first_sums::<S, P, T, R>(s, d) };
    let pair_step = Dot::<P>::pair_step::<S>(R);
    let mut row = d.rows.wrapping_add(d.first_pair * pair_step);
    for segment in d.segments {
        let mut tiles: [*const u32; T] = std::array::from_fn(|t| segment.tiles[first + t]);
        // One or two rows compute so little that lines are best asked for one by one; large products need one plain loop.
        if ASK && R > 2 {
            let (from, number) = asking.share(segment.pairs);
            // From a tile's pair to the next line to ask for; one number for all tiles leaves registers for the rows.
            let mut ahead = d.ahead.wrapping_add(from * d.pair_stride);
            for start in (0..segment.pairs).step_by(ASKING_PAIRS) {
                for line in 0..number {
                    for tile in &tiles {
                        s.prefetch(tile.wrapping_add(ahead.wrapping_add(line * d.pair_stride)));
                    }
                }
                ahead = ahead.wrapping_sub((ASKING_PAIRS - number) * d.pair_stride);
                for pair in start..segment.pairs.min(start + ASKING_PAIRS) {
                    let at = row.wrapping_add(pair * pair_step);
                    // SAFETY: the caller vouches for `pairs` pairs in every row and tile.
                    unsafe { multiply_pair::<S, P, T, R, false>(s, d, &mut tiles, at, &mut sums) };
                }
            }
        } else {
            for pair in 0..segment.pairs {
                let at = row.wrapping_add(pair * pair_step);
                // SAFETY: as above.
                unsafe { multiply_pair::<S, P, T, R, ASK>(s, d, &mut tiles, at, &mut sums) };
            }
        }
        row = row.wrapping_add(segment.pairs * pair_step);
    }
    for (r, sums) in sums.iter().enumerate() {
        for (t, sum) in sums.iter().enumerate() {
            // SAFETY: as above, 16 writable floats per row and tile.
            unsafe { s.store(*sum, &mut *d.out.add(r * d.out_stride + t * LANES).cast()) };
        }
    }
}

/// One pair of all rows with that of all tiles, which move on; `ASK`: the line ahead of each is asked for.
#[inline(always)]
unsafe fn multiply_pair<S: Simd, const P: usize, const T: usize, const R: usize, const ASK: bool>(
    s: S,
    d: Dot<'_, P>,
    tiles: &mut [*const u32; T],
    row: *const u32,
    sums: &mut [[S::F; T]; R],
) {
    let at = *tiles;
    for tile in tiles {
        if ASK {
            s.prefetch(tile.wrapping_add(d.ahead));
        }
        *tile = tile.wrapping_add(d.pair_stride);
    }
    // SAFETY: the caller vouches for a pair in every row and tile.
    unsafe {
        multiply_step::<S, P, T, R, 0>(s, at, row, sums);
        if S::STEPS == 2 {
            multiply_step::<S, P, T, R, 1>(s, at, row, sums);
        }
    }
}

/// One step of a pair.
#[inline(always)]
unsafe fn multiply_step<S: Simd, const P: usize, const T: usize, const R: usize, const STEP: usize>(
    s: S,
    tiles: [*const u32; T],
    row: *const u32,
    sums: &mut [[S::F; T]; R],
) {
    // SAFETY: the caller vouches for a pair in every row and tile.
    let mut weights = [unsafe { s.load_weights::<STEP>(tiles[0]) }; T];
    for t in 1..T {
        // SAFETY: as above.
        weights[t] = unsafe { s.load_weights::<STEP>(tiles[t]) };
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        // SAFETY: as above.
        let a = unsafe { s.splat_row::<STEP>(row.add(r * Dot::<P>::row_step::<S>())) };
        for t in 0..T {
            sums[t] = s.dot_step(sums[t], a, weights[t]);
        }
    }
}

/// Where the chains start: at zero, or where they stopped.
#[inline(always)]
unsafe fn first_sums<S: Simd, const P: usize, const T: usize, const R: usize>(
    s: S,
    d: Dot<'_, P>,
) -> [[S::F; T]; R] {
    let mut sums = [[s.splat(0.0); T]; R];
    if d.continues {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (t, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller vouches for 16 floats per row and tile.
                *sum = s.load(unsafe { &*d.out.add(r * d.out_stride + t * LANES).cast::<[f32; LANES]>() });
            }
        }
    }
    sums
}

/// How far ahead a stream that is read once asks: 2 KiB. The hardware's own prefetcher stops at page boundaries.
pub(crate) const STREAM_AHEAD: usize = 512;

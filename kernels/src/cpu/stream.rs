//! The dot loop of a few rows with memory that is read once: keys and values in decode. One pass reads whole lines in the order in
//! which they lie, and asks for those of the next pass meanwhile.
//!
//! Compared with [`super::dot`], tiles lie side by side (one pointer), more of them fit into a pass, and what comes next need
//! not lie behind what is read. The chains are the same.

use super::dot::fits;
use super::simd::{Kernel, LANES, Simd};

/// Rows that one pass keeps in registers, at most.
const MAX_ROWS: usize = 6;

/// A stretch of the chain.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// First word of the first tile.
    pub(crate) words: *const u32,
    /// What is asked for while this part is read, of the same shape; any address is allowed.
    pub(crate) next: *const u32,
}

/// Operands of [`stream`].
#[derive(Clone, Copy)]
pub(crate) struct Stream<'a> {
    /// First pair of the first row; each pair takes [`Simd::ROW_WORDS`] words.
    pub(crate) rows: *const u32,
    /// Words between rows.
    pub(crate) row_step: usize,
    /// Words between a row's pairs.
    pub(crate) pair_step: usize,
    /// Number of rows.
    pub(crate) num_rows: usize,
    /// Stretches, in the order of the chain; a row's pairs are at equal distances over all of them.
    pub(crate) parts: &'a [Part],
    /// Pairs in each part.
    pub(crate) pairs: usize,
    /// Pairs of each part's `next` that were asked for before.
    pub(crate) asked: usize,
    /// Words between pairs; tile `t` of a pair is `16 t` words behind the first.
    pub(crate) pair_stride: usize,
    /// Number of tiles.
    pub(crate) num_tiles: usize,
    /// Result of row r, tile t, lane l: `out[r * out_stride + t * 16 + l]`, overwritten.
    pub(crate) out: *mut f32,
    /// Floats between result rows.
    pub(crate) out_stride: usize,
}

/// So few rows are better off with [`stream`] than with [`super::dot::dot`]: their sums stay in registers.
#[inline(always)]
pub(crate) fn suits<S: Simd>(rows: usize) -> bool {
    rows <= MAX_ROWS.min(S::DOT_ROWS)
}

/// Asks for the lines of some words.
#[inline(always)]
pub(crate) fn ask<S: Simd>(s: S, from: *const u32, words: usize) {
    for word in (0..words).step_by(LANES) {
        s.prefetch_l2(from.wrapping_add(word));
    }
}

/// Multiplies all rows with all tiles.
///
/// # Safety
/// The rows [suit](suits). All pointers of `d` but `next` are valid for the extents it states, and nothing else writes `out`
/// meanwhile.
#[inline(always)]
pub(crate) unsafe fn stream<S: Simd>(s: S, d: Stream<'_>) {
    s.vectorize(Passes(d));
}

/// A product whose caller vouches for its pointers, as [`stream`] demands.
struct Passes<'a>(Stream<'a>);

impl Kernel for Passes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let d = self.0;
        // SAFETY: the caller of `stream` vouches for it.
        unsafe {
            match d.num_rows {
                1 => passes::<S, 1>(s, d),
                2 => passes::<S, 2>(s, d),
                3 if S::DOT_ROWS >= 3 => passes::<S, 3>(s, d),
                4 if S::DOT_ROWS >= 4 => passes::<S, 4>(s, d),
                5 if S::DOT_ROWS >= 5 => passes::<S, 5>(s, d),
                6 if S::DOT_ROWS >= 6 => passes::<S, 6>(s, d),
                rows => unreachable!("{rows} rows do not suit"),
            }
        }
    }
}

/// Passes of as many tiles as registers hold.
#[inline(always)]
unsafe fn passes<S: Simd, const R: usize>(s: S, d: Stream<'_>) {
    let fits = |tiles: usize, left: usize| tiles <= left && fits::<S>(R, tiles);
    let mut tile = 0;
    while tile < d.num_tiles {
        let left = d.num_tiles - tile;
        // SAFETY: passed on; tiles of the pass exist.
        tile += unsafe {
            if fits(8, left) {
                pass::<S, R, 8>(s, d, tile)
            } else if fits(4, left) {
                pass::<S, R, 4>(s, d, tile)
            } else if fits(2, left) {
                pass::<S, R, 2>(s, d, tile)
            } else {
                pass::<S, R, 1>(s, d, tile)
            }
        };
    }
}

/// Multiplies `T` tiles from `first` on; returns `T`.
#[inline(always)]
unsafe fn pass<S: Simd, const R: usize, const T: usize>(s: S, d: Stream<'_>, first: usize) -> usize {
    let mut sums = [[s.splat(0.0); T]; R];
    let mut row = d.rows;
    for part in d.parts {
        let (mut words, mut next) =
            (part.words.wrapping_add(first * LANES), part.next.wrapping_add(first * LANES));
        for pair in 0..d.pairs {
            if pair >= d.asked {
                for t in 0..T {
                    s.prefetch_l2(next.wrapping_add(t * LANES));
                }
            }
            // SAFETY: the caller vouches for a pair in every row and tile.
            unsafe {
                step::<S, R, T, 0>(s, d, row, words, &mut sums);
                if S::STEPS == 2 {
                    step::<S, R, T, 1>(s, d, row, words, &mut sums);
                }
            }
            row = row.wrapping_add(d.pair_step);
            words = words.wrapping_add(d.pair_stride);
            next = next.wrapping_add(d.pair_stride);
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (t, sum) in sums.iter().enumerate() {
            // SAFETY: the caller vouches for 16 floats per row and tile.
            unsafe { s.store(*sum, &mut *d.out.add(r * d.out_stride + (first + t) * LANES).cast()) };
        }
    }
    T
}

/// One step of a pair of all rows and `T` tiles.
#[inline(always)]
unsafe fn step<S: Simd, const R: usize, const T: usize, const STEP: usize>(
    s: S,
    d: Stream<'_>,
    row: *const u32,
    words: *const u32,
    sums: &mut [[S::F; T]; R],
) {
    // SAFETY: the caller vouches for the rows.
    let mut operands = [unsafe { s.splat_row::<STEP>(row) }; R];
    for (r, operand) in operands.iter_mut().enumerate().skip(1) {
        // SAFETY: as above.
        *operand = unsafe { s.splat_row::<STEP>(row.add(r * d.row_step)) };
    }
    for t in 0..T {
        // SAFETY: the caller vouches for the tiles.
        let weights = unsafe { s.load_weights::<STEP>(words.add(t * LANES)) };
        for (sums, operand) in sums.iter_mut().zip(operands) {
            sums[t] = s.dot_step(sums[t], operand, weights);
        }
    }
}

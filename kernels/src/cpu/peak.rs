//! The most that the dot loop of an instruction set does.

use super::buffer::Aligned;
use super::dot::{Dot, MAX_TILES, PANELS, Segment, dot};
use super::simd::{Kernel, LANES, Simd};

/// Rows: a multiple of every path's register block.
const ROWS: usize = 12;
/// Pairs: tiles and rows stay in the first-level cache.
const PAIRS: usize = 96;

/// Multiplies operands that stay in the first-level cache, again and again.
pub(crate) struct Peak {
    pub(crate) repeats: usize,
}

impl Peak {
    /// Multiplications and additions of one repeat.
    pub(crate) const FLOPS: usize = 2 * ROWS * PAIRS * 2 * MAX_TILES * LANES;
}

impl Kernel for Peak {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        // 1.0, alone or in a pair with 0.0.
        let one = 1f32.to_bits();
        let rows = Aligned::<u32>::from_slice(&vec![one; ROWS * PAIRS * S::ROW_WORDS]);
        let tiles = Aligned::<u32>::from_slice(&[one; MAX_TILES * PAIRS * LANES]);
        let mut out = Aligned::<f32>::zeroed(ROWS * MAX_TILES * LANES);
        let segment =
            Segment { tiles: std::array::from_fn(|t| tiles[t * PAIRS * LANES..].as_ptr()), pairs: PAIRS };
        for _ in 0..self.repeats {
            let d = Dot::<PANELS> {
                rows: std::hint::black_box(rows.as_ptr()),
                row_words: PAIRS * S::ROW_WORDS,
                first_pair: 0,
                num_rows: ROWS,
                segments: &[segment],
                num_tiles: MAX_TILES,
                pair_stride: LANES,
                out: out.as_mut_ptr(),
                out_stride: MAX_TILES * LANES,
                continues: false,
                ahead: 0,
            };
            // SAFETY: the three buffers have just these extents.
            unsafe { dot(s, d) }
        }
        out[0]
    }
}

//! Rows of operands in the form in which the dot loop of an instruction set reads them: in panels.
//!
//! A panel is a register block's rows side by side: a pair of each row, then the next pair of each (what BLIS calls a packed micro-panel
//! of A; Van Zee and van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", 2015). One pointer
//! reaches all rows then, at constant distances, and rows whose length is a multiple of a page do not push each other out of the
//! first-level cache.

use super::buffer::Disjoint;
use super::isa::Path;
use super::pool::Pool;
use super::simd::{Kernel, Simd};

/// Rows that are multiplied as one product: panels are laid out in blocks of so many rows. A multiple of every path's panel.
pub(crate) const ROW_BLOCK: usize = 48;
/// Pairs of a cache line: so many of all rows are packed before the next, so that each line is written to while it is in the
/// first-level cache, and rows are read as streams.
const LINE_PAIRS: usize = 16;
/// Pairs of a panel that one task packs.
const TASK_PAIRS: usize = 256;

/// The panels of a product of `num_rows` rows: `(first row, rows)`, as few and as equal as possible (4 + 4 rows keep more chains in
/// flight than 6 + 2).
#[inline(always)]
pub(crate) fn panels<S: Simd>(num_rows: usize) -> impl ExactSizeIterator<Item = (usize, usize)> {
    let number = num_rows.div_ceil(S::DOT_ROWS);
    (0..number).map(move |index| {
        let (low, higher) = (num_rows / number, num_rows % number);
        (index * low + index.min(higher), low + usize::from(index < higher))
    })
}

/// Rows that were packed; kept from product to product so that a steady step allocates nothing.
#[derive(Default)]
pub(crate) struct RowOperands(Vec<u32>);

impl RowOperands {
    /// Rows of `row_stride` operands (whole pairs) each, as panels: each block of [`ROW_BLOCK`] rows on its own, [`Simd::ROW_WORDS`] for
    /// each pair.
    pub(crate) fn of(&mut self, path: Path, pool: &Pool, operands: &[u16], row_stride: usize) -> &[u32] {
        let pairs = row_stride / 2;
        let len = operands.len() / 2 * path.run(RowWords);
        if self.0.len() < len {
            self.0.resize(len, 0);
        }
        let to = Disjoint::new(&mut self.0[..len]);
        let rows = operands.len() / row_stride;
        let parts = pairs.div_ceil(TASK_PAIRS);
        pool.run(rows.div_ceil(ROW_BLOCK) * parts, |_, task| {
            let (block, part) = (task / parts, task % parts);
            let block = block * ROW_BLOCK..rows.min((block + 1) * ROW_BLOCK);
            let part = part * TASK_PAIRS..pairs.min((part + 1) * TASK_PAIRS);
            path.run(PackBlock { from: operands, row_stride, block, part, to });
        });
        &self.0[..len]
    }
}

/// [`Simd::ROW_WORDS`] of a path.
struct RowWords;

impl Kernel for RowWords {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::ROW_WORDS
    }
}

/// Packs some pairs of a block of rows.
struct PackBlock<'a> {
    from: &'a [u16],
    row_stride: usize,
    block: std::ops::Range<usize>,
    part: std::ops::Range<usize>,
    to: Disjoint<'a, u32>,
}

impl Kernel for PackBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let row_words = self.row_stride / 2 * S::ROW_WORDS;
        for (first, rows) in panels::<S>(self.block.len()) {
            let first = self.block.start + first;
            let words = rows * S::ROW_WORDS;
            let start = first * row_words + self.part.start * words;
            // SAFETY: each task has its own pairs of its own rows.
            let to = unsafe { self.to.part(start, self.part.len() * words) };
            for (line, to) in to.chunks_mut(LINE_PAIRS * words).enumerate() {
                let start = 2 * (self.part.start + line * LINE_PAIRS);
                for row in 0..rows {
                    let from =
                        &self.from[(first + row) * self.row_stride..][start..start + 2 * to.len() / words];
                    pack_row(s, from, row, rows, to);
                }
            }
        }
    }
}

/// Copies operands, whole pairs, to row `row` of a panel of `rows` rows.
#[inline(always)]
pub(crate) fn pack_row<S: Simd>(_: S, from: &[u16], row: usize, rows: usize, panel: &mut [u32]) {
    let pairs = from.as_chunks::<2>().0;
    if S::ROW_WORDS == 1 {
        for (to, &[even, odd]) in panel[row..].iter_mut().step_by(rows).zip(pairs) {
            *to = u32::from(odd) << 16 | u32::from(even);
        }
    } else {
        let panel = &mut panel.as_chunks_mut::<2>().0[row..];
        for (to, &[even, odd]) in panel.iter_mut().step_by(rows).zip(pairs) {
            *to = [u32::from(even) << 16, u32::from(odd) << 16];
        }
    }
}

//! Rows of operands in the form in which the dot loop of an instruction set reads them.

use super::buffer::Disjoint;
use super::isa::Path;
use super::pool::Pool;
use super::simd::{Kernel, LANES, Simd};

/// Pairs of a vector.
const VECTOR_PAIRS: usize = LANES / 2;
/// Words of a pair, at most.
const MAX_ROW_WORDS: usize = 2;
/// Elements that one task widens.
const TASK_ELEMENTS: usize = 1 << 14;

/// Rows that were widened, or nothing where the loop takes them as they are.
#[derive(Default)]
pub(crate) struct RowOperands(Vec<u32>);

impl RowOperands {
    /// `operands`, whole pairs, as words: [`Simd::ROW_WORDS`] for each pair.
    pub(crate) fn of<'a>(&'a mut self, path: Path, pool: &Pool, operands: &'a [u16]) -> &'a [u32] {
        let words = path.run(RowWords);
        if words == 1 {
            return bytemuck::cast_slice(operands);
        }
        let len = operands.len() / 2 * words;
        if self.0.len() < len {
            self.0.resize(len, 0);
        }
        let output = Disjoint::new(&mut self.0[..len]);
        pool.run(operands.len().div_ceil(TASK_ELEMENTS), |_, task| {
            let first = task * TASK_ELEMENTS;
            let from = &operands[first..operands.len().min(first + TASK_ELEMENTS)];
            // SAFETY: each task has its own part.
            let to = unsafe { output.part(first / 2 * words, from.len() / 2 * words) };
            path.run(StoreRows { from, to });
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

/// Copies operands to where the dot loop reads them.
struct StoreRows<'a> {
    from: &'a [u16],
    to: &'a mut [u32],
}

impl Kernel for StoreRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        store_rows(s, self.from, self.to);
    }
}

/// Copies whole pairs of operands to where the dot loop reads them.
#[inline(always)]
pub(crate) fn store_rows<S: Simd>(s: S, from: &[u16], to: &mut [u32]) {
    let (vectors, rest) = from.as_chunks::<LANES>();
    let (parts, last) =
        to[..from.len() / 2 * S::ROW_WORDS].split_at_mut(vectors.len() * VECTOR_PAIRS * S::ROW_WORDS);
    for (from, to) in vectors.iter().zip(parts.chunks_exact_mut(VECTOR_PAIRS * S::ROW_WORDS)) {
        s.store_row(from, to);
    }
    if !rest.is_empty() {
        let (mut operands, mut words) = ([0; LANES], [0; VECTOR_PAIRS * MAX_ROW_WORDS]);
        operands[..rest.len()].copy_from_slice(rest);
        s.store_row(&operands, &mut words);
        last.copy_from_slice(&words[..last.len()]);
    }
}

//! Shadow memory: who touched which bytes last.
//!
//! A page covers [`PAGE_BYTES`] bytes, in cells of 4 bytes at first; the first access that is narrower splits the cells
//! of its page. Pages are made when they are touched.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes of a page.
const PAGE_BYTES: u64 = 1024;

/// A thread at an instruction at a time. Clock 0: nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Linear index of the block.
    pub(super) block: u32,
    /// The warp's clock.
    pub(super) clock: u32,
    pub(super) pc: u32,
    pub(super) warp: u8,
    pub(super) lane: u8,
    /// Atomic, `.volatile` or ordered.
    pub(super) is_strong: bool,
}

impl Mark {
    pub(super) fn is_set(&self) -> bool {
        self.clock != 0
    }

    fn is_same_thread(&self, other: &Mark) -> bool {
        (self.block, self.warp, self.lane) == (other.block, other.warp, other.lane)
    }
}

/// Some bytes: their last writer and two of the readers since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub(super) write: Mark,
    pub(super) reads: [Mark; 2],
}

impl Cell {
    /// Remembers a reader; `is_before` says whether an earlier one is ordered before it and need not be kept.
    pub(super) fn add_reader(&mut self, now: Mark, mut is_before: impl FnMut(&Mark) -> bool) {
        let [first, second] = self.reads;
        let mut gone = |mark: &Mark| {
            !mark.is_set() || mark.is_same_thread(&now) && mark.is_strong == now.is_strong || is_before(mark)
        };
        match (gone(&first), gone(&second)) {
            (true, true) => self.reads = [now, Mark::default()],
            (true, false) => self.reads[0] = now,
            (false, true) => self.reads[1] = now,
            (false, false) => {
                let place = |mark: &Mark| (mark.block, mark.warp);
                let alike = if first.block == second.block { first.block != now.block } else { false };
                if place(&first) == place(&second) && place(&now) != place(&first) || alike {
                    self.reads[1] = now;
                }
            }
        }
    }

    /// Whether what is remembered is of another block.
    pub(super) fn is_of_another_block(&self, block: u32) -> bool {
        let is_other = |mark: &Mark| mark.is_set() && mark.block != block;
        is_other(&self.write) || is_other(&self.reads[0])
    }

    /// Remembers a writer; the readers before it need not be kept.
    pub(super) fn set_writer(&mut self, now: Mark) {
        *self = Cell { write: now, ..Cell::default() };
    }
}

#[derive(Debug)]
struct Page {
    /// Binary logarithm of the bytes of a cell.
    shift: u32,
    cells: Vec<Cell>,
}

impl Page {
    fn split(&mut self, shift: u32) {
        let copies = 1 << (self.shift - shift);
        self.cells = self.cells.iter().flat_map(|cell| std::iter::repeat_n(*cell, copies)).collect();
        self.shift = shift;
    }
}

/// Page numbers are hashed by one multiplication.
#[derive(Debug, Default)]
pub(super) struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte) ^ self.0);
        }
    }
    fn write_u64(&mut self, number: u64) {
        let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product >> 32;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pages: Vec<Page>,
    numbers: HashMap<u64, usize, BuildHasherDefault<PageHasher>>,
    /// The page used last: its number plus one, and its index.
    last: (u64, usize),
}

impl Shadow {
    /// The cells of a range that is aligned to its size, 1 to 16 bytes.
    #[inline]
    pub(super) fn cells(&mut self, address: u64, bytes: u32) -> &mut [Cell] {
        let number = address / PAGE_BYTES;
        if self.last.0 != number + 1 {
            self.last = (number + 1, self.page(number));
        }
        let page = &mut self.pages[self.last.1];
        if bytes >> page.shift == 0 {
            page.split(bytes.trailing_zeros());
        }
        let first = (address % PAGE_BYTES) as usize >> page.shift;
        &mut page.cells[first..first + (bytes as usize >> page.shift)]
    }

    fn page(&mut self, number: u64) -> usize {
        let (pages, fresh) = (&mut self.pages, self.numbers.len());
        *self.numbers.entry(number).or_insert_with(|| {
            let cells = vec![Cell::default(); PAGE_BYTES as usize / 4];
            pages.push(Page { shift: 2, cells });
            fresh
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(warp: u8, lane: u8) -> Mark {
        Mark { clock: 1, warp, lane, ..Mark::default() }
    }

    #[test]
    fn narrow_accesses_split_a_page_and_keep_what_was_there() {
        let mut shadow = Shadow::default();
        shadow.cells(1024, 16).iter_mut().for_each(|cell| cell.set_writer(mark(3, 4)));
        assert_eq!(shadow.cells(1024, 16).len(), 4);
        shadow.cells(1026, 2)[0].set_writer(mark(1, 2));
        let writers: Vec<u8> = shadow.cells(1024, 8).iter().map(|cell| cell.write.warp).collect();
        assert_eq!(writers, [3, 1, 3, 3]);
        assert_eq!(shadow.cells(1027, 1)[0].write, mark(1, 2));
        assert!(!shadow.cells(2048, 4)[0].write.is_set());
    }

    #[test]
    fn readers_of_different_warps_are_kept() {
        let mut cell = Cell::default();
        for reader in [mark(0, 0), mark(0, 1), mark(0, 2), mark(5, 0), mark(6, 0)] {
            cell.add_reader(reader, |_| false);
        }
        assert_eq!(cell.reads, [mark(0, 0), mark(5, 0)]);
        cell.add_reader(mark(7, 7), |_| true);
        assert_eq!(cell.reads, [mark(7, 7), Mark::default()]);
    }
}

//! Which bytes of an allocation have ever been written: one bit a byte, kept only where a sanitizer asks for it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::DeviceMemory;

/// Bits of one allocation. Reads and marks may come from several threads; a mark is never taken back.
#[derive(Debug)]
pub struct Written {
    words: Box<[AtomicU64]>,
}

/// The bits of `[from, to)` that lie in word `word`.
fn bits_in(word: u64, from: u64, to: u64) -> u64 {
    let start = word * 64;
    let (low, high) = (from.max(start) - start, to.min(start + 64) - start);
    if high - low == 64 { u64::MAX } else { ((1 << (high - low)) - 1) << low }
}

impl Written {
    /// `bytes` bytes, none of them written.
    pub fn new(bytes: u64) -> Self {
        Self { words: (0..bytes.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The words that hold bits of `[from, to)`, with those bits.
    fn spread(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &AtomicU64, u64)> {
        let end = if from < to { to.div_ceil(64).min(self.words.len() as u64) } else { from / 64 };
        (from / 64..end).map(move |word| (word, &self.words[word as usize], bits_in(word, from, to)))
    }

    /// Marks `bytes` bytes from offset `from`.
    pub fn mark(&self, from: u64, bytes: u64) {
        for (_, word, bits) in self.spread(from, from + bytes) {
            if bits == u64::MAX {
                word.store(bits, Ordering::Relaxed);
            } else if word.load(Ordering::Relaxed) & bits != bits {
                word.fetch_or(bits, Ordering::Relaxed);
            }
        }
    }

    /// The offset of the first byte of the range that was never written.
    pub fn first_unwritten(&self, from: u64, bytes: u64) -> Option<u64> {
        self.spread(from, from + bytes).find_map(|(index, word, bits)| {
            let missing = bits & !word.load(Ordering::Relaxed);
            (missing != 0).then(|| index * 64 + u64::from(missing.trailing_zeros()))
        })
    }

    /// Takes the mark of each byte of a range over from another allocation's, or from another range of the same.
    pub fn copy_from(&self, to: u64, other: &Written, from: u64, bytes: u64) {
        let was: Vec<bool> = (from..from + bytes).map(|at| other.first_unwritten(at, 1).is_none()).collect();
        for (at, is_written) in (to..).zip(was) {
            if is_written {
                self.mark(at, 1);
            } else if let Some(word) = self.words.get(at as usize / 64) {
                word.fetch_and(!(1 << (at % 64)), Ordering::Relaxed);
            }
        }
    }

    /// Whether nothing of the range is missing, asked quickly.
    pub fn is_whole(&self, from: u64, bytes: u64) -> bool {
        self.first_unwritten(from, bytes).is_none()
    }
}

impl DeviceMemory {
    /// Notes that bytes were written by other means than [`DeviceMemory::write`].
    pub fn mark_written(&self, address: u64, bytes: u64) {
        if self.is_watched
            && let Some((start, written)) = self.snapshot().written(address)
        {
            written.mark(address - start, bytes);
        }
    }

    /// Notes that bytes were copied: what was never written at the source is not written at the target either.
    pub fn copy_written(&self, to: u64, from: u64, bytes: u64) {
        if !self.is_watched {
            return;
        }
        let snapshot = self.snapshot();
        let source = snapshot.written(from).filter(|_| snapshot.contains(from, bytes));
        match (snapshot.written(to).filter(|_| snapshot.contains(to, bytes)), source) {
            (Some((start, target)), Some((from_start, source)))
                if !source.is_whole(from - from_start, bytes) =>
            {
                target.copy_from(to - start, source, from - from_start, bytes);
            }
            (Some((start, target)), _) => target.mark(to - start, bytes),
            (None, _) => {}
        }
    }

    /// The address of the first byte of a range that was never written, where that is known.
    pub fn first_unwritten(&self, address: u64, bytes: u64) -> Option<u64> {
        if !self.is_watched {
            return None;
        }
        let snapshot = self.snapshot();
        let (start, written) = snapshot.written(address).filter(|_| snapshot.contains(address, bytes))?;
        written.first_unwritten(address - start, bytes).map(|offset| start + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_once_marked() {
        let written = Written::new(300);
        assert_eq!(written.first_unwritten(10, 4), Some(10));
        written.mark(10, 200);
        assert!(written.is_whole(10, 200) && written.is_whole(64, 64) && written.is_whole(5, 0));
        assert_eq!(written.first_unwritten(10, 201), Some(210));
        assert_eq!(written.first_unwritten(0, 300), Some(0));
        let other = Written::new(300);
        other.mark(0, 300);
        other.copy_from(100, &written, 200, 20);
        assert_eq!(other.first_unwritten(0, 300), Some(110));
        assert!(other.is_whole(0, 110) && other.is_whole(120, 180));
    }
}

//! The heap of a kernel's `malloc` and `free`: one allocation of the device, given out in pieces.
//!
//! Pieces are given out behind the one given out last, and from the start again where the end is reached: memory that was freed
//! is used again as late as possible, so that its late users are more likely to be seen. Pieces have no bounds of their own.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::block::ALIGNMENT;
use super::{DeviceMemory, Kind, MemoryError};

/// Addresses and sizes of pieces are multiples of this, as CUDA promises.
const UNIT: u64 = 16;
/// Bytes where nobody asks for another size (CU_LIMIT_MALLOC_HEAP_SIZE).
pub(super) const DEFAULT_BYTES: u64 = 8 << 20;

/// See the module.
#[derive(Debug)]
pub struct Heap {
    pieces: Mutex<Pieces>,
}

#[derive(Debug)]
struct Pieces {
    /// Start and size of each free range; no two touch.
    free: BTreeMap<u64, u64>,
    live: BTreeMap<u64, u64>,
    next: u64,
}

impl Heap {
    pub(super) fn new(start: u64, bytes: u64) -> Self {
        let free = BTreeMap::from([(start, bytes)]);
        Self { pieces: Mutex::new(Pieces { free, live: BTreeMap::new(), next: start }) }
    }

    /// A piece; `None` where there is no room.
    pub fn allocate(&self, bytes: u64) -> Option<u64> {
        let bytes = bytes.max(1).checked_next_multiple_of(UNIT)?;
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).allocate(bytes)
    }

    /// Takes back the piece that starts at `address`; whether there was one.
    pub fn free(&self, address: u64) -> bool {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).free(address)
    }
}

impl Pieces {
    fn allocate(&mut self, bytes: u64) -> Option<u64> {
        let fits = |(_, room): &(&u64, &u64)| **room >= bytes;
        let behind = self.free.range(self.next..).find(fits);
        let (&start, &room) = behind.or_else(|| self.free.iter().find(fits))?;
        self.free.remove(&start);
        if room > bytes {
            self.free.insert(start + bytes, room - bytes);
        }
        self.live.insert(start, bytes);
        self.next = start + bytes;
        Some(start)
    }

    fn free(&mut self, address: u64) -> bool {
        let Some(mut bytes) = self.live.remove(&address) else { return false };
        let mut start = address;
        if let Some(room) = self.free.remove(&(address + bytes)) {
            bytes += room;
        }
        if let Some((&before, &room)) = self.free.range(..address).next_back()
            && before + room == address
        {
            (start, bytes) = (before, bytes + room);
        }
        self.free.insert(start, bytes);
        true
    }
}

impl DeviceMemory {
    /// Says how large the heap will be, if it is not there yet.
    pub fn set_heap_bytes(&self, bytes: u64) {
        self.heap_bytes.store(bytes.max(1), Ordering::Relaxed);
    }

    /// The heap of kernels; made by the first call.
    ///
    /// # Errors
    /// [`MemoryError::OutOfMemory`]
    pub fn heap(&self) -> Result<Arc<Heap>, MemoryError> {
        let mut made = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heap) = made.as_ref() {
            return Ok(Arc::clone(heap));
        }
        let bytes = self.heap_bytes.load(Ordering::Relaxed).next_multiple_of(ALIGNMENT as u64);
        let heap = Arc::new(Heap::new(self.allocate(bytes, Kind::Device)?, bytes));
        *made = Some(Arc::clone(&heap));
        Ok(heap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_never_overlap_and_all_come_back(asked in prop::collection::vec((1..300_u64, any::<bool>()), 1..60)) {
            let (start, size) = (4096, 2048);
            let heap = Heap::new(start, size);
            let mut live: Vec<(u64, u64)> = Vec::new();
            for (bytes, frees) in asked {
                if frees && !live.is_empty() {
                    let (address, _) = live.swap_remove(bytes as usize % live.len());
                    prop_assert!(heap.free(address));
                    prop_assert!(!heap.free(address), "twice");
                } else if let Some(address) = heap.allocate(bytes) {
                    prop_assert_eq!(address % UNIT, 0);
                    prop_assert!(start <= address && address + bytes <= start + size);
                    prop_assert!(live.iter().all(|(other, size)| address + bytes <= *other || other + size <= address));
                    live.push((address, bytes));
                }
            }
            live.iter().for_each(|(address, _)| assert!(heap.free(*address)));
            prop_assert_eq!(heap.allocate(size), Some(start), "in one piece again");
            prop_assert_eq!(heap.allocate(1), None);
        }
    }
}

//! One allocation of host memory.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};

use super::Fill;

/// How every allocation is aligned, in bytes: the granularity in which hardware divides its pages among small ones.
pub(super) const ALIGNMENT: usize = 512;
/// From this size on an allocation has pages of its own.
const PAGED_FROM: u64 = 1 << 20;
/// A page of a device. Programs rely on the alignment of large allocations (Taichi takes 4 KiB for granted).
const PAGE: usize = 2 << 20;

/// Memory that is given back when the last owner lets go.
#[derive(Debug)]
pub(super) struct HostBlock {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: the block owns its memory and has no thread-bound state; who may touch the bytes is decided by its users.
unsafe impl Send for HostBlock {}
// SAFETY: no method gives a reference to the bytes.
unsafe impl Sync for HostBlock {}

impl HostBlock {
    /// Allocates `bytes`; `None` where the host has not so much.
    pub(super) fn new(bytes: u64, fill: Fill) -> Option<Self> {
        let alignment = if bytes >= PAGED_FROM { PAGE } else { ALIGNMENT };
        let layout = Layout::from_size_align(usize::try_from(bytes).ok()?.max(1), alignment).ok()?;
        let start = match fill {
            // SAFETY: the layout's size is not zero.
            Fill::Zeros => unsafe { alloc_zeroed(layout) },
            // SAFETY: the layout's size is not zero.
            Fill::Pattern(_) => unsafe { alloc(layout) },
        };
        if start.is_null() {
            return None;
        }
        if let Fill::Pattern(byte) = fill {
            // SAFETY: `start` is valid for writes of the layout's size and nobody else knows it yet.
            unsafe { start.write_bytes(byte, layout.size()) };
        }
        Some(Self { start, layout })
    }

    pub(super) fn address(&self) -> u64 {
        self.start as u64
    }
}

impl Drop for HostBlock {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc` with this layout and is freed once.
        unsafe { dealloc(self.start, self.layout) };
    }
}

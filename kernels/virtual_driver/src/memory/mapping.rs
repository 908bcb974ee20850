//! Addresses and memory kept apart: reserved addresses, physical memory, and mappings of one to the other.
//!
//! Physical memory is an anonymous file, so the same bytes can be mapped more than once and handed to other processes.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::Fill;

/// What sizes and addresses of mappings are multiples of, in bytes.
pub const GRANULARITY: u64 = 2 << 20;

/// Reserved addresses with nothing behind them; given back when the last mapping in them is gone.
#[derive(Debug)]
pub struct Reservation {
    /// First address.
    pub start: u64,
    /// Size in bytes.
    pub bytes: u64,
    whole_start: u64,
    whole_bytes: u64,
}

impl Reservation {
    /// Reserves `bytes` addresses that begin at a multiple of `alignment`, a power of two; `None` where there are not so
    /// many.
    pub fn new(bytes: u64, alignment: u64) -> Option<Self> {
        let whole_bytes = bytes.checked_add(alignment)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let length = usize::try_from(whole_bytes).ok()?;
        // SAFETY: a new mapping at an address of the system's choice disturbs nobody.
        let place = unsafe { mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::empty(), flags) };
        let whole_start = place.ok()? as u64;
        Some(Self { start: whole_start.next_multiple_of(alignment), bytes, whole_start, whole_bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the addresses are ours and no mapping in them is left, since each holds the reservation.
        let _ = unsafe { munmap(self.whole_start as *mut _, self.whole_bytes as usize) };
    }
}

/// Memory without an address.
#[derive(Debug)]
pub struct Physical {
    file: File,
    /// Size in bytes.
    pub bytes: u64,
}

impl Physical {
    /// Allocates; `None` where the host has not so much.
    pub fn new(bytes: u64, fill: Fill) -> Option<Self> {
        let file = File::from(memfd_create("virtual-gpu-memory", MemfdFlags::CLOEXEC).ok()?);
        file.set_len(bytes).ok()?;
        if let Fill::Pattern(byte) = fill {
            let piece = vec![byte; GRANULARITY.min(bytes) as usize];
            for at in (0..bytes).step_by(piece.len().max(1)) {
                let length = (bytes - at).min(piece.len() as u64) as usize;
                file.write_all_at(&piece[..length], at).ok()?;
            }
        }
        Some(Self { file, bytes })
    }

    /// Memory that another process made; `None` where the file is none.
    pub fn from_shared(file: OwnedFd) -> Option<Self> {
        let file = File::from(file);
        let bytes = file.metadata().ok().map(|metadata| metadata.len())?;
        (bytes > 0 && bytes.is_multiple_of(GRANULARITY)).then_some(Self { file, bytes })
    }

    /// A file by which another process can have the memory.
    pub fn share(&self) -> Option<OwnedFd> {
        self.file.try_clone().ok().map(OwnedFd::from)
    }
}

/// Physical memory at reserved addresses.
#[derive(Debug)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Size in bytes.
    pub bytes: u64,
    _reservation: Arc<Reservation>,
}

impl Mapping {
    /// Maps the first `bytes` of physical memory at `start`, which nothing else is mapped to; `None` where the range is
    /// not inside the reservation or the memory is shorter.
    pub fn new(reservation: &Arc<Reservation>, start: u64, bytes: u64, physical: &Physical) -> Option<Self> {
        let offset = start.checked_sub(reservation.start)?;
        if bytes > physical.bytes || offset.checked_add(bytes)? > reservation.bytes {
            return None;
        }
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the range lies in our reservation, and no Rust object lives there.
        unsafe { mmap(start as *mut _, bytes as usize, protection, flags, &physical.file, 0) }.ok()?;
        Some(Self { start, bytes, _reservation: Arc::clone(reservation) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: the range is ours and nobody holds the mapping any more; it becomes a reservation again.
        let _ =
            unsafe { mmap_anonymous(self.start as *mut _, self.bytes as usize, ProtFlags::empty(), flags) };
    }
}

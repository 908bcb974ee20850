//! The table of live ranges: allocate, free, register, look up, copy.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::block::{ALIGNMENT, HostBlock};
use super::freed::Quarantine;
use super::snapshot::Range;
use super::{Bounds, Freed, Heap, Mapping, Snapshot, Written, heap};

/// What fresh memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Zeros.
    Zeros,
    /// One byte, everywhere.
    Pattern(u8),
}

impl Default for Fill {
    fn default() -> Self {
        Fill::Pattern(0xCD)
    }
}

/// Whose memory a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Device memory.
    Device,
    /// Pinned host memory that we allocated.
    Host,
    /// Managed memory.
    Managed,
    /// Host memory of the program, registered.
    Registered,
    /// Physical memory mapped to reserved addresses; ranges that touch count as one.
    Mapped,
}

/// A live range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Whose it is.
    pub kind: Kind,
}

/// Why memory cannot be had, freed or touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The device is full.
    #[error("{asked} bytes asked for, {free} of {limit} are free")]
    OutOfMemory {
        /// Bytes asked for.
        asked: u64,
        /// Bytes free.
        free: u64,
        /// Bytes of the device.
        limit: u64,
    },
    /// Nothing starts at this address.
    #[error("0x{0:x} is not the start of a live allocation (freed already, or never allocated)")]
    NotAnAllocation(u64),
    /// A range is not wholly inside one live allocation.
    #[error("{bytes} bytes at 0x{address:x} are not inside one live allocation")]
    OutOfBounds {
        /// First address.
        address: u64,
        /// Size.
        bytes: u64,
    },
    /// A registration overlaps a live range.
    #[error("{bytes} bytes at 0x{address:x} overlap a live allocation")]
    Overlap {
        /// First address.
        address: u64,
        /// Size.
        bytes: u64,
    },
}

/// What holds a range's memory.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "held, so that the memory stays; never looked at")]
pub(super) enum Backing {
    /// An allocation of ours.
    Block(Arc<HostBlock>),
    /// A mapping.
    Mapping(Arc<Mapping>),
    /// The program itself.
    Program,
}

impl Backing {
    fn is_block(&self) -> bool {
        matches!(self, Backing::Block(_))
    }

    fn into_block(self) -> Option<Arc<HostBlock>> {
        match self {
            Backing::Block(block) => Some(block),
            Backing::Mapping(_) | Backing::Program => None,
        }
    }
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    kind: Kind,
    backing: Backing,
    written: Option<Arc<Written>>,
}

#[derive(Debug, Default)]
struct Table {
    live: BTreeMap<u64, Entry>,
    device_bytes: u64,
    snapshot: Option<Snapshot>,
    freed: Quarantine,
}

fn is_counted(kind: Kind) -> bool {
    matches!(kind, Kind::Device | Kind::Managed)
}

impl Table {
    fn region(&self, address: u64) -> Option<Region> {
        let (&start, entry) = self.live.range(..=address).next_back()?;
        (address - start < entry.bytes).then_some(Region { start, bytes: entry.bytes, kind: entry.kind })
    }

    /// All live ranges; mappings that touch are one.
    fn ranges(&self, has_granules: impl Fn(Kind) -> bool) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::with_capacity(self.live.len());
        let mut before = None;
        for (&start, entry) in &self.live {
            let unit = if has_granules(entry.kind) { ALIGNMENT as u64 } else { 1 };
            let (end, reach) = (start + entry.bytes, start + entry.bytes.next_multiple_of(unit));
            match ranges.last_mut() {
                Some(last)
                    if last.end == start && before == Some(Kind::Mapped) && entry.kind == Kind::Mapped =>
                {
                    (last.end, last.reach) = (end, reach);
                }
                Some(_) | None => ranges.push(Range { start, end, reach, written: entry.written.clone() }),
            }
            before = Some(entry.kind);
        }
        ranges
    }
}

/// The memory of one device.
#[derive(Debug)]
pub struct DeviceMemory {
    limit: u64,
    fill: Fill,
    bounds: Bounds,
    pub(super) is_watched: bool,
    table: RwLock<Table>,
    pub(super) heap: Mutex<Option<Arc<Heap>>>,
    pub(super) heap_bytes: AtomicU64,
}

impl DeviceMemory {
    /// A device with `limit` bytes whose fresh memory holds `fill`; bounds are exact, and nobody counts what is written.
    pub fn new(limit: u64, fill: Fill) -> Self {
        Self {
            limit,
            fill,
            bounds: Bounds::Exact,
            is_watched: false,
            table: RwLock::default(),
            heap: Mutex::default(),
            heap_bytes: AtomicU64::new(heap::DEFAULT_BYTES),
        }
    }

    /// The same with other bounds for kernels.
    #[must_use]
    pub fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The same for sanitizers: it knows which bytes of device memory were ever written, and keeps freed memory back so
    /// that its addresses are not used again at once. It costs an eighth more memory.
    #[must_use]
    pub fn watched(self) -> Self {
        Self { is_watched: true, ..self }
    }

    fn read_table(&self) -> RwLockReadGuard<'_, Table> {
        // The table is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_table(&self) -> RwLockWriteGuard<'_, Table> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.snapshot = None;
        table
    }

    /// Bytes of the device and how many of them are free.
    pub fn size_and_free(&self) -> (u64, u64) {
        (self.limit, self.limit.saturating_sub(self.read_table().device_bytes))
    }

    /// Allocates; zero bytes are allocated as one. Device and managed memory count against the limit.
    ///
    /// # Errors
    /// [`MemoryError::OutOfMemory`] where the device or the host has not so much.
    pub fn allocate(&self, bytes: u64, kind: Kind) -> Result<u64, MemoryError> {
        let counted = is_counted(kind);
        let (limit, free) = self.size_and_free();
        let full = MemoryError::OutOfMemory { asked: bytes, free, limit };
        if counted && bytes > free {
            return Err(full);
        }
        let mapped = if self.has_granules(kind) { bytes.next_multiple_of(ALIGNMENT as u64) } else { bytes };
        let block = Arc::new(HostBlock::new(mapped, self.fill).ok_or(full)?);
        // What the host writes to pinned or managed memory goes past us.
        let is_known = self.is_watched && kind == Kind::Device;
        let written = is_known.then(|| Arc::new(Written::new(bytes.max(1))));
        let address = block.address();
        let mut table = self.write_table();
        table.device_bytes += if counted { bytes } else { 0 };
        table
            .live
            .insert(address, Entry { bytes: bytes.max(1), kind, backing: Backing::Block(block), written });
        Ok(address)
    }

    fn has_granules(&self, kind: Kind) -> bool {
        self.bounds == Bounds::Granules && is_counted(kind)
    }

    /// The range around an address that was freed lately, where the memory is watched.
    pub fn find_freed(&self, address: u64) -> Option<Freed> {
        self.read_table().freed.find(address)
    }

    /// Frees the allocation (not a registration) that starts at `address`. A launch that runs keeps the memory alive until it ends.
    ///
    /// # Errors
    /// [`MemoryError::NotAnAllocation`]
    pub fn free(&self, address: u64) -> Result<Region, MemoryError> {
        self.remove(address, Backing::is_block)
    }

    fn remove(&self, address: u64, is_meant: fn(&Backing) -> bool) -> Result<Region, MemoryError> {
        let mut table = self.write_table();
        let fits = table.live.get(&address).is_some_and(|entry| is_meant(&entry.backing));
        let Some(entry) = fits.then(|| table.live.remove(&address)).flatten() else {
            return Err(MemoryError::NotAnAllocation(address));
        };
        if is_counted(entry.kind) {
            table.device_bytes = table.device_bytes.saturating_sub(entry.bytes);
        }
        let region = Region { start: address, bytes: entry.bytes, kind: entry.kind };
        if self.is_watched {
            table.freed.add(region, entry.backing.into_block());
        }
        Ok(region)
    }

    /// Makes host memory of the program reachable by kernels.
    ///
    /// # Safety
    /// The range must stay valid for reads and writes until [`DeviceMemory::unregister`] and the end of all launches that began before it.
    ///
    /// # Errors
    /// [`MemoryError::Overlap`]
    pub unsafe fn register(&self, address: u64, bytes: u64) -> Result<(), MemoryError> {
        let mut table = self.write_table();
        let end = address.saturating_add(bytes.max(1));
        let below = table.live.range(..end).next_back();
        if below.is_some_and(|(&start, entry)| start + entry.bytes > address) {
            return Err(MemoryError::Overlap { address, bytes });
        }
        table.live.insert(
            address,
            Entry { bytes: bytes.max(1), kind: Kind::Registered, backing: Backing::Program, written: None },
        );
        Ok(())
    }

    /// Takes a registration back.
    ///
    /// # Errors
    /// [`MemoryError::NotAnAllocation`]
    pub fn unregister(&self, address: u64) -> Result<Region, MemoryError> {
        self.remove(address, |backing| matches!(backing, Backing::Program))
    }

    /// Makes a mapping reachable. Its bytes are counted by whoever made the physical memory.
    pub fn map(&self, mapping: Arc<Mapping>) {
        let (start, bytes) = (mapping.start, mapping.bytes);
        let backing = Backing::Mapping(mapping);
        self.write_table().live.insert(start, Entry { bytes, kind: Kind::Mapped, backing, written: None });
    }

    /// Makes a mapping unreachable; launches that run keep it until they end.
    ///
    /// # Errors
    /// [`MemoryError::NotAnAllocation`]
    pub fn unmap(&self, address: u64) -> Result<Region, MemoryError> {
        self.remove(address, |backing| matches!(backing, Backing::Mapping(_)))
    }

    /// The live range that contains the address.
    pub fn find(&self, address: u64) -> Option<Region> {
        self.read_table().region(address)
    }

    /// All live ranges, by address.
    pub fn regions(&self) -> Vec<Region> {
        let table = self.read_table();
        table
            .live
            .iter()
            .map(|(&start, entry)| Region { start, bytes: entry.bytes, kind: entry.kind })
            .collect()
    }

    /// Checks that `bytes` from `address` lie in one live range.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`]
    pub fn check(&self, address: u64, bytes: u64) -> Result<(), MemoryError> {
        let table = self.read_table();
        let (mut at, mut left) = (address, bytes);
        while left > 0 {
            let region = table.region(at).filter(|region| at == address || region.kind == Kind::Mapped);
            let region = region.ok_or(MemoryError::OutOfBounds { address, bytes })?;
            let here = region.bytes - (at - region.start);
            if left > here && region.kind != Kind::Mapped {
                return Err(MemoryError::OutOfBounds { address, bytes });
            }
            at += here;
            left = left.saturating_sub(here);
        }
        Ok(())
    }

    /// The live ranges as they are now; cheap while nothing is allocated or freed in between.
    pub fn snapshot(&self) -> Snapshot {
        if let Some(snapshot) = &self.read_table().snapshot {
            return snapshot.clone();
        }
        let mut table = self.write_table();
        let backings = table.live.values().map(|entry| entry.backing.clone()).collect();
        let snapshot = Snapshot::new(table.ranges(|kind| self.has_granules(kind)), backings);
        table.snapshot = Some(snapshot.clone());
        snapshot
    }

    /// Copies bytes to the device.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`]
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let snapshot = self.snapshot();
        self.check_in(&snapshot, address, bytes.len() as u64)?;
        // SAFETY: the snapshot holds the whole range alive; device bytes are only touched through raw pointers.
        unsafe { std::ptr::copy(bytes.as_ptr(), address as *mut u8, bytes.len()) };
        self.mark_written(address, bytes.len() as u64);
        Ok(())
    }

    /// Copies bytes from the device.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBounds`]
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let snapshot = self.snapshot();
        self.check_in(&snapshot, address, bytes.len() as u64)?;
        // SAFETY: the snapshot holds the whole range alive; device bytes are only touched through raw pointers.
        unsafe { std::ptr::copy(address as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn check_in(&self, snapshot: &Snapshot, address: u64, bytes: u64) -> Result<(), MemoryError> {
        if bytes == 0 || snapshot.contains(address, bytes) {
            Ok(())
        } else {
            Err(MemoryError::OutOfBounds { address, bytes })
        }
    }
}

#[cfg(test)]
mod tests;

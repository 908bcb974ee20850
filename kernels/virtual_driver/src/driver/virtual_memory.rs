//! Virtual memory management: addresses are reserved, physical memory is made, one is mapped to the other, and access is
//! given. A mapping is live memory from the moment at which some device may reach it.
//!
//! As with all memory here, a device reaches whatever any device of the process reaches, and what it may read it may write.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{Error, Result};
use super::handle::{self, Handle};
use super::{Driver, driver};
use crate::memory::{Fill, GRANULARITY, Mapping, Physical, Reservation};

/// Physical memory of a device; it counts against the device until handles and mappings are gone.
#[derive(Debug)]
pub struct Memory {
    /// Its handle.
    pub handle: Handle,
    /// Number of its device.
    pub device: usize,
    /// Whether it was made to be handed to other processes.
    pub is_shareable: bool,
    /// The memory itself.
    pub physical: Physical,
    references: AtomicUsize,
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Ok(driver) = driver() {
            driver.allocations.discharge(self.device, self.physical.bytes);
        }
    }
}

#[derive(Debug)]
struct Mapped {
    bytes: u64,
    memory: Arc<Memory>,
    /// Taken out to be dropped alone, when it is unmapped.
    mapping: Arc<Mapping>,
    access: HashMap<usize, u32>,
}

impl Mapped {
    fn is_reachable(&self) -> bool {
        self.access.values().any(|flags| *flags != 0)
    }
}

/// What is reserved and mapped.
#[derive(Debug, Default)]
pub struct VirtualMemory {
    reservations: Mutex<BTreeMap<u64, Arc<Reservation>>>,
    mapped: Mutex<BTreeMap<u64, Mapped>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_size(bytes: u64) -> Result<()> {
    if bytes > 0 && bytes.is_multiple_of(GRANULARITY) { Ok(()) } else { Err(Error::InvalidValue) }
}

/// Makes physical memory of a device.
///
/// # Errors
/// `InvalidValue` for a size that is no multiple of the granularity; `OutOfMemory`.
pub fn create(driver: &Driver, device: usize, bytes: u64, is_shareable: bool) -> Result<Handle> {
    check_size(bytes)?;
    driver.allocations.charge(device, bytes)?;
    let Some(physical) = Physical::new(bytes, Fill::default()) else {
        driver.allocations.discharge(device, bytes);
        return Err(Error::OutOfMemory);
    };
    Ok(enter(driver, device, physical, is_shareable))
}

/// Takes in physical memory that another process has shared.
///
/// # Errors
/// `InvalidValue` where the file is no such memory; `OutOfMemory`.
pub fn import(driver: &Driver, device: usize, file: OwnedFd) -> Result<Handle> {
    let physical = Physical::from_shared(file).ok_or(Error::InvalidValue)?;
    driver.allocations.charge(device, physical.bytes)?;
    Ok(enter(driver, device, physical, true))
}

fn enter(driver: &Driver, device: usize, physical: Physical, is_shareable: bool) -> Handle {
    let references = AtomicUsize::new(1);
    let memory = Memory { handle: handle::fresh(), device, is_shareable, physical, references };
    let handle = memory.handle;
    driver.physical.insert(handle, Arc::new(memory));
    handle
}

/// Lets go of a handle; what is mapped stays until it is unmapped.
///
/// # Errors
/// `InvalidValue` for a handle that is none.
pub fn release(driver: &Driver, handle: Handle) -> Result<()> {
    let memory = driver.physical.get(handle).map_err(|_| Error::InvalidValue)?;
    if memory.references.fetch_sub(1, Ordering::AcqRel) == 1 {
        let _ = driver.physical.remove(handle);
    }
    Ok(())
}

impl VirtualMemory {
    /// Reserves addresses.
    ///
    /// # Errors
    /// `InvalidValue` for a size or an alignment that does not fit; `OutOfMemory`.
    pub fn reserve(&self, bytes: u64, alignment: u64) -> Result<u64> {
        check_size(bytes)?;
        let alignment = alignment.max(GRANULARITY);
        if !alignment.is_power_of_two() {
            return Err(Error::InvalidValue);
        }
        let reservation = Reservation::new(bytes, alignment).ok_or(Error::OutOfMemory)?;
        let start = reservation.start;
        lock(&self.reservations).insert(start, Arc::new(reservation));
        Ok(start)
    }

    /// Gives a whole reservation back.
    ///
    /// # Errors
    /// `InvalidValue` where no reservation is exactly this range, or something is mapped in it.
    pub fn free(&self, start: u64, bytes: u64) -> Result<()> {
        let mut reservations = lock(&self.reservations);
        let is_whole = reservations.get(&start).is_some_and(|known| known.bytes == bytes);
        let is_used = lock(&self.mapped).range(start..start.saturating_add(bytes)).next().is_some();
        if !is_whole || is_used {
            return Err(Error::InvalidValue);
        }
        reservations.remove(&start);
        Ok(())
    }

    /// Maps physical memory, for nobody yet.
    ///
    /// # Errors
    /// `InvalidValue` where the range is not reserved, not aligned, mapped already or longer than the memory.
    pub fn map(&self, start: u64, bytes: u64, memory: &Arc<Memory>) -> Result<()> {
        check_size(bytes)?;
        let reservations = lock(&self.reservations);
        let around = reservations.range(..=start).next_back().ok_or(Error::InvalidValue)?.1;
        let mut mapped = lock(&self.mapped);
        let end = start.checked_add(bytes).ok_or(Error::InvalidValue)?;
        let before = mapped.range(..end).next_back();
        let is_taken = before.is_some_and(|(at, known)| at + known.bytes > start);
        if is_taken || !start.is_multiple_of(GRANULARITY) {
            return Err(Error::InvalidValue);
        }
        let mapping = Mapping::new(around, start, bytes, &memory.physical).ok_or(Error::InvalidValue)?;
        let (memory, mapping) = (Arc::clone(memory), Arc::new(mapping));
        mapped.insert(start, Mapped { bytes, memory, mapping, access: HashMap::new() });
        Ok(())
    }

    /// The starts of the mappings that make up a range.
    fn covering(mapped: &BTreeMap<u64, Mapped>, start: u64, bytes: u64) -> Result<Vec<u64>> {
        let end = start.checked_add(bytes).ok_or(Error::InvalidValue)?;
        let (mut at, mut starts) = (start, Vec::new());
        while at < end {
            starts.push(at);
            at += mapped.get(&at).ok_or(Error::InvalidValue)?.bytes;
        }
        if at == end && bytes > 0 { Ok(starts) } else { Err(Error::InvalidValue) }
    }

    /// Takes whole mappings away, after all work that may use them.
    ///
    /// # Errors
    /// `InvalidValue` where the range is not made up of whole mappings; `NotPermitted` inside a host function.
    pub fn unmap(&self, driver: &Driver, start: u64, bytes: u64) -> Result<()> {
        driver.devices.iter().try_for_each(|device| device.queue.drain())?;
        let mut mapped = lock(&self.mapped);
        for at in Self::covering(&mapped, start, bytes)? {
            let Some(known) = mapped.remove(&at) else { continue };
            if known.is_reachable() {
                driver.allocations.leave_mapping(at);
            }
            wait_until_alone(known.mapping);
        }
        Ok(())
    }

    /// Says which device may do what with a range; flags as `CU_MEM_ACCESS_FLAGS_PROT_*`.
    ///
    /// # Errors
    /// `InvalidValue` where the range is not made up of whole mappings.
    pub fn set_access(&self, driver: &Driver, start: u64, bytes: u64, wanted: &[(usize, u32)]) -> Result<()> {
        let mut mapped = lock(&self.mapped);
        for at in Self::covering(&mapped, start, bytes)? {
            let Some(known) = mapped.get_mut(&at) else { continue };
            let before = known.is_reachable();
            known.access.extend(wanted.iter().copied());
            match (before, known.is_reachable()) {
                (false, true) => driver.allocations.enter_mapping(&known.mapping, known.memory.device),
                (true, false) => driver.allocations.leave_mapping(at),
                (true, true) | (false, false) => {}
            }
        }
        Ok(())
    }

    /// What a device may do at an address.
    ///
    /// # Errors
    /// `InvalidValue` where nothing is mapped.
    pub fn access(&self, device: usize, address: u64) -> Result<u32> {
        let mapped = lock(&self.mapped);
        let (at, known) = mapped.range(..=address).next_back().ok_or(Error::InvalidValue)?;
        if address - at >= known.bytes {
            return Err(Error::InvalidValue);
        }
        Ok(known.access.get(&device).copied().unwrap_or_default())
    }

    /// Takes a further hold on the memory that is mapped at an address.
    ///
    /// # Errors
    /// `InvalidValue` where nothing is mapped.
    pub fn retain(&self, driver: &Driver, address: u64) -> Result<Handle> {
        let mapped = lock(&self.mapped);
        let (at, known) = mapped.range(..=address).next_back().ok_or(Error::InvalidValue)?;
        if address - at >= known.bytes {
            return Err(Error::InvalidValue);
        }
        known.memory.references.fetch_add(1, Ordering::AcqRel);
        driver.physical.insert(known.memory.handle, Arc::clone(&known.memory));
        Ok(known.memory.handle)
    }
}

/// Waits until no launch that another thread has begun meanwhile holds the mapping, so that its addresses are free again
/// when the call returns.
fn wait_until_alone(mut mapping: Arc<Mapping>) {
    loop {
        match Arc::try_unwrap(mapping) {
            Ok(_) => return,
            Err(held) => mapping = held,
        }
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}

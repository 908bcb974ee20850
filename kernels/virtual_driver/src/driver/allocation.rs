//! Who owns which memory: the table of live ranges of [`crate::memory`], with device, context and pool beside it.
//!
//! All devices of a process share one table (addresses are host addresses, so they never collide). A kernel may
//! therefore touch the memory of another device of its process even where peer access was not enabled; enabling it
//! is accepted and remembered, but changes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::Context;
use super::driver;
use super::error::{Error, Result};
use super::handle::Handle;
use super::pool::Pool;
use crate::memory::{Bounds, DeviceMemory, Fill, Kind, Mapping, MemoryError, Region};
use crate::sanitizer::Checks;

impl From<MemoryError> for Error {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::OutOfMemory { .. } => Error::OutOfMemory,
            MemoryError::NotAnAllocation(_) | MemoryError::OutOfBounds { .. } => Error::InvalidValue,
            MemoryError::Overlap { .. } => Error::HostMemoryAlreadyRegistered,
        }
    }
}

/// Whose an allocation is.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Number of the device.
    pub device: usize,
    /// Handle of the context.
    pub context: Handle,
    /// The pool it was taken from.
    pub pool: Option<Arc<Pool>>,
    /// Flags of `cuMemHostAlloc` and `cuMemHostRegister`.
    pub flags: u32,
    /// Unique in the process.
    pub id: u64,
    /// Freed in stream order, but not yet reached.
    pub is_leaving: bool,
    /// A variable of a module, which goes with it.
    pub is_variable: bool,
}

#[derive(Debug, Default)]
struct Owners {
    owners: HashMap<u64, Owner>,
    used: Vec<u64>,
    last_id: u64,
}

/// All memory of the process's devices.
#[derive(Debug)]
pub struct Allocations {
    memory: DeviceMemory,
    limit: u64,
    owners: Mutex<Owners>,
}

fn counts(kind: Kind) -> bool {
    matches!(kind, Kind::Device | Kind::Managed)
}

impl Allocations {
    /// `devices` devices with `limit` bytes each. Without sanitizers kernels may go to the end of an allocation's last
    /// granule, as on a GPU.
    pub fn new(devices: usize, limit: u64, checks: Checks) -> Self {
        let bounds = if checks.memory { Bounds::Exact } else { Bounds::Granules };
        let memory = DeviceMemory::new(limit.saturating_mul(devices as u64), Fill::default());
        let memory = memory.with_bounds(bounds);
        let memory = if checks.is_on() { memory.watched() } else { memory };
        let owners = Mutex::new(Owners { used: vec![0; devices], ..Owners::default() });
        Self { memory, limit, owners }
    }

    /// The live ranges themselves.
    pub fn memory(&self) -> &DeviceMemory {
        &self.memory
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Free and total bytes of a device.
    pub fn free_and_total(&self, device: usize) -> (u64, u64) {
        let used = self.owners().used.get(device).copied().unwrap_or_default();
        (self.limit.saturating_sub(used), self.limit)
    }

    /// Allocates for a context.
    ///
    /// # Errors
    /// `InvalidValue` for no bytes, `OutOfMemory`.
    pub fn allocate(
        &self,
        context: &Context,
        bytes: u64,
        kind: Kind,
        flags: u32,
        pool: Option<Arc<Pool>>,
    ) -> Result<u64> {
        if bytes == 0 {
            return Err(Error::InvalidValue);
        }
        let device = pool.as_ref().map_or(context.device.ordinal, |pool| pool.device);
        if counts(kind) && bytes > self.free_and_total(device).0 {
            return Err(Error::OutOfMemory);
        }
        let address = self.memory.allocate(bytes, kind)?;
        if let Some(pool) = &pool {
            pool.take(bytes);
        }
        self.enter(address, device, context.handle, pool, flags);
        if let Ok(driver) = driver() {
            driver.ledger.allocated(address);
        }
        if counts(kind) {
            self.owners().used[device] += bytes;
        }
        Ok(address)
    }

    fn enter(&self, address: u64, device: usize, context: Handle, pool: Option<Arc<Pool>>, flags: u32) {
        let mut owners = self.owners();
        owners.last_id += 1;
        let id = owners.last_id;
        let owner = Owner { device, context, pool, flags, id, is_leaving: false, is_variable: false };
        owners.owners.insert(address, owner);
    }

    /// Counts physical memory against a device.
    ///
    /// # Errors
    /// `OutOfMemory`
    pub fn charge(&self, device: usize, bytes: u64) -> Result<()> {
        let mut owners = self.owners();
        let used = &mut owners.used[device];
        if bytes > self.limit.saturating_sub(*used) {
            return Err(Error::OutOfMemory);
        }
        *used += bytes;
        Ok(())
    }

    /// Counts physical memory no longer.
    pub fn discharge(&self, device: usize, bytes: u64) {
        let used = &mut self.owners().used[device];
        *used = used.saturating_sub(bytes);
    }

    /// Makes a mapping of a device's memory reachable; it belongs to no context.
    pub fn enter_mapping(&self, mapping: &Arc<Mapping>, device: usize) {
        self.enter(mapping.start, device, 0, None, 0);
        self.memory.map(Arc::clone(mapping));
    }

    /// Makes a mapping unreachable.
    pub fn leave_mapping(&self, address: u64) {
        let mut owners = self.owners();
        let _ = self.memory.unmap(address);
        owners.owners.remove(&address);
    }

    /// Makes host memory of the program reachable by kernels.
    ///
    /// # Safety
    /// As [`DeviceMemory::register`].
    ///
    /// # Errors
    /// `HostMemoryAlreadyRegistered`
    pub unsafe fn register(&self, context: &Context, address: u64, bytes: u64, flags: u32) -> Result<()> {
        // SAFETY: the caller promises what `register` asks for.
        unsafe { self.memory.register(address, bytes) }?;
        self.enter(address, context.device.ordinal, context.handle, None, flags);
        Ok(())
    }

    /// Takes a registration back.
    ///
    /// # Errors
    /// `HostMemoryNotRegistered`
    pub fn unregister(&self, address: u64) -> Result<()> {
        let mut owners = self.owners();
        self.memory.unregister(address).map_err(|_| Error::HostMemoryNotRegistered)?;
        owners.owners.remove(&address);
        Ok(())
    }

    /// The live range around an address, and whose it is.
    pub fn find(&self, address: u64) -> Option<(Region, Owner)> {
        let region = self.memory.find(address)?;
        let owner = self.owners().owners.get(&region.start).cloned()?;
        Some((region, owner))
    }

    /// The allocation of one of the kinds that starts at an address.
    ///
    /// # Errors
    /// `InvalidValue` where there is none, or where it is freed already in stream order.
    pub fn starting_at(&self, address: u64, kinds: &[Kind]) -> Result<(Region, Owner)> {
        let found = self.find(address).filter(|(region, owner)| {
            let is_free = owner.is_leaving || owner.is_variable;
            region.start == address && kinds.contains(&region.kind) && !is_free
        });
        found.ok_or(Error::InvalidValue)
    }

    /// Notes that a free is on its way in a stream; before it goes, since afterwards the address may be somebody else's.
    pub fn mark_leaving(&self, address: u64) {
        self.set_leaving(address, true);
        if let Ok(driver) = driver() {
            driver.ledger.leaving(address);
        }
    }

    /// Takes [`Self::mark_leaving`] back: the free did not go on its way.
    pub fn mark_staying(&self, address: u64) {
        self.set_leaving(address, false);
        if let Ok(driver) = driver() {
            driver.ledger.staying(address);
        }
    }

    fn set_leaving(&self, address: u64, is_leaving: bool) {
        if let Some(owner) = self.owners().owners.get_mut(&address) {
            owner.is_leaving = is_leaving;
        }
    }

    /// Notes that a live range is a variable of a module in a context.
    pub fn adopt_variable(&self, address: u64, context: &Context) {
        self.enter(address, context.device.ordinal, context.handle, None, 0);
        if let Some(owner) = self.owners().owners.get_mut(&address) {
            owner.is_variable = true;
        }
    }

    /// Forgets a variable whose module frees it.
    pub fn release_variable(&self, address: u64) {
        self.owners().owners.remove(&address);
    }

    /// Frees the allocation that starts at an address.
    ///
    /// # Errors
    /// `InvalidValue` where none does.
    pub fn free(&self, address: u64) -> Result<()> {
        // Another thread can be given the address as soon as the memory is free, and must find the old owner gone.
        let mut owners = self.owners();
        let region = self.memory.free(address)?;
        if let Ok(driver) = driver() {
            driver.ledger.freed(address);
        }
        if let Some(owner) = owners.owners.remove(&address) {
            if let Some(pool) = &owner.pool {
                pool.give_back(region.bytes);
            }
            if counts(region.kind) {
                let used = &mut owners.used[owner.device];
                *used = used.saturating_sub(region.bytes);
            }
        }
        Ok(())
    }

    /// Address and bytes of what is left, in the order in which it was allocated.
    fn left_where(&self, is_left: impl Fn(&Owner) -> bool) -> Vec<(u64, u64)> {
        let owners = self.owners();
        let left = owners.owners.iter().filter(|(_, owner)| !owner.is_variable && is_left(owner));
        let mut left: Vec<(u64, u64)> = left.map(|(&address, owner)| (owner.id, address)).collect();
        drop(owners);
        left.sort_unstable();
        let with_bytes = |(_, address)| self.memory.find(address).map(|region| (address, region.bytes));
        left.into_iter().filter_map(with_bytes).collect()
    }

    /// What a context has not freed, variables of modules excepted: address and bytes.
    pub fn left_by(&self, context: Handle) -> Vec<(u64, u64)> {
        self.left_where(|owner| owner.context == context)
    }

    /// What nobody has freed, nor is about to.
    pub fn left(&self) -> impl Iterator<Item = (u64, u64)> {
        self.left_where(|owner| !owner.is_leaving).into_iter()
    }

    /// Frees whatever a context leaves behind.
    pub fn free_all_of(&self, context: Handle) {
        for (address, _) in self.left_by(context) {
            if self.free(address).is_err() {
                let _ = self.unregister(address);
            }
        }
    }
}

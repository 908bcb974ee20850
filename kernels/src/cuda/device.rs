//! What the backend needs of a device: memory, copies, launches, graphs. [`super::driver::Driver`] is the one that matters; tests
//! may run launches elsewhere.

use super::launch::Launch;
use crate::ops::error::OpError;

/// Memory and an in-order queue of work.
pub trait Device {
    /// One allocation; freed when dropped, after the work that was queued before.
    type Memory;
    /// A sequence of launches that is started as one.
    type Graph;

    /// `bytes` zeros, at an address that is a multiple of 256.
    ///
    /// # Errors
    /// The device has no room.
    fn allocate(&mut self, bytes: usize) -> Result<Self::Memory, OpError>;

    /// Address of the first byte.
    fn address(memory: &Self::Memory) -> u64;

    /// Queues a copy to `memory` from its byte `offset` on; `host` may change when the call returns.
    ///
    /// # Errors
    /// The copy leaves the allocation, or the device refuses.
    fn upload(&mut self, host: &[u8], memory: &Self::Memory, offset: usize) -> Result<(), OpError>;

    /// Waits for everything that was queued, then fills `host` from `memory`, from its byte `offset` on.
    ///
    /// # Errors
    /// The copy leaves the allocation, or earlier work failed.
    fn download(&mut self, memory: &Self::Memory, offset: usize, host: &mut [u8]) -> Result<(), OpError>;

    /// Queues a launch.
    ///
    /// # Safety
    /// Every address among the arguments points to live memory that is large enough for what the kernel does with its
    /// arguments, and stays alive until the work is done.
    ///
    /// # Errors
    /// The module cannot be loaded or the device refuses.
    unsafe fn launch(&mut self, launch: &Launch) -> Result<(), OpError>;

    /// Makes a graph of launches without running them; `None` if the device has no graphs.
    ///
    /// # Safety
    /// As [`Device::launch`], for every replay.
    ///
    /// # Errors
    /// The device refuses.
    unsafe fn capture(&mut self, launches: &[Launch]) -> Result<Option<Self::Graph>, OpError>;

    /// Queues a graph.
    ///
    /// # Safety
    /// As [`Device::launch`], for every launch of the graph.
    ///
    /// # Errors
    /// The device refuses.
    unsafe fn replay(&mut self, graph: &Self::Graph) -> Result<(), OpError>;

    /// Allocations made so far, of device memory and of pinned host memory.
    fn allocations(&self) -> u64;

    /// Waits for everything that was queued.
    ///
    /// # Errors
    /// Earlier work failed.
    fn synchronize(&mut self) -> Result<(), OpError>;
}

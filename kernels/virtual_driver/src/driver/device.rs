//! The virtual devices: what they are called, what belongs to each.

use std::sync::Arc;

use super::error::{Error, Result};
use super::pool::Pool;
use super::queue::Queue;
use super::{attribute, context::Primary};
use std::sync::{Mutex, OnceLock};

/// The name every device reports.
pub const NAME: &str = "Goldlap Virtual GPU (sm_80)";
/// One virtual device.
#[derive(Debug)]
pub struct Device {
    /// Its number among the devices that the process sees.
    pub ordinal: usize,
    /// Its number in the machine.
    pub number: usize,
    /// Bytes of memory it reports and enforces.
    pub total_memory: u64,
    /// What it has to do.
    pub queue: Arc<Queue>,
    /// Its primary context.
    pub primary: Mutex<Primary>,
    /// Memory through which the blocks of a cooperative launch meet; allocated for the first one.
    pub grid_workspace: OnceLock<u64>,
    /// The pool it came with.
    pub default_pool: Arc<Pool>,
    /// The pool that asynchronous allocations take.
    pub current_pool: Mutex<Arc<Pool>>,
}

impl Device {
    /// The device with a number among those that are seen, and in the machine.
    pub fn new(ordinal: usize, number: usize, total_memory: u64) -> Self {
        let default_pool = Arc::new(Pool::new(ordinal));
        Self {
            ordinal,
            number,
            total_memory,
            queue: Arc::default(),
            primary: Mutex::default(),
            grid_workspace: OnceLock::new(),
            current_pool: Mutex::new(Arc::clone(&default_pool)),
            default_pool,
        }
    }

    /// A number that differs between devices and is the same in every run.
    pub fn uuid(&self) -> [u8; 16] {
        let mut uuid = *b"goldlap-vcuda\0\0\0";
        uuid[15] = self.number as u8;
        uuid
    }

    /// The PCI bus the device pretends to sit on.
    pub fn pci_bus(&self) -> i32 {
        self.number as i32 + 1
    }

    /// `domain:bus:device.function`
    pub fn pci_bus_id(&self) -> String {
        format!("0000:{:02X}:00.0", self.pci_bus())
    }

    /// The value of an attribute.
    ///
    /// # Errors
    /// `InvalidValue` for a number that the API does not define.
    pub fn attribute(&self, number: i32) -> Result<i32> {
        if number == attribute::PCI_BUS_ID {
            return Ok(self.pci_bus());
        }
        attribute::value_of(number).ok_or(Error::InvalidValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_differ_in_what_identifies_them() {
        let (a, b) = (Device::new(0, 0, 1), Device::new(1, 1, 1));
        assert_ne!(a.uuid(), b.uuid());
        assert_eq!((a.pci_bus_id(), b.pci_bus_id()), ("0000:01:00.0".into(), "0000:02:00.0".into()));
        assert_eq!(a.attribute(attribute::PCI_BUS_ID), Ok(1));
    }
}

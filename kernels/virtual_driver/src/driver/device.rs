//! The virtual devices: how many, how large, and what they are called.

use std::sync::Arc;

use super::error::{Error, Result};
use super::pool::Pool;
use super::queue::Queue;
use super::{attribute, context::Primary};
use std::sync::Mutex;

/// The name every device reports.
pub const NAME: &str = "Goldlap Virtual GPU (sm_80)";
/// Number of devices, by environment.
pub const DEVICES_VARIABLE: &str = "GOLDLAP_VIRTUAL_DEVICES";
/// Bytes of memory of each device, by environment.
pub const MEMORY_VARIABLE: &str = "GOLDLAP_VIRTUAL_MEMORY";

/// More devices than any host has, so that a slip of the finger does not exhaust the machine.
const MOST_DEVICES: usize = 64;

/// One virtual device.
#[derive(Debug)]
pub struct Device {
    /// Its number.
    pub ordinal: usize,
    /// Bytes of memory it reports and enforces.
    pub total_memory: u64,
    /// What it has to do.
    pub queue: Arc<Queue>,
    /// Its primary context.
    pub primary: Mutex<Primary>,
    /// The pool it came with.
    pub default_pool: Arc<Pool>,
    /// The pool that asynchronous allocations take.
    pub current_pool: Mutex<Arc<Pool>>,
}

impl Device {
    /// The device with a number.
    pub fn new(ordinal: usize, total_memory: u64) -> Self {
        let default_pool = Arc::new(Pool::new(ordinal));
        Self {
            ordinal,
            total_memory,
            queue: Arc::default(),
            primary: Mutex::default(),
            current_pool: Mutex::new(Arc::clone(&default_pool)),
            default_pool,
        }
    }

    /// A number that differs between devices and is the same in every run.
    pub fn uuid(&self) -> [u8; 16] {
        let mut uuid = *b"goldlap-vcuda\0\0\0";
        uuid[15] = self.ordinal as u8;
        uuid
    }

    /// The PCI bus the device pretends to sit on.
    pub fn pci_bus(&self) -> i32 {
        self.ordinal as i32 + 1
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

/// What the environment says of the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Number of devices.
    pub devices: usize,
    /// Bytes of each.
    pub memory: u64,
}

impl Fleet {
    /// Reads the two variables' values; without them: one device, half of the host's memory shared among all.
    ///
    /// # Errors
    /// A sentence that names the variable, what was expected and what was got.
    pub fn parse(
        devices: Option<&str>,
        memory: Option<&str>,
        host_memory: u64,
    ) -> std::result::Result<Self, String> {
        let devices = match devices.map(|text| (text, text.trim().parse::<usize>())) {
            None => 1,
            Some((_, Ok(count))) if (1..=MOST_DEVICES).contains(&count) => count,
            Some((text, _)) => {
                return Err(format!(
                    "{DEVICES_VARIABLE}: expected a number from 1 to {MOST_DEVICES}, got '{text}'"
                ));
            }
        };
        let memory = match memory.map(|text| (text, text.trim().parse::<u64>())) {
            None => (host_memory / 2 / devices as u64) & !0xF_FFFF,
            Some((_, Ok(bytes))) if bytes > 0 => bytes,
            Some((text, _)) => {
                return Err(format!("{MEMORY_VARIABLE}: expected a number of bytes, got '{text}'"));
            }
        };
        Ok(Self { devices, memory })
    }

    /// Reads the environment and the size of the host.
    ///
    /// # Errors
    /// As [`Fleet::parse`].
    pub fn from_environment() -> std::result::Result<Self, String> {
        let (devices, memory) = (std::env::var(DEVICES_VARIABLE).ok(), std::env::var(MEMORY_VARIABLE).ok());
        Self::parse(devices.as_deref(), memory.as_deref(), host_memory())
    }
}

/// Bytes of memory of the host; 4 GiB where it does not tell.
fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(4 << 30, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_how_many_devices() {
        let host = 16 << 30;
        assert_eq!(Fleet::parse(None, None, host), Ok(Fleet { devices: 1, memory: 8 << 30 }));
        assert_eq!(Fleet::parse(Some("8"), Some("1000"), host), Ok(Fleet { devices: 8, memory: 1000 }));
        assert_eq!(Fleet::parse(Some("4"), None, host), Ok(Fleet { devices: 4, memory: 2 << 30 }));
        let refused = Fleet::parse(Some("many"), None, host).unwrap_err();
        assert_eq!(refused, "GOLDLAP_VIRTUAL_DEVICES: expected a number from 1 to 64, got 'many'");
        assert!(Fleet::parse(Some("0"), None, host).is_err() && Fleet::parse(None, Some("x"), host).is_err());
    }

    #[test]
    fn devices_differ_in_what_identifies_them() {
        let (a, b) = (Device::new(0, 1), Device::new(1, 1));
        assert_ne!(a.uuid(), b.uuid());
        assert_eq!((a.pci_bus_id(), b.pci_bus_id()), ("0000:01:00.0".into(), "0000:02:00.0".into()));
        assert_eq!(a.attribute(attribute::PCI_BUS_ID), Ok(1));
    }
}

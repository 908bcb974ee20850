//! Memory pools: what asynchronous allocations are taken from, and the statistics a program can ask for.
//!
//! Memory is given back to the host when it is freed, whatever the release threshold says; a pool only counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::{Error, Result};
use super::handle::{self, Handle};

/// `CU_MEMPOOL_ATTR_*`
const REUSE_FOLLOW: u32 = 1;
const REUSE_INTERNAL: u32 = 3;
const RELEASE_THRESHOLD: u32 = 4;
const RESERVED_CURRENT: u32 = 5;
const RESERVED_HIGH: u32 = 6;
const USED_CURRENT: u32 = 7;
const USED_HIGH: u32 = 8;

/// A value of a pool attribute, in the width the API gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolValue {
    /// An `int`.
    Flag(i32),
    /// A `cuuint64_t`.
    Bytes(u64),
}

#[derive(Debug)]
struct Counters {
    reuse: [i32; 3],
    threshold: u64,
    used: u64,
    high: u64,
}

/// A pool.
#[derive(Debug)]
pub struct Pool {
    /// Its handle.
    pub handle: Handle,
    /// The device its memory counts against.
    pub device: usize,
    counters: Mutex<Counters>,
}

/// Whether an attribute is an `int` rather than a `cuuint64_t`.
pub fn is_flag(attribute: u32) -> bool {
    (REUSE_FOLLOW..=REUSE_INTERNAL).contains(&attribute)
}

impl Pool {
    /// An empty pool.
    pub fn new(device: usize) -> Self {
        let counters = Counters { reuse: [1; 3], threshold: 0, used: 0, high: 0 };
        Self { handle: handle::fresh(), device, counters: Mutex::new(counters) }
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an allocation.
    pub fn take(&self, bytes: u64) {
        let mut counters = self.counters();
        counters.used += bytes;
        counters.high = counters.high.max(counters.used);
    }

    /// Counts a free.
    pub fn give_back(&self, bytes: u64) {
        let mut counters = self.counters();
        counters.used = counters.used.saturating_sub(bytes);
    }

    /// Reads an attribute.
    ///
    /// # Errors
    /// `InvalidValue` for an unknown one.
    pub fn attribute(&self, attribute: u32) -> Result<PoolValue> {
        let counters = self.counters();
        match attribute {
            REUSE_FOLLOW..=REUSE_INTERNAL => {
                Ok(PoolValue::Flag(counters.reuse[(attribute - REUSE_FOLLOW) as usize]))
            }
            RELEASE_THRESHOLD => Ok(PoolValue::Bytes(counters.threshold)),
            RESERVED_CURRENT | USED_CURRENT => Ok(PoolValue::Bytes(counters.used)),
            RESERVED_HIGH | USED_HIGH => Ok(PoolValue::Bytes(counters.high)),
            _ => Err(Error::InvalidValue),
        }
    }

    /// Writes an attribute; a high-water mark can only be reset, with zero.
    ///
    /// # Errors
    /// `InvalidValue` for an unknown or read-only one.
    pub fn set_attribute(&self, attribute: u32, value: PoolValue) -> Result<()> {
        let mut counters = self.counters();
        match (attribute, value) {
            (REUSE_FOLLOW..=REUSE_INTERNAL, PoolValue::Flag(flag)) => {
                counters.reuse[(attribute - REUSE_FOLLOW) as usize] = flag;
            }
            (RELEASE_THRESHOLD, PoolValue::Bytes(bytes)) => counters.threshold = bytes,
            (RESERVED_HIGH | USED_HIGH, PoolValue::Bytes(0)) => counters.high = counters.used,
            _ => return Err(Error::InvalidValue),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_counts_what_is_taken() {
        let pool = Pool::new(0);
        pool.take(100);
        pool.take(50);
        pool.give_back(100);
        assert_eq!(pool.attribute(USED_CURRENT), Ok(PoolValue::Bytes(50)));
        assert_eq!(pool.attribute(USED_HIGH), Ok(PoolValue::Bytes(150)));
        pool.set_attribute(USED_HIGH, PoolValue::Bytes(0)).unwrap();
        assert_eq!(pool.attribute(USED_HIGH), Ok(PoolValue::Bytes(50)));
        assert_eq!(pool.set_attribute(USED_CURRENT, PoolValue::Bytes(0)), Err(Error::InvalidValue));
        assert_eq!(pool.attribute(99), Err(Error::InvalidValue));
    }
}

//! Words in memory that a stream writes or waits for.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::allocation::Allocations;
use super::driver;
use super::error::{Error, Result};

/// How a word is compared with the value waited for; `CU_STREAM_WAIT_VALUE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Greater or equal, cyclically.
    AtLeast,
    /// Equal.
    Equal,
    /// A common bit.
    And,
    /// A bit that is zero in both.
    Nor,
}

impl Comparison {
    /// From the low bits of the flags.
    pub fn from_flags(flags: u32) -> Self {
        match flags & 3 {
            0 => Comparison::AtLeast,
            1 => Comparison::Equal,
            2 => Comparison::And,
            _ => Comparison::Nor,
        }
    }

    fn holds(self, word: u64, value: u64, is_wide: bool) -> bool {
        match (self, is_wide) {
            (Comparison::AtLeast, true) => word.wrapping_sub(value) as i64 >= 0,
            (Comparison::AtLeast, false) => (word as u32).wrapping_sub(value as u32) as i32 >= 0,
            (Comparison::Equal, _) => word == value,
            (Comparison::And, _) => word & value != 0,
            (Comparison::Nor, true) => !(word | value) != 0,
            (Comparison::Nor, false) => !(word as u32 | value as u32) != 0,
        }
    }
}

/// Checks that a word can be touched: aligned, inside one live range.
///
/// # Errors
/// `InvalidValue`
pub fn check(allocations: &Allocations, address: u64, is_wide: bool) -> Result<()> {
    let bytes = if is_wide { 8 } else { 4 };
    if !address.is_multiple_of(bytes) {
        return Err(Error::InvalidValue);
    }
    Ok(allocations.memory().check(address, bytes)?)
}

/// A word to be written.
#[derive(Clone, Copy, Debug)]
pub struct WriteWord {
    /// Where.
    pub address: u64,
    /// What.
    pub value: u64,
    /// 64 bits rather than 32.
    pub is_wide: bool,
}

impl WriteWord {
    /// Writes it.
    ///
    /// # Errors
    /// `IllegalAddress` where the memory is gone.
    pub fn run(&self, allocations: &Allocations) -> Result<()> {
        let _alive = allocations.memory().snapshot();
        check(allocations, self.address, self.is_wide).map_err(|_| Error::IllegalAddress)?;
        allocations.memory().mark_written(self.address, if self.is_wide { 8 } else { 4 });
        // SAFETY: the word is aligned and lies in a live range that the snapshot holds; others touch it atomically or
        // through raw pointers.
        unsafe {
            if self.is_wide {
                AtomicU64::from_ptr(self.address as *mut u64).store(self.value, Ordering::Release);
            } else {
                AtomicU32::from_ptr(self.address as *mut u32).store(self.value as u32, Ordering::Release);
            }
        }
        Ok(())
    }
}

/// A word to be waited for.
#[derive(Clone, Copy, Debug)]
pub struct WaitWord {
    /// Where.
    pub address: u64,
    /// What it is compared with.
    pub value: u64,
    /// How.
    pub comparison: Comparison,
    /// 64 bits rather than 32.
    pub is_wide: bool,
}

impl WaitWord {
    /// Whether the word is as hoped for; so it counts too where the memory is gone, so that nobody waits for ever.
    pub fn is_over(&self) -> bool {
        let Ok(driver) = driver() else { return true };
        let _alive = driver.allocations.memory().snapshot();
        if check(&driver.allocations, self.address, self.is_wide).is_err() {
            return true;
        }
        // SAFETY: as in `WriteWord::run`.
        let word = unsafe {
            if self.is_wide {
                AtomicU64::from_ptr(self.address as *mut u64).load(Ordering::Acquire)
            } else {
                u64::from(AtomicU32::from_ptr(self.address as *mut u32).load(Ordering::Acquire))
            }
        };
        self.comparison.holds(word, self.value, self.is_wide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_those_of_the_api() {
        assert!(Comparison::AtLeast.holds(5, 5, false) && !Comparison::AtLeast.holds(4, 5, false));
        assert!(Comparison::AtLeast.holds(0, u64::from(u32::MAX), false), "cyclic");
        assert!(Comparison::Equal.holds(7, 7, true) && !Comparison::Equal.holds(7, 8, true));
        assert!(Comparison::And.holds(6, 2, false) && !Comparison::And.holds(4, 2, false));
        assert!(Comparison::Nor.holds(1, 2, false));
        assert!(!Comparison::Nor.holds(u64::from(u32::MAX), 0, false));
    }
}

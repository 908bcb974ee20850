//! Copies and fills of memory, in one, two and three dimensions.
//!
//! Host and device memory are one address space here. What lies in a live range of the device is checked against it;
//! what does not is the program's own memory, for which the caller of the exported function answers.

use super::allocation::Allocations;
use super::driver;
use super::error::{Error, Result};
use crate::memory::Kind;

/// What the program says an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Memory of the program.
    Host,
    /// Memory of a device.
    Device,
    /// Whichever it is.
    Unified,
}

/// One end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// First byte that is read or written.
    pub address: u64,
    /// What it is.
    pub place: Place,
    /// Bytes from row to row.
    pub pitch: u64,
    /// Bytes from slice to slice.
    pub slice: u64,
}

/// `width` bytes of `height` rows of `depth` slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of a row.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Slices.
    pub depth: u64,
}

impl Extent {
    /// Bytes from the first to the last, or `InvalidValue` where that overflows.
    fn span(&self, pitch: u64, slice: u64) -> Result<u64> {
        if self.width == 0 || self.height == 0 || self.depth == 0 {
            return Ok(0);
        }
        let rows = (self.height - 1).checked_mul(pitch);
        let slices = (self.depth - 1).checked_mul(slice);
        let sum = rows.and_then(|rows| slices?.checked_add(rows)?.checked_add(self.width));
        sum.ok_or(Error::InvalidValue)
    }

    /// Whether the rows lie one behind the other at both ends.
    fn is_dense(&self, end: &End) -> bool {
        (self.height == 1 || end.pitch == self.width)
            && (self.depth == 1 || end.slice == self.width * self.height)
    }
}

/// A copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Where to.
    pub to: End,
    /// Where from.
    pub from: End,
    /// How much.
    pub extent: Extent,
}

impl Copy {
    /// A copy of consecutive bytes.
    pub fn linear(to: u64, to_place: Place, from: u64, from_place: Place, bytes: u64) -> Self {
        let end = |address, place| End { address, place, pitch: bytes, slice: bytes };
        Self {
            to: end(to, to_place),
            from: end(from, from_place),
            extent: Extent { width: bytes, height: 1, depth: 1 },
        }
    }

    /// Checks both ends.
    ///
    /// # Errors
    /// `InvalidValue` where a device address is not inside one live allocation, a row is wider than its pitch, or a host
    /// address is null.
    pub fn check(&self, allocations: &Allocations) -> Result<()> {
        for end in [&self.to, &self.from] {
            if self.extent.height > 1 && end.pitch < self.extent.width {
                return Err(Error::InvalidValue);
            }
            let bytes = self.extent.span(end.pitch, end.slice)?;
            check_range(allocations, end, bytes)?;
        }
        Ok(())
    }

    /// Bytes from the first to the last that are read.
    ///
    /// # Errors
    /// `InvalidValue` where the number overflows.
    pub fn bytes_read(&self) -> Result<u64> {
        self.extent.span(self.from.pitch, self.from.slice)
    }

    /// Copies.
    ///
    /// # Safety
    /// Host ends must be valid for the bytes of the copy; nothing else may write them at the same time.
    ///
    /// # Errors
    /// As [`Copy::check`].
    pub unsafe fn run(&self, allocations: &Allocations) -> Result<()> {
        // The snapshot keeps both ends alive, whoever frees them meanwhile.
        let _alive = allocations.memory().snapshot();
        self.check(allocations)?;
        let Extent { width, height, depth } = self.extent;
        let move_bytes = |to: u64, from: u64, bytes: u64| {
            // SAFETY: device ends were checked and are held alive, host ends are the caller's promise; `copy` allows overlap.
            unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes as usize) };
            note_copy(allocations, to, from, bytes);
        };
        if width == 0 || height == 0 || depth == 0 {
            return Ok(());
        }
        if self.extent.is_dense(&self.to) && self.extent.is_dense(&self.from) {
            move_bytes(self.to.address, self.from.address, width * height * depth);
            return Ok(());
        }
        for z in 0..depth {
            for y in 0..height {
                let at = |end: &End| end.address + z * end.slice + y * end.pitch;
                move_bytes(at(&self.to), at(&self.from), width);
            }
        }
        Ok(())
    }
}

/// Tells sanitizers that bytes have been copied; what was never written should not go to the host.
fn note_copy(allocations: &Allocations, to: u64, from: u64, bytes: u64) {
    let memory = allocations.memory();
    memory.copy_written(to, from, bytes);
    let Ok(driver) = driver() else { return };
    let is_device = |address| memory.find(address).is_some_and(|region| region.kind == Kind::Device);
    if driver.ledger.checks.uninitialised
        && !is_device(to)
        && let Some(byte) = memory.first_unwritten(from, bytes)
        && let Some(region) = memory.find(from)
    {
        driver.ledger.unwritten_copy(byte, region.start, region.bytes);
    }
}

fn check_range(allocations: &Allocations, end: &End, bytes: u64) -> Result<()> {
    let is_device =
        end.place == Place::Device || allocations.memory().find(end.address).is_some() && bytes > 0;
    if is_device {
        allocations.memory().check(end.address, bytes)?;
    } else if end.address == 0 && bytes > 0 {
        return Err(Error::InvalidValue);
    }
    Ok(())
}

/// A fill with a pattern of 1, 2 or 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// First byte.
    pub address: u64,
    /// Bytes from row to row.
    pub pitch: u64,
    /// The pattern, in the low bytes.
    pub value: u32,
    /// Bytes of the pattern.
    pub element: u32,
    /// Patterns per row.
    pub width: u64,
    /// Rows.
    pub height: u64,
}

impl Fill {
    /// Checks the range.
    ///
    /// # Errors
    /// `InvalidValue` where the range is not inside one live allocation, the pattern has another width than 1, 2 or 4,
    /// or address or pitch are not multiples of it.
    pub fn check(&self, allocations: &Allocations) -> Result<()> {
        let element = u64::from(self.element);
        let is_aligned = matches!(self.element, 1 | 2 | 4)
            && self.address.is_multiple_of(element)
            && (self.height <= 1 || self.pitch.is_multiple_of(element));
        if !is_aligned {
            return Err(Error::InvalidValue);
        }
        let width = self.width.checked_mul(element).ok_or(Error::InvalidValue)?;
        if self.height > 1 && self.pitch < width {
            return Err(Error::InvalidValue);
        }
        let extent = Extent { width, height: self.height, depth: 1 };
        allocations.memory().check(self.address, extent.span(self.pitch, 0)?)?;
        Ok(())
    }

    /// Fills.
    ///
    /// # Errors
    /// As [`Fill::check`].
    pub fn run(&self, allocations: &Allocations) -> Result<()> {
        let _alive = allocations.memory().snapshot();
        self.check(allocations)?;
        if self.width == 0 {
            return Ok(());
        }
        for row in 0..self.height {
            let at = (self.address + row * self.pitch) as *mut u8;
            let width = self.width as usize;
            allocations.memory().mark_written(at as u64, self.width * u64::from(self.element));
            // SAFETY: the whole range was checked to lie in a live allocation, which the snapshot holds; it is aligned
            // to the pattern, and device bytes are only touched through raw pointers.
            unsafe {
                match self.element {
                    1 => at.write_bytes(self.value as u8, width),
                    2 => fill_row(at.cast::<u16>(), self.value as u16, width),
                    _ => fill_row(at.cast::<u32>(), self.value, width),
                }
            }
        }
        Ok(())
    }
}

/// # Safety
/// `at` must be aligned and valid for writes of `width` elements.
unsafe fn fill_row<T: std::marker::Copy>(at: *mut T, value: T, width: usize) {
    for n in 0..width {
        // SAFETY: the caller promises `width` elements.
        unsafe { at.add(n).write(value) };
    }
}

//! What a program can ask about a pointer.

use super::allocation::Allocations;
use super::error::{Error, Result};
use crate::memory::Kind;

/// `CU_MEMORYTYPE_*`
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// The value of a pointer attribute, in the width the API gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerValue {
    /// An address, a handle or a number of 64 bits.
    Long(u64),
    /// A number of 32 bits.
    Word(u32),
    /// A `bool` or a byte of flags.
    Byte(u8),
    /// Two numbers of 64 bits.
    Pair(u64, u64),
}

/// An attribute of a pointer; `CU_POINTER_ATTRIBUTE_*`.
///
/// # Errors
/// `InvalidValue` for a pointer that the driver does not know, or an unknown attribute; `NotSupported`.
pub fn attribute(allocations: &Allocations, attribute: u32, address: u64) -> Result<PointerValue> {
    let (region, owner) = allocations.find(address).ok_or(Error::InvalidValue)?;
    let is_host = matches!(region.kind, Kind::Host | Kind::Registered);
    let has_host_pointer = is_host || region.kind == Kind::Managed;
    Ok(match attribute {
        1 => PointerValue::Long(owner.context as u64),
        2 => PointerValue::Word(if is_host { HOST } else { DEVICE }),
        4 if !has_host_pointer => return Err(Error::InvalidValue),
        3 | 4 => PointerValue::Long(address),
        5 => return Err(Error::NotSupported),
        6 => PointerValue::Word(0),
        7 => PointerValue::Long(owner.id),
        8 => PointerValue::Word(u32::from(region.kind == Kind::Managed)),
        9 => PointerValue::Word(owner.device as u32),
        10 | 15 | 21 => PointerValue::Byte(0),
        11 | 19 => PointerValue::Long(region.start),
        12 | 18 => PointerValue::Long(region.bytes),
        13 => PointerValue::Byte(1),
        14 => PointerValue::Long(0),
        16 => PointerValue::Word(3),
        17 => PointerValue::Long(owner.pool.map_or(0, |pool| pool.handle as u64)),
        20 => PointerValue::Long(owner.id),
        _ => return Err(Error::InvalidValue),
    })
}

/// What is answered for a pointer that the driver does not know, where many attributes are asked for at once.
///
/// # Errors
/// `InvalidValue` for an unknown attribute.
pub fn unknown(attribute: u32) -> Result<PointerValue> {
    Ok(match attribute {
        1 | 3 | 4 | 7 | 11 | 12 | 14 | 17..=20 => PointerValue::Long(0),
        2 | 6 | 8 | 16 => PointerValue::Word(0),
        9 => PointerValue::Word(u32::MAX - 1),
        5 => PointerValue::Pair(0, 0),
        10 | 13 | 15 | 21 => PointerValue::Byte(0),
        _ => return Err(Error::InvalidValue),
    })
}

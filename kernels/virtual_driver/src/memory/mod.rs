//! Device memory: real host memory whose live ranges are known.
//!
//! A device pointer is the host address, so a copy between host and device is a plain copy and a kernel's access is one
//! load. What makes that safe is the table of live ranges here: nothing is touched before the table, or a [`Snapshot`] of
//! it, has said that the whole access lies inside one live range. A snapshot keeps its allocations alive, so that freeing
//! memory while a kernel runs cannot pull it away under the kernel.
//!
//! Fresh memory is filled with 0xCD (as f32: -4.3e8), not with zeros: on hardware it holds whatever was there before, and
//! programs that rely on zeros should be seen to. [`Fill`] lets an owner choose otherwise.

mod block;
mod snapshot;
mod table;

pub use snapshot::Snapshot;
pub use table::{DeviceMemory, Fill, Kind, MemoryError, Region};

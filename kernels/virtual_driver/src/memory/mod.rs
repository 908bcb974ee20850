//! Device memory: real host memory whose live ranges are known.
//!
//! A device pointer is the host address, so a copy between host and device is a plain copy and a kernel's access is one
//! load. What makes that safe is the table of live ranges here: nothing is touched before the table, or a [`Snapshot`] of
//! it, has said that the whole access lies inside one live range. A snapshot keeps its allocations alive, so that freeing
//! memory while a kernel runs cannot pull it away under the kernel.
//!
//! Fresh memory is filled with 0xCD (as f32: -4.3e8), not with zeros: on hardware it holds whatever was there before, and
//! programs that rely on zeros should be seen to. [`Fill`] lets an owner choose otherwise.
//!
//! How strictly a kernel's addresses are checked is the owner's choice too ([`Bounds`]). Copies and fills that the host
//! asks for are always checked to the byte, as a real driver checks them.

mod block;
mod bounds;
mod freed;
mod heap;
mod mapping;
mod snapshot;
mod table;
mod written;

pub use bounds::Bounds;
pub use freed::Freed;
pub use heap::Heap;
pub use mapping::{GRANULARITY, Mapping, Physical, Reservation};
pub use snapshot::Snapshot;
pub use table::{DeviceMemory, Fill, Kind, MemoryError, Region};
pub use written::Written;

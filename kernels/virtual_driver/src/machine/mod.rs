//! The executor: warps of 32 lanes as vectors, blocks over host threads, memory in host memory.
//!
//! The way of a kernel, and the functions a driver calls:
//! ```no_run
//! use std::sync::Arc;
//! use goldlap_virtual_driver::{lower, machine, memory, ptx};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (text, bytes) = ("", Vec::new());
//! let module = ptx::parse(text).map_err(|diagnostics| diagnostics[0].to_string())?;
//! let program = lower::lower(&module).map_err(|diagnostics| diagnostics[0].to_string())?;
//! let device = memory::DeviceMemory::new(8 << 30, memory::Fill::default());
//! let image = machine::Image::load(Arc::new(program), &device)?; // allocates and fills .global and .const
//! let (kernel, function) = image.kernel("saxpy").ok_or("no such kernel")?;
//! println!("{} bytes of parameters at {:?}", function.param_bytes, function.params);
//! let spec = machine::LaunchSpec { grid: [8, 1, 1], block: [256, 1, 1], params: bytes, ..Default::default() };
//! machine::launch(&image, kernel, &spec, &device, &machine::Options::default())?;
//! # Ok(()) }
//! ```
//! A launch sees the memory that was live when it began; freeing memory under it is harmless. [`launch_with`] tells an
//! [`Observer`] of every access; [`launch()`] compiles those calls away.

pub(crate) mod access;
mod atomics;
mod block;
mod builtins;
mod context;
mod copies;
mod copy_async;
mod fragments;
mod image;
pub(crate) mod lanes;
mod launch;
mod load_store;
mod math;
mod observer;
mod operate;
mod packing;
mod schedule;
mod step;
mod tensor;
mod transfer;
mod trap;
mod warp;
mod warp_ops;

pub(crate) use atomics::{MBARRIER_COUNT_BITS, MBARRIER_PHASE_BIT};
pub use image::Image;
pub use lanes::Isa;
pub use launch::{LaunchSpec, Options, launch, launch_with};
pub use observer::{
    Access, AccessKind, BlockObserver, Change, Elsewhere, LaneError, NoObserver, Observer, Site,
    Synchronisation,
};
pub use trap::{Trap, TrapKind};

/// Generic addresses of shared memory carry these bits; no host address does.
pub const SHARED_WINDOW: u64 = 0x7300_0000_0000_0000;
/// Generic addresses of local memory carry these bits.
pub const LOCAL_WINDOW: u64 = 0x7400_0000_0000_0000;
/// Addresses of kernel parameters carry these bits.
pub const PARAM_WINDOW: u64 = 0x7500_0000_0000_0000;
/// Addresses of functions carry these bits.
pub const FUNCTION_WINDOW: u64 = 0x7600_0000_0000_0000;

//! A CUDA driver whose device is a PTX virtual machine on the CPU.
//!
//! Built as a shared library it speaks the CUDA driver API; a program that loads it as `libcuda.so.1` runs its own
//! kernels on this machine's cores. Rooms, in the order in which a kernel flows: [`ptx`] reads the text, [`isa`] knows the
//! instructions, [`lower`] makes a program of them, [`machine`] executes it over [`memory`]; [`driver`] keeps the objects
//! of the API and [`abi`] exports its functions.
//!
//! # Selecting it
//! The library lies in no folder that programs search. Who wants it puts it, under the names `libcuda.so.1` and
//! `libcuda.so`, into a private folder at the head of `LD_LIBRARY_PATH` and sets `GOLDLAP_VIRTUAL_DRIVER=1`; without that
//! variable `cuInit` reports no device. `goldlap virtual-driver -- PROGRAM ARGS` does both.
//!
//! # Environment
//! | variable | meaning |
//! |---|---|
//! | `GOLDLAP_VIRTUAL_DRIVER` | must be `1` |
//! | `GOLDLAP_VIRTUAL_DEVICES` | number of devices, default 1 |
//! | `GOLDLAP_VIRTUAL_MEMORY` | bytes of each device, default half of the host's memory shared among all |
//! | `GOLDLAP_THREADS` | host threads that run a kernel, default one per core |
//! | `CUDA_VISIBLE_DEVICES` | as NVIDIA's driver reads it, by number |
//! | `GOLDLAP_VCUDA_SANITIZE` | `1`, or a list of checks: see [`sanitizer`] |
//! | `GOLDLAP_VCUDA_LOG` | file to which reports are appended, besides standard error |
//! | `GOLDLAP_VCUDA_PTX` | folder into which the PTX text of every module is written |
//! | `GOLDLAP_VCUDA_TRACE` | `1`: every call is told with its result |
//!
//! # What differs from hardware
//! - One kernel at a time runs on a device: kernels that wait for each other across streams hang.
//! - Kernels may reach the memory of every device of their process, whether peer access is enabled or not.
//! - Machine code (cubin) cannot be run; the linker's "cubin" is PTX. Arrays, textures, inter-process handles,
//!   clusters and the private tables of the CUDA runtime library are not there: see `DRIVER_API.md`.
//! - A pool gives memory back when it is freed; a graph's allocation nodes allocate when the node is made.
//! - Event times are those of the host; priorities, cache preferences and advice on memory change nothing.

pub mod abi;
pub mod driver;
pub mod isa;
pub mod lower;
pub mod machine;
pub mod memory;
pub mod ptx;
pub mod sanitizer;

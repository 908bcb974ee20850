//! The CUDA backend: the operator contract on hand-written kernels (kernels/cu), compiled to the PTX that is committed in
//! kernels/ptx and embedded here. Any driver that speaks the CUDA driver API runs it: NVIDIA's, or the virtual one.
//!
//! In the order in which a step flows: `backend` implements the contract; `operators` turns each operator into a typed
//! [`launch::Launch`]; `tape` collects the step's launches and runs them one by one or as a captured graph; a [`device::Device`]
//! executes them, and [`driver`], the only file that launches unsafely, is the one that does so through the driver API.

mod backend;
mod batch;
mod buffer;
pub mod device;
pub mod driver;
mod graph_shapes;
mod jit_log;
mod kernel_times;
mod kv_cache;
pub mod launch;
mod launch_work;
pub mod limits;
mod matrix;
mod operators;
mod probe;
pub mod registry;
mod tape;
#[cfg(test)]
mod tests;
pub mod virtual_driver;

pub use backend::CudaBackend;
pub use batch::CudaBatch;
pub use buffer::{CudaBuffer, CudaFloats, CudaHalves};
pub use graph_shapes::{GraphShapes, MixedShape};
pub use kernel_times::{KernelTime, KernelTimer, SharedDevice};
pub use kv_cache::{CudaKvCache, kv_cache_bytes};
pub use launch_work::{LaunchWork, UniformStep};
pub use matrix::CudaMatrix;
pub use probe::{CudaDevice, NoCuda, devices};

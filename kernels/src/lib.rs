//! The GPT under test, without any notion of a test case, a request or a socket.
//!
//! Rooms, in the order the data flows:
//! - [`model`]: architecture, checkpoints, the forward pass; speaks to a backend through [`ops`] only.
//! - [`ops`]: the operator contract, one file per operator, shared by all backends.
//! - [`cpu`]: the native backend; a scalar reference and SIMD paths with the same bits.
//! - [`cuda`]: the CUDA backend on hand-written kernels, on NVIDIA's driver or the virtual one.
//!
//! What must stay true:
//! - A row's bits depend on that row's inputs only ([`ops`] says how).
//! - One forward pass, whatever the backend: `model/forward.rs` names no backend.
//! - Bad checkpoints, packed files and batches are errors, never panics.

pub mod cpu;
pub mod cuda;
pub mod model;
pub mod ops;

// Tests share files with integration tests, which know this crate by its name.
#[cfg(test)]
extern crate self as goldlap_kernels;

//! The instruction set.

mod scalar;

pub use scalar::Scalar;

//! A CUDA driver whose device is a PTX virtual machine on the CPU.

pub mod abi;
pub mod driver;
pub mod isa;
pub mod lower;
pub mod machine;
pub mod memory;
pub mod ptx;

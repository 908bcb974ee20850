//! A CUDA driver whose device is a PTX virtual machine on the CPU.

pub mod isa;
pub mod ptx;

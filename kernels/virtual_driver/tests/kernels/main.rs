//! Kernels compiled by NVRTC (tests/cu, tests/ptx) and small ones written by hand, run on the machine.

mod compiled;
mod device;
mod instructions;

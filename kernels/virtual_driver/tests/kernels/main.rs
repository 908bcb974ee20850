//! Kernels compiled by NVRTC (tests/cu, tests/ptx) and small ones written by hand, run on the machine.

mod bounded;
mod broken;
mod compiled;
mod device;
mod differential;
mod heap;
mod instructions;
mod runtime;
mod straight_line;
mod tensor;

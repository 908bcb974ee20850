//! One suite for every backend: each operator against an f64 reference over random shapes, the ugly ones included, and what must
//! not change a bit. Runs on `cpu`, on the CUDA kernels in the virtual machine (always), and on a CUDA driver where
//! `GOLDLAP_CONFORMANCE_DRIVER=1` asks for it.

mod attention;
mod direct;
mod head;
mod matmul;
mod model;
mod refusals;
mod rows;
mod subject;

use direct::DirectDevice;
use goldlap_kernels::cpu::{CpuBackend, Isa};
use goldlap_kernels::cuda::CudaBackend;

/// The CUDA kernels in the virtual machine.
fn virtual_machine() -> CudaBackend<DirectDevice> {
    CudaBackend::on(DirectDevice::new(), true)
}

/// The CUDA kernels behind a driver, if the environment asks for one; then it must be there.
fn driver() -> Option<CudaBackend> {
    let asked = std::env::var_os("GOLDLAP_CONFORMANCE_DRIVER").is_some_and(|value| value == "1");
    asked.then(|| CudaBackend::new(0, true).expect("GOLDLAP_CONFORMANCE_DRIVER=1 needs a CUDA driver"))
}

/// One row an operator's test: a module with `check<B: Conformant>(&mut B)` functions becomes tests on every backend.
macro_rules! conformance {
    ($($room:ident: $($check:ident),*;)*) => {
        mod cpu {
            use super::{CpuBackend, Isa};
            $(mod $room {
                $(#[test]
                fn $check() {
                    crate::$room::$check(&mut super::CpuBackend::new(super::Isa::best(), 1).unwrap());
                })*
            })*
        }
        mod vcuda {
            $(mod $room {
                $(#[test]
                fn $check() {
                    crate::$room::$check(&mut crate::virtual_machine());
                })*
            })*
        }
        mod cuda_driver {
            $(mod $room {
                $(#[test]
                fn $check() {
                    if let Some(mut backend) = crate::driver() {
                        crate::$room::$check(&mut backend);
                    }
                })*
            })*
        }
    };
}

conformance! {
    matmul: stores_and_adds, activates, rows_are_independent, embeds;
    rows: normalises, turns_angles, appends;
    attention: attends, attends_in_any_shape, attends_over_splits, chunks_do_not_change_a_bit;
    head: statistics_and_logits, draws;
}

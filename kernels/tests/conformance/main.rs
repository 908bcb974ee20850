//! One suite for every backend: each operator against an f64 reference over random shapes, the ugly ones included, and what must
//! not change a bit. Runs on `cpu`, on the CUDA kernels in the virtual machine, and on a CUDA driver: on the virtual one always, in
//! a process of its own, and on whatever driver the machine has where one asks for the ignored tests:
//! `cargo test -p goldlap-kernels --test conformance -- --ignored`.

#[path = "../shared/architectures.rs"]
mod architectures;
mod attention;
mod direct;
mod head;
mod matmul;
mod model;
mod refusals;
#[path = "../shared/rotary.rs"]
mod rotary;
mod rows;
mod subject;
mod times;

use std::process::Command;

use direct::DirectDevice;
use goldlap_kernels::cpu::{CpuBackend, Isa};
use goldlap_kernels::cuda::virtual_driver::{VirtualDriver, find_library};
use goldlap_kernels::cuda::{CudaBackend, GraphShapes};

/// The CUDA kernels in the virtual machine.
fn virtual_machine() -> CudaBackend<DirectDevice> {
    CudaBackend::on(DirectDevice::new(), GraphShapes::decode_steps())
}

/// The CUDA kernels on the CUDA driver of this process.
fn driver(graphs: GraphShapes) -> CudaBackend {
    CudaBackend::new(0, graphs).expect("this test needs a CUDA driver")
}

/// The tests in `cuda_driver`, through cudarc and the driver API, on the virtual driver.
#[test]
fn the_virtual_driver_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let library = find_library().unwrap();
    let virtual_driver = VirtualDriver::below(folder.path(), &library).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["cuda_driver", "--ignored", "--test-threads", "2"])
        .envs(virtual_driver.environment())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    // The sanitizers end with a count where `GOLDLAP_VCUDA_SANITIZE` turns them on.
    let is_watched = std::env::var_os("GOLDLAP_VCUDA_SANITIZE").is_some();
    assert!(!is_watched || err.contains("sanitizer: 0 errors"), "{err}");
    let passed = out.lines().filter(|line| line.starts_with("test cuda_driver") && line.ends_with("ok"));
    assert!(passed.count() >= 21, "{out}");
}

/// PTX that the driver refuses is named with the place of the mistake.
mod cuda_driver_errors {
    #[test]
    #[ignore = "needs a CUDA driver; the_virtual_driver_conforms runs it on the virtual one"]
    fn refused_ptx_says_where() {
        let driver = goldlap_kernels::cuda::driver::Driver::new(0).expect("this test needs a CUDA driver");
        let text = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry f()\n{\n  frobnicate.u32 %r1;\n  ret;\n}\n";
        let error = driver.load_text("broken.ptx", text).err().unwrap().to_string();
        assert!(
            error.contains("broken.ptx: this PTX cannot be loaded") && error.contains("frobnicate"),
            "{error}"
        );
        let mut backend = super::CudaBackend::on(driver, super::GraphShapes::none());
        let error = goldlap_kernels::ops::Backend::floats(&mut backend, 1 << 48).err().unwrap().to_string();
        assert!(error.contains("bytes are free"), "{error}");
    }
}

/// One row an operator's test: a module with `check<B: Conformant>(&mut B)` functions becomes tests on every backend.
macro_rules! conformance {
    (operators { $($room:ident: $($check:ident),*;)* } models { $($model:ident),* }) => {
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
            $(#[test]
            fn $model() {
                crate::model::$model(&|graphs| super::CudaBackend::on(super::DirectDevice::new(), graphs));
            })*
            $(mod $room {
                $(#[test]
                fn $check() {
                    crate::$room::$check(&mut crate::virtual_machine());
                })*
            })*
        }
        mod cuda_driver {
            $(#[test]
            #[ignore = "needs a CUDA driver; the_virtual_driver_conforms runs it on the virtual one"]
            fn $model() {
                crate::model::$model(&crate::driver);
            })*
            $(mod $room {
                $(#[test]
                #[ignore = "needs a CUDA driver; the_virtual_driver_conforms runs it on the virtual one"]
                fn $check() {
                    crate::$room::$check(&mut crate::driver(crate::GraphShapes::decode_steps()));
                })*
            })*
        }
    };
}

conformance! {
    operators {
        matmul: stores_and_adds, activates, rows_are_independent, embeds;
        rows: normalises, turns_angles, appends;
        attention: attends, attends_in_any_shape, attends_over_splits, chunks_do_not_change_a_bit;
        head: statistics_and_logits, draws, finds_the_likeliest;
    }
    models {
        agrees_with_the_native_backend, chunks_and_graphs_do_not_change_a_bit, batched_decode_replays_graphs,
        mixed_steps_replay_graphs, the_likeliest_tokens_agree, a_cache_that_was_away_gives_the_same_bits
    }
}

//! Nobody gets onto the virtual driver by accident.

use std::process::Command;

use cudarc::driver::{result, sys};

use crate::virtual_process::{run, run_with};

#[test]
fn without_the_variable_there_is_no_device() {
    let unset = [("GOLDLAP_VIRTUAL_DRIVER", "0")];
    let done = run_with("selection::without_the_variable_there_is_no_device", &unset, || {
        assert_eq!(result::init().unwrap_err().0, sys::CUresult::CUDA_ERROR_NO_DEVICE);
    });
    if let Some(output) = done {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("GOLDLAP_VIRTUAL_DRIVER=1 is not set"), "{told}");
    }
}

#[test]
fn calls_before_the_start_are_refused() {
    run("selection::calls_before_the_start_are_refused", || {
        let mut count = 0;
        // SAFETY: the place is valid.
        let code = unsafe { sys::cuDeviceGetCount(&raw mut count) };
        assert_eq!(code, sys::CUresult::CUDA_ERROR_NOT_INITIALIZED);
    });
}

#[test]
fn a_malformed_variable_is_explained() {
    let bad = [("GOLDLAP_VIRTUAL_DEVICES", "several")];
    let done = run_with("selection::a_malformed_variable_is_explained", &bad, || {
        assert_eq!(result::init().unwrap_err().0, sys::CUresult::CUDA_ERROR_INVALID_VALUE);
    });
    if let Some(output) = done {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("expected a number from 1 to 64, got 'several'"), "{told}");
    }
}

/// The test binary itself carries no symbol of the API that could shadow a real driver.
#[test]
fn only_the_library_exports_the_api() {
    let exports = |path: &std::path::Path| {
        let output = Command::new("nm").args(["-D", "--defined-only"]).arg(path).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Ok(of_library) = exports(&crate::virtual_process::library()) else {
        eprintln!("nm is not installed: not checked");
        return;
    };
    assert!(of_library.lines().filter(|line| line.contains(" T cu")).count() > 500);
    let of_binary = exports(&std::env::current_exe().unwrap()).unwrap();
    assert!(!of_binary.contains(" cuInit"), "{of_binary}");
}

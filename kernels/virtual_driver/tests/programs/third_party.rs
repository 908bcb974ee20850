//! Programs by others, in Python. They need packages from PyPI (`tests/third_party/requirements.txt`), so the tests are
//! asked for, as `.ci/run` does:
//! `GOLDLAP_PYTHON=/path/to/venv/bin/python cargo test -p goldlap-virtual-driver --test programs -- --ignored third_party`.

use std::path::Path;
use std::process::Command;

use crate::virtual_process::{fill_folder, on_virtual_driver};

fn run_script(name: &str) {
    let python = std::env::var("GOLDLAP_PYTHON").unwrap_or_else(|_| "python3".into());
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/third_party");
    let folder = tempfile::tempdir().expect("a folder");
    fill_folder(folder.path());
    let mut command = Command::new(&python);
    command.arg(scripts.join(name)).current_dir(folder.path());
    on_virtual_driver(&mut command, folder.path());
    let output = command.output().unwrap_or_else(|error| panic!("{python}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("all passed"), "{name}:\n{out}\n{err}");
}

#[test]
#[ignore = "needs packages from PyPI"]
fn cuda_python() {
    run_script("cuda_python.py");
}

#[test]
#[ignore = "needs packages from PyPI"]
fn tinygrad() {
    run_script("tinygrad_models.py");
}

#[test]
#[ignore = "needs packages from PyPI"]
fn numba_cuda() {
    run_script("numba_kernels.py");
}

#[test]
#[ignore = "needs packages from PyPI"]
fn drjit() {
    run_script("drjit_arrays.py");
}

#[test]
#[ignore = "needs packages from PyPI"]
fn taichi() {
    run_script("taichi_kernels.py");
}
